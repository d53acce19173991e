"""What a platform sends in its own framing reaches the reader translated: whole, in order, and never past a break."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import UpstreamBroken
from trimtab.providers import Headers, Sink
from trimtab.providers.translated import MAX_ERROR_BYTES, ErrorReply, Head, TranslatedReply

JSON: Headers = [(b"content-type", b"application/json")]


class Pieces:
    """A reply that has these bytes."""

    status = 200
    headers: Headers = []  # noqa: RUF012 (the seam's attribute)

    def __init__(self, *pieces: bytes) -> None:
        self.left: Iterator[bytes] = iter(pieces)
        self.closed = False

    async def read(self) -> bytes:
        return next(self.left, b"")

    async def pump(self, sink: Sink) -> bool:
        return all(sink(piece) for piece in self.left)

    def close(self) -> None:
        self.closed = True


class Pairs:
    """Frames of two bytes, which come out in capitals; the end adds a full stop."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        data = self.held + data
        if b"!" in data:
            raise UpstreamBroken("a frame that is none")
        whole = len(data) // 2 * 2
        self.held = data[whole:]
        return data[:whole].upper()

    def finish(self) -> bytes:
        if self.held:
            raise UpstreamBroken("the platform ended inside a frame")
        return b"."


async def read_all(reply: TranslatedReply) -> list[bytes]:
    made = []
    while piece := await reply.read():
        made.append(piece)
    return made


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True) if start < end]


@given(
    st.binary(max_size=60).map(lambda data: data.hex().encode()), st.lists(st.integers(0, 200), max_size=9)
)
def test_however_the_bytes_are_cut_the_same_comes_out_read_or_pumped(data: bytes, places: list[int]) -> None:
    async def both() -> None:
        pieces = cut(data, places)
        assert (
            b"".join(await read_all(TranslatedReply(Pieces(*pieces), Pairs(), JSON))) == data.upper() + b"."
        )
        pushed: list[bytes] = []
        reply = TranslatedReply(Pieces(*pieces), Pairs(), JSON)

        def sink(piece: bytes) -> bool:
            assert piece, "nothing is pushed where nothing is whole yet"
            pushed.append(piece)
            return len(pushed) % 2 == 0

        while not await reply.pump(sink):
            pass
        assert b"".join(pushed) == data.upper() + b"."
        assert await reply.pump(sink)
        assert await reply.read() == b""

    asyncio.run(both())


def test_an_end_inside_a_frame_is_a_broken_stream_and_no_end() -> None:
    with pytest.raises(UpstreamBroken, match="inside a frame"):
        asyncio.run(read_all(TranslatedReply(Pieces(b"abc"), Pairs(), JSON)))
    with pytest.raises(UpstreamBroken, match="that is none"):
        asyncio.run(read_all(TranslatedReply(Pieces(b"ab", b"!"), Pairs(), JSON)))


def test_a_translated_reply_closes_the_platforms() -> None:
    pieces = Pieces(b"ab")
    TranslatedReply(pieces, Pairs(), JSON).close()
    assert pieces.closed


def test_an_error_is_said_once_from_the_whole_body() -> None:
    async def both() -> None:
        reply = ErrorReply(Pieces(b"thro", b"ttled"), Head(429, JSON), bytes.upper)
        assert (reply.status, await reply.read(), await reply.read()) == (429, b"THROTTLED", b"")
        pushed: list[bytes] = []
        reply = ErrorReply(Pieces(b"thro", b"ttled"), Head(429, JSON), bytes.upper)
        assert await reply.pump(lambda piece: not pushed.append(piece))  # type: ignore[func-returns-value]
        assert pushed == [b"THROTTLED"]

    asyncio.run(both())


def test_an_endless_error_is_not_collected() -> None:
    reply = ErrorReply(Pieces(*(b"x" * 65536 for _ in range(9))), Head(500, JSON), bytes.upper)
    with pytest.raises(UpstreamBroken, match=str(MAX_ERROR_BYTES)):
        asyncio.run(reply.read())


class Held(Pieces):
    """Stops after its pieces, until somebody gives up."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.waiting = asyncio.Event()

    async def read(self) -> bytes:
        piece = next(self.left, b"")
        if not piece:
            self.waiting.set()
            await asyncio.Event().wait()
        return piece


class Broken(Pieces):
    """Ends without a proper end."""

    async def read(self) -> bytes:
        piece = next(self.left, b"")
        if not piece:
            raise UpstreamBroken("cut")
        return piece


def judged(reply: Pieces) -> ErrorReply:
    return ErrorReply(
        reply, Head(529, JSON), bytes.upper, lambda body: Head(503 if body == b"theirs" else 529, JSON)
    )


def test_a_head_that_depends_on_the_body_waits_for_it_and_no_other_does() -> None:
    async def work() -> None:
        reply = judged(Pieces(b"the", b"irs"))
        await reply.arrive()
        assert (reply.status, await reply.read(), await reply.read()) == (503, b"THEIRS", b"")
        held = Held(b"x")
        plain = ErrorReply(held, Head(429, JSON), bytes.upper)
        await plain.arrive()
        assert not held.waiting.is_set(), "its head is known"

    asyncio.run(work())


def test_an_error_that_stops_in_its_middle_is_told_with_what_came() -> None:
    async def work() -> None:
        held = Held(b"half")
        reply = judged(held)
        await reply.arrive(0.01)
        assert held.closed
        assert (reply.status, await reply.read()) == (529, b"HALF")

    asyncio.run(work())


def test_an_error_that_is_cut_is_told_where_its_body_is_read() -> None:
    async def work() -> None:
        reply = judged(Broken(b"half"))
        await reply.arrive()
        assert reply.status == 529
        with pytest.raises(UpstreamBroken, match="cut"):
            await reply.read()

    asyncio.run(work())


def test_a_caller_that_leaves_while_an_error_arrives_leaves_no_connection_behind() -> None:
    async def work() -> None:
        held = Held(b"half")
        waiting = asyncio.create_task(judged(held).arrive())
        await held.waiting.wait()
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert held.closed

    asyncio.run(work())
