"""The gateway over real sockets: hostile and careless clients, cuts, disconnects, draining."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from trimtab.app import Application, assemble, load_settings
from trimtab.gateway import bind
from trimtab.messages import StreamValidator, encode_event

VERSION = b"anthropic-version: 2023-06-01\r\n"
ASK = {"model": "trimtab/auto", "max_tokens": 64, "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
LIMITS = """
[server]
header_timeout_s = 0.6
body_timeout_s = 0.6
write_timeout_s = 1
drain_s = 5
max_body_bytes = 1000000
"""
Upstream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def event(kind: str, **fields: Any) -> bytes:
    return encode_event(kind, json.dumps({"type": kind, **fields}).encode())


EVENTS = [
    event("message_start", message={"id": "m", "model": "m", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "日本語"}),
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
    event("message_stop"),
]  # fmt: skip


class Site:
    """A gateway that runs in this loop."""

    def __init__(self, application: Application, port: int) -> None:
        self.application = application
        self.port = port

    async def raw(self, request: bytes, *, wait_s: float = 10) -> bytes:
        """Send bytes, read until the server closes or answers with a whole message."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(_one_answer(reader), wait_s)
        finally:
            writer.close()

    async def post(
        self, fields: dict[str, Any] | bytes, path: str = "/v1/messages", headers: bytes = VERSION
    ) -> tuple[int, dict[str, str], bytes]:
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return parsed(await self.raw(head("POST", path, headers, len(body)) + body))

    async def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return parsed(await self.raw(head("GET", path)))

    async def record(self, request_id: str) -> dict[str, Any]:
        status, _, body = await self.get(f"/trimtab/v1/requests/{request_id}")
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    @property
    def held(self) -> str:
        text = self.application.metrics.render().decode()
        return next(line.split()[1] for line in text.splitlines() if line.startswith("trimtab_held_usd "))


def head(method: str, path: str, headers: bytes = b"", length: int | None = None) -> bytes:
    framing = b"" if length is None else b"content-length: %d\r\n" % length
    return b"%b %b HTTP/1.1\r\nhost: 127.0.0.1\r\n%b%b\r\n" % (
        method.encode(),
        path.encode(),
        headers,
        framing,
    )


async def _one_answer(reader: asyncio.StreamReader) -> bytes:
    try:
        got = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as problem:
        return problem.partial
    lower = got.lower()
    if b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        return got + await reader.readexactly(length)
    while True:
        line = await reader.readline()
        if not line:
            return got + b"<cut>"
        size = int(line, 16)
        got += (await reader.readexactly(size + 2))[:-2]
        if size == 0:
            return got


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    first, _, body = answer.partition(b"\r\n\r\n")
    lines = first.decode().split("\r\n")
    return (
        int(lines[0].split()[1]),
        {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])},
        body,
    )


def problem_of(answer: bytes) -> tuple[int, str, str]:
    status, _, body = parsed(answer)
    document = json.loads(body)
    assert document["type"] == "error"
    assert document["request_id"]
    return status, document["error"]["type"], document["error"]["message"]


@asynccontextmanager
async def site(folder: Path, config: str = "", script: str = "") -> AsyncIterator[Site]:
    (folder / "script.yaml").write_text(script or "version: 1\n")
    if "[platforms" not in config:
        config += '\n[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\nscript = "script.yaml"\n'
    file = folder / "trimtab.toml"
    file.write_text(f'version = 1\n[store]\nurl = "sqlite:///{folder}/t.db"\nbatch_ms = 5\n{config}')
    settings = load_settings(file, listen="127.0.0.1:0")
    bound = bind(settings.listen, "test", "")
    application = assemble(settings, lambda line: None)
    ready = asyncio.Event()
    serving = asyncio.create_task(
        application.server.run_on(bound, ready=ready.set, draining=lambda count: None)
    )
    await asyncio.wait_for(ready.wait(), 5)
    try:
        yield Site(application, bound.getsockname()[1])
    finally:
        application.server.should_exit = True
        await serving
        assert await application.aclose() == 0


@asynccontextmanager
async def upstream(handler: Upstream) -> AsyncIterator[str]:
    """A platform made of sockets; gives the configuration that names it."""
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

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f'[platforms.claude]\nkind = "anthropic"\napi_key = "env:TEST_KEY"\nbase_url = "http://127.0.0.1:{port}"\n'
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0.01)


async def take_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    got = await reader.readuntil(b"\r\n\r\n")
    length = int(got.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return got, await reader.readexactly(length)


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_u\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(25):
            await work()
        await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within())


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "upstream-secret")


def test_an_answer_is_priced_recorded_and_found_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, headers, body = await s.post(ASK)
            assert status == 200
            assert json.loads(body)["content"][0]["text"].endswith("4")
            assert headers["x-trimtab-simulated"] == "true"
            assert headers["x-trimtab-arm"] == "claude-sonnet-4-6"
            record = await s.record(headers["x-trimtab-request"])
            assert record["cost_usd"] == headers["x-trimtab-cost-usd"]
            assert record["simulated"] is True
            assert record["plan"]["tier"] == "default"
            assert float(s.held) == 0
            status, headers, body = await s.post({**ASK, "stream": True})
            validator = StreamValidator()
            validator.feed(body)
            assert validator.finish() == []
            assert (await s.record(headers["x-trimtab-request"]))["stream"] is True

    run(work)


@pytest.mark.parametrize(
    ("request_bytes", "status", "kind", "text"),
    [
        (head("POST", "/v1/messages", VERSION, 3) + b"{a}", 400, "invalid_request_error", "not valid JSON"),
        (head("POST", "/v1/messages", VERSION, 2) + b"\xff\xfe", 400, "invalid_request_error", "invalid UTF-8"),
        (head("POST", "/v1/messages", VERSION, 0), 400, "invalid_request_error", "not valid JSON"),
        (head("POST", "/v1/messages", VERSION, 12) + b'{"a":1,"a":2', 400, "invalid_request_error", "not valid JSON"),
        (head("GET", "/v1/messages"), 405, "invalid_request_error", "use POST"),
        (head("GET", "/v1/nothing"), 404, "not_found_error", "no such path here"),
        (head("POST", "/v1/messages/batches", VERSION, 0), 404, "not_found_error", "does not serve message batches"),
        (head("GET", "/v1/models/none"), 404, "not_found_error", "'none' is not known"),
        (head("GET", "/v1/models?limit="), 400, "invalid_request_error", "limit: ''"),
        (head("GET", "/v1/models?limit=0"), 400, "invalid_request_error", "limit: '0'"),
        (head("GET", "/v1/models?limit=%F0%9F%99%82"), 400, "invalid_request_error", "limit"),
        (head("GET", "/v1/models?after_id=x"), 400, "invalid_request_error", "after_id: 'x'"),
        (head("GET", "/trimtab/v1/requests/nope"), 404, "not_found_error", "'nope' is recorded"),
        (head("GET", "/trimtab/v1/requests/%00%ff"), 404, "not_found_error", "recorded"),
        (b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403, "permission_error", "'evil.example' is not this machine"),
        (b"GET / HTTP/1.1\r\n\r\n", 403, "permission_error", "Host '' is not this machine"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n", 403, "permission_error", "is not this machine"),
        (b"GET / HTTP/1.1\r\nhost: [::1]evil.example\r\n\r\n", 403, "permission_error", "is not this machine"),
        (head("POST", "/v1/v1/messages", VERSION, 0), 404, "not_found_error", "the base URL ends in /v1"),
        (head("POST", "/v1/chat/completions", VERSION, 0), 404, "not_found_error", "does not serve the OpenAI API"),
        (b"GET / HTTP/1.1\r\nhost: localhost:1\r\norigin: https://evil.example\r\n\r\n", 403, "permission_error", "Origin"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\norigin: null\r\n\r\n", 403, "permission_error", "Origin"),
        (b"NONSENSE\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (head("GET", "/" + "x" * 70_000), 431, "invalid_request_error", "request head is over"),
        (head("GET", "/", b"x: y\r\n" * 300), 431, "invalid_request_error", "request head is over"),
        (head("GET", "/", b"x: " + b"y" * 70_000 + b"\r\n"), 431, "invalid_request_error", "request head is over"),
        (head("POST", "/v1/messages", VERSION, 1_500_000) + b" " * 1_500_000, 413, "request_too_large", "limit is 1,000,000"),
        (head("POST", "/v1/messages", VERSION, 900_000_000), 413, "request_too_large", "900,000,000"),
        (head("POST", "/v1/messages", VERSION + b"transfer-encoding: chunked\r\n") + b"".join(chunk(b" " * 100_000) for _ in range(12)) + b"0\r\n\r\n", 413, "request_too_large", "limit is"),
        (head("POST", "/v1/files", VERSION + b"transfer-encoding: chunked\r\n") + b"0\r\n\r\n", 400, "invalid_request_error", "content-length"),
        (head("POST", "/v1/messages", VERSION + b"content-encoding: gzip\r\n", 2) + b"{}", 400, "invalid_request_error", "'gzip': send the body uncompressed"),
        (head("PUT", "/v1/files"), 405, "invalid_request_error", "GET, POST, DELETE"),
    ],
)  # fmt: skip
def test_bad_requests_get_one_clear_vendor_shaped_error(
    tmp_path: Path, request_bytes: bytes, status: int, kind: str, text: str
) -> None:
    async def work() -> None:
        async with site(tmp_path, LIMITS) as s:
            got = problem_of(await s.raw(request_bytes))
            assert got[:2] == (status, kind)
            assert text in got[2]
            assert (await s.get("/healthz"))[0] == 200

    run(work)


def test_a_client_that_dawdles_over_its_head_or_body_is_told_and_cut(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, LIMITS) as s:
            loop = asyncio.get_running_loop()
            started = loop.time()
            silent = asyncio.create_task(s.raw(b""))
            half_head = asyncio.create_task(s.raw(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-a: 1"))
            half_body = asyncio.create_task(s.raw(head("POST", "/v1/messages", VERSION, 100) + b'{"a"'))
            assert await silent == b""
            assert problem_of(await half_head)[0] == 408
            status, _, text = problem_of(await half_body)
            assert (status, text) == (408, "The request body did not arrive in time")
            assert loop.time() - started < 4

            async def drip() -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
                answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
                for byte in b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n" * 3:
                    if answer.done():
                        break
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.05)
                writer.close()
                return await answer

            assert b"408" in await drip()

    run(work)


def test_connections_over_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, "[server]\nmax_connections = 3\n") as s:
            held = [await asyncio.open_connection("127.0.0.1", s.port) for _ in range(3)]
            await asyncio.sleep(0.05)
            status, headers, body = parsed(await s.raw(b""))
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert json.loads(body)["error"]["type"] == "api_error"
            for _, writer in held:
                writer.close()
            await asyncio.sleep(0.05)
            assert (await s.get("/healthz"))[0] == 200

    run(work)


def test_a_client_that_does_not_read_is_cut_and_settled(tmp_path: Path) -> None:
    big = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 60_000})

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1]))
        while True:
            writer.write(chunk(big))
            await writer.drain()

    async def work() -> None:
        async with upstream(endless) as platform, site(tmp_path, LIMITS + platform) as s:
            body = json.dumps({**ASK, "stream": True}).encode()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, ("127.0.0.1", s.port))
                await loop.sock_sendall(client, head("POST", "/v1/messages", VERSION, len(body)) + body)
                for _ in range(60):
                    await asyncio.sleep(0.1)
                    if s.application.store.totals(0).requests:
                        break
            assert s.application.store.totals(0).requests == 1
            assert float(s.held) == 0

    run(work)


@pytest.mark.parametrize("kept", range(6))
@pytest.mark.parametrize("properly", [True, False])
def test_a_cut_stream_ends_in_an_error_event_the_client_can_see(
    tmp_path: Path, kept: int, properly: bool
) -> None:
    async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + b"".join(chunk(part) for part in EVENTS[:kept]))
        if properly:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def work() -> None:
        async with upstream(cutting) as platform, site(tmp_path, platform) as s:
            status, headers, body = await s.post({**ASK, "stream": True})
            assert status == 200
            assert body.startswith(b"".join(EVENTS[:kept]))
            last = body[len(b"".join(EVENTS[:kept])) :]
            assert last.startswith(b"event: error\ndata: ")
            assert json.loads(last.split(b"data: ")[1])["error"]["type"] == "api_error"
            record = await s.record(headers["x-trimtab-request"])
            assert record["result"] == "truncated"

    run(work)


def test_a_stream_cut_inside_an_event_is_cut_for_the_client_too(tmp_path: Path) -> None:
    async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1][:-9]))
        await writer.drain()

    async def work() -> None:
        async with upstream(cutting) as platform, site(tmp_path, platform) as s:
            status, headers, body = await s.post({**ASK, "stream": True})
            assert status == 200
            assert body == EVENTS[0] + EVENTS[1][:-9] + b"<cut>"
            assert (await s.record(headers["x-trimtab-request"]))["result"] == "truncated"

    run(work)


def test_every_chunking_of_an_answer_reaches_the_client_as_the_same_bytes(tmp_path: Path) -> None:
    whole = b"".join(EVENTS)
    sizes = [1, 2, 3, 5, 17, 300, 5000]

    async def slicing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await take_request(reader)
            step = sizes.pop(0)
            writer.write(SSE_HEAD)
            for at in range(0, len(whole), step):
                writer.write(chunk(whole[at : at + step]))
                if step < 5:
                    await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")

    async def work() -> None:
        async with upstream(slicing) as platform, site(tmp_path, platform) as s:
            while sizes:
                status, headers, body = await s.post({**ASK, "stream": True})
                assert (status, body) == (200, whole)
                assert headers["request-id"] == "req_u"

    run(work)


@pytest.mark.parametrize("moment", ["before_head", "mid_stream", "whole_body"])
def test_a_client_gone_closes_the_platform_within_100_ms_and_is_settled_once(
    tmp_path: Path, moment: str
) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        reached, closed = asyncio.Event(), loop.create_future()

        async def holding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            if moment == "mid_stream":
                writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1] + EVENTS[2]))
            elif moment == "whole_body":
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
                )
            reached.set()
            await reader.read()
            closed.set_result(loop.time())

        async with upstream(holding) as platform, site(tmp_path, platform) as s:
            body = json.dumps({**ASK, "stream": moment == "mid_stream"}).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body)
            await asyncio.wait_for(reached.wait(), 5)
            await asyncio.sleep(0.05)
            left = loop.time()
            writer.transport.abort()
            assert await asyncio.wait_for(closed, 2) - left < 1  # the bar, 100 ms: benchmarks/disconnect.py
            await asyncio.sleep(0.1)
            totals = s.application.store.totals(0)
            assert (totals.requests, totals.attempts) == (1, 1)
            assert totals.cost_nanousd > 0
            assert float(s.held) == 0

    run(work)


def test_sigterm_lets_streams_finish_refuses_new_ones_and_then_stops(tmp_path: Path) -> None:
    async def work() -> None:
        release = asyncio.Event()

        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            writer.write(SSE_HEAD + chunk(EVENTS[0]))
            await release.wait()
            writer.write(chunk(b"".join(EVENTS[1:])) + b"0\r\n\r\n")
            await writer.drain()

        async with upstream(waiting) as platform, site(tmp_path, LIMITS + platform) as s:
            running = asyncio.create_task(s.post({**ASK, "stream": True}))
            await asyncio.sleep(0.2)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.15)
            status, headers, body = await s.post(ASK)
            assert status == 503
            assert headers["retry-after"] == "5"
            assert headers["connection"] == "close"
            assert json.loads(body)["error"]["type"] == "api_error"
            assert (await s.get("/readyz"))[0] == 503
            assert (await s.get("/healthz"))[0] == 200
            release.set()
            status, _, body = await running
            assert (status, body) == (200, b"".join(EVENTS))
            await asyncio.sleep(0.5)
            with pytest.raises(OSError):
                await s.get("/healthz")

    run(work)


@pytest.mark.parametrize("how", ["second signal", "draining time over"])
def test_answers_that_are_cut_at_the_end_are_told_settled_and_recorded(tmp_path: Path, how: str) -> None:
    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await take_request(reader)
        if b'"stream": true' in body:
            writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1]))
        await reader.read()

    async def work() -> None:
        async with upstream(waiting) as platform:
            config = "[server]\ndrain_s = 0.4\n" if how == "draining time over" else ""
            file = tmp_path / "trimtab.toml"
            file.write_text(f'version = 1\n[store]\nurl = "sqlite:///{tmp_path}/t.db"\n{config}{platform}')
            settings = load_settings(file, listen="127.0.0.1:0")
            bound = bind(settings.listen, "test", "")
            application = assemble(settings, lambda line: None)
            ready = asyncio.Event()
            serving = asyncio.create_task(
                application.server.run_on(bound, ready=ready.set, draining=lambda count: None)
            )
            await asyncio.wait_for(ready.wait(), 5)
            s = Site(application, bound.getsockname()[1])
            streamed = asyncio.create_task(s.post({**ASK, "stream": True}))
            whole = asyncio.create_task(s.post(ASK))
            await asyncio.sleep(0.3)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.2)
            if how == "second signal":
                os.kill(os.getpid(), signal.SIGTERM)
            assert await asyncio.wait_for(serving, 10) == 2
            status, _, body = await streamed
            assert status == 200
            assert b"event: error" in body
            assert b"the server is stopping" in body
            status, headers, body = await whole
            assert (status, headers["retry-after"]) == (503, "5")
            assert await application.aclose() == 0
            totals = Store(f"{tmp_path}/t.db")
            assert totals == [("cancelled", 2)]

    def Store(path: str) -> list[tuple[str, int]]:
        import apsw

        return list(apsw.Connection(path).execute("SELECT result, count(*) FROM requests GROUP BY 1"))

    run(work)


@pytest.mark.parametrize(
    "second",
    [
        b"GARBAGE\r\n\r\n",
        head("POST", "/v1/messages", VERSION, 100) + b"{",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 90_000,
    ],
)
def test_what_follows_a_request_never_gets_into_its_answer(tmp_path: Path, second: bytes) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + chunk(EVENTS[0]))
        await asyncio.sleep(2.2)
        writer.write(chunk(b"".join(EVENTS[1:])) + b"0\r\n\r\n")
        await writer.drain()

    async def work() -> None:
        async with upstream(slow) as platform, site(tmp_path, LIMITS + platform) as s:
            body = json.dumps({**ASK, "stream": True}).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body + second)
            status, _, answer = parsed(await asyncio.wait_for(_one_answer(reader), 10))
            assert (status, answer) == (200, b"".join(EVENTS))
            refused = problem_of(await asyncio.wait_for(_one_answer(reader), 10))
            assert refused[0] in (400, 408, 431)
            assert await reader.read() == b""
            writer.close()

    run(work)


def test_a_client_gone_with_a_second_request_in_the_pipe_closes_the_platform(tmp_path: Path) -> None:
    async def work() -> None:
        reached, closed = asyncio.Event(), asyncio.Event()

        async def holding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            reached.set()
            await reader.read()
            closed.set()

        async with upstream(holding) as platform, site(tmp_path, platform) as s:
            body = json.dumps(ASK).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write((head("POST", "/v1/messages", VERSION, len(body)) + body) * 2)
            await asyncio.wait_for(reached.wait(), 5)
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await asyncio.wait_for(closed.wait(), 1)
            await asyncio.sleep(0.1)
            assert s.application.store.totals(0).requests == 1

    run(work)


def test_an_endless_header_is_refused_before_it_costs_anything(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for start in (
                b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ",
                b"GET /",
                head("POST", "/v1/messages", VERSION + b"transfer-encoding: chunked\r\n") + b"0\r\nx: ",
            ):
                _, writer = await asyncio.open_connection("127.0.0.1", s.port)
                writer.write(start)
                sent = 0
                try:
                    while sent < 20_000_000 and not writer.is_closing():
                        writer.write(b"a" * 50_000)
                        sent += 50_000
                        await writer.drain()
                        await asyncio.sleep(0)
                except ConnectionError:
                    pass
                assert sent < 5_000_000
                writer.close()
            assert (await s.get("/healthz"))[0] == 200

    run(work)


def test_an_offer_to_upgrade_is_ignored_and_trailers_are_not_headers(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def platform_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got, _ = await take_request(reader)
            seen.append(got)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    async def work() -> None:
        async with upstream(platform_of) as platform, site(tmp_path, platform) as s:
            offer = (
                b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"
            )
            assert (await s.post(ASK, headers=VERSION + offer))[0] == 200
            body = json.dumps(ASK).encode()
            chunked = head("POST", "/v1/messages", VERSION + b"transfer-encoding: chunked\r\n") + chunk(body)
            answer = parsed(
                await s.raw(chunked + b"0\r\nanthropic-beta: late\r\nx-trimtab-effort: max\r\n\r\n")
            )
            assert answer[0] == 200
            assert b"late" not in seen[1]
            credentials = b"api-key: 1\r\nx-goog-api-key: 1\r\nx-auth-token: 1\r\ntrue-client-ip: 1\r\ncf-connecting-ip: 1\r\n"
            kept = b"x-stainless-os: Linux\r\nidempotency-key: i\r\nanthropic-user-profile-id: p\r\n"
            await s.post(ASK, headers=VERSION + credentials + kept)
            for name in (b"\r\napi-key", b"goog", b"auth-token", b"client-ip", b"connecting-ip"):
                assert name not in seen[2]
            for name in kept.split(b"\r\n")[:-1]:
                assert name in seen[2]

    run(work)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/../messages",
        "/v1/files/%2e%2e/messages",
        "/v1/files%2f..%2fmessages",
        "/v1/skills/../../v1/organizations",
        "/v1/files//x",
        "/v1/files/a%2Fb",
    ],
)
def test_a_passed_through_path_means_one_thing_only(tmp_path: Path, path: str) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("the platform was called")

    async def work() -> None:
        async with upstream(never) as platform, site(tmp_path, platform) as s:
            status, _, body = await s.post(b"{}", path)
            assert status in (400, 404), body
            status, _, body = await s.post(b"{}", "/v1/files", VERSION + b"x-trimtab-tags: a\r\n")
            assert status == 400

    run(work)


def test_vendor_paths_that_bill_nothing_pass_through_both_ways(tmp_path: Path) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def files(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got = await reader.readuntil(b"\r\n\r\n")
            length = (
                int(got.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                if b"content-length" in got
                else 0
            )
            seen.append((got, await reader.readexactly(length)))
            writer.write(
                b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nset-cookie: a=b\r\nx-vendor: 1\r\n\r\nfiled"
            )

    async def work() -> None:
        async with upstream(files) as platform, site(tmp_path, LIMITS + platform) as s:
            upload = b"z" * 3_000_000  # over the limit for Messages: this path streams
            extra = (
                b"anthropic-beta: files-api-2025-04-14\r\nx-api-key: mine\r\nauthorization: Bearer mine\r\n"
            )
            status, headers, body = await s.post(upload, "/v1/files?purpose=a%20b", VERSION + extra)
            assert (status, body, headers["x-vendor"]) == (201, b"filed", "1")
            assert "set-cookie" not in headers
            assert seen[0][1] == upload
            assert seen[0][0].startswith(b"POST /v1/files?purpose=a%20b HTTP/1.1\r\n")
            assert b"anthropic-beta: files-api-2025-04-14" in seen[0][0]
            assert b"mine" not in seen[0][0]
            assert b"upstream-secret" in seen[0][0]
            assert (await s.get("/v1/files/file_1/content"))[0] == 201
            assert s.application.store.totals(0).requests == 0

    run(work)


def test_the_platform_away_is_a_502_that_clients_may_retry(tmp_path: Path) -> None:
    async def work() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            platform = f'[platforms.claude]\nkind = "anthropic"\napi_key = "env:TEST_KEY"\nbase_url = "http://127.0.0.1:{port}"\n'
            async with site(tmp_path, platform) as s:
                status, headers, body = await s.post(ASK)
                assert status == 502
                assert headers["x-should-retry"] == "true"
                assert "cannot connect to 127.0.0.1" in json.loads(body)["error"]["message"]
                record = await s.record(headers["x-trimtab-request"])
                assert (record["result"], record["cost_usd"]) == ("error", "0.000000000")

    run(work)


def test_errors_of_the_platform_and_their_headers_pass_unchanged(tmp_path: Path) -> None:
    script = """
version: 1
rules:
  - match: {contains: overload}
    reply: {error: {status: 529, type: overloaded_error, message: Overloaded}}
  - match: {contains: slow down}
    reply: {error: {status: 429, type: rate_limit_error, message: Slow down, retry_after_s: 7}}
"""

    async def work() -> None:
        async with site(tmp_path, script=script) as s:
            status, headers, body = await s.post(
                {**ASK, "messages": [{"role": "user", "content": "overload"}]}
            )
            assert (status, json.loads(body)["error"]["type"]) == (529, "overloaded_error")
            status, headers, body = await s.post(
                {**ASK, "messages": [{"role": "user", "content": "slow down"}]}
            )
            assert (status, headers["retry-after"]) == (429, "7")
            assert headers["request-id"].startswith("req_")
            assert headers["x-trimtab-cost-usd"] == "0.000000000"

    run(work)


def test_ten_thousand_content_blocks_pass(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            blocks = [{"type": "text", "text": f"part {n}"} for n in range(10_000)]
            status, _, body = await s.post({**ASK, "messages": [{"role": "user", "content": blocks}]})
            assert status == 200, body

    run(work)


def test_models_are_listed_page_by_page_in_the_vendors_shape(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            ids: list[str] = []
            query = "limit=7"
            while True:
                page = json.loads((await s.get(f"/v1/models?{query}"))[2])
                ids += [entry["id"] for entry in page["data"]]
                if not page["has_more"]:
                    break
                query = f"limit=7&after_id={page['last_id']}"
            assert ids[:5] == [
                "trimtab/auto",
                "trimtab/default",
                "trimtab/escalation",
                "trimtab/control",
                "trimtab/fast",
            ]
            assert "claude-opus-4-7" in ids
            assert len(ids) == len(set(ids))
            assert "claude-3-5-haiku-20241022" not in ids  # retired
            back = json.loads((await s.get(f"/v1/models?limit=3&before_id={ids[6]}"))[2])
            assert [entry["id"] for entry in back["data"]] == ids[3:6]
            assert back["has_more"] is True
            one = json.loads((await s.get("/v1/models/trimtab%2Ffast"))[2])
            assert one["id"] == "trimtab/fast"
            assert (
                json.loads((await s.get("/v1/models/claude-opus-4-5"))[2])["id"] == "claude-opus-4-5-20251101"
            )

    run(work)


def test_metrics_and_the_front_page_answer(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            await s.post(ASK)
            text = (await s.get("/metrics"))[2].decode()
            assert (
                'trimtab_requests_total{endpoint="messages",model="claude-sonnet-4-6",platform="sim",result="ok",simulated="true"} 1.0'
                in text
            )
            assert "trimtab_records_queued" in text
            assert "trimtab_in_flight_requests 0.0" in text
            assert json.loads((await s.get("/"))[2])["name"] == "trimtab"
            assert msgspec.json.decode((await s.get("/openapi.json"))[2])["openapi"] == "3.1.0"

    run(work)
