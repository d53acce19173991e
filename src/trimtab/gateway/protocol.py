"""uvicorn's HTTP protocol with the limits of a server that faces careless or hostile clients.

Added to it: bounds on connections (503) and the head (431), deadlines for head, body and writing (408 or a cut),
errors in the vendor's shape, and a call into the application the moment a client is gone.

`limited` makes the class that uvicorn instantiates; `sweep` is called once a second by the server, so that no
request pays for timers.
"""

import asyncio
import http
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from trimtab.errors import HeadersTooLarge, RequestError, RequestTimeout, TrimtabError, Unavailable
from trimtab.gateway.http import GONE
from trimtab.gateway.state import ServingState
from trimtab.messages import error_body

MAX_HEADERS = 256


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
        self._head_bytes = 0
        self._head_count = 0
        self._raw_head = 0
        self._head_tail = b""
        self._unread = 0
        self._write_paused_since = 0.0
        self._refusal: RequestError | None = None
        self._waiting_refusal: TrimtabError | None = None
        self._running: RequestResponseCycle | None = None
        """The request that is being answered; with pipelining `cycle` is already a later one."""

    def data_received(self, data: bytes) -> None:
        if self._waiting_refusal is not None:
            return
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
        super().data_received(data)
        self._head_tail = (self._head_tail + data[-3:])[-3:] if self._phase == "head" else b""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._waiting_refusal is not None:
            refusal, self._waiting_refusal = self._waiting_refusal, None
            self._refuse(refusal)

    @property
    def _answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    # Parser callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._answering:  # with pipelining the limits of the answer that is still going out hold
            self.settings = self.state.limits
        self._enter("head")
        self._head_bytes = 0
        self._head_count = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != "head":
            return  # a trailer: it came too late to mean anything
        self._head_count += 1
        self._count_head(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.settings.max_header_bytes or self._head_count > MAX_HEADERS:
            self._refusal = self._head_too_large()
            raise self._refusal

    def _head_too_large(self) -> HeadersTooLarge:
        limit = self.settings.max_header_bytes
        return HeadersTooLarge(
            f"The request head is over {limit:,} bytes or {MAX_HEADERS} headers; send less"
        )

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            # The parser would drop the body of such a request; better to say so than to lose it.
            self._refusal = RequestError(
                "Upgrade is not served here; send plain HTTP/1.1 without an Upgrade header"
            )
            raise self._refusal
        self._enter("body")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._enter("")
        super().on_message_complete()

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
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                gone = cast("dict[str, Any]", cycle.scope).get(GONE)
                if gone is not None:
                    gone()

    def pause_writing(self) -> None:
        self._write_paused_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_paused_since = 0.0
        super().resume_writing()

    # Refusals

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this for everything its parser refuses."""
        refusal = self._refusal or RequestError("The request is not valid HTTP/1.1")
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
        waited = now - self._phase_since
        if self._phase == "head" and waited > settings.header_timeout_s:
            if self._head_bytes == 0:
                self.transport.close()  # a connection that never spoke: nothing to answer
            else:
                self._refuse(
                    RequestTimeout(f"The request head did not arrive within {settings.header_timeout_s:g} s")
                )
        elif self._phase == "body" and waited > settings.body_timeout_s + self._received / 1024:
            self._refuse(RequestTimeout("The request body did not arrive in time"))


def limited(state: ServingState, new_id: NewId) -> type[LimitedProtocol]:
    """A protocol class with these bound, as uvicorn wants a class."""
    return type("BoundLimitedProtocol", (LimitedProtocol,), {"state": state, "new_id": staticmethod(new_id)})
