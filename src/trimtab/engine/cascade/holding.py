"""A stream that is held back: its head goes out, and signs of life, until it is known which attempt is the answer.

What it is not: the steps (`stepping`). Invariants: of the events only those of the released attempt go out, whole and
as they came; what fails once the head is out is an error event; who closes it ends whatever is under way.
"""

import asyncio

import msgspec

from trimtab.catalogue import NanoUSD
from trimtab.engine.job import Job
from trimtab.engine.outcome_of import Judgement
from trimtab.engine.pictures import StreamChange
from trimtab.engine.reply import MeteredReply
from trimtab.errors import UpstreamBroken
from trimtab.messages.wire import error_event
from trimtab.providers import Headers, Sink
from trimtab.records import Attempt

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
"""A sign of life on messages. Source: vendor streaming page (2026-11): any number of them, anywhere in a stream."""

COMMENT = b": keep-alive\n\n"
"""A sign of life on chat: a comment, which clients skip. Source: the HTML standard on server-sent events."""

HEAD: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]

HTTP_ERRORS = 300


class PendingReply:
    """An answer of which the head is given before it is known which attempt it is. Implements `Answering`."""

    free = False
    pending = True
    status = 200
    is_event_stream = True
    before: tuple[Attempt, ...] = ()

    def __init__(
        self,
        steps: "asyncio.Task[MeteredReply]",
        first: Job,
        *,
        simulated: bool,
        warned: tuple[str, ...],
        keep_alive_s: float,
    ) -> None:
        """`steps` gives the reply that is released, or raises what the last one broke with; both are recorded by then,
        or by its `close`."""
        self._steps = steps
        self._first = first
        self._keep_alive_s = keep_alive_s
        self._reply: MeteredReply | None = None
        self.told = ""
        self._change: StreamChange | None = None
        self.headers = HEAD
        self.simulated = simulated
        self.warned = warned
        # What changes the answer is known once the attempt is; it is done here.
        self.job = msgspec.structs.replace(first, change=None)

    @property
    def platform(self) -> str:
        """The entry that was called first; the record says which one answered."""
        return self._first.provider.name

    @property
    def judgement(self) -> Judgement | None:
        """Known once an attempt was released."""
        return None if self._reply is None else self._reply.judgement

    @property
    def at_boundary(self) -> bool:
        """Whether another event may be written to the client now."""
        return self._reply is None or not self._reply.is_event_stream or self._reply.at_boundary

    async def body(self) -> bytes:
        """Never asked for: it is a stream."""
        raise UpstreamBroken("a stream was asked for as a whole")

    async def pump(self, write: Sink) -> bool:
        """Signs of life, then the released attempt. Raises `UpstreamError`."""
        if self._reply is None:
            done, _ = await asyncio.wait({self._steps}, timeout=self._keep_alive_s)
            if not done:
                write(COMMENT if self._first.endpoint == "chat" else PING)
                return False
            self._reply = self._steps.result()
            if (change := self._reply.job.change) is not None:
                self._change = change.stream()
        reply, changing = self._reply, self._change
        if not reply.is_event_stream or reply.status >= HTTP_ERRORS:
            write(await _as_event(reply))
            return True
        if changing is None:
            return await reply.pump(write)

        def changed(piece: bytes) -> bool:
            goes = changing.feed(piece)
            return write(goes) if goes else True

        ended = await reply.pump(changed)
        if ended and (rest := changing.rest()):
            write(rest)
        return ended

    def cost(self) -> NanoUSD:
        """What the request costs; final once it has ended."""
        return NanoUSD(0) if self._reply is None else self._reply.cost()

    def close(self, problem: BaseException | None = None) -> None:
        """End it and record the request. Idempotent; never raises or waits."""
        if self._reply is not None:
            self._reply.close(problem)
        elif not self._steps.done():
            self._steps.cancel()
        elif not self._steps.cancelled() and self._steps.exception() is None:
            self._steps.result().close(problem)


async def _as_event(reply: MeteredReply) -> bytes:
    """An error answer as the event that ends a stream: its head has gone out as that of a stream."""
    body = b"".join((await reply.body()).splitlines())
    if reply.job.endpoint == "chat":
        return b"data: " + (body or b"{}") + b"\n\n"
    if body.startswith(b"{"):
        return b"event: error\ndata: " + body + b"\n\n"
    return error_event("api_error", f"the platform answered with status {reply.status}", reply.job.id)
