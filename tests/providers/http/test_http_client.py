"""The upstream client against real sockets: framing, reuse, deadlines, TLS, proxies, back-pressure, cancelling."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
import uvloop

from trimtab.errors import UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from trimtab.providers import Call
from trimtab.providers.http import Deadlines, HttpClient, Target, proxy_from_environment
from trimtab.providers.http.target import Proxy

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Deadlines(connect_s=30, header_s=30, first_event_s=30, idle_s=30)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def run(work: Awaitable[object]) -> None:
    async def within() -> None:
        try:
            async with asyncio.timeout(60):
                await work
        finally:
            for client in CLIENTS:
                await client.aclose()
            CLIENTS.clear()
            await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within())


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0.01)


CLIENTS: list[HttpClient] = []


def a_client(target: Target, deadlines: Deadlines = QUICK, **extra: Any) -> HttpClient:
    client = HttpClient(target, deadlines, **{"tls": None, **extra})
    CLIENTS.append(client)
    return client


def client_for(port: int, deadlines: Deadlines = QUICK, **extra: Any) -> HttpClient:
    return a_client(Target("http", "127.0.0.1", port), deadlines, **extra)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head, await reader.readexactly(length)


async def whole(client: HttpClient, call: Call) -> tuple[int, bytes]:
    reply = await client.send(call, b"x-api-key: secret\r\n")
    parts = []
    while chunk := await reply.read():
        parts.append(chunk)
    return reply.status, b"".join(parts)


POST = Call(
    method="POST", path="/v1/messages", headers=[(b"anthropic-version", b"2023-06-01")], body=b'{"a":1}'
)


def test_a_call_arrives_as_meant_and_its_connection_serves_again() -> None:
    seen: list[tuple[bytes, bytes]] = []
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            try:
                seen.append(await read_request(reader))
            except asyncio.IncompleteReadError:
                return
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)

    async def work() -> None:
        async with served(handler) as port:
            client = client_for(port)
            for _ in range(3):
                assert await whole(client, POST) == (200, b"ok")
            await client.aclose()
            head, body = seen[0]
            assert connections == 1
            assert body == b'{"a":1}'
            assert head == (
                b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-api-key: secret\r\n"
                b"anthropic-version: 2023-06-01\r\ncontent-length: 7\r\naccept-encoding: identity\r\n\r\n"
                % port
            )

    run(work())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 5000])
def test_answers_are_the_same_at_every_chunking(size: int) -> None:
    body = ("日本語 🙂 " * 300).encode()
    chunked = b"".join(
        b"%x\r\n%b\r\n" % (len(body[i : i + 100]), body[i : i + 100]) for i in range(0, len(body), 100)
    )
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(answer), size):
            writer.write(answer[at : at + size])
            if at % 97 == 0:
                await asyncio.sleep(0)

    async def work() -> None:
        async with served(handler) as port:
            assert await whole(client_for(port), POST) == (200, body)

    run(work())


@pytest.mark.parametrize(
    ("answer", "reused"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 extra", False),
        (OK, True),
    ],
)
def test_only_clean_keep_alive_connections_are_used_again(answer: bytes, reused: bool) -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while True:
                await read_request(reader)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    async def work() -> None:
        async with served(handler) as port:
            client = client_for(port)
            for _ in range(2):
                status, body = await whole(client, POST)
                assert (status, body[:2]) == (200, b"ok")
                await asyncio.sleep(0.05)
            assert connections == (1 if reused else 2)
            await client.aclose()

    run(work())


def test_a_body_without_length_ends_with_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    async def work() -> None:
        async with served(handler) as port:
            assert await whole(client_for(port), POST) == (200, b"all of it")

    run(work())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "before its answer was complete"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000 + b"\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 10_000 + OK, "not HTTP/1.1: over 65536 bytes"),
        (b"HTTP/1.1 999 Beyond\r\ncontent-length: 0\r\n\r\n", "status 999, which is not HTTP"),
        (b"HTTP/1.1 600 Beyond\r\ncontent-length: 0\r\n\r\n", "status 600, which is not HTTP"),
        (b"HTTP/1.1 099 Below\r\ncontent-length: 0\r\n\r\n", "status 99, which is not HTTP"),
    ],
)
def test_a_broken_answer_is_an_error_that_says_how(answer: bytes, message: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def work() -> None:
        async with served(handler) as port:
            with pytest.raises(UpstreamBroken, match=message):
                await whole(client_for(port), POST)

    run(work())


@pytest.mark.parametrize(
    ("phase", "sent", "stream"),
    [
        ("header", b"", False),
        ("header", b"HTTP/1.1 200 OK\r\n", False),
        ("first_event", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", True),
        ("idle", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n", True),
        ("idle", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", False),
    ],
)
def test_each_stall_has_its_own_deadline_and_cuts_the_connection(
    phase: str, sent: bytes, stream: bool
) -> None:
    limits = {"header_s": 60.0, "first_event_s": 60.0, "idle_s": 60.0, f"{phase}_s": 0.15}

    async def work() -> None:
        cut = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(sent)
            assert await reader.read() == b""
            cut.set()

        async with served(handler) as port:
            call = Call(method="POST", path="/", headers=[], stream=stream)
            with pytest.raises(UpstreamTimeout) as problem:
                await whole(client_for(port, Deadlines(connect_s=60, **limits)), call)
            assert problem.value.phase == phase
            await asyncio.wait_for(cut.wait(), 60)

    run(work())


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 ", CHUNKED + b"1\r\nx\r\n0\r\nx: ", CHUNKED + b"1\r\nx\r\n1;"],
)
def test_an_endless_header_is_cut_off_before_it_costs_anything(start: bytes) -> None:
    async def work() -> None:
        taken = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal taken
            await read_request(reader)
            writer.write(start)
            for _ in range(1000):  # 64 MB
                writer.write(b"a" * 64_000)
                await writer.drain()
                taken += 64_000

        async with served(handler) as port:
            with pytest.raises(UpstreamBroken, match="over 65536 bytes of head or trailers"):
                await whole(client_for(port), POST)
            await asyncio.sleep(0.05)
            assert taken < 30_000_000  # what socket buffers hold

    run(work())


@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"])
def test_a_body_has_no_limit_wherever_its_head_ends(head: bytes) -> None:
    body = b"b" * 1_000_000
    if head is CHUNKED:
        pieces = [b"%x\r\n%b\r\n" % (size, body[:size]) for size in (1, 3, 700_000, 299_996)]
        answer = head + b"".join(pieces) + b"0\r\n\r\n"
    else:
        answer = head % len(body) + body

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer)

    async def work() -> None:
        async with served(handler) as port:
            client = client_for(port)
            for _ in range(2):
                assert await whole(client, POST) == (200, body)
            assert len(client._all) == 1

    run(work())


def test_trailers_do_not_reach_the_headers_that_the_reader_has() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + b"2\r\nok\r\n0\r\nset-cookie: late\r\nx-more: 9\r\n\r\n")

    async def work() -> None:
        async with served(handler) as port:
            reply = await client_for(port).send(POST, b"")
            assert await reply.read() == b"ok"
            assert await reply.read() == b""
            assert reply.headers == [(b"transfer-encoding", b"chunked")]

    run(work())


def test_a_host_that_dns_cannot_carry_is_refused_and_its_slot_serves_again() -> None:
    async def work() -> None:
        for host in ("a..b", "a" * 64 + ".example"):
            client = a_client(Target("https", host, 443), max_connections=1)
            for _ in range(2):
                with pytest.raises(UpstreamRefused, match="cannot connect to a"):
                    await whole(client, POST)
            assert client._opening == 0

    run(work())


@pytest.mark.parametrize("bad", [b" ", b"\r", b"\n", b"\0"])
def test_a_path_or_query_that_would_split_the_request_is_never_sent(bad: bytes) -> None:
    async def work() -> None:
        arrived = False

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal arrived
            arrived = True

        async with served(handler) as port:
            client = client_for(port)
            for path, query in (("/v1/a" + bad.decode() + "b", b""), ("/v1", b"a" + bad + b"b")):
                with pytest.raises(ValueError, match="never sent"):
                    await whole(client, Call(method="GET", path=path, query=query, headers=[]))
            await asyncio.sleep(0.02)
            assert not arrived

    run(work())


def test_refused_and_unresolvable_addresses_are_one_clear_line() -> None:
    async def work() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            with pytest.raises(UpstreamRefused, match=f"cannot connect to 127.0.0.1:{port}"):
                await whole(client_for(port), POST)
        client = a_client(Target("http", "no-such-host.invalid", 80))
        with pytest.raises(UpstreamError, match=r"no-such-host\.invalid"):
            await whole(client, POST)

    run(work())


def test_cancelling_a_call_closes_the_upstream_socket_at_once() -> None:
    async def work() -> None:
        reached, closed = asyncio.Event(), asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            reached.set()
            await reader.read()
            closed.set()

        async with served(handler) as port:
            limits = Deadlines(connect_s=600, header_s=600, first_event_s=600, idle_s=600)
            task = asyncio.create_task(whole(client_for(port, limits), POST))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await closed.wait()  # long before any of its deadlines

    run(work())


def test_a_slow_reader_slows_the_platform_not_our_memory() -> None:
    async def work() -> None:
        sent = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 64000000\r\n\r\n")
            for _ in range(1000):
                writer.write(b"x" * 64000)
                sent += 64000
                await writer.drain()

        async with served(handler) as port:
            reply = await client_for(port).send(POST, b"")
            await asyncio.sleep(0.3)
            held = sum(len(part) for part in reply.parts)
            assert held < 2_000_000
            assert sent < 20_000_000  # socket buffers included
            total = 0
            while chunk := await reply.read():
                total += len(chunk)
            assert total == 64_000_000

    run(work())


def test_a_streamed_upload_arrives_whole_and_an_early_answer_ends_it() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"z" * 10_000

    async def work() -> None:
        received = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            _, body = await read_request(reader)
            received = len(body)
            writer.write(OK)

        async with served(handler) as port:
            call = Call(method="POST", path="/v1/files", headers=[], body=pieces(), content_length=1_000_000)
            assert await whole(client_for(port), call) == (200, b"ok")
            assert received == 1_000_000

        async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            await asyncio.sleep(0.5)

        async def slow() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"z" * 10_000
                await asyncio.sleep(0.01)

        async with served(refuses) as port:
            call = Call(method="POST", path="/v1/files", headers=[], body=slow(), content_length=1_000_000)
            client = client_for(port)
            assert (await whole(client, call))[0] == 413
            assert not client._free  # half a body is on that connection

    run(work())


def test_a_deadline_of_an_earlier_call_does_not_cut_a_later_one_and_each_has_its_own() -> None:
    """One timer serves a connection, whatever is asked over it."""
    limits = Deadlines(connect_s=60, header_s=0.8, first_event_s=0.8, idle_s=0.8)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await read_request(reader)
        assert body == b'{"a":1}'
        writer.write(OK)
        await read_request(reader)  # takes longer than any deadline, but it comes bit by bit
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await asyncio.sleep(0.2)
        writer.write(b"cd")
        await read_request(reader)
        await asyncio.sleep(5)

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0.2)
            yield b"z"

    async def work() -> None:
        async with served(handler) as port:
            client = client_for(port, limits)
            assert await whole(client, POST) == (200, b"ok")
            upload = Call(method="POST", path="/v1/files", headers=[], body=slowly(), content_length=5)
            reply = await client.send(upload, b"")
            await asyncio.sleep(1)  # a reader that takes its time is no silence of the platform's
            assert await reply.read() == b"abcd"
            assert await reply.read() == b""
            started = asyncio.get_running_loop().time()
            with pytest.raises(UpstreamTimeout) as caught:
                await client.send(POST, b"")
            assert caught.value.phase == "header"
            assert asyncio.get_running_loop().time() - started >= 0.79
            await client.aclose()

    run(work())


@pytest.mark.parametrize("event", ["answers", "dies"])
def test_an_answer_is_heard_while_the_client_pauses_in_its_upload(event: str) -> None:
    async def work() -> None:
        paused = asyncio.Event()
        over = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(3)
            await paused.wait()
            if event == "answers":
                writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
                await over.wait()

        async def stuck() -> AsyncIterator[bytes]:
            yield b"abc"
            paused.set()
            try:
                await asyncio.Event().wait()
            finally:
                over.set()

        async with served(handler) as port:
            client = client_for(port)
            call = Call(method="POST", path="/v1/files", headers=[], body=stuck(), content_length=9)
            async with asyncio.timeout(60):
                if event == "answers":
                    assert await whole(client, call) == (413, b"")
                else:
                    with pytest.raises(UpstreamBroken, match="without an answer"):
                        await whole(client, call)
                await over.wait()  # the client is not read from any more
            assert not client._free

    run(work())


def test_what_breaks_an_upload_reaches_the_caller_and_cuts_the_connection() -> None:
    class Gone(Exception):
        pass

    async def breaks() -> AsyncIterator[bytes]:
        yield b"abc"
        await asyncio.sleep(0.01)
        raise Gone

    async def work() -> None:
        cut = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.read()
            cut.set()

        async with served(handler) as port:
            call = Call(method="POST", path="/v1/files", headers=[], body=breaks(), content_length=9)
            with pytest.raises(Gone):
                await whole(client_for(port), call)
            await asyncio.wait_for(cut.wait(), 60)

    run(work())


def test_a_platform_that_answers_and_never_takes_the_rest_does_not_keep_its_slot() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"z" * 100_000

    async def work() -> None:
        leave = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            await leave.wait()

        async with served(handler) as port:
            client = client_for(port)
            call = Call(
                method="POST", path="/v1/files", headers=[], body=pieces(), content_length=100_000_000
            )
            assert (await whole(client, call))[0] == 413
            await asyncio.sleep(0.05)
            assert not client._all
            leave.set()

    run(work())


def test_connections_are_bounded_and_waiting_ends_in_the_connect_deadline() -> None:
    async def work() -> None:
        release = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                try:
                    await read_request(reader)
                except (asyncio.IncompleteReadError, ConnectionError):
                    return
                await release.wait()
                writer.write(OK)

        async with served(handler) as port:
            client = client_for(port, Deadlines(connect_s=1), max_connections=2)
            busy = [asyncio.create_task(whole(client, POST)) for _ in range(2)]
            await asyncio.sleep(0.1)
            with pytest.raises(UpstreamTimeout) as problem:
                await whole(client, POST)
            assert problem.value.phase == "connect"
            waiting = [asyncio.create_task(whole(client, POST)) for _ in range(6)]
            await asyncio.sleep(0.05)
            release.set()
            results = await asyncio.gather(*busy, *waiting)
            assert results == [(200, b"ok")] * 8
            assert len(client._all) <= 2
            await client.aclose()

    run(work())


def test_tls_is_verified_and_names_the_reason_when_it_is_not() -> None:
    authority = trustme.CA()
    other = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_tls)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            writer.write(OK)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def work() -> None:
        async with served(handler, server_tls) as port:
            for ca, host, fault in (
                (authority, "localhost", None),
                (other, "localhost", "verify"),
                (authority, "127.0.0.1", "mismatch"),
            ):
                context = ssl.create_default_context()
                ca.configure_trust(context)
                client = a_client(Target("https", host, port), tls=context)
                if fault is None:
                    assert await whole(client, POST) == (200, b"ok")
                    continue
                with pytest.raises(UpstreamRefused, match="cannot verify the TLS certificate"):
                    await whole(client, POST)

    run(work())


def test_a_connect_proxy_is_used_with_tls_inside() -> None:
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_tls)
    heads: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        if b"denied" in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        target = head.split(b" ")[1].decode().rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(target[0], int(target[2]))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pipe(reader, up_writer), pipe(up_reader, writer))
        finally:
            up_writer.close()

    async def work() -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        async with served(handler, server_tls) as port, served(proxy) as proxy_port:
            through = Proxy("127.0.0.1", proxy_port, "Basic dTpw")
            client = a_client(Target("https", "localhost", port), tls=context, proxy=through)
            assert await whole(client, POST) == (200, b"ok")
            assert await whole(client, POST) == (200, b"ok")
            assert b"proxy-authorization: Basic dTpw" in heads[0]
            assert len(heads) == 1  # one tunnel, used twice
            denied = a_client(Target("https", "denied", port), tls=context, proxy=through)
            with pytest.raises(UpstreamRefused, match="refused the tunnel with status 407"):
                await whole(denied, POST)
            await client.aclose()

    run(work())


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://api.example.com", Proxy("proxy", 3128)),
        (
            {"https_proxy": "http://u:p%40@proxy"},
            "https://api.example.com",
            Proxy("proxy", 8080, "Basic dTpwQA=="),
        ),
        ({"ALL_PROXY": "proxy:1"}, "https://api.example.com", Proxy("proxy", 1)),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"}, "https://api.example.com", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://127.0.0.1", None),
        ({}, "https://api.example.com", None),
    ],
)
def test_proxies_come_from_the_environment(
    environment: dict[str, str], url: str, expected: Proxy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_from_environment(Target.parse(url)) == expected


def test_a_proxy_that_cannot_be_spoken_to_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:hunter2@proxy:1080")
    with pytest.raises(ValueError, match=r"socks5://proxy.*only http:// proxies") as problem:
        proxy_from_environment(Target.parse("https://api.example.com"))
    assert "hunter2" not in str(problem.value)


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com", "ftp://x", "https://", "http://api.example.com", "https://u:p@x", "https://x?q", "https://x:99999", "https://exämple.com", "https://[::1", "https://a..b", "https://.a", "https://" + "a" * 64, "https://" + "a." * 127 + "b"],
)  # fmt: skip
def test_base_urls_that_cannot_be_meant_are_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Target.parse(url)


def test_base_urls_keep_their_path_and_port() -> None:
    assert Target.parse("https://x.example/api/") == Target("https", "x.example", 443, "/api")
    assert Target.parse("http://[::1]:9000") == Target("http", "::1", 9000)
    assert Target("http", "::1", 9000).authority == "[::1]:9000"
    assert Target("https", "x.example", 443).authority == "x.example"
