"""Bytes that are pushed to a sink as they arrive: all of them, in order, no more than it wants, and never in silence."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from trimtab.errors import UpstreamBroken, UpstreamTimeout
from trimtab.providers import Call
from trimtab.providers.http import Deadlines, HttpClient, Target

QUICK = Deadlines(connect_s=2, header_s=2, first_event_s=2, idle_s=2)
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM = Call(method="POST", path="/v1/messages", headers=[], body=b"{}", stream=True)

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def pumped(script: Script, work: Callable[..., Awaitable[None]], deadlines: Deadlines = QUICK) -> None:
    tasks: set[asyncio.Task[None]] = set()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"{}")
            await script(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def within() -> None:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        client = HttpClient(
            Target("http", "127.0.0.1", server.sockets[0].getsockname()[1]), deadlines, tls=None
        )
        reply = await client.send(STREAM, b"")
        try:
            async with asyncio.timeout(60):
                await work(reply)
        finally:
            reply.close()
            await client.aclose()
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within())


def test_pieces_arrive_in_order_and_the_end_is_told() -> None:
    heard: list[bytes] = []
    go_on = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"a"))
        await go_on.wait()
        writer.write(chunk(b"b") + chunk(b"c"))
        await writer.drain()
        writer.write(chunk(b"d") + b"0\r\n\r\n")

    def sink(piece: bytes) -> bool:
        heard.append(piece)
        go_on.set()
        return True

    async def work(reply: object) -> None:
        assert await reply.pump(sink)  # type: ignore[attr-defined]
        assert b"".join(heard) == b"abcd"
        assert heard[0] == b"a"  # it did not wait for what came later

    pumped(script, work)


def test_a_sink_that_wants_no_more_is_left_alone_until_it_is_asked_again() -> None:
    heard: list[bytes] = []
    wants = False

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"1"))
        await writer.drain()
        for _ in range(40):
            writer.write(chunk(b"x" * 100_000))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    def sink(piece: bytes) -> bool:
        heard.append(piece)
        return wants

    async def work(reply: object) -> None:
        nonlocal wants
        assert not await reply.pump(sink)  # type: ignore[attr-defined]
        before = len(b"".join(heard))
        await asyncio.sleep(0.05)
        assert len(b"".join(heard)) == before  # nothing is pushed between two calls
        wants = True
        assert await reply.pump(sink)  # type: ignore[attr-defined]
        assert len(b"".join(heard)) == 4_000_001

    pumped(script, work)


@pytest.mark.parametrize(
    ("sent", "phase", "heard"),
    [(b"", "first_event", b""), (chunk(b"x"), "idle", b"x")],
)
def test_each_silence_has_its_own_deadline(sent: bytes, phase: str, heard: bytes) -> None:
    got: list[bytes] = []
    limits = {"header_s": 5.0, "first_event_s": 5.0, "idle_s": 5.0, f"{phase}_s": 0.1}

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await writer.drain()
        await asyncio.sleep(0.02)  # so that the sink waits already
        writer.write(sent)
        await asyncio.Event().wait()

    async def work(reply: object) -> None:
        with pytest.raises(UpstreamTimeout) as caught:
            await reply.pump(lambda piece: got.append(piece) or True)  # type: ignore[attr-defined]
        assert caught.value.phase == phase
        assert b"".join(got) == heard

    pumped(script, work, Deadlines(connect_s=2, **limits))


def test_a_stream_that_goes_on_longer_than_the_idle_deadline_is_not_cut() -> None:
    got: list[bytes] = []

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for _ in range(8):
            writer.write(chunk(b"x"))
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(b"0\r\n\r\n")

    async def work(reply: object) -> None:
        assert await reply.pump(lambda piece: got.append(piece) or True)  # type: ignore[attr-defined]
        assert len(b"".join(got)) == 8

    pumped(script, work, Deadlines(connect_s=2, header_s=5, first_event_s=0.5, idle_s=0.5))


def test_what_came_before_a_cut_is_delivered_before_the_error() -> None:
    got: list[bytes] = []

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"a"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(chunk(b"b"))

    async def work(reply: object) -> None:
        with pytest.raises(UpstreamBroken):
            await reply.pump(lambda piece: got.append(piece) or True)  # type: ignore[attr-defined]
        assert b"".join(got) == b"ab"

    pumped(script, work)


def test_what_the_sink_raises_reaches_who_pumps() -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(chunk(b"x"))
        await asyncio.Event().wait()

    def sink(piece: bytes) -> bool:
        raise ZeroDivisionError

    async def work(reply: object) -> None:
        with pytest.raises(ZeroDivisionError):
            await reply.pump(sink)  # type: ignore[attr-defined]

    pumped(script, work)
