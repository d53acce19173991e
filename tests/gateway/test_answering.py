"""An answer as it leaves: one write where it is whole, and nothing that a header could smuggle in."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httptools
import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from trimtab.gateway.answering import BODY_FOLLOWS, Answering


class Wire(asyncio.Transport):
    """A transport that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.writes.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True


class Line:
    """What an answer needs of its connection."""

    logger: Any = None

    def __init__(self) -> None:
        self.transport = Wire()
        self.flow = FlowControl(self.transport)
        self.completed = 0

    def on_response_complete(self) -> None:
        self.completed += 1


def answering(
    work: Callable[[Answering], Awaitable[None]], method: str = "POST", version: str = "1.1"
) -> Line:
    async def within() -> Line:
        line = Line()
        scope = {"type": "http", "method": method, "http_version": version}
        await work(
            Answering(
                scope,
                line,  # type: ignore[arg-type]
                keep_alive=version != "1.0",
                expect_100_continue=False,
                message_event=asyncio.Event(),
            )
        )
        return line

    return asyncio.run(within())


def start(*headers: tuple[bytes, bytes], whole: bool = False) -> dict[str, Any]:
    message: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": list(headers)}
    return {**message, BODY_FOLLOWS: True} if whole else message


def body(piece: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": piece, "more_body": more}


def test_head_and_body_of_a_whole_answer_leave_in_one_write() -> None:
    async def work(answer: Answering) -> None:
        await answer.send(start((b"content-length", b"2"), whole=True))
        await answer.send(body(b"ok"))

    line = answering(work)
    assert line.transport.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]
    assert line.completed == 1


def test_a_stream_is_framed_so_that_a_parser_reads_the_same_bytes() -> None:
    async def work(answer: Answering) -> None:
        await answer.send(start((b"content-type", b"text/event-stream")))
        assert answer.push(b"one")
        await answer.send(body(b"two", more=True))
        await answer.send(body(b"three"))

    read = bytearray()

    class Seen:
        def on_body(self, piece: bytes) -> None:
            read.extend(piece)

    parser = httptools.HttpResponseParser(Seen())
    for write in answering(work).transport.writes:
        parser.feed_data(write)
    assert read == b"onetwothree"


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\0b"])
def test_a_header_with_a_line_end_never_leaves(value: bytes) -> None:
    async def work(answer: Answering) -> None:
        with pytest.raises(RuntimeError, match="line end"):
            await answer.send(start((b"x-said", value)))

    assert answering(work).transport.writes == []


@pytest.mark.parametrize("piece", [b"a", b"abc"])
def test_an_answer_of_another_length_than_it_promised_is_a_defect_not_a_smuggled_answer(piece: bytes) -> None:
    async def work(answer: Answering) -> None:
        await answer.send(start((b"content-length", b"2"), whole=True))
        with pytest.raises(RuntimeError, match="content-length"):
            await answer.send(body(piece))

    assert answering(work).completed == 0


def test_head_requests_get_no_body_and_closing_is_said() -> None:
    async def work(answer: Answering) -> None:
        await answer.send(start((b"content-length", b"2"), (b"connection", b"close")))
        await answer.send(body(b""))

    line = answering(work, "HEAD")
    assert b"".join(line.transport.writes).endswith(b"\r\n\r\n")
    assert line.transport.closed


def test_a_client_that_knows_no_chunks_gets_a_stream_that_ends_with_the_connection() -> None:
    async def work(answer: Answering) -> None:
        await answer.send(start((b"content-type", b"text/event-stream")))
        assert answer.push(b"one")
        await answer.send(body(b"two"))

    line = answering(work, version="1.0")
    head, _, rest = b"".join(line.transport.writes).partition(b"\r\n\r\n")
    assert rest == b"onetwo"
    assert b"chunked" not in head
    assert line.transport.closed
