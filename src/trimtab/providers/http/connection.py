"""One upstream connection and the exchange that runs on it.

Bytes that arrive are collected until the reader takes them; when it lags by more than `HIGH_WATER` the transport
is paused, so a slow client slows the platform, not our memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools
import msgspec

from trimtab.errors import DeadlinePhase, UpstreamBroken, UpstreamError, UpstreamTimeout
from trimtab.providers.seam import Sink

HIGH_WATER = 256 * 1024
"""Unread response bytes at which reading pauses; two TLS records of slack and 30 ms at 8 MB/s."""

MAX_HEAD_BYTES = 64 * 1024
"""Limit on raw bytes that are no body: a response head with its interim ones, or what stands between two chunks, or
trailers. Vendors send heads of about 2 KB. The parser joins the pieces of an unfinished header again at each read, so
without this one endless header costs quadratic time."""

MAX_SIZE_DIGITS = 6
"""Of a chunk that is taken without the parser; no reading of a socket is larger than that."""

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class Deadlines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds. Each has its own error, so that a stall is not mistaken for a slow answer."""

    connect_s: float = 10.0
    """TCP, proxy and TLS set-up together, and waiting for a free connection."""
    header_s: float = 600.0
    """From sending to the response head. A non-streaming answer may think for minutes (vendor limit: 10)."""
    first_event_s: float = 120.0
    """From the head of an event stream to its first byte."""
    idle_s: float = 120.0
    """Between bytes of a body; streams carry pings well inside this."""


class Exchange:
    """A request in flight and its reply; see `providers.seam.Reply`."""

    __slots__ = (
        "_complete",
        "_connection",
        "_error",
        "_heard_at",
        "_limit_s",
        "_loop",
        "_paused",
        "_phase",
        "_read_any",
        "_sink_problem",
        "_size",
        "_stream",
        "_waiter",
        "deadlines",
        "headers",
        "parts",
        "sink",
        "status",
    )

    def __init__(self, connection: "Connection", deadlines: Deadlines, *, stream: bool) -> None:
        self._connection: Connection | None = connection
        self._loop = connection.loop
        self.deadlines = deadlines
        self._stream = stream
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self._size = 0
        self._paused = False
        self._read_any = False
        self._complete = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[bool] | None = None
        """Whether the sink wants no more just now."""
        self.sink: Sink | None = None
        """Takes what arrives while `pump` waits; it has had all that came before."""
        self._sink_problem: Exception | None = None
        self._heard_at = 0.0
        self._phase: DeadlinePhase = "header"
        self._limit_s = 0.0
        """How long the silence since `_heard_at` may last; 0 while nothing is expected."""

    @property
    def answered(self) -> bool:
        """Whether a head has arrived, or never will."""
        return self.status != 0 or self._error is not None or self._complete

    # The reader's side

    async def head(self) -> None:
        """Wait for the response head. Raises as `Provider.send` does."""
        if self.status == 0 and self._error is None:
            await self._heard("header", self.deadlines.header_s)
        if self.status == 0:
            raise self._error or UpstreamBroken("the exchange was closed before its answer")

    async def answered_or_done(self, sending: "asyncio.Task[None]") -> None:
        """Wait until `answered` or the end of `sending`, whichever comes first; the sender keeps the deadlines."""
        if self.answered:
            return
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((sending, waiter), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiter = None

    async def read(self) -> bytes:
        """What has arrived since the last call; `b""` at the end. See `providers.seam.Reply.read`."""
        while not self.parts:
            if self._error is not None:
                raise self._error
            if self._complete or self._connection is None:
                return b""
            await self._heard(*self._silence())
        return self._taken()

    async def pump(self, sink: Sink) -> bool:
        """See `providers.seam.Reply.pump`."""
        if self.parts and not sink(self._taken()):
            return False
        while True:
            if self._sink_problem is not None:
                raise self._sink_problem
            if self.parts:  # the sink wanted no more, or the end came with them
                if not sink(self._taken()):
                    return False
                continue
            if self._error is not None:
                raise self._error
            if self._complete or self._connection is None:
                return True
            self.sink = sink
            try:
                if await self._heard(*self._silence()):
                    return False
            finally:
                self.sink = None

    def deliver(self) -> None:
        """Give the sink what one reading of the socket brought."""
        if self.sink is None or not self.parts:
            return
        first = not self._read_any
        self.hand(self._taken())
        if first:
            self._expect(*self._silence())

    def hand(self, piece: bytes) -> None:
        """Give the sink a piece. Only while there is one."""
        assert self.sink is not None
        self._heard_at = self._loop.time()
        try:
            if self.sink(piece):
                return
        except Exception as problem:
            self._sink_problem = problem
        self.sink = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._sink_problem is None)

    def _silence(self) -> tuple[DeadlinePhase, float]:
        """Which silence it is now, and how long it may last, in seconds."""
        if self._stream and not self._read_any:
            return "first_event", self.deadlines.first_event_s
        return "idle", self.deadlines.idle_s

    def _taken(self) -> bytes:
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        self._read_any = True
        if self._paused and self._connection is not None:
            self._paused = False
            self._connection.resume_reading()
        return data

    def close(self) -> None:
        """Cut the connection unless the exchange is over."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _heard(self, phase: DeadlinePhase, limit_s: float) -> bool:
        """Wait until something happens, for so long; whether the sink wants no more."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiter = waiter
        self._expect(phase, limit_s)
        try:
            return await waiter
        finally:
            self._waiter = None
            self._limit_s = 0.0

    def _expect(self, phase: DeadlinePhase, limit_s: float) -> None:
        """Something must be heard within so long from now on."""
        self._phase = phase
        self._limit_s = limit_s
        self._heard_at = self._loop.time()
        if self._connection is not None:
            self._connection.look_at(self._heard_at + limit_s)

    def look(self, now: float) -> float:
        """When to look again, in the loop's time; 0 if nobody waits. Ends the exchange after too long a silence."""
        if self._waiter is None or self._waiter.done() or not self._limit_s:
            return 0.0
        due = self._heard_at + self._limit_s
        if now < due:
            return due
        self._expire(self._phase, self._limit_s)
        return 0.0

    def _expire(self, phase: DeadlinePhase, limit_s: float) -> None:
        what = {
            "header": "no response head",
            "first_event": "no first event",
            "idle": "no more bytes",
        }[phase]
        self.fail(UpstreamTimeout(f"the platform sent {what} within {limit_s:g} s", phase))

    # The connection's side

    def on_head(self, status: int) -> None:
        self.status = status
        self._wake()

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause_reading()
        if self.sink is None:
            self._wake()

    def on_complete(self) -> None:
        """The message ended properly; the connection is no longer ours."""
        self.deliver()
        self._complete = True
        self._connection = None
        self._wake()

    def fail(self, error: UpstreamError) -> None:
        """End with an error, after what has already arrived was read."""
        if self._error is None and not self._complete:
            self.deliver()
            self._error = error
            self.close()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)


class Connection(asyncio.Protocol):
    """The protocol object of one upstream socket; `released` is called when it may serve again."""

    def __init__(
        self, released: "Callable[[Connection], None]", lost: "Callable[[Connection], None]"
    ) -> None:
        self._released = released
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._exchange: Exchange | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._between = True
        self._between_bytes = 0
        self._chunk_ended = False
        """Whether the parser stands behind a chunk and has not seen the whole head of another."""
        self._at_chunk = False
        """Whether the next byte is the first of a chunk's head."""
        self._interim = False
        self._framed = False
        self._sending = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost_already = False
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0
        self.closed = False
        self.idle_since = 0.0
        self.loop = asyncio.get_running_loop()
        """Kept, because asking for it is a system call in Python 3.11, and it is needed with every event."""

    @property
    def holds_socket(self) -> bool:
        """Whether there is a socket whose end the loop has yet to report; until then it counts against the limit."""
        return self._transport is not None and not self._lost_already

    # The pool's side

    async def request(
        self, head: bytes, body: bytes | AsyncIterator[bytes], deadlines: Deadlines, *, stream: bool
    ) -> Exchange:
        """Write a request and wait for the response head."""
        exchange = self._exchange = Exchange(self, deadlines, stream=stream)
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._between = True
        self._between_bytes = 0
        self._chunk_ended = self._at_chunk = False
        try:
            if isinstance(body, bytes):
                self._write(head, body)
            else:
                await self._upload(exchange, head, body)
            await exchange.head()
        except BaseException:
            exchange.close()
            raise
        return exchange

    def _write(self, head: bytes, body: bytes) -> None:
        if self._transport is None:
            return
        if len(body) <= HIGH_WATER:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    async def _upload(self, exchange: Exchange, head: bytes, body: AsyncIterator[bytes]) -> None:
        """Send until all is sent or an answer is there. Raises what the body raises.

        The sending is a task of its own, so that an answer, or the end of the connection, is heard while the client
        makes us wait for its next piece.
        """
        self._sending = True
        self._write(head, b"")
        sending = asyncio.create_task(self._write_all(exchange, body))
        try:
            await exchange.answered_or_done(sending)
            if sending.done():
                sending.result()
        finally:
            # After an early answer the rest of the body is not wanted, nor is this connection: `_sending` stays set.
            if sending.cancel():
                await asyncio.wait((sending,))
            if not sending.cancelled():
                sending.exception()  # raised above, or of no interest any more; asyncio reports what nobody looked at

    async def _write_all(self, exchange: Exchange, body: AsyncIterator[bytes]) -> None:
        limit_s = exchange.deadlines.idle_s
        async for piece in body:
            if exchange.answered:
                return  # a body that never makes us wait would else be written to its end
            self._write(b"", piece)
            if not self._writable.is_set():
                try:
                    await asyncio.wait_for(self._writable.wait(), limit_s)
                except TimeoutError:
                    raise UpstreamTimeout(f"the platform took no bytes for {limit_s:g} s", "write") from None
        self._sending = False

    def look_at(self, due: float) -> None:
        """Look at the exchange when it is due.

        A timer that will run sooner is left alone, and finds then when to look again: so a request seldom needs one
        of its own, which would be set and cancelled, and a stream does not with each event.
        """
        if self._timer is None or due < self._looks_at:
            self._stop_looking()
            self._looks_at = due
            self._timer = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._exchange is not None and (due := self._exchange.look(self.loop.time())):
            self.look_at(due)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """Close the socket now."""
        self.closed = True
        self._exchange = None
        self._stop_looking()
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Stop taking bytes from the socket."""
        if self._transport is not None and not self.closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it

    def adopt(self, transport: asyncio.Transport) -> None:
        """Take over a transport that a proxy tunnel made. Raises `ConnectionError` if it has ended meanwhile."""
        if self._lost_already:
            raise ConnectionError("the proxy closed the tunnel")
        self._transport = transport

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if self._at_chunk and exchange is not None and exchange.sink is not None:
            # An event of a stream is nearly always one chunk and comes alone: then the parser, which is back where it
            # was after it, is not asked.
            at = data.find(b"\r\n", 1, MAX_SIZE_DIGITS + 2)
            if at > 0 and data[:at] == b"%x" % (len(data) - at - 4) != b"0" and data.endswith(b"\r\n"):
                exchange.hand(data[at + 2 : -2])
                return
        self._parse(data)
        self._at_chunk = self._chunk_ended and data.endswith(b"\r\n")

    def _parse(self, data: bytes) -> None:
        while data:
            if self._exchange is None or self._parser is None:
                self.abort()  # bytes that nobody asked for: never trust this connection again
                return
            piece, data = data, b""
            if self._between:
                room = MAX_HEAD_BYTES - self._between_bytes
                if room <= 0:
                    self._fail(
                        UpstreamBroken(
                            f"the platform's answer is not HTTP/1.1: over {MAX_HEAD_BYTES} bytes of head or trailers"
                        )
                    )
                    return
                # The rest waits for its turn: the head may end within the room, and a body has no such limit.
                piece, data = piece[:room], piece[room:]
                self._between_bytes += len(piece)
            try:
                self._parser.feed_data(piece)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
                self._fail(UpstreamBroken(f"the platform's answer is not HTTP/1.1: {problem}"))
                return
            if self._exchange is not None:
                self._exchange.deliver()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._lost_already = True
        self._stop_looking()
        self._writable.set()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if exchange.status and not self._framed and exc is None:
                exchange.on_complete()  # a body without length or chunks ends with the connection
            else:
                reason = f": {exc}" if exc else ""
                where = "before its answer was complete" if exchange.status else "without an answer"
                exchange.fail(UpstreamBroken(f"the platform closed the connection {where}{reason}"))
        self._lost(self)

    def _fail(self, error: UpstreamError) -> None:
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.fail(error)

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._exchange is None:
            self.abort()  # a second answer to one request: whatever follows would be out of step
            return
        self._headers = []
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if not 100 <= status < 600:
            self._fail(UpstreamBroken(f"the platform answered with status {status}, which is not HTTP"))
            return
        self._interim = status < 200
        if self._exchange is not None and not self._interim:
            # Trailers go to another list: the head is with the reader then, and nobody reads headers after a body.
            headers, self._headers = self._headers, []
            self._framed = status in (204, 304) or not _FRAMING.isdisjoint(dict(headers))
            self._exchange.headers = headers
            self._exchange.on_head(status)
            self._between_bytes = 0

    def on_chunk_header(self) -> None:
        self._chunk_ended = False

    def on_chunk_complete(self) -> None:
        self._between = self._chunk_ended = True
        self._between_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._between = False
        if self._exchange is not None:
            self._exchange.on_body(body)

    def on_message_complete(self) -> None:
        if self._interim or self._exchange is None or self._parser is None or self._transport is None:
            return
        exchange, self._exchange = self._exchange, None
        sent = not self._sending and self._transport.get_write_buffer_size() == 0
        reusable = sent and self._framed and self._parser.should_keep_alive()
        exchange.on_complete()
        if reusable and not self.closed:
            self.resume_reading()
            self._released(self)
        elif not sent:
            self.abort()  # a close would first wait for the platform to take the rest, for ever if it does not
        else:
            self.closed = True
            self._transport.close()
