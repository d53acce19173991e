"""A stream that is held back: its head goes out, and signs of life, until it is known which attempt is the answer.

What it is not: the steps (`stepping`). Invariants: of the events only those of the released attempt go out, whole and
as they came, and unpacked, for the head says no coding; what fails once the head is out is an error event; who closes
it ends whatever is under way.
"""

import asyncio
import zlib

import msgspec

from trimtab.catalogue import NanoUSD
from trimtab.engine.job import Job
from trimtab.engine.outcome_of import Judgement
from trimtab.engine.pictures import StreamChange
from trimtab.engine.reply import MeteredReply
from trimtab.errors import UpstreamBroken, shortened
from trimtab.messages.chat import chat_error_event
from trimtab.messages.meter import Inflater, Unpackable, inflater
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
        self._unpacks: Inflater | None = None
        self._begun = False
        """Whether anything of the released attempt has been written."""
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
        reply = self._reply
        return reply is None or not self._begun or not reply.is_event_stream or reply.at_boundary

    @property
    def failed(self) -> bool:
        """See `Answering`."""
        reply = self._reply
        return reply is not None and (
            not reply.is_event_stream or reply.status >= HTTP_ERRORS or reply.error_type is not None
        )

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
            if self._reply.is_event_stream:
                self._unpacks = _unpacking(self._reply)
        reply, changing, unpacks = self._reply, self._change, self._unpacks
        if not reply.is_event_stream or reply.status >= HTTP_ERRORS:
            write(await _as_event(reply))
            return True
        if changing is None and unpacks is None:
            self._begun = True
            return await reply.pump(write)

        def changed(piece: bytes) -> bool:
            if unpacks is not None:
                piece = _plain(unpacks, piece)
            if changing is not None:
                piece = changing.feed(piece)
            self._begun = self._begun or bool(piece)
            return write(piece) if piece else True

        ended = await reply.pump(changed)
        if ended and changing is not None and (rest := changing.rest()):
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
            self._steps.add_done_callback(close_unheard)
        elif not self._steps.cancelled() and self._steps.exception() is None:
            self._steps.result().close(problem)


def close_unheard(steps: "asyncio.Task[MeteredReply]") -> None:
    """Nobody takes what comes of it."""
    if not steps.cancelled() and steps.exception() is None:
        steps.result().close()


def _unpacking(reply: MeteredReply) -> Inflater | None:
    """What unpacks a stream that a platform packed unasked. Raises `UpstreamError` where that is not known here."""
    encoding = reply.header(b"content-encoding")
    unpacks, readable = inflater(encoding)
    if not readable:
        name = shortened(encoding.decode("latin-1"), 40)
        raise UpstreamBroken(f"the platform packed its stream as {name!r}, which nobody asked for")
    return unpacks


def _plain(unpacks: Inflater, piece: bytes) -> bytes:
    try:
        return b"".join(unpacks.unpack(piece))
    except (Unpackable, zlib.error):
        raise UpstreamBroken("the platform packed its stream in a way that cannot be unpacked") from None


async def _as_event(reply: MeteredReply) -> bytes:
    """An error answer as the event that ends a stream: its head has gone out as that of a stream."""
    body = b"".join((await reply.body()).splitlines())
    on_chat = reply.job.endpoint == "chat"
    if reply.error_type is not None and body.startswith(b"{"):
        return (b"data: " if on_chat else b"event: error\ndata: ") + body + b"\n\n"
    said = f"the platform answered with status {reply.status}"
    if reply.status < HTTP_ERRORS:
        said = "the platform answered in one piece, where a stream was asked for"
    return chat_error_event(502, said) if on_chat else error_event("api_error", said, reply.job.id)
