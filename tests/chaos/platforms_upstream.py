"""Platforms that fail, in a process of their own: it writes down every request that reached them, and what it billed.

    python platforms_upstream.py LOG SPEC

SPEC is JSON: `{name: {"framing": "bedrock", "certificates": [good, bad] or null}}`. The first line that it prints holds
the port of each; after that each line of its input, `{name: {"do": ..., ...}}`, sets what these platforms do from then
on (see `Fault`), and is answered by a line.

Lines of the log, times by CLOCK_MONOTONIC: `+ platform name attempt time` when a request had come whole, `- platform name
attempt time how events billed` when its connection or its answer ended. `billed` is 1 once a head with status 200 went
out: from then on a vendor may charge for it.
"""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any, cast

import uvloop
from platforms_framing import (
    EVENTS,
    Asked,
    Framing,
    answer,
    asked,
    chunked,
    error_in_stream,
    events,
    framed,
    refusal,
    stream_head,
)

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a RST."""
REFUSALS = ("limited", "spent", "overloaded", "failing", "final", "denied", "forbidden")
BACKLOG = 1024


@dataclass(frozen=True)
class Fault:
    """What a platform does with requests, or with connections."""

    do: str = "ok"
    """`ok`; a refusal (`limited`, `spent`, `overloaded`, `failing`, `final`, `denied`, `forbidden`);
    `late`: say no more after so many events (-1: not even a head);
    `cut`: close the connection there; `torn`: in the middle of the next event; `ended`: end the answer there, properly;
    `reset`: RST there; `error`: an error event there, and the end;
    `hello`: RST when a connection begins to speak; `secured`: RST when its TLS stands; `stranger`: a certificate of
    another authority; `hole`: nothing is answered any more, on any connection; `deaf`: nor is one accepted."""
    after: int = -1
    """Events of the stream that go out first; -1: not even the head. An answer in one piece has a head and half of its
    body by then, where it is not -1."""
    after_s: int = 0
    """`retry-after` of a refusal; 0: none."""
    every: int = 1
    """Only every so-manieth request."""
    only_key: str = ""
    """Only requests that show this key of the platform's; empty: all."""
    took_ms: int = 10
    """Before an answer in one piece, and before the first content of a stream."""


OK = Fault()


class Platform:
    """One address."""

    def __init__(self, name: str, framing: Framing, contexts: list[ssl.SSLContext] | None, log: int) -> None:
        self.name = name
        self.framing = framing
        self.fault = OK
        self.open: set[Conversation] = set()
        self._contexts = contexts
        self._log = log
        self._came = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._fillers: list[socket.socket] = []
        self._beginning: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    async def set(self, fault: Fault) -> None:
        """Do this from now on. Where connections are at fault, those that there are end too."""
        was, self.fault = self.fault, fault
        if fault.do in ("hello", "secured", "stranger"):
            for conversation in list(self.open):
                conversation.reset()
        if fault.do == "deaf" and was.do != "deaf":
            self._accepting.cancel()
            self._listener.listen(0)
            for _ in range(
                4
            ):  # the queue takes one more than it says; the rest of them hang, as all others will
                filler = socket.socket()
                filler.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filler.connect(("127.0.0.1", self.port))
                self._fillers.append(filler)
            await asyncio.sleep(0.05)
        elif was.do == "deaf" and fault.do != "deaf":
            for filler in self._fillers:
                filler.close()
            self._fillers.clear()
            self._listener.listen(BACKLOG)
            self._accepting = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            task = loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        do = self.fault.do
        if do == "hello":
            with contextlib.suppress(OSError):
                await loop.sock_recv(connection, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.close()
            return
        if do == "hole" and self._contexts is not None:
            with contextlib.suppress(OSError):
                while await loop.sock_recv(connection, 65_536):
                    pass
            connection.close()
            return
        context = None if self._contexts is None else self._contexts[do == "stranger"]
        with contextlib.suppress(OSError):  # `ssl.SSLError` is one
            await loop.connect_accepted_socket(lambda: Conversation(self), connection, ssl=context)

    def number(self) -> int:
        self._came += 1
        return self._came

    def write_down(self, line: str) -> None:
        os.write(self._log, line.encode())


class Conversation(asyncio.Protocol):
    """One connection of the gateway's; one request at a time."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._received = b""
        self._call: tuple[Asked, str] | None = None
        self._sent = 0
        self._billed = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        self._platform.open.add(self)
        if self._platform.fault.do == "secured":
            self.reset()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        line, *lines = self._received[:end].split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)}
        size = end + 4 + int(headers.get(b"content-length", b"0"))
        if len(self._received) < size:
            return
        body, self._received = self._received[end + 4 : size], self._received[size:]
        platform = self._platform
        call = asked(line.split(b" ")[1], body)
        number = platform.number()
        attempt = f"{platform.name}-{number}"
        self._call, self._sent, self._billed = (call, attempt), 0, False
        platform.write_down(f"+ {platform.name} {call.name} {attempt} {time.monotonic():.6f}\n")
        shown = headers.get(b"x-api-key", b"").decode()
        self._serve(call, attempt, self._fault(call, number, shown), number)

    def _fault(self, call: Asked, number: int, key: str) -> Fault:
        fault = self._platform.fault
        if fault.only_key and fault.only_key != key:
            return Fault(took_ms=fault.took_ms)
        if fault.do == "ok" and (wish := call.wishes.get(self._platform.name)) is not None:
            do, _, after = wish.partition(":")
            return Fault(do, int(after))
        return fault if number % fault.every == 0 else Fault(took_ms=fault.took_ms)

    def _serve(self, call: Asked, attempt: str, fault: Fault, number: int) -> None:
        framing = self._platform.framing
        if fault.do in ("hole", "deaf"):
            return
        if fault.do in REFUSALS:
            status, content = refusal(framing, fault.do, attempt, fault.after_s)
            self._transport.write(content)
            self._ended(f"status:{status}")
            return
        stops = fault.do in ("late", "cut", "torn", "ended", "reset", "error")
        if stops and fault.after < 0:
            # Half of them at once, half after a while, so that neither order of things is the only one tried.
            self._later(0.004 * (number % 2), lambda: self._stop(fault.do, b""))
            return
        if not call.stream:
            whole = answer(call.name, attempt)
            if stops:
                do = fault.do if fault.do in ("late", "reset") else "cut"
                self._billed = True
                self._transport.write(whole[: len(whole) - 150])
                self._later(0.004 * (number % 2), lambda: self._stop(do, b""))
            else:
                self._later(fault.took_ms / 1000, lambda: self._finish(whole))
            return
        made = [framed(framing, event) for event in events(call.name, attempt)]
        self._billed = True
        if stops:
            after = min(fault.after, EVENTS)
            self._sent = after
            rest = b"".join(made[after : after + 1])
            self._transport.write(stream_head(framing, attempt) + b"".join(map(chunked, made[:after])))
            self._later(0.004 * (number % 2), lambda: self._stop(fault.do, rest))
            return
        self._sent = 3
        self._transport.write(stream_head(framing, attempt) + b"".join(map(chunked, made[:3])))
        content = b"".join(map(chunked, made[3:])) + b"0\r\n\r\n"
        self._later(fault.took_ms / 1000, lambda: self._finish(content))

    def _later(self, seconds: float, what: Any) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, what)

    def _finish(self, content: bytes) -> None:
        self._sent, self._billed = EVENTS, True
        self._ended("answered")
        self._transport.write(content)

    def _stop(self, do: str, rest: bytes) -> None:
        """End the answer here, in the way of `do`; `rest` is the event that would have been next."""
        self._timer = None
        if do == "late":
            return
        if do == "reset":
            self.reset()
            return
        if do == "torn" and rest:
            self._transport.write(chunked(rest[: len(rest) // 2]))
        elif do == "error" and self._billed:
            self._transport.write(chunked(error_in_stream(self._platform.framing)) + b"0\r\n\r\n")
            self._ended(do)
            return
        elif do == "ended" and self._billed:
            self._transport.write(b"0\r\n\r\n")
            self._ended("answered" if self._sent == EVENTS else do)
            return
        self._ended(do)
        self._transport.close()

    def reset(self) -> None:
        """End the connection with a RST."""
        self._ended("reset")
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._platform.open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._ended("left")

    def _ended(self, how: str) -> None:
        call, self._call, self._timer = self._call, None, None
        if call is not None:
            name, attempt = call[0].name, call[1]
            self._platform.write_down(
                f"- {self._platform.name} {name} {attempt} {time.monotonic():.6f} {how} {self._sent} {self._billed:d}\n"
            )


async def main() -> None:
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    platforms = {}
    for name, spec in json.loads(sys.argv[2]).items():
        contexts = None
        if spec["certificates"]:
            contexts = []
            for path in spec["certificates"]:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(path)
                contexts.append(context)
        platforms[name] = Platform(name, spec["framing"], contexts, log)
    print(json.dumps({name: platform.port for name, platform in platforms.items()}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        for name, fault in json.loads(line).items():
            await platforms[name].set(Fault(**fault))
        print("done", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
