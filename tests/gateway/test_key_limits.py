"""What the holder of a key with hard limits meets, in the words and shapes of the vendor's API."""

import asyncio
import json
from pathlib import Path

import pytest
from serving_harness import ASK, VERSION, Site, parsed, problem_of, run, site, upstream
from test_once import Platform

from trimtab.admin import Actor, KeyAdmin, NewKey
from trimtab.records import Limits

SIMULATED = {"model": "trimtab/auto", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def key(s: Site, **limits: int) -> bytes:
    door: KeyAdmin = s.application.parts.callers.admin(s.application.settings)
    made = door.add(Actor("cli:tester"), NewKey(name="ci", limits=Limits(**limits)))
    return VERSION + b"x-api-key: " + made.secret.reveal().encode() + b"\r\n"


async def ask(
    s: Site, headers: bytes, again: tuple[int, ...] = (503,), **fields: object
) -> tuple[int, dict[str, str], dict[str, object]]:
    """One request; again where a new key could not be looked up in time."""
    while True:
        status, named, body = await s.post({**SIMULATED, **fields}, headers=headers)
        content = json.loads(body)
        if status not in again:
            return status, named, content
        await asyncio.sleep(0.05)


def test_one_request_too_many_in_flight_is_a_429_that_says_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")

    async def work() -> None:
        platform = Platform()
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            mine = key(s, concurrency=1)
            first = asyncio.create_task(s.post({**ASK, "stream": True}, headers=mine))
            while platform.calls == 0:
                await asyncio.sleep(0.01)
                if first.done() and first.result()[0] == 503:
                    first = asyncio.create_task(s.post({**ASK, "stream": True}, headers=mine))
            status, named, content = await ask(s, mine)
            assert (status, content["error"]["type"]) == (429, "rate_limit_error")  # type: ignore[index]
            assert "1 requests in flight" in content["error"]["message"]  # type: ignore[index]
            assert named["retry-after"] == "1"
            record = await s.record(named["x-trimtab-request"])
            assert (record["status"], record["result"], record.get("attempts", [])) == (429, "error", [])
            platform.go_on.set()
            assert (await first)[0] == 200
            assert (await s.post({**ASK, "stream": True}, headers=mine))[0] == 200

    run(work)


def test_requests_beyond_the_minute_are_refused_with_the_seconds_to_wait(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            mine = key(s, requests_per_minute=2)
            assert [(await ask(s, mine))[0] for _ in range(2)] == [200, 200]
            status, named, content = await ask(s, mine)
            assert (status, content["error"]["type"]) == (429, "rate_limit_error")  # type: ignore[index]
            assert 1 <= int(named["retry-after"]) <= 62
            assert (await s.post(ASK))[0] == 200  # others do not notice

    run(work)


def test_spent_money_is_a_402_that_no_sdk_retries_and_a_smaller_request_may_still_fit(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            mine = key(s, total_nanousd=5_000_000)  # 0.005 dollars: 100 tokens of output are 0.0015
            spent, refused = 0.0, 0
            for _ in range(20):
                # What was just settled counts as held until it is recorded: for that moment the answer is 429.
                status, named, content = await ask(s, mine, again=(503, 429))
                if status == 200:
                    spent += float(named["x-trimtab-cost-usd"])
                else:
                    assert (status, content["error"]["type"]) == (402, "billing_error")  # type: ignore[index]
                    assert "has $0.00" in content["error"]["message"]  # type: ignore[index]
                    assert "retry-after" not in named
                    refused += 1
            assert refused > 0
            assert 0 < spent <= 0.005
            assert (await ask(s, mine, (503, 429), max_tokens=1))[0] == 200
            assert (await ask(s, mine, (503, 429), max_tokens=100_000))[0] == 402

    run(work)


def test_a_refusal_has_the_vendors_shape(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            mine = key(s, total_nanousd=1)
            await ask(s, mine)
            body = json.dumps(SIMULATED).encode()
            answer = await s.raw(
                b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n%bcontent-length: %d\r\n\r\n%b"
                % (mine, len(body), body)
            )
            assert problem_of(answer)[:2] == (402, "billing_error")
            assert parsed(answer)[1]["request-id"]

    run(work)


def test_a_cap_holds_also_after_the_key_had_none_for_a_while(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            door: KeyAdmin = s.application.parts.callers.admin(s.application.settings)
            actor = Actor("cli:tester")
            made = door.add(actor, NewKey(name="ci", limits=Limits(total_nanousd=5_000_000_000)))
            mine = VERSION + b"x-api-key: " + made.secret.reveal().encode() + b"\r\n"
            await ask(s, mine, (503, 429))
            door.set_limits(actor, made.key.id, Limits())
            await asyncio.sleep(0.8)
            for _ in range(20):
                await ask(s, mine)
            await asyncio.sleep(0.3)
            spent = s.application.parts.ground.database.read(
                lambda t: t.rows("SELECT spent_nanousd FROM key_spend")
            )
            cap = int(spent[0][0]) + 4_000_000  # room for two calls of at most 0.0015 dollars
            door.set_limits(actor, made.key.id, Limits(total_nanousd=cap))
            await asyncio.sleep(0.8)
            await asyncio.gather(*(s.post(SIMULATED, headers=mine) for _ in range(40)))
            await asyncio.sleep(0.3)
            after = s.application.parts.ground.database.read(
                lambda t: t.rows("SELECT spent_nanousd FROM key_spend")
            )
            assert int(after[0][0]) <= cap

    run(work)


def test_simulated_money_behind_http_has_its_cap_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "k")

    async def work() -> None:
        async with site(tmp_path / "far") as far:
            entry = f'[platforms.claude]\nkind = "anthropic"\napi_key = "env:TEST_KEY"\nbase_url = "http://127.0.0.1:{far.port}"\n'
            async with site(tmp_path / "near", entry) as s:
                mine = key(s, total_nanousd=5_000_000)
                spent = 0.0
                for _ in range(30):
                    status, named, _ = await ask(s, mine, (503, 429))
                    if status == 200:
                        assert named["x-trimtab-simulated"] == "true"
                        spent += float(named["x-trimtab-cost-usd"])
                assert 0 < spent <= 0.005
                assert status == 402

    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    run(work)
