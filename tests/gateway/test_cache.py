"""Answers given again through a whole gateway: keys with limits, both surfaces, idempotency keys, reloads, other places."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from kept_answers import digests
from serving_harness import (
    ASK,
    VERSION,
    Site,
    head,
    one_answer,
    parsed,
    run,
    site,
    take_request,
    upstream,
)
from test_chat import ASK as CHAT
from test_chat import DONE, FIRST, LAST, OVERLAY, PATH, SSE, USAGE, Server, chunk
from test_key_limits import ask, key

from trimtab.app import load_settings
from trimtab.app.assemble import build

CACHE = '[cache]\nmode = "on"\nsampled = true\n'


async def kept(s: Site, many: int = 1) -> None:
    """Wait until so many answers are kept."""
    for _ in range(3000):
        if len(digests(s.application.parts.ground.database)) >= many:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it was not kept within 30 s")


def test_a_key_without_money_left_still_hears_what_it_paid_for_and_not_more_often_than_it_may(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with site(tmp_path, CACHE) as s:
            mine = key(s, total_nanousd=4_000_000, requests_per_minute=4)
            status, named, first = await ask(s, mine, max_tokens=190)
            assert (status, named["x-trimtab-cache"]) == (200, "miss"), first
            await kept(s)
            status, _, _ = await ask(s, mine, max_tokens=199)
            assert status == 402, "what is left is not enough for another answer"
            for _ in range(2):
                status, named, again = await ask(s, mine, max_tokens=190)
                assert (status, again) == (200, first)
                assert named["x-trimtab-cache"].startswith("hit")
                assert (named["x-trimtab-cost-usd"], named["x-trimtab-simulated"]) == ("0.000000000", "true")
            statuses = [(await ask(s, mine, max_tokens=190))[0] for _ in range(3)]
            assert 429 in statuses, "it is a request like any other"

    run(work)


def test_a_hit_is_counted_on_budgets_of_requests_and_on_no_other(tmp_path: Path) -> None:
    config = f"{CACHE}[budgets.all]\norganisation = 'default'\nrequests_per_day = 3\nusd_per_day = 5\n"

    async def work() -> None:
        async with site(tmp_path, config) as s:
            mine = key(s)
            assert (await ask(s, mine, max_tokens=300))[0] == 200
            await kept(s)
            for _ in range(2):
                _, named, _ = await ask(s, mine, max_tokens=300)
                assert named["x-trimtab-cache"].startswith("hit")
            record = await s.record(named["x-trimtab-request"])
            drawn = {draw["account"].split("/")[1]: draw["amount"] for draw in record["draws"]}
            assert drawn == {"requests": 1}
            assert (await ask(s, mine, max_tokens=300))[0] in (402, 429), "the fourth of three"

    run(work)


def test_a_stream_of_the_chat_surface_is_given_again_without_the_counts_that_its_client_did_not_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")
    (tmp_path / "models.yaml").write_text(OVERLAY)

    async def work() -> None:
        server = Server(SSE, *map(chunk, (FIRST, LAST, USAGE, DONE)), b"0\r\n\r\n")
        async with upstream(server) as entry:
            entry = entry.replace('"anthropic"', '"openai"') + 'models = {"qwen3-32b" = "Qwen/Qwen3-32B"}\n'
            async with site(tmp_path, f'{CACHE}[catalogue]\noverlay = "models.yaml"\n{entry}') as s:
                asked = {**CHAT, "stream": True}
                status, named, first = await s.post(asked, path=PATH)
                assert status == 200, first
                assert named["x-trimtab-cache"] == "miss"
                await kept(s)
                _, named, again = await s.post({**asked, "user": "somebody else"}, path=PATH)
                assert named["x-trimtab-cache"].startswith("hit")
                assert again == first == FIRST + LAST + DONE
                _, named, counted = await s.post(
                    {**asked, "stream_options": {"include_usage": True}}, path=PATH
                )
                assert named["x-trimtab-cache"].startswith("hit"), "what goes out is the very same"
                assert counted == FIRST + LAST + USAGE + DONE
                assert len(server.received) == 1

    run(work)


@pytest.mark.parametrize("one_stays", [True, False])
def test_a_stream_whose_client_goes_is_read_on_while_others_wait_and_cut_when_all_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_stays: bool
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")
    (tmp_path / "models.yaml").write_text(OVERLAY)
    begun, gate, cut = asyncio.Event(), asyncio.Event(), asyncio.Event()
    calls: list[bytes] = []

    async def platform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append((await take_request(reader))[1])
        writer.write(SSE + chunk(FIRST))
        begun.set()
        leaving = asyncio.ensure_future(reader.read())
        opening = asyncio.ensure_future(gate.wait())
        await asyncio.wait((leaving, opening), return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            cut.set()
        writer.write(b"".join(map(chunk, (LAST, USAGE, DONE))) + b"0\r\n\r\n")
        await leaving
        opening.cancel()

    async def work() -> None:
        async with upstream(platform) as entry:
            entry = entry.replace('"anthropic"', '"openai"') + 'models = {"qwen3-32b" = "Qwen/Qwen3-32B"}\n'
            async with site(tmp_path, f'{CACHE}[catalogue]\noverlay = "models.yaml"\n{entry}') as s:
                flights = s.application.parts.ground.shelves.flights
                body = json.dumps({**CHAT, "stream": True}).encode()

                async def client() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                    reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
                    writer.write(head("POST", PATH, b"", len(body)) + body)
                    return reader, writer

                async def until(waiting: int) -> None:
                    while sum(len(one._waiting) for one in flights._flights.values()) != waiting:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)

                clients = [await client()]
                await begun.wait()
                clients += [await client() for _ in range(3)]
                await until(3)
                gone = clients[:-1] if one_stays else clients
                for left, (_, writer) in enumerate(gone, 1):
                    writer.transport.abort()
                    await until(len(clients) - max(left, 1))
                if one_stays:
                    gate.set()
                    reader, _ = clients[-1]
                    status, named, heard = parsed(await one_answer(reader))
                    assert (status, heard) == (200, FIRST + LAST + DONE)
                    assert named["x-trimtab-cache"].startswith("hit")
                    assert named["x-trimtab-cost-usd"] == "0.000000000"
                    clients[-1][1].close()
                    await clients[-1][1].wait_closed()
                else:
                    await asyncio.wait_for(cut.wait(), 20)
                assert len(calls) == 1

    run(work)


def test_an_idempotency_key_replays_what_was_given_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, CACHE + "[server]\nkeep_answers = true\n") as s:
            _, _, first = await s.post({**ASK, "max_tokens": 300})
            await kept(s)
            for _ in range(2):
                _, named, body = await s.post(
                    {**ASK, "max_tokens": 300}, headers=VERSION + b"idempotency-key: a\r\n"
                )
                assert named["x-trimtab-cache"].startswith("hit")
                assert body == first
            assert named["x-trimtab-idempotency"] == "replayed"

    run(work)


def test_a_reload_turns_it_on_and_off_for_requests_that_come_from_then_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            file = tmp_path / "trimtab.toml"
            plain = file.read_text()

            async def configure(text: str) -> None:
                file.write_text(text)
                settings = load_settings(file, listen="127.0.0.1:0")
                s.application.put_in_force(await asyncio.to_thread(build, settings, s.application.parts))

            async def told() -> Any:
                return (await s.post({**ASK, "max_tokens": 300}))[1].get("x-trimtab-cache")

            assert await told() is None
            await configure(plain + CACHE)
            assert await told() == "miss"
            await kept(s)
            assert (await told()).startswith("hit")
            await configure(plain + CACHE + 'share = "all"\n')
            assert await told() == "miss"
            await configure(plain)
            assert await told() is None

    run(work)


def test_what_another_place_answered_after_a_failure_is_kept_only_if_it_was_asked_the_very_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")
    failing = b"HTTP/1.1 529 x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

    async def work() -> None:
        async with upstream(Server(failing)) as entry:
            other = '[platforms.other]\nkind = "simulator"\nlatency_scale = 0.0\n'
            async with site(tmp_path, f"{CACHE}{entry}{entry.replace('claude', 'second')}{other}") as s:
                status, named, _ = await s.post({**ASK, "max_tokens": 300})
                assert (status, named["x-trimtab-cache"]) == (529, "miss")
                assert digests(s.application.parts.ground.database) == []
                for _ in range(2):
                    status, named, _ = await s.post(
                        {**ASK, "max_tokens": 300}, headers=VERSION + b"x-trimtab-platform: other\r\n"
                    )
                    assert (status, named["x-trimtab-platform"]) == (200, "other")
                    await kept(s)
                assert named["x-trimtab-cache"].startswith("hit")
                status, named, _ = await s.post(
                    {**ASK, "max_tokens": 300}, headers=VERSION + b"x-trimtab-platform: second\r\n"
                )
                assert (status, named["x-trimtab-cache"]) == (529, "miss"), (
                    "an answer of the simulator is none of it"
                )

    run(work)
