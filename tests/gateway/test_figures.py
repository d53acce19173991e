"""Figures over HTTP: each key sees what is its own to see, and questions never get in the way of requests."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from serving_harness import ASK, Site, run, site
from test_keys import REQUIRED, Keyed, with_keys
from waiting import until_so

from trimtab.console import Asking
from trimtab.console.asking import WAITING_MOST
from trimtab.errors import StoreError


async def written(at: Site, records: int) -> None:
    """Wait for the writer."""
    await until_so(lambda: at.application.store.status().written >= records)


async def data(at: Keyed, path: str, secret: str | None) -> Any:
    status, headers, body = await at.send("GET", path, secret)
    assert status == 200, body
    assert headers["content-type"] == "application/json"
    return body


SIMULATED = "simulated=true"


def test_each_key_sees_its_organisation_its_team_or_itself(tmp_path: Path) -> None:
    async def work(at: Keyed) -> None:
        boss = at.make("boss", organisation="acme", admin=True)
        red = at.make("red", organisation="acme", team="red")
        lone = at.make("lone", organisation="acme")
        other = at.make("other", organisation="rival", admin=True)
        sent = {"boss": 1, "red": 2, "lone": 3, "other": 4}
        for name, (_, secret) in (("boss", boss), ("red", red), ("lone", lone), ("other", other)):
            for _ in range(sent[name]):
                assert (await at.ask(secret))[0] == 200
        await written(at.site, 10)
        for (key, secret), expected, keys in (
            (boss, 6, {"boss", "red", "lone"}),
            (red, 2, {"red"}),
            (lone, 3, {"lone"}),
            (other, 4, {"other"}),
        ):
            page = await data(at, f"/trimtab/v1/requests?{SIMULATED}", secret)
            assert len(page["rows"]) == expected
            assert {row["key_name"] for row in page["rows"]} == keys
            assert page["next"] is None
            for window in ("hour", "day", "week", "month"):
                overview = await data(at, f"/trimtab/v1/overview?{SIMULATED}&window={window}", secret)
                assert overview["whole"]["sums"]["requests"] == expected
                assert sum(overview["whole"]["series"]["requests"]) == expected
                assert len(overview["starts_ms"]) == len(overview["whole"]["series"]["p50_ms"]) <= 100
            live = await data(at, f"/trimtab/v1/live?{SIMULATED}", secret)
            assert len(live["rows"]) == expected
            assert live["minute"]["sums"]["requests"] == expected
            if key != lone[0]:
                split = await data(at, f"/trimtab/v1/overview?{SIMULATED}&by=key&window=hour", secret)
                assert {group["label"] for group in split["groups"]} == keys
        foreign = f"/trimtab/v1/requests?{SIMULATED}&organisation=rival"
        assert (await data(at, foreign, boss[1]))["rows"] == []
        stolen = f"/trimtab/v1/requests?{SIMULATED}&key={red[0]}"
        for theirs in (stolen, f"/trimtab/v1/requests?{SIMULATED}&key=red"):
            status, _, body = await at.send("GET", theirs, lone[1])
            assert (status, "no key here has this id or name" in body["error"]["message"]) == (400, True)
            found = await data(at, theirs, boss[1])
            assert (len(found["rows"]), found["filter"]["key"]) == (2, red[0])
        status, _, body = await at.send("GET", "/trimtab/v1/overview?by=key", lone[1])
        assert status == 400
        assert "one key's requests are told apart by purpose only" in body["error"]["message"]
        for path in ("requests", "overview", "live", "platforms"):
            assert (await at.send("GET", f"/trimtab/v1/{path}", None))[0] == 401
        for secret in (boss[1], red[1], other[1]):
            status, _, body = await at.send("GET", f"/trimtab/v1/platforms?{SIMULATED}", secret)
            assert (status, "everybody's requests together" in body["error"]["message"]) == (403, True)

    with_keys(tmp_path, work, REQUIRED)


def test_an_admin_of_the_only_organisation_sees_what_its_platforms_did(tmp_path: Path) -> None:
    async def work(at: Keyed) -> None:
        _, boss = at.make("boss", organisation="acme", admin=True)
        _, red = at.make("red", organisation="acme", team="red")
        assert (await at.ask(red))[0] == 200
        await written(at.site, 1)
        found = await data(at, f"/trimtab/v1/platforms?{SIMULATED}&window=hour", boss)
        assert found["window"]["simulated"] is True
        (entry,) = found["entries"]
        assert (entry["name"], entry["in_force"], entry["simulated"]) == ("sim", True, True)
        (there,) = entry["models"]
        assert there["calls"]["answered"] == there["answered"]["part"] == 1
        assert there["price_nanousd"] == there["calls"]["cost_nanousd"] > 0
        assert (await at.send("GET", "/trimtab/v1/platforms", red))[0] == 403

    with_keys(tmp_path, work, REQUIRED)


def test_pages_of_a_list_follow_one_another_and_filters_can_be_joined(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as plain:
            at = Keyed(plain)
            for n in range(5):
                headers = b"x-trimtab-session: a%20b\r\n" if n % 2 else b""
                await at.ask(None, headers=headers)
            await at.send("POST", "/v1/messages", None, {**ASK, "model": "no-such-model"})
            await written(plain, 6)
            seen: list[str] = []
            path = f"/trimtab/v1/requests?{SIMULATED}&limit=2&result=ok"
            cursor = ""
            while True:
                page = await data(at, path + cursor, None)
                seen += [row["id"] for row in page["rows"]]
                if page["next"] is None:
                    break
                cursor = f"&cursor={page['next']}"
            assert len(seen) == len(set(seen)) == 5
            two = await data(at, f"/trimtab/v1/requests?{SIMULATED}&session={quote('h:a%20b')}", None)
            assert len(two["rows"]) == 2
            failed = await data(at, "/trimtab/v1/requests?result=failed&error=NO-SUCH", None)
            assert [row["status"] for row in failed["rows"]] == [404]
            overview = await data(at, f"/trimtab/v1/overview?{SIMULATED}&by=result&window=hour", None)
            assert overview["other_side"] == 1
            assert [(g["name"], g["sums"]["requests"]) for g in overview["groups"]] == [("ok", 5)]

    run(work)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("requests?limit=0", "limit: '0': must be a whole number from 1 to 500"),
        ("requests?cursor=x", "cursor: 'x': must be the `next` of an answer"),
        ("requests?limit=1&limit=2", "limit: is there 2 times"),
        ("requests?nonsense=1", "nonsense: must be one of simulated, from, to"),
        ("requests?session=", "session: must be text of 1 to 300 characters"),
        ("overview?window=year", "window: 'year': must be one of hour, day, week, month"),
        ("overview?window=day&from=1", "window: send either window, or from and to"),
        ("overview?from=5&to=5", "from, to: to must be later than from"),
        ("overview?to=5", "to: needs from, too"),
        ("overview?purposes=live,work", "purposes: 'live,work': must be 'all', or some of live, shadow"),
        ("overview?by=colour", "by: 'colour': must be one of arm, tier"),
        ("live?simulated=yes", "simulated: 'yes': must be one of true, false"),
    ],
)
def test_a_question_that_cannot_be_understood_is_told_what_can(tmp_path: Path, path: str, said: str) -> None:
    async def work() -> None:
        async with site(tmp_path) as at:
            status, _, body = await at.get(f"/trimtab/v1/{path}")
            assert status == 400
            assert said in msgspec.json.decode(body)["error"]["message"]

    run(work)


def test_filters_take_what_people_know_aliases_tiers_names_of_keys_and_sessions_as_sent(
    tmp_path: Path,
) -> None:
    async def work(at: Keyed) -> None:
        mine, theirs = at.make("mine"), at.make("theirs")
        session = b"x-trimtab-session: chat 1\r\n"
        for secret, fields, headers in (
            (mine[1], {"model": "trimtab/escalation"}, session + b"x-trimtab-tags: nightly, a!_%\r\n"),
            (mine[1], {"model": "claude-haiku-4-5"}, b"x-trimtab-tags: night\r\n"),
            (theirs[1], {"output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}}, session),
            (theirs[1], {"metadata": {"user_id": "user 7"}}, b""),
        ):
            status, _, body = await at.send(
                "POST", "/v1/messages", secret, {**ASK, **fields}, headers=headers
            )
            assert status == 200, body
        await written(at.site, 4)

        async def found(query: str) -> list[str]:
            page = await data(at, f"/trimtab/v1/requests?{SIMULATED}&{query}", None)
            assert page["filter"]["simulated"] is True
            return sorted(f"{row['key_name']} {row['arm']}" for row in page["rows"])

        haiku, opus = "mine claude-haiku-4-5-20251001", "mine claude-opus-4-7"
        low, plain = "theirs claude-sonnet-4-6@low", "theirs claude-sonnet-4-6"
        for query, expected in (
            ("model=claude-haiku-4-5", [haiku]),
            ("arm=claude-haiku-4-5", [haiku]),
            ("model=trimtab/escalation", [opus]),
            ("arm=trimtab/auto", [plain, low]),
            ("arm=trimtab/auto@low", [low]),
            ("tier=trimtab/escalation", [opus]),
            ("arm=claude-sonnet-4-6", [plain, low]),
            ("arm=claude-sonnet-4-6@low", [low]),
            ("arm=claude-sonnet-4-6%2Badaptive", [low]),
            ("arm=claude-sonnet-4-6@low%2Badaptive", [low]),
            ("arm=claude-sonnet-4-6@high%2Badaptive", []),
            ("arm=claude-haiku-4-5&model=claude-opus-4-7", []),
            ("key=mine", [haiku, opus]),
            (f"key={theirs[0]}", [plain, low]),
            ("session=chat%201&key=mine", [opus]),
            (f"session={quote(f'h:{theirs[0]}:chat 1')}", [low]),
            ("session=user%207", [plain]),
            ("session=nobody%27s", []),
            ("tags=nightly", [opus]),
            ("tags=night", [haiku]),
            (f"tags={quote('a!_%, nightly')}", [opus]),
            ("tags=nightly,night", []),
            ("tags=adaptive", []),
        ):
            assert await found(query) == expected, query
        for query, said in (
            (
                "model=claude-haiku-45",
                "model: 'claude-haiku-45': no such model or alias is known here; did you mean",
            ),
            ("arm=trimtab/best", "arm: 'trimtab/best': must be one of trimtab/auto, trimtab/default"),
            ("arm=claude-haiku-4-5@huge", "arm: 'claude-haiku-4-5@huge': effort must be one of low"),
            ("tier=best", "tier: 'best': must be one of default, escalation, control, fast"),
            ("key=nobody", "key: 'nobody': no key here has this id or name"),
            ("session=chat%201", "session: 'chat 1': 2 sessions were sent by this name, each key's its own"),
        ):
            status, _, body = await at.send("GET", f"/trimtab/v1/requests?{SIMULATED}&{query}", None)
            assert (status, said in body["error"]["message"]) == (400, True), body

    with_keys(tmp_path, work)


def test_where_there_are_only_simulated_requests_the_answer_says_how_to_see_them(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as plain:
            at = Keyed(plain)
            for path in ("overview", "requests"):
                fresh = await data(at, f"/trimtab/v1/{path}", None)
                assert (fresh["filter"]["simulated"], fresh["hint"]) == (False, None)
            await at.ask(None)
            await written(plain, 1)
            for path in ("overview?window=hour", "requests?result=ok"):
                real = await data(at, f"/trimtab/v1/{path}", None)
                assert real["filter"]["simulated"] is False
                assert (
                    real["hint"]
                    == "no real request fits, but there are simulated ones: simulated=true shows them"
                )
                assert (await data(at, f"/trimtab/v1/{path}&{SIMULATED}", None))["hint"] is None
            assert (await data(at, "/trimtab/v1/requests?result=failed", None))["hint"] is None

    run(work)


def test_only_get(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as at:
            status, headers, _ = await at.post(b"{}", "/trimtab/v1/overview")
            assert (status, headers["allow"]) == (405, "GET")

    run(work)


def test_a_store_that_answers_slowly_holds_up_no_request_and_no_more_than_a_few_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with site(tmp_path) as at:
            going_on = threading.Event()
            programs: Any = at.application.gateway._in_force.around.figures

            def slow(*asked: object, **named: object) -> object:
                going_on.wait(60)
                raise StoreError("it hangs")

            monkeypatch.setattr(programs._figures, "live", slow)
            waiting = [asyncio.create_task(at.get("/trimtab/v1/live")) for _ in range(WAITING_MOST)]
            await until_so(lambda: programs._asking._asked == WAITING_MOST)
            status, headers, body = await at.get("/trimtab/v1/live")
            assert (status, headers["retry-after"]) == (503, "2")
            assert "too many questions" in msgspec.json.decode(body)["error"]["message"]
            assert (await at.post(ASK))[0] == 200
            going_on.set()
            for one in waiting:
                status, headers, body = await one
                assert (status, headers["retry-after"]) == (503, "5")
                assert b"the store cannot be read now" in body

    run(work)


def test_a_question_that_nobody_waits_for_any_more_makes_room() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        going_on = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            asking = Asking(threads, waiting_most=2)
            first = loop.create_task(asking.ask(lambda: going_on.wait(60)))
            second = loop.create_task(asking.ask(lambda: True))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.sleep(0)
            third = loop.create_task(asking.ask(lambda: "third"))
            await asyncio.sleep(0)
            going_on.set()
            assert await first
            assert await third == "third"
            assert second.cancelled()

    run(work)
