"""What is cut, late or left never seems whole, holds nothing up and costs no more than it must, on every platform."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from simulated_platforms import House, Kind, Said, said_to, simulated
from waiting import until

from trimtab.catalogue import Catalogue
from trimtab.errors import UpstreamBroken, UpstreamTimeout
from trimtab.messages import encode_event
from trimtab.providers.simulator import SimResponse, Simulator

ANSWER = "thinking: Well., text: 'The rudder, 日本, is small.', usage: {input_tokens: 9}"
MAX_EVENTS = 24
THINKING = {"type": "adaptive", "display": "summarized"}
CUT_BYTES = (0, 1, 11, 12, 100, 333, 400)
PIECES = 400
"""Of 30 KB: several times what the buffers on the way hold."""
MUCH = encode_event(
    "content_block_delta",
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}' % (b"x" * 30_000),
)
SCRIPT = "\n".join(
    [
        "version: 1",
        "rules:",
        *(
            f"- {{match: {{contains: '[cut {n:02}]'}}, reply: {{{ANSWER}, cut: {{after_events: {n}}}}}}}"
            for n in range(MAX_EVENTS)
        ),
        *(
            f"- {{match: {{contains: '[bytes {n}]'}}, reply: {{{ANSWER}, cut: {{after_bytes: {n}}}}}}}"
            for n in CUT_BYTES
        ),
        f"- {{match: {{contains: late head}}, reply: {{{ANSWER}, stall: {{where: before_head, seconds: 60}}}}}}",
        f"- {{match: {{contains: late start}}, reply: {{{ANSWER}, stall: {{where: after_head, seconds: 60}}}}}}",
        f"- {{match: {{contains: late middle}}, reply: {{{ANSWER}, stall: {{where: after_events, events: 5, seconds: 60}}}}}}",
        f"- {{match: {{contains: whole answer}}, reply: {{{ANSWER}}}}}",
        "",
    ]
)


def nameless(body: bytes) -> bytes:
    """Without the message's id, which is another for each call."""
    return re.sub(rb"msg_(01Sim\w*|bdrk_[\w-]*)", lambda found: b"x" * len(found[0]), body)


@pytest.fixture(scope="module")
def whole(ask: Any) -> list[bytes]:
    said: Said = ask("whole answer", stream=True, thinking=THINKING)
    assert (said.status, said.problem) == (200, None)
    blocks = [nameless(block) for block in said.blocks]
    assert 10 < len(blocks) < MAX_EVENTS
    return blocks


def test_a_stream_that_is_cut_after_any_event_is_broken_and_never_at_its_end(
    ask: Any, whole: list[bytes], kind: Kind
) -> None:
    shown = 0
    for count in range(len(whole) + 1 + kind.rewritten):  # there the simulator's ping is one more
        said = ask(f"[cut {count:02}]", stream=True, thinking=THINKING)
        assert isinstance(said.problem, UpstreamBroken), f"after {count} events: {said}"
        assert said.status == 200
        blocks = [nameless(block) for block in said.blocks]
        assert blocks == whole[: len(blocks)]
        if kind.rewritten:  # starts come with the first piece, the end with what was used
            assert shown <= len(blocks) <= count
        else:
            assert len(blocks) == count
        shown = len(blocks)
    assert shown == len(whole)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_that_is_cut_inside_is_broken(stream: bool, ask: Any, whole: list[bytes]) -> None:
    for count in CUT_BYTES:
        said = ask(f"[bytes {count}]", stream=stream, thinking=THINKING)
        assert isinstance(said.problem, UpstreamBroken), f"after {count} bytes: {said}"
        if stream:
            assert b"".join(whole).startswith(nameless(said.body))


@pytest.mark.parametrize(
    ("moment", "phase", "setting"),
    [
        ("late head", "header", "header_s"),
        ("late start", "first_event", "first_event_s"),
        ("late middle", "idle", "idle_s"),
    ],
)
def test_each_stall_is_a_timeout_of_its_own_and_frees_the_platform(
    moment: str,
    phase: str,
    setting: str,
    house: House,
    caller: Callable[..., Any],
    whole: list[bytes],
    kind: Kind,
) -> None:
    """Only the deadline of this phase is short: another one that took its place would wait for a minute."""
    house.left.clear()
    said = caller(house, **{setting: 0.2})(moment, stream=True, thinking=THINKING)
    assert isinstance(said.problem, UpstreamTimeout), said
    assert said.problem.phase == phase
    begun = whole[: 3 if kind.rewritten else 5]  # there is no ping, and a signature waits for its block's end
    assert [nameless(block) for block in said.blocks] == (begun if phase == "idle" else [])
    until(house.left.is_set)


@pytest.mark.parametrize("moment", ["late start", "late middle"])
def test_a_client_that_leaves_closes_the_platforms_connection(moment: str, house: House, ask: Any) -> None:
    house.left.clear()

    async def leave() -> int:
        reply = await ask.provider.send(ask.call(moment, stream=True, thinking=THINKING))
        if moment == "late middle":
            assert await reply.read()
        reply.close()
        await asyncio.to_thread(until, house.left.is_set)
        status: int = reply.status
        return status

    assert ask.run(leave()) == 200


def test_a_client_that_leaves_before_the_head_closes_the_platforms_connection(house: House, ask: Any) -> None:
    house.left.clear()
    at = len(house.seen)

    async def leave() -> None:
        sending = asyncio.ensure_future(ask.provider.send(ask.call("late head", stream=True)))
        await asyncio.to_thread(until, lambda: len(house.seen) > at)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await asyncio.to_thread(until, house.left.is_set)

    ask.run(leave())


class Talkative(Simulator):
    """Says much more than it was asked for."""

    def handle(self, *asked: Any) -> SimResponse:
        response = super().handle(*asked)
        start, block, *rest = response.events
        return msgspec.structs.replace(response, events=[start, block, *[MUCH] * PIECES, *rest])


def test_a_reader_that_wants_no_more_pauses_the_platform_and_then_gets_the_rest(
    caller: Callable[..., Any], catalogue: Catalogue
) -> None:
    got = bytearray()

    with simulated(catalogue=catalogue, core=Talkative) as house:
        ask = caller(house)

        def one(piece: bytes) -> bool:
            got.extend(piece)
            return False

        def all_of_it(piece: bytes) -> bool:
            got.extend(piece)
            return True

        async def read() -> int:
            reply = await ask.provider.send(ask.call(stream=True))
            assert not await reply.pump(one)
            made, still = -1, 0
            while still < 10:  # the platform stands still: for a while it could say nothing
                still = still + 1 if made == house.seen[-1].made else 0
                made = house.seen[-1].made
                await asyncio.sleep(0.02)
            assert await reply.pump(all_of_it)
            return made

        made = ask.run(read())
        total = house.seen[-1].made
    assert 0 < made < total * 0.7, f"{made} of {total} bytes were taken for a reader that wanted one piece"
    assert got.endswith(b"}\n\n")
    assert got.count(MUCH) == PIECES
    assert got.count(b"event: message_stop\n") == 1


def test_one_connection_serves_call_after_call_whatever_was_said(
    house: House, caller: Callable[..., Any]
) -> None:
    ask = caller(house)
    at = len(house.seen)
    assert ask("whole answer").status == 200
    assert ask("whole answer", stream=True).status == 200
    assert ask("whole answer", stop_sequences=[1]).status == 400
    assert ask("whole answer", counting=True).status == 200
    assert ask("whole answer").status == 200
    assert len({request.client for request in house.seen[at:]}) == 1


def test_a_connection_that_was_cut_is_not_used_again(house: House, caller: Callable[..., Any]) -> None:
    ask = caller(house)
    at = len(house.seen)
    assert isinstance(ask("[cut 03]", stream=True, thinking=THINKING).problem, UpstreamBroken)
    assert ask("whole answer").status == 200
    assert len(house.seen) == at + 2, "nothing was sent twice"
    assert len({request.client for request in house.seen[at:]}) == 2


def test_calls_at_the_same_time_are_answered_each_with_its_own(
    ask: Any, whole: list[bytes], kind: Kind
) -> None:
    async def together() -> list[Said]:
        calls = [ask.call("whole answer", stream=True, thinking=THINKING) for _ in range(16)]
        return list(await asyncio.gather(*(said_to(ask.provider, call) for call in calls)))

    answers = ask.run(together())
    assert len({answer.events[0]["message"]["id"] for answer in answers}) == 16
    for answer in answers:
        assert [nameless(block) for block in answer.blocks] == whole
