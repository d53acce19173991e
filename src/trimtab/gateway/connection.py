"""One client connection, with the limits of a server that faces careless or hostile clients.

On it: requests one after another, each answered before the next is begun; bounds on connections (503), on the head
(431) and on what is sent ahead; deadlines for head, body and writing (408 or a cut); refusals in the vendor's shape;
and a cancelled task the moment that a client is gone.

What it is not: what a request means (`application`), or its answer's framing (`request`).
Invariants: no request pays for a timer or a clock, for the server calls `sweep` once a second; what a client may send
without end is counted, not kept.
"""

import asyncio
import functools
import http
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Protocol
from urllib.parse import unquote

import httptools

from trimtab.errors import (
    HeadersTooLarge,
    RequestError,
    RequestTimeout,
    TrimtabError,
    Unavailable,
    VersionNotServed,
)
from trimtab.gateway.http import by_name, values_of
from trimtab.gateway.request import ClientRequest, Target
from trimtab.gateway.state import ServingState
from trimtab.messages import error_body
from trimtab.providers import Headers

MAX_HEADERS = 256

MAX_AHEAD = 256
"""Requests that wait behind one that is being answered; each takes about 2 KB."""

KEEP_ALIVE_S = 75
"""Longer than the idle limit of client pools (httpx: 5 s, Go: 90 s less a margin), so that clients close first."""

KNOWN_TARGET_BYTES = 256
"""Longer targets are parsed each time, so that what clients invent takes at most about 200 KB."""

Phase = Literal["new", "head", "body", "answer", "idle"]
"""What is waited for: the first byte; the end of a head or of a body; an answer; the next request."""


class NewId(Protocol):
    """Makes request ids."""

    def __call__(self) -> str:
        """A new id."""
        ...


class Clients:
    """All client connections of one process, and what they share."""

    def __init__(
        self, state: ServingState, answer: Callable[[ClientRequest], Coroutine[Any, Any, None]], new_id: NewId
    ) -> None:
        self.state = state
        self.answer = answer
        """Answers a request; a task of its own each time."""
        self.new_id = new_id
        self.answered = 0
        """Answers that were sent whole."""
        self.connections: set[Connection] = set()
        self.left: set[asyncio.Task[None]] = set()
        """Cancelled tasks whose client is gone."""

    def tasks(self) -> list[asyncio.Task[None]]:
        """Those that make answers, or clean up after one that nobody hears."""
        running = (connection.task for connection in self.connections)
        return [*self.left, *(task for task in running if task is not None)]


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._settings = clients.state.limits
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # What follows a last request is not worth an error that would come in place of the answer.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._phase: Phase = "new"
        self._since = 0.0
        """When a sweep first saw this phase; 0 until one has."""
        self._came = self._before = self._unseen = 0
        """Bytes of the last reading of the socket; of the one that ended the last request, which may have brought some
        of this one; and those that came after it of which the parser has shown nothing yet."""
        self._received = 0
        """Bytes of the body."""
        self._url = b""
        self._headers: Headers = []
        self._coming: ClientRequest | None = None
        """The request of which the head came last."""
        self._running: ClientRequest | None = None
        """The request that is being answered."""
        self._waiting: deque[ClientRequest] = deque()
        self._refusal: TrimtabError | None = None
        """What comes after the answers to all requests that are here."""
        self._reading = True
        self.lags = False
        """The client takes nothing more just now."""
        self._lags_since = 0.0
        self._drained: asyncio.Future[None] | None = None

    # The transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self.write = transport.write
        self.writelines = transport.writelines
        self._clients.connections.add(self)
        limit = self._settings.max_connections
        if len(self._clients.connections) > limit:
            self._refuse(Unavailable(f"the server has its limit of {limit:,} connections; try again", 1))

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._came = len(data)
        self._unseen += self._came
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._refuse(self._meant(problem))
            return
        # The parser shows a header only once it is whole, and no trailer's end: an endless one is counted here.
        if self._unseen > self._settings.max_header_bytes:
            if self._phase == "head":
                self._refuse(self._head_too_large())
            elif self._phase == "body":
                self._refuse(HeadersTooLarge("The chunk headers or trailers of this request do not end"))

    def connection_lost(self, exc: Exception | None) -> None:
        clients, task = self._clients, self.task
        clients.connections.discard(self)
        self._phase = "answer"
        for request in (self._running, self._coming, *self._waiting):
            if request is not None and not request.complete:
                request.gone = True
                request.wake()
        if task is not None:
            task.cancel()
            clients.left.add(task)
            task.add_done_callback(clients.left.discard)
        self._waiting.clear()
        self._running = self._coming = None
        self.resume_writing()
        del self._parser  # it holds this connection

    def pause_writing(self) -> None:
        self.lags, self._lags_since = True, 0.0

    def resume_writing(self) -> None:
        self.lags, self._lags_since = False, 0.0
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._running is None and self._waiting:
            self._go_on()

    # The parser's calls

    def on_message_begin(self) -> None:
        if self._running is None:  # with pipelining the limits of the answer that is still going out hold
            self._settings = self._clients.state.limits
        self._enter("head")
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # As little as can be, for it runs twenty times a request: `on_headers_complete` looks at them all.
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Raises `RequestError`, which leaves the parser and comes back in `_meant`."""
        parser, headers, limit = self._parser, self._headers, self._settings.max_header_bytes
        self._headers = []  # trailers come too late to mean anything
        if parser.should_upgrade():
            # The parser would drop the body of such a request; better to say so than to lose it.
            raise RequestError("Upgrade is not served here; send plain HTTP/1.1 without an Upgrade header")
        if len(headers) > MAX_HEADERS or (
            self._unseen + self._before > limit and _size_of(self._url, headers) > limit
        ):
            raise self._head_too_large()
        named = by_name(headers)
        version = parser.get_http_version()
        modern = version == "1.1"
        if not modern and version != "1.0":
            raise VersionNotServed(version)
        if b"transfer-encoding" in named:
            _check_coding(values_of(headers, named, b"transfer-encoding"), modern)
        url = self._url
        request = self._coming = ClientRequest(
            self,
            parser.get_method().decode("ascii"),
            _known_target(url) if len(url) <= KNOWN_TARGET_BYTES else _target(url),
            headers,
            named,
            knows_chunks=modern,
            keep_alive=modern and parser.should_keep_alive(),
        )
        self._enter("body")
        self._unseen = 0
        if self._running is None and not self.lags:
            self._begin(request)
            return
        self.pause_reading()
        if len(self._waiting) >= MAX_AHEAD:
            raise RequestError(
                f"more than {MAX_AHEAD} requests were sent ahead on one connection; wait for answers"
            )
        self._waiting.append(request)

    def on_body(self, body: bytes) -> None:
        self._unseen = 0
        self._received += len(body)
        if self._coming is not None and not self._coming.complete:
            self._coming.take(body)

    def on_message_complete(self) -> None:
        self._before, self._unseen = self._came, 0
        self._enter("idle" if self._running is None and not self._waiting else "answer")
        request = self._coming
        if request is None:
            return
        request.end()
        if request.keep_alive and not self._parser.should_keep_alive():
            # A trailer closed the connection: the parser shows nothing of what follows, which would wait for ever.
            request.keep_alive = False
            if request.complete:
                self._transport.close()

    def _enter(self, phase: Phase) -> None:
        self._phase, self._since, self._received = phase, 0.0, 0

    # Requests in turn

    @property
    def task(self) -> asyncio.Task[None] | None:
        """Makes the answer that is going out."""
        return self._running.task if self._running is not None else None

    def _begin(self, request: ClientRequest) -> None:
        self._running = request
        request.task = self._loop.create_task(self._clients.answer(request))

    def answered(self, request: ClientRequest) -> None:
        """The answer to what was running is complete."""
        self._clients.answered += 1
        self._running = None
        if not request.keep_alive:
            self._transport.close()
        if not self._transport.is_closing():
            self._go_on()

    def _go_on(self) -> None:
        """Nothing is being answered: begin what waits, unless the client lags."""
        if self._waiting:
            if not self.lags:
                self._begin(self._waiting.popleft())
        elif self._phase == "answer":
            self._enter("idle")
        if not self._waiting:  # nothing more is read before all that came has its turn
            self.resume_reading()
            if self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                self._refuse(refusal)

    def pause_reading(self) -> None:
        """Read nothing more for now. Idempotent."""
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Idempotent."""
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()

    async def drain(self) -> None:
        """Wait until the client has caught up."""
        while self.lags:
            self._drained = self._loop.create_future()
            await self._drained

    @property
    def address(self) -> str:
        """Of the other end; that of a proxy where there is one."""
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def close(self) -> None:
        """Send what was written, then close."""
        self._transport.close()

    def wind_up(self) -> None:
        """Close after what is here has been answered."""
        last = self._waiting[-1] if self._waiting else self._running
        if last is None:
            self._transport.close()
        else:
            last.keep_alive = False

    # Refusals

    def _meant(self, problem: Exception) -> RequestError:
        """What a failure of the parser is for the client."""
        meant = problem.__context__
        if isinstance(meant, RequestError):
            # Its traceback names the frames that hold this connection, which would be a cycle, with all that was sent.
            meant.__traceback__ = None
            return meant
        version = self._parser.get_http_version()
        if self._phase == "head" and version not in ("0.0", "1.0", "1.1"):
            return VersionNotServed(version)
        return RequestError("The request is not valid HTTP/1.1")

    def _head_too_large(self) -> HeadersTooLarge:
        limit = self._settings.max_header_bytes
        return HeadersTooLarge(
            f"The request head is over {limit:,} bytes or {MAX_HEADERS} headers; send less"
        )

    def _refuse(self, error: TrimtabError) -> None:
        """Answer without the application and close."""
        self._phase = "answer"
        if self._transport.is_closing():
            return
        if self._coming is not None and self._coming.complete and self._coming.more:
            self._transport.close()  # its answer has gone already, and another would be taken for the next one's
            return
        running = self._running
        if self._waiting or (running is not None and not (running is self._coming and running.more)):
            # Something behind a request that is still being answered: its answer comes first.
            self._refusal = error
            self.pause_reading()
            return
        if running is not None and running.started:
            self._transport.abort()
            return
        request_id = self._clients.new_id()
        body = error_body(error.anthropic_type, str(error), request_id)
        retry = f"retry-after: {error.retry_after_s}\r\n" if isinstance(error, Unavailable) else ""
        phrase = http.HTTPStatus(error.status).phrase
        head = (
            f"HTTP/1.1 {error.status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nrequest-id: {request_id}\r\nx-trimtab-request: {request_id}\r\n"
            f"{retry}connection: close\r\n\r\n"
        )
        self.write(head.encode("ascii") + body)
        self._transport.close()

    def sweep(self, now: float) -> None:
        """Apply the deadlines. Called about once a second, which is how late they may be."""
        settings, phase = self._settings, self._phase
        if self.lags or self._transport.is_closing():  # which waits for the client to take the last bytes
            self._lags_since = self._lags_since or now
            if now - self._lags_since > settings.write_timeout_s:
                self._transport.abort()
                return
        self._since = self._since or now
        waited = now - self._since
        if phase == "idle" and waited > KEEP_ALIVE_S:
            self._transport.close()
        elif phase == "new" and waited > settings.header_timeout_s:
            self._transport.close()  # it never spoke: nothing to answer
        elif phase == "head" and waited > settings.header_timeout_s:
            self._refuse(
                RequestTimeout(f"The request head did not arrive within {settings.header_timeout_s:g} s")
            )
        elif phase == "body" and waited > settings.body_timeout_s + self._received / 1024:
            self._refuse(RequestTimeout("The request body did not arrive in time"))


def _size_of(url: bytes, headers: Headers) -> int:
    """Bytes of a head, about."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def _check_coding(codings: list[bytes], modern: bool) -> None:
    """Refuse a body that is coded otherwise than in chunks: what stands before it may read its end elsewhere.

    Raises `RequestError`. Source: RFC 9112 sections 6.1 and 6.3, 7.
    """
    if len(codings) != 1 or codings[0].strip().lower() != b"chunked":
        raise RequestError(
            "transfer-encoding: only 'chunked' is read here; send the body in chunks or with a content-length"
        )
    if not modern:
        raise RequestError("transfer-encoding: is not for HTTP/1.0; send a content-length")


def _target(url: bytes) -> Target:
    """Raises `httptools.HttpParserError` and others for what is none."""
    parsed = httptools.parse_url(url)
    raw_path: bytes = parsed.path
    path = raw_path.decode("ascii")
    return Target(unquote(path) if "%" in path else path, raw_path, parsed.query or b"")


_known_target = functools.lru_cache(maxsize=256)(_target)
"""Few are ever sent."""
