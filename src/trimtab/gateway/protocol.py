"""uvicorn's HTTP protocol with the limits of a server that faces careless or hostile clients.

Added to it: bounds on connections (503) and the head (431), deadlines for head, body and writing (408 or a cut),
errors in the vendor's shape, and a call into the application the moment a client is gone.

`limited` makes the class that uvicorn instantiates; `sweep` is called once a second by the server, so that no
request pays for timers.
"""

import asyncio
import functools
import http
from typing import Any, NoReturn, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trimtab.errors import HeadersTooLarge, RequestError, RequestTimeout, TrimtabError, Unavailable
from trimtab.gateway.answering import Answering
from trimtab.gateway.http import CONNECTION, NAMED, by_name
from trimtab.gateway.state import ServingState
from trimtab.messages import error_body

MAX_HEADERS = 256

MAX_AHEAD = 256
"""Requests that wait behind one that is being answered; each takes about 2 KB."""


class NewId(Protocol):
    """Makes request ids."""

    def __call__(self) -> str:
        """A new id."""
        ...


class LimitedProtocol(HttpToolsProtocol):
    """One client connection."""

    state: ServingState
    new_id: NewId

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = self.state.limits
        self._phase = "head"  # head, body, or "" while an answer is made or awaited
        self._phase_since = self.loop.time()
        self._received = 0
        self._came = self._fed = 0
        """Bytes of the last reading of the socket, and all that may belong to the request that comes in."""
        self._raw_head = 0
        self._head_tail = b""
        self._unread = 0
        self._write_paused_since = 0.0
        self._refusal: RequestError | None = None
        self._waiting_refusal: TrimtabError | None = None
        self._running: Answering | None = None
        """The request that is being answered; with pipelining `cycle` is already a later one."""
        self._idle_since = 0.0
        """When the last answer was complete, if no request has begun since."""
        self._event = asyncio.Event()
        self.url = b""

    def data_received(self, data: bytes) -> None:
        if self._waiting_refusal is not None:
            return
        self._came = len(data)
        self._fed += self._came
        # The parser shows a header only once it is whole, so an endless one is counted here.
        if self._phase == "body":
            self._unread += len(data)
            if self._unread > self.settings.max_header_bytes + len(data):
                self._refuse(HeadersTooLarge("The chunk headers or trailers of this request do not end"))
                return
        else:
            # The end of a head may itself be cut in two, so the last bytes before are looked at again.
            seen = self._head_tail + data if self._head_tail else data
            end = seen.find(b"\r\n\r\n")
            self._raw_head += len(data) if end < 0 else max(end - len(self._head_tail), 0)
            if self._raw_head > self.settings.max_header_bytes:
                self._refuse(self._head_too_large())
                return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.send_400_response("")
        if self._phase == "head":
            self._head_tail = (self._head_tail + data[-3:])[-3:]
        elif self._head_tail:
            self._head_tail = b""

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
        if not self.pipeline:  # nothing more is read before all that came has its turn
            self.flow.resume_reading()
        if self._waiting_refusal is not None:
            refusal, self._waiting_refusal = self._waiting_refusal, None
            self._refuse(refusal)

    @property
    def _answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    # Parser callbacks

    def on_message_begin(self) -> None:
        if not self._answering:  # with pipelining the limits of the answer that is still going out hold
            self.settings = self.state.limits
        self._enter("head")
        self._idle_since = 0.0
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # As little as can be, for it runs twenty times a request: `on_headers_complete` looks at them all.
        self.headers.append((name.lower(), value))

    def _stop(self, error: RequestError) -> NoReturn:
        """Leave a callback of the parser, which then reports an error of its own; `send_400_response` says this one."""
        self._refusal = error
        raise error

    def _head_too_large(self) -> HeadersTooLarge:
        limit = self.settings.max_header_bytes
        return HeadersTooLarge(
            f"The request head is over {limit:,} bytes or {MAX_HEADERS} headers; send less"
        )

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            # The parser would drop the body of such a request; better to say so than to lose it.
            self._stop(
                RequestError("Upgrade is not served here; send plain HTTP/1.1 without an Upgrade header")
            )
        headers, self.headers = self.headers, []  # trailers come too late to mean anything
        limit = self.settings.max_header_bytes
        if len(headers) > MAX_HEADERS or (self._fed > limit and _size_of(self.url, headers) > limit):
            self._stop(self._head_too_large())
        self._enter("body")
        named = by_name(headers)
        version = self.parser.get_http_version()
        path, raw_path, query = _target(self.url)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "client": self.client,
            "method": self.parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            NAMED: named,
        }
        cycle = Answering(
            scope,
            self,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            expect_100_continue=named.get(b"expect", b"").lower() == b"100-continue",
            message_event=self._event,
        )
        scope[CONNECTION] = cycle
        earlier, self.cycle = self.cycle, cycle
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            if len(self.pipeline) >= MAX_AHEAD:
                self._stop(
                    RequestError(
                        f"more than {MAX_AHEAD} requests were sent ahead on one connection; wait for answers"
                    )
                )
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._received += len(body)
        cycle = self.cycle
        if isinstance(cycle, Answering) and not cycle.response_complete:
            cycle.take(body)

    def on_message_complete(self) -> None:
        self._enter("")
        self._fed = self._came
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            self._event.set()

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._phase_since = self.loop.time()
        self._received = self._unread = 0
        if phase == "body":
            self._raw_head = 0

    # Transport callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit = self.settings.max_connections
        if len(self.connections) > limit:
            self._refuse(Unavailable(f"the server has its limit of {limit:,} connections; try again", 1))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._phase = ""
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        for cycle in {self._running, self.cycle, *waiting}:
            if isinstance(cycle, Answering) and not cycle.response_complete:
                cycle.disconnected = True
                if cycle.task is not None:
                    cycle.task.cancel()

    def pause_writing(self) -> None:
        self._write_paused_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_paused_since = 0.0
        super().resume_writing()

    # Refusals

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this for everything its parser refuses."""
        refusal, self._refusal = self._refusal or RequestError("The request is not valid HTTP/1.1"), None
        # Its traceback names the frames that hold this connection, which would be a cycle, with all that was sent.
        refusal.__traceback__ = None
        self._refuse(refusal)

    def _refuse(self, error: TrimtabError) -> None:
        """Answer without the application and close. Only valid while no answer has begun."""
        self._phase = ""
        if self.transport.is_closing():
            return
        running = self._running
        if running is not None and self._answering:
            if running is not self.cycle or not running.more_body:
                # Something behind a request that is still being answered: its answer comes first.
                self._waiting_refusal = error
                self.flow.pause_reading()
                return
            if running.response_started:
                self.transport.abort()
                return
        request_id = self.new_id()
        body = error_body(error.anthropic_type, str(error), request_id)
        retry = f"retry-after: {error.retry_after_s}\r\n" if isinstance(error, Unavailable) else ""
        phrase = http.HTTPStatus(error.status).phrase
        head = (
            f"HTTP/1.1 {error.status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nrequest-id: {request_id}\r\nx-trimtab-request: {request_id}\r\n"
            f"{retry}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def sweep(self, now: float) -> None:
        """Apply the deadlines. Called about once a second."""
        settings = self.settings
        if self._write_paused_since and now - self._write_paused_since > settings.write_timeout_s:
            self.transport.abort()
            return
        if self._idle_since and now - self._idle_since > self.timeout_keep_alive and not self._answering:
            self.transport.close()
            return
        waited = now - self._phase_since
        if self._phase == "head" and waited > settings.header_timeout_s:
            if self._raw_head == 0 and not self.url:
                self.transport.close()  # a connection that never spoke: nothing to answer
            else:
                self._refuse(
                    RequestTimeout(f"The request head did not arrive within {settings.header_timeout_s:g} s")
                )
        elif self._phase == "body" and waited > settings.body_timeout_s + self._received / 1024:
            self._refuse(RequestTimeout("The request body did not arrive in time"))


def _size_of(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a head, about."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


_ASGI = {"version": "3.0", "spec_version": "2.3"}


@functools.lru_cache(maxsize=256)
def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, raw path and query of a request's target. Raises `httptools.HttpParserError`. Few are ever sent."""
    parsed = httptools.parse_url(url)
    raw_path: bytes = parsed.path
    path = raw_path.decode("ascii")
    return (unquote(path) if "%" in path else path), raw_path, parsed.query or b""


def limited(state: ServingState, new_id: NewId) -> type[LimitedProtocol]:
    """A protocol class with these bound, as uvicorn wants a class."""
    return type("BoundLimitedProtocol", (LimitedProtocol,), {"state": state, "new_id": staticmethod(new_id)})
