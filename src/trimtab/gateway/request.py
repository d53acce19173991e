"""One request of a client as it comes in, and its answer as it goes out.

What it is not: HTTP rules of a gateway (`http`), or the connection (`connection`), which feeds it the body's pieces.
Invariant: nothing that a header says can end it early and begin another, and a body has the length that its head said.
"""

import asyncio
import functools
import http
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from trimtab.providers import Headers

if TYPE_CHECKING:
    from trimtab.gateway.connection import Connection

JOINED_BYTES = 64 * 1024
"""Up to here head and body are copied into one; two pieces cost more than the copy."""

READ_AHEAD_BYTES = 64 * 1024
"""Bytes of a request's body that may wait for who reads it."""


class ClientGone(Exception):
    """The client's connection is lost; there is nobody to answer."""


class Target(NamedTuple):
    """Where a request goes."""

    path: str
    raw_path: bytes
    query: bytes


class ClientRequest:
    """A request and its answer. An `Outlet`. When the client is gone, the connection cancels `task`."""

    task: asyncio.Task[None] | None = None
    """Makes the answer, once the request's turn has come."""
    gone = False
    """The client's connection was lost before the answer was complete."""
    started = False
    """The answer's head has been sent."""
    complete = False
    more = True
    """More of the body may come."""
    _chunked = _until_close = False
    _left = 0
    """Bytes of the answer that its head has promised and that are still to come."""
    _size = 0
    """Bytes of the body that wait."""
    _waiter: asyncio.Future[None] | None = None

    def __init__(
        self,
        connection: "Connection",
        method: str,
        target: Target,
        headers: Headers,
        named: Mapping[bytes, bytes],
        *,
        knows_chunks: bool,
        keep_alive: bool,
    ) -> None:
        self.connection = connection
        self.method = method
        self.target = target
        self.headers = headers
        self.named = named
        """The first value of each name."""
        self.keep_alive = keep_alive
        """Whether the connection stays open after the answer; may be taken back until that has begun."""
        self._knows_chunks = knows_chunks
        self._head_only = method == "HEAD"
        # Source: RFC 9110 section 10.1.1: a client of HTTP/1.0 knows no interim answers
        self._continue = b"expect" in named and named[b"expect"].lower() == b"100-continue" and knows_chunks
        self._pieces: list[bytes] = []

    # The request's body

    def take(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > READ_AHEAD_BYTES:
            self.connection.pause_reading()
        self.wake()

    def end(self) -> None:
        """All of the body has come."""
        self.more = False
        self.wake()

    def wake(self) -> None:
        """Let who waits for the body look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        """What has come of the body; waits for something while there is `more`. Raises `ClientGone`."""
        if self._continue:
            self._continue = False
            if self.more:
                self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.connection.resume_reading()  # also of what is sent ahead: else nobody would notice the client's end
        while self.more and not self._pieces and not self.gone:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.gone:
            raise ClientGone
        pieces, self._pieces, self._size = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # The answer

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer, in one write; of one to a HEAD request only the head."""
        head = self._head(status, headers, len(body))
        self._left = 0
        if self.gone:
            return
        if self._head_only:
            self.connection.write(head)
        elif len(body) <= JOINED_BYTES:
            self.connection.write(head + body)
        else:
            self.connection.writelines((head, body))
        self._complete()

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        """Send the head of an answer whose body is to be pushed; `length` of that where it is known."""
        head = self._head(status, headers, length)
        if not self.gone:
            self.connection.write(head)

    def push(self, piece: bytes) -> bool:
        """Send a piece of the body, without waiting; whether more may come just now. If not, `drain`."""
        if piece and not self.gone:
            self.connection.write(
                b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else self._counted(piece)
            )
        return not self.connection.lags

    async def drain(self) -> None:
        """Wait until the client has caught up."""
        await self.connection.drain()

    def finish(self, piece: bytes = b"") -> None:
        """Send the last piece."""
        if self.gone:
            return
        if self._chunked:
            last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece) if piece else b"0\r\n\r\n"
            self.connection.write(last)
        elif piece:
            self.connection.write(self._counted(piece))
        if self._left and not self._head_only:
            raise RuntimeError("this answer is shorter than its content-length")
        self._complete()

    def close(self) -> None:
        """Nothing more will be sent. An answer that is not complete is cut, so that its client notices."""
        if not self.complete and not self.gone:
            self.connection.close()

    def _counted(self, piece: bytes) -> bytes:
        if self._head_only:
            return b""
        if not self._until_close:
            self._left -= len(piece)
            if self._left < 0:
                raise RuntimeError("this answer is longer than its content-length")
        return piece

    def _head(self, status: int, headers: Headers, length: int | None) -> bytes:
        if self.started:
            raise RuntimeError("this answer has begun already")
        head = b"\r\n".join((_status_line(status), *map(b": ".join, headers)))
        ends = len(headers)
        if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
            raise RuntimeError("a header of this answer holds a line end or a NUL")
        self.started = True
        if self._continue and self.more and not self._pieces:
            # It waits to hear whether its body is wanted: what it sends next may be that, or another request.
            self.keep_alive = False
        self._continue = False
        framing = b"\r\n"
        if status == 204 and not length:
            pass  # Source: RFC 9110 section 8.6: such an answer has no body, and no length either
        elif length is not None:
            self._left = length
            framing = b"\r\ncontent-length: %d\r\n" % length
        elif not self._knows_chunks:
            self._until_close = True  # Source: RFC 9112 6.1: a client of HTTP/1.0 knows no chunks
        elif not self._head_only and status != 304:
            self._chunked = True
            framing = b"\r\ntransfer-encoding: chunked\r\n"
        return b"".join((head, framing, b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"))

    def _complete(self) -> None:
        self.complete = True
        self.connection.answered(self)


@functools.cache
def _status_line(status: int) -> bytes:
    """The first line of an answer. A thousand of them at the most: a status has three digits."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode("ascii")
