"""What a platform sends in its own framing reaches the reader translated: whole, in order, and never past a break."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import UpstreamBroken
from trimtab.providers import Headers, Sink
from trimtab.providers.translated import MAX_ERROR_BYTES, ErrorReply, TranslatedReply

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
        reply = ErrorReply(Pieces(b"thro", b"ttled"), 429, JSON, bytes.upper)
        assert (reply.status, await reply.read(), await reply.read()) == (429, b"THROTTLED", b"")
        pushed: list[bytes] = []
        reply = ErrorReply(Pieces(b"thro", b"ttled"), 429, JSON, bytes.upper)
        assert await reply.pump(lambda piece: not pushed.append(piece))  # type: ignore[func-returns-value]
        assert pushed == [b"THROTTLED"]

    asyncio.run(both())


def test_an_endless_error_is_not_collected() -> None:
    reply = ErrorReply(Pieces(*(b"x" * 65536 for _ in range(9))), 500, JSON, bytes.upper)
    with pytest.raises(UpstreamBroken, match=str(MAX_ERROR_BYTES)):
        asyncio.run(reply.read())
