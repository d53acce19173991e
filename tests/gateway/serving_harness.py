"""A gateway in the running loop, a platform made of sockets, and raw requests: what the gateway's tests share."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from trimtab.app import Application, assemble, load_settings
from trimtab.gateway import bind
from trimtab.messages import encode_event

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

    async def raw(self, request: bytes, *, wait_s: float = 60) -> bytes:
        """Send bytes, read until the server closes or answers with a whole message."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(one_answer(reader), wait_s)
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


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    try:
        got = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as problem:
        return problem.partial
    if got.split(b" ", 2)[1] in (b"204", b"304"):
        return got
    lower = got.lower()
    if b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        return got + await reader.readexactly(length)
    parts = [got]  # joined once: an answer may be of 48 MB
    while True:
        line = await reader.readline()
        if not line:
            return b"".join([*parts, b"<cut>"])
        size = int(line, 16)
        parts.append((await reader.readexactly(size + 2))[:-2])
        if size == 0:
            return b"".join(parts)


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
async def site(folder: Path, config: str = "", script: str = "", wait_ms: int = 5_000) -> AsyncIterator[Site]:
    (folder / "script.yaml").write_text(script or "version: 1\n")
    if "[platforms" not in config:
        config += '\n[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\nscript = "script.yaml"\n'
    file = folder / "trimtab.toml"
    store = f'url = "sqlite:///{folder}/t.db"\nbatch_ms = 5\nwait_ms = {wait_ms}'
    file.write_text(f"version = 1\n[store]\n{store}\n{config}")
    settings = load_settings(file, listen="127.0.0.1:0")
    bound = bind(settings.listen, "test", "")
    application = assemble(settings, lambda line: None)
    await application.start()
    ready = asyncio.Event()
    serving = asyncio.create_task(
        application.server.run_on(bound, ready=ready.set, draining=lambda count: None)
    )
    await asyncio.wait_for(ready.wait(), 60)
    try:
        yield Site(application, bound.getsockname()[1])
    finally:
        application.server.cut_off()
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
        async with asyncio.timeout(120):
            await work()
        await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within())
