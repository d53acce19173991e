"""An answer as it leaves: one write where it is whole, and nothing that a header could smuggle in."""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
import pytest

from trimtab.gateway.request import ClientRequest, Target


class Line:
    """What a request needs of its connection; keeps each write apart."""

    lags = False

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.completed = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, pieces: Any) -> None:
        self.writes.append(b"".join(pieces))

    def answered(self, request: ClientRequest) -> None:
        self.completed += 1

    def close(self) -> None:
        self.closed = True

    def resume_reading(self) -> None:
        pass


def request(line: Line, method: str = "POST", *, modern: bool = True) -> ClientRequest:
    return ClientRequest(
        line,  # type: ignore[arg-type]
        method,
        Target("/", b"/", b""),
        [],
        {},
        knows_chunks=modern,
        keep_alive=modern,
    )


def answered(work: Callable[[ClientRequest], object], method: str = "POST", *, modern: bool = True) -> Line:
    line = Line()
    work(request(line, method, modern=modern))
    return line


def test_head_and_body_of_a_whole_answer_leave_in_one_write() -> None:
    line = answered(lambda to: to.answer(200, [(b"x-said", b"so")], b"ok"))
    assert line.writes == [b"HTTP/1.1 200 OK\r\nx-said: so\r\ncontent-length: 2\r\n\r\nok"]
    assert line.completed == 1


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 1_000_000])
def test_a_whole_answer_arrives_whole_whatever_its_size(size: int) -> None:
    line = answered(lambda to: to.answer(200, [], b"x" * size))
    assert _read(line) == b"x" * size


def _read(line: Line) -> bytes:
    read = bytearray()

    class Seen:
        def on_body(self, piece: bytes) -> None:
            read.extend(piece)

    parser = httptools.HttpResponseParser(Seen())
    for write in line.writes:
        parser.feed_data(write)
    return bytes(read)


def test_a_stream_is_framed_so_that_a_parser_reads_the_same_bytes() -> None:
    def work(to: ClientRequest) -> None:
        to.start(200, [(b"content-type", b"text/event-stream")])
        for piece in (b"one", b"", b"two"):
            assert to.push(piece)
        to.finish(b"three")

    line = answered(work)
    assert _read(line) == b"onetwothree"
    assert line.completed == 1


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\0b"])
@pytest.mark.parametrize("part", ["name", "value"])
def test_a_header_with_a_line_end_never_leaves(value: bytes, part: str) -> None:
    header = (value, b"x") if part == "name" else (b"x-said", value)

    def work(to: ClientRequest) -> None:
        for send in (lambda: to.answer(200, [header], b""), lambda: to.start(200, [header])):
            with pytest.raises(RuntimeError, match="line end"):
                send()

    assert answered(work).writes == []


@pytest.mark.parametrize("piece", [b"a", b"abc"])
def test_an_answer_of_another_length_than_it_promised_is_a_defect_not_a_smuggled_answer(piece: bytes) -> None:
    def work(to: ClientRequest) -> None:
        to.start(200, [], 2)
        with pytest.raises(RuntimeError, match="content-length"):
            to.finish(piece)
        to.close()

    line = answered(work)
    assert line.completed == 0
    assert line.closed


def test_there_is_one_answer_to_a_request() -> None:
    def work(to: ClientRequest) -> None:
        to.answer(200, [], b"one")
        with pytest.raises(RuntimeError, match="begun already"):
            to.answer(200, [], b"two")
        to.close()

    line = answered(work)
    assert _read(line) == b"one"
    assert not line.closed


def test_an_answer_that_is_left_unfinished_is_cut() -> None:
    def work(to: ClientRequest) -> None:
        to.start(200, [])
        to.push(b"one")
        to.close()

    assert answered(work).closed


@pytest.mark.parametrize("whole", [True, False])
def test_head_requests_get_no_body_but_its_length(whole: bool) -> None:
    def work(to: ClientRequest) -> None:
        if whole:
            to.answer(200, [], b"ok")
        else:
            to.start(200, [], 2)
            to.push(b"ok")
            to.finish()

    line = answered(work, "HEAD")
    assert b"".join(line.writes) == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    assert line.completed == 1


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_without_a_body_is_framed_by_its_status_alone(whole: bool, modern: bool) -> None:
    def work(to: ClientRequest) -> None:
        if whole:
            to.answer(204, [], b"")
        else:
            to.start(204, [])
            to.finish()

    line = answered(work, modern=modern)
    end = b"\r\n" if modern else b"connection: close\r\n\r\n"
    assert b"".join(line.writes) == b"HTTP/1.1 204 No Content\r\n" + end
    assert line.completed == 1


def test_a_client_that_knows_no_chunks_gets_a_stream_that_ends_with_the_connection() -> None:
    def work(to: ClientRequest) -> None:
        to.start(200, [(b"content-type", b"text/event-stream")])
        assert to.push(b"one")
        to.finish(b"two")

    line = answered(work, modern=False)
    head, _, rest = b"".join(line.writes).partition(b"\r\n\r\n")
    assert rest == b"onetwo"
    assert b"chunked" not in head
    assert b"connection: close" in head


def test_nothing_is_sent_to_a_client_that_is_gone() -> None:
    def work(to: ClientRequest) -> None:
        to.gone = True
        to.start(200, [])
        to.push(b"one")
        to.finish()

    line = answered(work)
    assert line.writes == []
    assert line.completed == 0


def test_a_body_is_read_as_it_comes_and_its_end_is_noticed() -> None:
    async def work() -> None:
        asked = request(Line())
        asked.take(b"one")
        asked.take(b"two")
        assert await asked.read() == b"onetwo"
        reading = asyncio.create_task(asked.read())
        await asyncio.sleep(0)
        assert not reading.done()
        asked.take(b"three")
        assert await reading == b"three"
        reading = asyncio.create_task(asked.read())
        await asyncio.sleep(0)
        asked.end()
        assert await reading == b""

    asyncio.run(work())
