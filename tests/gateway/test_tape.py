"""Answers that several hear at once: what is kept, who waits, who is cut off."""

import asyncio
from collections.abc import AsyncGenerator

from trimtab.gateway.tape import AHEAD_BYTES, CUT_BYTES, JOIN_BYTES, Head, Message, Piece, Tape, tell

START = Head(200, [])
PIECE = 64 * 1024


def piece(n: int, *, more: bool = True) -> Message:
    return Piece(n.to_bytes(4, "big") * (PIECE // 4), last=not more)


async def produce(tape: Tape, pieces: int) -> None:
    await tell(START, tape)
    for n in range(pieces):
        await tell(piece(n, more=n < pieces - 1), tape)


async def heard(tape: Tape) -> list[int]:
    return [int.from_bytes(m.body[:4], "big") async for m in tape.play() if isinstance(m, Piece)]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def kept(tape: Tape) -> int:
    return sum(len(m.body) for m in tape._messages if isinstance(m, Piece))


def test_the_platform_waits_while_nobody_takes_what_it_sent() -> None:
    async def work() -> None:
        tape = Tape(lambda: None)
        slow = tape.play()
        hearing = asyncio.create_task(anext(slow))
        producer = asyncio.create_task(produce(tape, 10_000))
        await hearing
        await settled()
        assert not producer.done()
        assert kept(tape) <= AHEAD_BYTES + PIECE
        count = 0
        async for message in slow:
            assert message == piece(count, more=count < 9_999)
            assert kept(tape) <= JOIN_BYTES + AHEAD_BYTES + PIECE
            count += 1
        assert count == 10_000
        await producer

    asyncio.run(work())


def test_one_who_is_stuck_is_cut_off_and_stops_nobody_else() -> None:
    async def work() -> None:
        tape = Tape(lambda: None)
        stuck: AsyncGenerator[Message, None] = tape.play()
        first = asyncio.create_task(anext(stuck))
        other = asyncio.create_task(heard(tape))
        await settled()
        most = 0
        await tell(START, tape)
        await first
        for n in range(1_000):
            await tell(piece(n, more=n < 999), tape)
            await settled()
            most = max(most, kept(tape))
        assert await other == list(range(1_000))
        assert most <= CUT_BYTES + 2 * PIECE
        assert [m async for m in stuck] == []

    asyncio.run(work())


def test_a_long_answer_can_be_joined_only_from_its_beginning() -> None:
    async def work() -> None:
        gone = []
        tape = Tape(lambda: gone.append(1))
        first = asyncio.create_task(heard(tape))
        await settled()
        await tell(START, tape)
        sent = 0
        while tape.joinable:
            await tell(piece(sent), tape)
            sent += 1
            await settled()
        assert sent * PIECE <= JOIN_BYTES + PIECE
        assert await heard(tape) == []
        await tell(piece(sent, more=False), tape)
        assert await first == list(range(sent + 1))
        assert tape.body(10**9) is None
        assert tape.whole
        assert not gone

    asyncio.run(work())


def test_an_answer_in_one_large_piece_is_heard_by_all() -> None:
    async def work() -> None:
        tape = Tape(lambda: None)
        both = [asyncio.create_task(heard(tape)) for _ in range(2)]
        await settled()
        await tell(START, tape)
        tape.finish(b"\0\0\0\7" * (8 * 1024 * 1024))
        assert await asyncio.gather(*both) == [[7], [7]]

    asyncio.run(work())


def test_when_the_last_one_goes_the_call_is_given_up_also_while_the_platform_waits() -> None:
    async def work() -> None:
        def give_up() -> None:
            producer.cancel()

        tape = Tape(give_up)
        listening = tape.play()
        hearing = asyncio.create_task(anext(listening))
        producer = asyncio.create_task(produce(tape, 10_000))
        await hearing
        await settled()
        await listening.aclose()
        await asyncio.wait([producer])
        assert producer.cancelled()

    asyncio.run(work())
