"""Chunks that are taken without the parser: the same bytes come out, and the same is refused, as if it had been asked."""

import asyncio
from itertools import accumulate, pairwise
from typing import Any

import httptools
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.errors import UpstreamError
from trimtab.providers.http.connection import Connection, Deadlines

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'event: ping\ndata: {"type":"ping"}\n\n'


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class Socket(asyncio.Transport):
    """Takes everything and keeps nothing."""

    def write(self, data: Any) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Heard:
    """What the parser alone makes of the bytes."""

    def __init__(self) -> None:
        self.body = b""
        self.end = "open"

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.end = "complete"


def by_the_parser(reads: list[bytes]) -> tuple[bytes, str]:
    heard = Heard()
    parser = httptools.HttpResponseParser(heard)
    for data in [HEAD, *reads]:
        if heard.end != "open":
            break  # nobody asked for what follows an answer
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            if heard.end == "open":
                heard.end = "refused"
    return heard.body, heard.end


def by_the_connection(reads: list[bytes]) -> tuple[bytes, str]:
    async def work() -> tuple[bytes, str]:
        heard: list[bytes] = []

        def sink(piece: bytes) -> bool:
            heard.append(piece)
            return True

        connection = Connection(lambda one: None, lambda one: None)
        connection.connection_made(Socket())
        asking = asyncio.create_task(connection.request(b"", b"", Deadlines(), stream=True))
        await asyncio.sleep(0)
        connection.data_received(HEAD)
        pumping = asyncio.create_task((await asking).pump(sink))
        await asyncio.sleep(0)
        for data in reads:
            if not pumping.done():
                connection.data_received(data)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        end = "open"
        if pumping.done():
            end = "refused" if isinstance(pumping.exception(), UpstreamError) else "complete"
        pumping.cancel()
        await asyncio.wait((pumping,))
        return b"".join(heard), end

    return asyncio.run(work())


ODD = [
    b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"00\r\n\r\n",
    b"\r\n",
    b"\n",
    b"5\r\n",
    b"5\r\nabc\r\n\r\n",
    b"05\r\nabcde\r\n",
    b"A\r\n0123456789\r\n",
    b"+5\r\nabcde\r\n",
    b" 5\r\nabcde\r\n",
    b"5 \r\nabcde\r\n",
    b"0x5\r\nabcde\r\n",
    b"1_0\r\n0123456789abcdef\r\n",
    b"5;a=b\r\nabcde\r\n",
    b"5\nabcde\n",
    b"5\r\nabcde\n\n",
    b"5\r\nabcdef\r\n",
    b"6\r\nabcde\r\n",
    b"-1\r\na\r\n",
    b"\r\n5\r\nabcde\r\n",
    b"ffffffffffffffff1\r\na\r\n",
    chunk(b"5\r\nabcde\r\n"),
    chunk(b"\r\n"),
    chunk(EVENT),
    chunk(EVENT) + b"5\r\n",
    chunk(EVENT) + b"5",
    chunk(EVENT) + b"5\r",
    chunk(EVENT) * 3,
    chunk(b"x" * 70_000),
]

pieces = st.one_of(
    st.sampled_from(ODD), st.binary(max_size=12), st.binary(min_size=1, max_size=40).map(chunk)
)


@given(st.lists(pieces, max_size=8), st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=400, deadline=None)
@example([chunk(EVENT), chunk(EVENT), chunk(EVENT), b"0\r\n\r\n"], [])
@example([chunk(EVENT), chunk(EVENT) + b"5", b"5\r\nabcde\r\n"], [])
@example([chunk(EVENT), b"5\r\n", b"5\r\nabcde\r\n", b"zz"], [])
@example([chunk(EVENT), b"ff\r\n", chunk(b"\r\n")], [])
def test_events_that_come_alone_are_read_as_the_parser_reads_them(sent: list[bytes], cuts: list[int]) -> None:
    """`cuts` are further places at which one reading of the socket ends and the next begins."""
    whole = b"".join(sent)
    ends = set(accumulate(map(len, sent))) | {at for at in cuts if at < len(whole)}
    reads = [whole[start:end] for start, end in pairwise(sorted({0, *ends}))]
    assert by_the_connection(reads) == by_the_parser(reads)
