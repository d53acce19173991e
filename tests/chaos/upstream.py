"""A platform in a process of its own that writes down every call before it answers: what went out, whoever died.

    python upstream.py LOG [PORT]

Each call says in its `x-chaos` header who it is and what it wants: `id key milliseconds`, then `cut` where the connection
shall be closed without an answer, or `use=N` where the answer shall report N thousandths of `max_tokens` as output, and a
quarter of the body's bytes as input. Lines of the log, times by
CLOCK_MONOTONIC: `+ id key time open` when a call came, `- id key time open how` when it was answered or its connection
ended (`answered`, or `answered:INPUT:OUTPUT` tokens, or `cut`); `open` is how many calls of that key are open after it. Every
other answer reports the same usage.
"""

import asyncio
import json
import os
import sys
import time
from typing import cast

import uvloop

INPUT_TOKENS, OUTPUT_TOKENS = 20, 8
USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "."}],
    "stop_reason": "end_turn",
    "usage": USAGE,
}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(name: str, **content: object) -> bytes:
    text = f"event: {name}\ndata: {json.dumps({'type': name, **content})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


def _whole(usage: dict[str, int]) -> bytes:
    body = json.dumps({**MESSAGE, "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _parts(usage: dict[str, int]) -> tuple[bytes, bytes]:
    """A stream's beginning and its end."""
    begin = HEAD + _event(
        "message_start", message={**MESSAGE, "content": [], "usage": {**usage, "output_tokens": 1}}
    )
    end = (
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "."})
        + _event("content_block_stop", index=0)
        + _event(
            "message_delta",
            delta={"stop_reason": "end_turn"},
            usage={"output_tokens": usage["output_tokens"]},
        )
        + _event("message_stop")
        + b"0\r\n\r\n"
    )
    return begin, end


BEGIN, END = _parts(USAGE)
WHOLE = _whole(USAGE)


class Counting:
    """The log and the open calls."""

    def __init__(self, path: str) -> None:
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._open: dict[str, int] = {}

    def came(self, name: str, key: str) -> None:
        self._open[key] = self._open.get(key, 0) + 1
        self._write("+", name, key, "")

    def went(self, name: str, key: str, how: str) -> None:
        self._open[key] -= 1
        self._write("-", name, key, how)

    def _write(self, sign: str, name: str, key: str, how: str) -> None:
        os.write(self._log, f"{sign} {name} {key} {time.monotonic():.6f} {self._open[key]} {how}\n".encode())


class Conversation(asyncio.Protocol):
    """One connection of the gateway's; one call at a time."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._received = b""
        self._call: tuple[str, str] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self._received[:end].split(b"\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        size = end + 4 + int(headers.get(b"content-length", b"0"))
        if len(self._received) < size:
            return
        body, self._received = self._received[end + 4 : size], self._received[size:]
        name, key, ms, *more = headers[b"x-chaos"].decode().split()
        how = more[0] if more else ""
        self._call = (name, key)
        self._counting.came(name, key)
        loop = asyncio.get_running_loop()
        if how == "cut":
            self._timer = loop.call_later(int(ms) / 1000, self._transport.abort)
            return
        streams, said = b'"stream":true' in body, "answered"
        begin, end, whole = BEGIN, END, WHOLE
        if how.startswith("use="):
            most = int(json.loads(body)["max_tokens"])
            usage = {"input_tokens": len(body) // 4, "output_tokens": max(1, most * int(how[4:]) // 1000)}
            said = f"answered:{usage['input_tokens']}:{usage['output_tokens']}"
            (begin, end), whole = _parts(usage), _whole(usage)
        if streams:
            self._transport.write(begin)
        self._timer = loop.call_later(int(ms) / 1000, self._answer, end if streams else whole, said)

    def _answer(self, content: bytes, said: str) -> None:
        self._end(said)
        self._transport.write(content)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end("cut")

    def _end(self, how: str) -> None:
        call, self._call, self._timer = self._call, None, None
        if call is not None:
            self._counting.went(*call, how)


async def main() -> None:
    counting = Counting(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = await asyncio.get_running_loop().create_server(
        lambda: Conversation(counting), "127.0.0.1", port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
