"""A platform made of a bare socket: keeps the bytes that it gets, and sends exactly those that a test tells it to.

What it is not: a model. `whole` and `streamed` frame what a test wants to have said.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

CUT = b""
"""As a piece of an answer: close the connection here."""

HOLD = None
"""As a piece of an answer: send nothing more, and wait until the other side closes the connection."""


@dataclass
class Received:
    """One request as it came over the wire."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in order."""
    body: bytes
    method: bytes = b""

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def names(self) -> set[bytes]:
        return {key for key, _ in self.headers}


Answer = Callable[[Received], Iterable[bytes | None]]


@dataclass
class Upstream:
    """Answers with what `answer` gives for a request: pieces of whole HTTP, head included, each sent by itself."""

    answer: Answer
    received: list[Received] = field(default_factory=list)
    closed_at: list[float] = field(default_factory=list)
    """When the other side closed a connection before the answer was out, by `time.monotonic`."""
    left: "queue.SimpleQueue[float]" = field(default_factory=queue.SimpleQueue)
    """The same moments, for those who wait for one."""
    pause_s: float = 0.0005
    """Between pieces, so that they arrive apart."""

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            try:
                while (request := self._read(reader)) is not None:
                    self.received.append(request)
                    for piece in self.answer(request):
                        if piece == CUT:
                            return
                        if piece is HOLD:
                            reader.read(1)
                            raise ConnectionResetError
                        connection.sendall(piece)
                        time.sleep(self.pause_s)
            except (ConnectionError, OSError):
                now = time.monotonic()
                self.closed_at.append(now)
                self.left.put(now)

    @staticmethod
    def _read(reader: Any) -> Received | None:
        line = reader.readline()
        if not line:
            return None
        method, target, _ = line.split(b" ", 2)
        headers: list[tuple[bytes, bytes]] = []
        while (line := reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            headers.append((name.lower(), value.strip()))
        named = dict(headers)
        if b"chunked" in named.get(b"transfer-encoding", b""):
            body = b""
            while size := int(reader.readline().split(b";")[0], 16):
                body += reader.read(size)
                reader.readline()
            reader.readline()
        else:
            body = reader.read(int(named.get(b"content-length", b"0")))
        return Received(target, headers, body, method)


def whole(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> list[bytes]:
    """An answer with a length, in one piece."""
    lines = [
        b"HTTP/1.1 " + status,
        b"content-type: application/json",
        *headers,
        b"content-length: %d" % len(body),
    ]
    return [b"\r\n".join(lines) + b"\r\n\r\n" + body]


def streamed(pieces: Iterable[bytes], *headers: bytes) -> list[bytes]:
    """An event stream; each piece is an HTTP chunk and a packet of its own."""
    lines = [b"HTTP/1.1 200 OK", b"content-type: text/event-stream", b"transfer-encoding: chunked", *headers]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    return [b"\r\n".join(lines) + b"\r\n\r\n", *chunks, b"0\r\n\r\n"]
