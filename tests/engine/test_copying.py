"""Many that ask the very same at once: one asks the model, the others hear its answer, and nobody is left waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from answer_house import ANSWER, COLD, STREAM, House, Played, houses
from fake_replies import DELTA, JSON, SSE, START, event, message
from kept_answers import digests

from trimtab.engine import Answering
from trimtab.engine.copying import LAG_S
from trimtab.errors import RateLimited, UpstreamBroken
from trimtab.records import Caller, Limits, RequestId

LIMIT_S = 60.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    yield from houses(tmp_path)


class Gated(Played):
    """Plays its first chunk, and the rest once it may."""

    def __init__(self, gate: asyncio.Event, *given: Any) -> None:
        super().__init__(*given)
        self.gate = gate
        self.at_gate = asyncio.Event()

    async def read(self) -> bytes:
        if len(self.script) == self.left_of_first:
            self.at_gate.set()
            await self.gate.wait()
        return await super().read()

    left_of_first = -1


class Crowd:
    """Requests at once, to a platform whose answers come when they may."""

    def __init__(self, house: House, *, head: bool = True) -> None:
        self.house = house
        self.gate = asyncio.Event()
        """The rest of every answer, or (`head` False) its head too."""
        self.replies: list[Gated] = []
        self.called = asyncio.Event()
        self.number = 0
        house.provider.answer = self._answer
        self.head = head

    async def _answer(self) -> Gated:
        provider = self.house.provider
        script = list(provider.script)  # type: ignore[attr-defined]
        reply = Gated(self.gate, provider.status, provider.headers, script)  # type: ignore[attr-defined]
        reply.left_of_first = len(script) - 1 if len(script) > 1 else len(script)
        self.replies.append(reply)
        self.called.set()
        if not self.head:
            await self.gate.wait()
        return reply

    def ask(self, fields: dict[str, Any] = COLD, **changes: Any) -> "asyncio.Task[tuple[bytes, str]]":
        """One request; what it hears and what it is told of the cache."""
        self.number += 1
        inbound = self.house.inbound(fields, id=RequestId(f"r{self.number}"), **changes)
        return asyncio.create_task(self._heard(inbound))

    async def _heard(self, inbound: Any) -> tuple[bytes, str]:
        reply = await self.house.pipeline.answer(inbound)
        try:
            return await self._read(reply), reply.told
        finally:
            reply.close()

    async def _read(self, reply: Answering) -> bytes:
        if not reply.is_event_stream:
            return await reply.body()
        parts: list[bytes] = []
        while not await reply.pump(lambda chunk: parts.append(chunk) is None):
            pass
        return b"".join(parts)

    async def wait_for(self, many: int) -> None:
        """Until so many follow the question that is being asked."""
        await until(lambda: waiting(self.house) == many)


def waiting(house: House) -> int:
    return sum(len(flight._waiting) for flight in house.shelves.flights._flights.values())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 (of things that tell nobody)
            await asyncio.sleep(0.002)


@asynccontextmanager
async def crowd(house: House, **more: Any) -> AsyncIterator[Crowd]:
    async with asyncio.timeout(LIMIT_S):
        yield Crowd(house, **more)


def run(work: Any) -> None:
    asyncio.run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_of_a_hundred_that_ask_the_same_at_once_one_asks_the_model_and_all_hear_its_bytes_for_nothing(
    house: Callable[..., House], stream: bool
) -> None:
    h = house(*STREAM, headers=SSE) if stream else house(ANSWER)

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask({"stream": stream, **COLD}) for _ in range(100)]
            await c.wait_for(99)
            c.gate.set()
            heard = await asyncio.gather(*asked)
            assert len(h.provider.calls) == 1
            assert len({body for body, _ in heard}) == 1
            told = sorted(told for _, told in heard)
            assert told == ["hit; age=0; from=r1"] * 99 + ["miss"]
            later = await c.ask({"stream": stream, **COLD})
            assert later[1].startswith("hit"), "also who comes before it is written"

    run(work())
    costs = sorted(record.cost_nanousd for record in h.records)
    assert costs[:-1] == [0] * 100
    assert h.ledger.spent() == costs[-1] > 0
    assert sorted(str(record.cached) for record in h.records) == ["None", *["r1"] * 100]
    h.shelves.close(30)
    assert dict(h.shelves.asked()) == {("hit", "false"): 100.0, ("miss", "false"): 1.0}


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_goes_on_for_those_who_wait_when_its_own_client_goes(
    house: Callable[..., House], stream: bool, head: bool
) -> None:
    h = house(*STREAM, headers=SSE) if stream else house(ANSWER)

    async def work() -> None:
        async with crowd(h, head=head) as c:
            leader = c.ask({"stream": stream, **COLD})
            await c.called.wait()
            if head:
                await c.replies[0].at_gate.wait()
            others = [c.ask({"stream": stream, **COLD}) for _ in range(3)]
            await c.wait_for(3)
            leader.cancel()
            await asyncio.wait([leader])
            others[0].cancel()
            await asyncio.wait([others[0]])
            assert not c.replies[0].closed
            c.gate.set()
            heard = await asyncio.gather(*others[1:])
            assert {told for _, told in heard} == {"hit; age=0; from=r1"}
            assert len(h.provider.calls) == 1

    run(work())
    made = {record.id: record for record in h.records}
    assert sorted(made) == ["r1", "r2", "r3", "r4"]
    assert (made["r1"].result, made["r1"].cost_nanousd > 0) == ("ok", True)
    assert (made["r2"].result, made["r2"].status, made["r2"].cost_nanousd) == ("cancelled", 499, 0)
    assert digests(h.database) or h.shelves.waiting_bytes


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_nobody_waits_for_any_more_is_cut_at_once_and_recorded_once(
    house: Callable[..., House], stream: bool, head: bool
) -> None:
    h = house(*STREAM, headers=SSE) if stream else house(ANSWER)

    async def work() -> None:
        async with crowd(h, head=head) as c:
            asked = [c.ask({"stream": stream, **COLD})]
            await c.called.wait()
            if head:
                await c.replies[0].at_gate.wait()
            asked += [c.ask({"stream": stream, **COLD}) for _ in range(2)]
            await c.wait_for(2)
            for one in asked:
                one.cancel()
                await asyncio.wait([one])
            assert len(h.provider.calls) == 1
            assert c.replies[0].closed or not head

    run(work())
    assert sorted(record.id for record in h.records) == ["r1", "r2", "r3"]
    assert {record.result for record in h.records} == {"cancelled"}
    assert h.ledger.spent() > 0, "a call that was cut is counted"


def test_a_client_that_is_alone_and_goes_cuts_its_call(house: Callable[..., House]) -> None:
    h = house(*STREAM, headers=SSE)

    async def work() -> None:
        async with crowd(h) as c:
            alone = c.ask({"stream": True, **COLD})
            await c.called.wait()
            await c.replies[0].at_gate.wait()
            alone.cancel()
            await asyncio.wait([alone])
            assert c.replies[0].closed

    run(work())
    assert [record.result for record in h.records] == ["cancelled"]


@pytest.mark.parametrize(
    ("script", "status", "headers"),
    [
        ([b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}'], 529, JSON),
        ([message({"input_tokens": 1, "output_tokens": 2}, stop_reason="max_tokens")], 200, JSON),
        ([START, DELTA, UpstreamBroken("the platform cut it")], 200, SSE),
    ],
)
def test_when_what_the_first_one_hears_is_no_answer_for_others_two_others_ask(
    house: Callable[..., House], script: Any, status: int, headers: Any
) -> None:
    h = house(*script, status=status, headers=headers)
    stream = headers is SSE

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask({"stream": stream, **COLD}) for _ in range(8)]
            await c.wait_for(7)
            await c.called.wait()
            together = [1]
            while not all(one.done() for one in asked):
                left = waiting(h)
                gate, c.gate = c.gate, asyncio.Event()
                gate.set()
                await until(lambda: sum(one.done() for one in asked) == sum(together))
                if left:
                    together.append(min(left, 2 * together[-1]))
                    await until(lambda: len(h.provider.calls) == sum(together))
                    assert waiting(h) == left - together[-1]
            await asyncio.gather(*asked, return_exceptions=True)
            assert together == [1, 2, 4, 1]

    run(work())
    assert len(h.records) == 8
    assert all(len(record.attempts) == 1 for record in h.records)


def test_the_second_try_is_heard_by_all_who_still_wait(house: Callable[..., House]) -> None:
    h = house(b"{}", status=529)

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask() for _ in range(20)]
            await c.wait_for(19)
            await c.called.wait()
            gate, c.gate = c.gate, asyncio.Event()
            h.provider.script, h.provider.status = [ANSWER], 200
            gate.set()
            await c.wait_for(17)  # two lead now
            c.gate.set()
            heard = await asyncio.gather(*asked)
            assert len(h.provider.calls) == 3
            told = [told.partition(";")[0] for _, told in heard]
            assert (told.count("hit"), told.count("miss")) == (17, 3)

    run(work())


def test_nobody_waits_for_the_answer_of_a_key_that_does_not_share_or_of_who_did_not_opt_in(
    house: Callable[..., House],
) -> None:
    h = house(ANSWER, share="team")
    red = [Caller(key=f"key_{n}", organisation="acme", team="red") for n in range(2)]
    blue = Caller(key="key_3", organisation="acme", team="blue")

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask(caller=red[0])]
            await c.called.wait()
            asked.append(c.ask(caller=red[1]))
            await c.wait_for(1)
            asked += [
                c.ask(caller=blue),
                c.ask({}, caller=red[1]),
                c.ask({**COLD, "max_tokens": 9}, caller=red[1]),
            ]
            asked.append(c.ask(caller=red[1], own={"x-trimtab-cache": "refresh"}))
            asked.append(c.ask(caller=red[1], own={"x-trimtab-cache": "off"}))
            await until(lambda: len(h.provider.calls) == 6)
            assert waiting(h) == 1
            c.gate.set()
            heard = await asyncio.gather(*asked)
            assert heard[1][1] == "hit; age=0; from=r1"
            assert not any(told.startswith("hit") for _, told in [heard[0], *heard[2:]])

    run(work())
    (given,) = [record for record in h.records if record.cached]
    assert (given.key, given.cost_nanousd) == ("key_1", 0)


def test_who_may_make_no_further_request_does_not_wait_either(house: Callable[..., House]) -> None:
    h = house(ANSWER)
    reserve = h.ledger.reserve
    counted: list[int] = []

    async def reserving(worst_case: Any, *, caller: Caller, simulated: bool, **_: Any) -> Any:
        counted.append(worst_case)
        if len(counted) > 2:
            raise RateLimited("too many", 7)
        return await reserve(worst_case, simulated=simulated)

    h.ledger.reserve = reserving  # type: ignore[method-assign, assignment]
    poor = Caller(key="key_1", limits=Limits(requests_per_minute=2))

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask(caller=poor)]
            await c.called.wait()
            asked.append(c.ask(caller=poor))
            await c.wait_for(1)
            with pytest.raises(RateLimited):
                await c.ask(caller=poor)
            c.gate.set()
            await asyncio.gather(*asked)

    run(work())
    assert counted[0] > 0
    assert counted[1:] == [0, 0]


def test_who_has_waited_long_enough_asks_for_itself(house: Callable[..., House]) -> None:
    h = house(ANSWER, wait_s=1)

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask(), c.ask()]
            await until(lambda: len(h.provider.calls) == 2)
            c.gate.set()
            assert [told for _, told in await asyncio.gather(*asked)] == ["miss", "miss"]

    run(work())


def test_where_it_is_turned_off_nobody_waits(house: Callable[..., House]) -> None:
    h = house(ANSWER, wait_s=0)

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask() for _ in range(5)]
            await until(lambda: len(h.provider.calls) == 5)
            c.gate.set()
            await asyncio.gather(*asked)

    run(work())


def test_a_client_that_does_not_take_its_stream_is_not_waited_for(house: Callable[..., House]) -> None:
    h = house(*STREAM, headers=SSE)

    async def work() -> None:
        async with crowd(h) as c:
            c.gate.set()
            slow = await h.pipeline.answer(h.inbound({"stream": True, **COLD}, id=RequestId("slow")))
            asked = c.ask({"stream": True, **COLD})
            await c.wait_for(1)
            for _ in STREAM[:-1]:  # a drop every now and then is no better than none
                assert not await slow.pump(lambda _: False)
                await asyncio.sleep(LAG_S / 3)
            body, told = await asked
            assert told == "miss"
            assert len(h.provider.calls) == 2
            assert b"message_stop" in body
            slow.close()

    run(work())


def test_a_call_that_goes_on_without_its_client_and_is_cut_leaves_nobody_waiting(
    house: Callable[..., House],
) -> None:
    h = house(START, DELTA, UpstreamBroken("the platform cut it"), headers=SSE)

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask({"stream": True, **COLD})]
            await c.called.wait()
            await c.replies[0].at_gate.wait()
            asked += [c.ask({"stream": True, **COLD}) for _ in range(3)]
            await c.wait_for(3)
            asked[0].cancel()
            await asyncio.wait(asked[:1])
            h.provider.script = list(STREAM)  # type: ignore[attr-defined]
            c.gate.set()
            heard = await asyncio.gather(*asked[1:])
            assert len({body for body, _ in heard if b"message_stop" in body}) in (1, 2)
            assert 2 <= len(h.provider.calls) <= 3

    run(work())
    assert {record.id: record.result for record in h.records}["r1"] == "truncated"


def test_nobody_waits_for_an_answer_that_grows_too_large_to_be_kept(house: Callable[..., House]) -> None:
    big = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 300_000})
    h = house(START + big, *STREAM[2:], headers=SSE, max_mb=1)

    async def work() -> None:
        async with crowd(h) as c:
            asked = [c.ask({"stream": True, **COLD}) for _ in range(3)]
            await until(lambda: len(h.provider.calls) == 3)  # while the first one has not ended
            assert not any(one.done() for one in asked)
            c.gate.set()
            assert {told for _, told in await asyncio.gather(*asked)} == {"miss"}

    run(work())
