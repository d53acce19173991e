"""Several platform entries behind a real socket: who gets a request, what callers and records are told of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from serving_harness import VERSION, Site, run, site, take_request, upstream

from trimtab.app import load_settings
from trimtab.app.assemble import build
from trimtab.app.platforms import open_providers
from trimtab.errors import ConfigError

OVERLOADED = """
version: 1
rules:
- match: {contains: fail}
  reply:
    error: {status: 529}
- match: {contains: limited}
  reply:
    error: {status: 429, retry_after_s: 30}
"""


def entry(name: str, more: str = "") -> str:
    return f'[platforms.{name}]\nkind = "simulator"\nlatency_scale = 0.0\n{more}\n'


def ask(text: str = "What is 2 + 2?", model: str = "claude-opus-4-7") -> dict[str, Any]:
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}


def of(session: str, more: bytes = b"") -> bytes:
    return VERSION + b"x-trimtab-session: " + session.encode() + b"\r\n" + more


async def platform(s: Site, fields: dict[str, Any], headers: bytes = VERSION) -> str:
    status, named, body = await s.post(fields, headers=headers)
    assert status == 200, body
    return named["x-trimtab-platform"]


async def reasons(s: Site, fields: dict[str, Any], headers: bytes = VERSION) -> list[str]:
    status, named, body = await s.post(fields, headers=headers)
    assert status == 200, body
    found: list[str] = (await s.record(named["x-trimtab-request"]))["plan"]["reasons"]
    return found


def problem(body: bytes) -> str:
    message: str = json.loads(body)["error"]["message"]
    return message


def test_the_first_entry_gets_the_requests_and_the_record_says_why(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, entry("one") + entry("two")) as s:
            for _ in range(3):
                assert await platform(s, ask()) == "one"
            assert await reasons(s, ask()) == [
                "the request pins this model",
                "one: this conversation is there",
            ]
            assert await reasons(s, ask("another")) == ["the request pins this model", "one: first in order"]

    run(work)


def test_conversations_are_shared_out_by_weight_and_stay_where_they_are(tmp_path: Path) -> None:
    config = entry("one", "weight = 3") + entry("two") + '[choosing]\nprefer = "weights"\n'

    async def work() -> None:
        async with site(tmp_path, config) as s:
            went = {name: await platform(s, ask(), of(name)) for name in map(str, range(40))}
            assert set(went.values()) == {"one", "two"}
            assert list(went.values()).count("one") > 20
            again = {name: await platform(s, ask("And 3 + 3?"), of(name)) for name in went}
            assert again == went
            share = {"one": "75%", "two": "25%"}[went["0"]]
            fresh = await reasons(s, ask(model="claude-sonnet-4-6"), of("0"))
            assert fresh[1] == f"{went['0']}: its share is {share} of the conversations"

    run(work)


def test_the_cheapest_gets_them_where_cost_counts(tmp_path: Path) -> None:
    config = entry("one") + entry("two", "discount_percent = 30") + '[choosing]\nprefer = "cost"\n'

    async def work() -> None:
        async with site(tmp_path, config) as s:
            assert (await reasons(s, ask()))[1] == "two: the cheapest, one takes 43% more"
            assert await platform(s, ask(), VERSION + b"x-trimtab-platform: one, two\r\n") == "one"

    run(work)


def test_a_tier_goes_to_its_platforms_in_its_order_and_a_named_model_to_all(tmp_path: Path) -> None:
    config = (
        entry("one")
        + entry("two")
        + entry("three")
        + '[tiers]\nescalation = {arm = "claude-opus-4-7", platforms = ["three", "two"]}\n'
    )

    async def work() -> None:
        async with site(tmp_path, config) as s:
            assert await platform(s, ask(model="trimtab/escalation")) == "three"
            assert await platform(s, ask()) in ("one", "three")  # where its conversation is, if it is one
            assert await platform(s, ask("another")) == "one"
            assert await platform(s, ask("yet another", "trimtab/default")) == "one"
            status, _, body = await s.post(
                ask(model="trimtab/escalation"), headers=VERSION + b"x-trimtab-platform: one\r\n"
            )
            assert status == 403
            assert "of this tier is served by three, two only" in problem(body)

    run(work)


def test_data_goes_to_no_other_region_not_even_when_all_of_it_fails(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(OVERLOADED)
    config = (
        entry("us", 'data_region = "us"')
        + entry("eu", 'data_region = "eu"\nscript = "bad.yaml"')
        + entry("untold")
        + '[choosing]\ndata_regions = ["eu"]\n'
    )

    async def work() -> None:
        async with site(tmp_path, config) as s:
            assert await platform(s, ask()) == "eu"
            out = "left out: the data region of us is us; untold declares no data region"
            assert out in await reasons(s, ask("another"))
            for _ in range(7):
                status, named, _ = await s.post(ask("fail"))
                assert (status, named["x-trimtab-platform"]) == (529, "eu")
            status, _, body = await s.post(ask(), headers=VERSION + b"x-trimtab-platform: us\r\n")
            assert status == 403
            assert "data may go to eu only, and the data region of us is us" in problem(body)
            # What passes through goes nowhere else either.
            _, named, _ = await s.get("/v1/files")
            assert named["x-trimtab-platform"] == "eu"

    run(work)


def test_an_entry_is_not_called_before_its_first_day(tmp_path: Path) -> None:
    config = entry("later", "online_from = 2199-01-01") + entry("now")

    async def work() -> None:
        async with site(tmp_path, config) as s:
            assert await platform(s, ask()) == "now"
            assert "left out: later is online from 2199-01-01" in await reasons(s, ask("another"))
            status, _, body = await s.post(ask(), headers=VERSION + b"x-trimtab-platform: later\r\n")
            assert status == 404
            assert "is not served here yet: later is online from 2199-01-01" in problem(body)

    run(work)


def test_what_no_entry_serves_yet_or_may_serve_is_not_listed(tmp_path: Path) -> None:
    async def listed(more: str, folder: str) -> list[str]:
        (tmp_path / folder).mkdir()
        async with site(tmp_path / folder, more) as s:
            _, _, body = await s.get("/v1/models?limit=1000")
            return [
                model["id"] for model in json.loads(body)["data"] if not model["id"].startswith("trimtab/")
            ]

    async def work() -> None:
        assert await listed(entry("now"), "a")
        assert not await listed(entry("later", "online_from = 2199-01-01"), "b")
        region = entry("us", 'data_region = "us"') + entry(
            "later", 'data_region = "eu"\nonline_from = 2199-01-01'
        )
        assert not await listed(region + '[choosing]\ndata_regions = ["eu"]\n', "c")

    run(work)


def test_an_entry_that_is_limited_or_fails_is_left_alone_and_its_conversations_go_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.yaml").write_text(OVERLOADED)
    config = entry("one", 'script = "bad.yaml"') + entry("two")

    async def work() -> None:
        async with site(tmp_path, config) as s:
            assert await platform(s, ask(), of("c")) == "one"
            assert await platform(s, ask("limited"), of("other")) == "two", "another place answered"
            told = await reasons(s, ask(), of("c"))
            assert told[1] == "two: number 2 in order"
            assert told[2].startswith("one is left out for now: its rate limit is reached; tried again in ")
            assert await platform(s, ask(), of("c")) == "two"
            assert await platform(s, ask(model="claude-sonnet-4-6"), of("c")) == "one", (
                "that model has its own limit"
            )
            assert await platform(s, ask(model="claude-opus-4-6"), of("c")) == "two", "this one shares it"
            for number in range(5):
                assert await platform(s, ask("fail", "claude-sonnet-4-6"), of(f"f{number}")) == "two"
            told = await reasons(s, ask(model="claude-sonnet-4-6"), of("new"))
            assert any(one.startswith("one is left out for now: 5 calls in a row failed") for one in told)
            standing = {(one.place, one.model): one for one in s.application.parts.standings.snapshot()}
            assert standing["one", "claude-sonnet-4-6"].state == "open"
            assert standing["one", "claude-opus-4-7"].bucket == "opus-4"
            assert standing["two", "claude-opus-4-7"].away is None

    run(work)


ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":9,"output_tokens":5},"input_tokens":9}'
)


async def counts_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A platform whose limit on counting tokens is reached."""
    while True:
        head, _ = await take_request(reader)
        status = b"429 Too Many Requests\r\nretry-after: 30" if b"count_tokens" in head else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n" % status)
        writer.write(b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))


def test_a_limit_on_counting_tokens_is_none_on_answers(tmp_path: Path) -> None:
    async def work() -> None:
        async with upstream(counts_no_more) as one, upstream(answers) as two:
            config = one.replace("platforms.claude", "platforms.one") + two.replace(
                "platforms.claude", "platforms.two"
            )
            async with site(tmp_path, config) as s:
                counted = {key: value for key, value in ask().items() if key != "max_tokens"}
                status, named, _ = await s.post(counted, "/v1/messages/count_tokens", of("c"))
                assert (status, named["x-trimtab-platform"]) == (200, "two")
                assert s.application.parts.standings.keeps_away("one", "claude-opus-4-7") is None
                assert await platform(s, ask(), of("c")) == "one"

    run(work)


def test_conversations_and_what_is_known_of_places_outlive_a_change_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(OVERLOADED)
    both = entry("one", 'script = "bad.yaml"') + entry("two")

    async def work() -> None:
        async with site(tmp_path, both) as s:
            assert await platform(s, ask(), of("c")) == "one"
            file = tmp_path / "trimtab.toml"
            turned = entry("two") + entry("one", 'script = "bad.yaml"')
            file.write_text(file.read_text().replace(both, turned))
            parts = s.application.parts
            s.application.put_in_force(
                build(load_settings(file, listen=s.application.settings.origin.listen), parts)
            )
            assert await platform(s, ask(), of("new")) == "two"
            assert await platform(s, ask(), of("c")) == "one"
            assert await platform(s, ask("limited"), of("c")) == "two"
            assert parts.standings.keeps_away("one", "claude-opus-4-6") is not None

    run(work)


def test_an_under_used_commitment_is_preferred(tmp_path: Path) -> None:
    config = (
        entry("one", "discount_percent = 10")
        + entry("two", "commitment = {usd = 1_000_000, from = 2020-01-01, until = 2199-12-31}")
        + '[choosing]\nprefer = "cost"\n'
    )

    async def work() -> None:
        async with site(tmp_path, config) as s:
            await asyncio.to_thread(s.application.parts.ground.spending.refresh)
            told = await reasons(s, ask())
            assert told[1].startswith("two: the cheapest, one takes ")
            assert told[1].endswith("0% of its commitment would be used, so 5% of its price counts")

    run(work)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            entry("one") + '[tiers]\nescalation = {arm = "claude-opus-4-7", platforms = ["two"]}\n',
            "tiers.escalation.platforms: 'two': no such platform entry; there are one",
        ),
        (
            entry("one") + '[choosing]\ndata_regions = ["eu"]\n',
            "choosing.data_regions: 'eu': no platform entry declares this data_region; none declares any",
        ),
        (
            entry("one")
            + '[platforms.local]\nkind = "openai"\nbase_url = "http://127.0.0.1:1"\nmodels = {"claude-haiku-4-5" = "h"}\n'
            + '[tiers]\nescalation = {arm = "claude-opus-4-7", platforms = ["one", "local"]}\n',
            "tiers.escalation.platforms: 'local': does not serve claude-opus-4-7, which is tier escalation; those that "
            "do: one",
        ),
    ],
)
def test_a_rule_that_cannot_be_kept_stops_the_start_with_one_line(
    tmp_path: Path, config: str, says: str
) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text(config)
    with pytest.raises(ConfigError) as refused:
        open_providers(load_settings(file))
    assert str(refused.value) == f"trimtab.toml: {says}"
