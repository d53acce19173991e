"""A minute's tokens serve many callers with a large max_tokens at once where their budget holds what is expected, and
are passed by what those in flight use beyond it, until the next minute."""

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest
from serving_harness import Site, chunk, run, site, take_request, upstream
from test_budgets_held import CLI, ask, in_force, key, recorded

from trimtab.admin import Explained
from trimtab.budgets.expected import KINDS, Published
from trimtab.records import Scope, account_of
from trimtab.store.artefacts import ArtefactStore
from trimtab.store.budgets.figures import counted_on
from trimtab.store.figures.usual import UsualCall

MINUTE_MS = 60_000
MODEL = "claude-opus-4-7"
CODING = UsualCall(
    model=MODEL, effort="high", task_class="coding", calls=1234, conversations=400, output_tokens=4100,
    most_output_tokens=15_300, input_permille=350, cost_nanousd=5, at_ms=1,
)  # fmt: skip
BUDGET = '\n[budgets.red]\noutput_tokens_per_minute = 100_000\nreserve = "{}"\n'


class Model:
    """Answers all at once, when it is told to."""

    def __init__(self) -> None:
        self.called = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.output_tokens = 800

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await take_request(reader)
            self.called.release()
            await self.go_on.wait()
            usage = {"input_tokens": 9, "output_tokens": self.output_tokens}
            answer = {
                "type": "message",
                "id": "m",
                "role": "assistant",
                "model": MODEL,
                "content": [],
                "usage": usage,
            }
            body = json.dumps({**answer, "stop_reason": "end_turn"}).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write(head + chunk(body) + b"0\r\n\r\n")


class Clock:
    """Moves when it is told to."""

    def __init__(self, s: Site) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.ms = now_ms - now_ms % MINUTE_MS
        around = s.application._edition.surroundings
        s.application.gateway.put_in_force(msgspec.structs.replace(around, clock_ms=lambda: self.ms))


def many(s: Site, headers: bytes, count: int) -> "list[asyncio.Task[tuple[int, dict[str, str], object]]]":
    fields = {"model": MODEL, "max_tokens": 64_000, "output_config": {"effort": "high"}}
    return [asyncio.create_task(ask(s, headers, **fields)) for _ in range(count)]


async def called(platform: Model, count: int) -> None:
    async with asyncio.timeout(20):
        for _ in range(count):
            await platform.called.acquire()


def test_by_the_worst_case_one_call_fills_the_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "k")

    async def work() -> None:
        platform = Model()
        async with upstream(platform) as entry, site(tmp_path, entry + BUDGET.format("worst")) as s:
            Clock(s)
            red = key(s, "r", team="red")
            await in_force(s, 1)
            (first,) = many(s, red, 1)
            await called(platform, 1)
            body = {"model": MODEL, "max_tokens": 64_000, "messages": [{"role": "user", "content": "hi"}]}
            status, named, answer = await s.post(body, headers=red)
            assert (status, named["retry-after"]) == (429, "1")
            assert b"what is left is held for requests in flight" in answer
            platform.go_on.set()
            assert (await first)[0] == 200

    run(work)


def test_by_what_is_expected_ten_run_and_who_comes_after_they_used_more_waits_for_the_next_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")

    async def work() -> None:
        platform = Model()
        async with upstream(platform) as entry, site(tmp_path, entry + BUDGET.format("expected")) as s:
            clock = Clock(s)
            red = key(s, "r", team="red") + b"x-trimtab-scenario: coding\r\n"
            await in_force(s, 1)
            ten = many(s, red, 10)  # 8,000 each, as shipped
            await called(platform, 10)
            platform.output_tokens = 20_000
            platform.go_on.set()
            answers = await asyncio.gather(*ten)
            assert [status for status, _, _ in answers] == [200] * 10
            records = [await recorded(s, named["x-trimtab-request"]) for _, named, _ in answers]
            account = account_of(Scope("team", "red", "default"), "output_tokens", "minute", clock.ms)
            counted = s.application.parts.ground.database.read(lambda tx: counted_on(tx, (account,)))
            assert counted[account, False].spent == 200_000  # passed by what they used beyond it

            (late,) = many(s, red, 1)
            status, named, content = await late
            assert (status, named["retry-after"]) == (429, "60")
            assert (
                "has 0 output tokens left; this request is expected to come to 8,000 output tokens"
                in content["error"]["message"]  # type: ignore[index]
            )
            clock.ms += MINUTE_MS
            assert [status for status, _, _ in await asyncio.gather(*many(s, red, 3))] == [200] * 3

            # What was measured takes the place of what is shipped, and is said.
            ground = s.application.parts.ground
            door = s.application.parts.callers.budget_admin(s.application.settings)
            explained: Explained = door.explain(CLI, "r")
            assert [one.effort for one in explained.expected] == ["low", "medium", "high", "xhigh", "max"]
            assert all(one.calls is None for one in explained.expected)
            content_ = msgspec.json.encode(Published(1, (CODING,)))
            ArtefactStore(ground.database).publish(KINDS[False], content_)
            ground.usual.expectations.now_is((CODING,), simulated=False)
            clock.ms += MINUTE_MS
            platform.go_on.clear()
            platform.output_tokens = 1
            more = many(s, red, 20)
            await called(platform, 20)
            platform.go_on.set()
            answers = await asyncio.gather(*more)
            assert [status for status, _, _ in answers] == [200] * 20
            told = await s.record(answers[0][1]["x-trimtab-request"])
            assert told["plan"]["expected_cost_nanousd"] == CODING.cost_nanousd
            _, _, page = await s.get(f"/console/requests/{told['id']}")
            assert b"the mean of such requests before; this one came to" in page
            assert "expected_cost_nanousd" not in (await s.record(records[0].id))["plan"]
            (said,) = door.explain(CLI, records[0].id).expected
            assert (said.output_tokens, said.calls, said.beyond) == (4100, 1234, 11_200)

    run(work)
