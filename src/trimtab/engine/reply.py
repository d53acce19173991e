"""One call under way: its answer goes through here, metered on a copy, and ends in one `Attempt`.

What it is not: the choice of what is called next (`surviving`). Invariants: the hold is settled exactly once; either
`close` records the request, with this attempt as its last, or the attempt is carried into the reply that replaces it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from trimtab.budgets import Hold
from trimtab.catalogue import NanoUSD
from trimtab.engine.bill import Bill, bill
from trimtab.engine.counted import billed_in_and_out
from trimtab.engine.endings import ending_of
from trimtab.engine.job import Job, asked_of
from trimtab.engine.means import Means
from trimtab.engine.outcome_of import Delivery, Judgement, outcome_of
from trimtab.engine.recording import Copy
from trimtab.engine.telling import Ended, tell
from trimtab.errors import DeadlinePhase, UpstreamBroken, UpstreamTimeout, shortened
from trimtab.messages import ReplyMeter, StreamMeter, StreamValidator
from trimtab.messages.chat import ChatReplyMeter, ChatStreamMeter
from trimtab.providers import Headers, Reply, Sink
from trimtab.records import MAX_ERROR_CHARS, Attempt, Verdict
from trimtab.routing import Started

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A whole JSON answer is collected before it goes on (its cost is a header); larger ones are refused."""

MAX_HELD_BYTES = 1024 * 1024
"""Of a stream's beginning, or of an error answer, as much is held back; a beginning has some hundred bytes, or some
100 KB of search results. Unbounded, a platform that sends pings as fast as it can took 150 MB in `hold_s`."""

ERROR_S = 2.0
"""For the body of an error answer that another platform could replace; platforms send it with its head. Its status says
enough to go on."""

UNREAD_CHUNKS = 32
UNREAD_BYTES = 2 * 1024
"""So many pieces of a stream, none of them larger, may have gone on to the client before the meter reads them: a third
of a stream's own work was metering each event as it came."""

HTTP_OK = 200
HTTP_ERRORS = 300
"""From here on a status says that there is no answer."""

T = TypeVar("T")
_log = logging.getLogger("trimtab.engine")


Afterwards = Callable[["MeteredReply", Attempt], None]
"""Is told of an answer that went out whole; has it recorded in any case, now or later. Never waits or raises."""


class MeteredReply:
    """An answer on its way through. Read it to the end, then `close`; closing early cuts the platform off. Implements
    `Answering`."""

    told = ""
    free = False
    pending = False
    failed = False

    __slots__ = (
        "_after",
        "_attempt",
        "_body",
        "_bytes",
        "_closed",
        "_copy",
        "_ended",
        "_first_content_ms",
        "_given",
        "_head_ms",
        "_held",
        "_job",
        "_kept",
        "_kept_most",
        "_lagged",
        "_means",
        "_meter",
        "_named",
        "_patience",
        "_problem",
        "_reply",
        "_sent",
        "_started",
        "_unread",
        "_validator",
        "_warned",
        "_whole",
        "before",
        "headers",
        "hold",
        "is_event_stream",
        "judgement",
        "simulated",
        "status",
    )

    def __init__(self, means: Means, job: Job, hold: Hold, before: tuple[Attempt, ...] = ()) -> None:
        """`before` are the attempts of the same request that this one follows or goes beside."""
        self._means = means
        self._job = job
        self.hold = hold
        self.before = before
        self._sent = means.runtime.monotonic()
        self._reply: Reply | None = None
        self._meter: StreamMeter | ChatStreamMeter | None = None
        self._whole: ReplyMeter | ChatReplyMeter | None = None
        self._validator: StreamValidator | None = None
        self._head_ms: float | None = None
        self._first_content_ms: float | None = None
        self._bytes = 0
        self._ended = False
        self._closed = False
        self._attempt: Attempt | None = None
        self._started: Started | None = None
        self._problem: BaseException | None = None
        self._body: bytes | None = None
        self._held: list[bytes] | None = None
        """Pieces of a stream that were read and have not gone on to the client."""
        self._unread: list[bytes] = []
        """What went on to the client and is not counted, kept or metered yet."""
        self._lagged = False
        """Whether the client took a stream slower than it came: then its pace is the client's."""
        self._warned: tuple[str, ...] | None = None
        self._patience = 1
        """How many pieces may be unread; one until the first content, whose time is noted."""
        self._copy: Copy | None = None
        if (keep := means.runtime.keep) is not None and job.endpoint != "count_tokens":
            self._copy = keep.begin(asked_of(job))
        self.status = 0
        self.headers: Headers = []
        self._named: Mapping[bytes, bytes] = {}
        self.is_event_stream = False
        self.judgement: Judgement | None = None
        """What a cascade made of the request, where there was one."""
        self._given: bool | None = None
        """Of an answer that was held back whole: whether the client was given it. `None`: it was not held back so."""
        self._after: Afterwards | None = None
        self._kept: list[bytes] | None = None
        self._kept_most = 0
        self.simulated = hold.simulated
        """Whether no real model answers. Known for certain once the head has arrived."""

    @property
    def job(self) -> Job:
        """What was asked."""
        return self._job

    @property
    def platform(self) -> str:
        """The entry that was called."""
        return self._job.provider.name

    @property
    def warned(self) -> tuple[str, ...]:
        """What to say of budgets that it draws on and that are nearly spent, as it was when first asked."""
        if self._warned is None:
            hold, warned = self.hold, self._means.runtime.warned
            self._warned = (
                () if hold.drawn is None or warned is None else warned(hold.accounts, self.simulated)
            )
        return self._warned

    @property
    def answered(self) -> bytes:
        """The body of a JSON answer, as far as it was read."""
        return self._body or b""

    @property
    def held(self) -> bytes:
        """What was read of the answer and has not gone on to the client; all of it after `hold_whole`."""
        return self._body if self._body is not None else b"".join(self._held or ())

    @property
    def at_boundary(self) -> bool:
        """Whether another event may be written to the client now."""
        self._catch_up()
        return self._meter is not None and self._meter.at_boundary

    async def open(self, silent_s: float = 0.0) -> None:
        """Send the call and take the response head, which must come within `silent_s`; 0: its platform's own deadline
        is all there is."""
        job = self._job
        call = job.call
        if (outgoing := self._means.runtime.outgoing) is not None:
            call = msgspec.structs.replace(call, headers=outgoing(job.id, call.headers))
        if (standings := self._means.standings) is not None:
            self._started = standings.began(job.place, job.model.id)
        sending = job.provider.send(call)
        if silent_s:
            sending = self._spoken(sending, silent_s, "header")
        reply = self._reply = await (sending if job.deadline is None else self._within(sending))
        self._head_ms = self._ms_since(self._sent)
        self.status = reply.status
        self.headers = headers = reply.headers
        self._named = dict(reversed(headers))
        encoding = self.header(b"content-encoding")
        self._find_out_if_simulated()
        content_type = self.header(b"content-type").lower()
        self.is_event_stream = self.status == HTTP_OK and content_type.startswith(b"text/event-stream")
        if self.is_event_stream:
            on_chat = job.endpoint == "chat"
            self._meter = ChatStreamMeter(encoding) if on_chat else StreamMeter(encoding)
            if self._means.runtime.validate_streams and not encoding and not on_chat:
                self._validator = StreamValidator()

    def _find_out_if_simulated(self) -> None:
        """A simulated platform behind an HTTP address says so itself, in every answer."""
        job, means = self._job, self._means
        if job.provider.simulated:
            return
        if self.header(b"x-trimtab-simulated") == b"true":
            self.simulated = True
            means.simulated.add(job.provider.name)
        elif self.status == HTTP_OK:
            self.simulated = False
            means.simulated.discard(job.provider.name)
        if self.hold.simulated != self.simulated:
            means.ledger.move(self.hold, simulated=self.simulated)

    def header(self, name: bytes) -> bytes:
        """The first response header of this (lower-case) name, or empty."""
        return self._named.get(name, b"")

    async def read(self) -> bytes:
        """The next bytes of an event stream; `b""` at its proper end. Raises `UpstreamError`."""
        if self._held:
            return self._let_go()
        chunk = await self._take()
        if chunk:
            self._saw(chunk)
        else:
            self._check_end()
        return chunk

    async def pump(self, write: Sink) -> bool:
        """Give the bytes of an event stream to `write` as they arrive; see `providers.Reply.pump`.

        Bytes go on first and are metered after. Raises `UpstreamError`.
        """
        assert self._reply is not None
        if self._held:
            more = write(self._let_go())
            if self._ended:
                return True
            if not more:
                self._lagged = True
                return False
        unread = self._unread

        def sink(chunk: bytes) -> bool:
            more = write(chunk)
            unread.append(chunk)
            if len(unread) >= self._patience or len(chunk) > UNREAD_BYTES:
                self._catch_up()
            return more

        pumping = self._reply.pump(sink)
        try:
            ended = await (pumping if self._job.deadline is None else self._within(pumping))
        except Exception as problem:
            self._problem = problem
            raise
        if ended:
            self._ended = True
            self._check_end()
        else:
            self._lagged = True
        return ended

    def _let_go(self) -> bytes:
        held, self._held = self._held or [], None
        if self._given is False:
            self._given = True
        return b"".join(held)

    def _saw(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._copy is not None:
            self._copy.add(chunk)
        if self._kept is not None:
            self._kept.append(chunk)
            if self._bytes > self._kept_most:
                self._kept = None
        meter = self._meter
        if meter is not None:
            meter.feed(chunk)
            if meter.saw_content and self._first_content_ms is None:
                self._first_content_ms = self._ms_since(self._sent)
                if self._started is not None and (standings := self._means.standings) is not None:
                    standings.answers(self._job.place, self._job.model.id, self._started)
                self._patience = UNREAD_CHUNKS
        if self._validator is not None:
            self._validator.feed(chunk)

    def _catch_up(self) -> None:
        """Count and meter what has gone on meanwhile. Before anything of it is looked at."""
        if unread := self._unread:
            chunk = unread[0] if len(unread) == 1 else b"".join(unread)
            unread.clear()
            self._saw(chunk)

    def _check_end(self) -> None:
        self._catch_up()
        meter = self._meter
        if meter is not None and meter.readable and not (meter.complete or meter.error_type):
            self._problem = UpstreamBroken(f"the platform ended the stream before {meter.ends_with}")
            raise self._problem

    async def hold_whole(self, most: int) -> bool:
        """Read an answer to its end without giving anything of it, and settle its call; whether it came within so many
        bytes. A longer one is given from its beginning, the rest as it comes. Raises `UpstreamError`."""
        if not self.is_event_stream:
            await self.body()
            self._given = False
            self.end()
            return self._bytes <= most
        held = self._held = self._held or []
        while not self._ended:
            if self._bytes > most:
                return False
            await self._hold_more(held)
        self._check_end()
        self._given = False
        self.end()
        return True

    async def body(self) -> bytes:
        """A whole JSON answer. Raises `UpstreamError` when it does not arrive whole."""
        if self._given is False:
            self._given = True
        if self._body is None and not await self._collect(MAX_ANSWER_BYTES):
            self._problem = UpstreamBroken(f"the platform's answer is over {MAX_ANSWER_BYTES} bytes")
            raise self._problem
        return self._body or b""

    async def _collect(self, most: int) -> bool:
        """Read a JSON answer on, to its end or past so many bytes; whether that was its end."""
        parts = self._held = self._held or []
        while chunk := await self._take():
            parts.append(chunk)
            self._saw(chunk)
            if self._bytes > most:
                return False
        body = self._body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._held = None
        meter = ChatReplyMeter if self._job.endpoint == "chat" else ReplyMeter
        self._whole = meter(body, self.header(b"content-encoding"))
        return True

    async def hold_back(self, most_s: float, silent_s: float = 0.0) -> None:
        """Read on until another platform could not take over: to the end of a JSON answer, to the first content of a
        stream, or its error or end, or for `most_s` seconds. What was read is given when it is asked for. Of an error
        answer no more is waited for than shows what it is.

        With `silent_s` a stream must say something within it, and `most_s` begins then: until then there is nothing to
        give. Raises `UpstreamError`.
        """
        if self.status >= HTTP_ERRORS:
            try:
                async with asyncio.timeout(min(ERROR_S, most_s)):
                    await self._collect(MAX_HELD_BYTES)
            except TimeoutError:
                pass
            return
        if not self.is_event_stream:
            await self.body()
            return
        meter = self._meter
        held: list[bytes] = []
        self._held = held
        assert meter is not None
        if silent_s:
            await self._spoken(self._hold_more(held), silent_s, "first_event")
        try:
            async with asyncio.timeout(most_s):
                while self._bytes <= MAX_HELD_BYTES and not self._is_decided(meter):
                    await self._hold_more(held)
        except TimeoutError:
            return
        if self._ended:
            self._check_end()

    def _is_decided(self, meter: StreamMeter | ChatStreamMeter) -> bool:
        """Whether no other platform could take over any more, or one must."""
        return self._ended or not meter.readable or meter.saw_content or meter.error_type is not None

    async def _hold_more(self, held: list[bytes]) -> None:
        chunk = await self._take()
        if chunk:
            held.append(chunk)
            self._saw(chunk)

    async def _spoken(self, work: Awaitable[T], silent_s: float, phase: DeadlinePhase) -> T:
        """Work that ends when the platform says something, which it must within `silent_s`."""
        try:
            async with asyncio.timeout(silent_s):
                return await work
        except TimeoutError:
            self._problem = UpstreamTimeout(
                f"the platform said nothing for {silent_s:g} s, and another one may answer", phase
            )
            raise self._problem from None

    async def _take(self) -> bytes:
        assert self._reply is not None
        reading = self._reply.read()
        try:
            chunk = await (reading if self._job.deadline is None else self._within(reading))
        except Exception as problem:
            self._problem = problem
            raise
        self._ended = self._ended or not chunk
        return chunk

    async def _within(self, work: Awaitable[T]) -> T:
        """Work under the deadline of the call."""
        left_s = (self._job.deadline or 0.0) - self._means.runtime.monotonic()
        try:
            async with asyncio.timeout(left_s):
                return await work
        except TimeoutError:
            self._problem = UpstreamTimeout("the deadline of this call has passed", "total")
            raise self._problem from None

    def _ms_since(self, moment: float) -> float:
        """Milliseconds, in whole microseconds."""
        return int((self._means.runtime.monotonic() - moment) * 1_000_000) / 1000

    def cost(self) -> NanoUSD:
        """What the request costs, with all attempts, and the checks of its answers; final once this one has ended."""
        cost = 0 if self._attempt is None else self._attempt.cost_nanousd
        if (judged := self.judgement) is not None:
            cost += judged.checks_nanousd + sum(attempt.cost_nanousd for attempt in judged.after)
        return NanoUSD(cost + sum(attempt.cost_nanousd for attempt in self.before) if self.before else cost)

    def judged(self, verdicts: tuple[Verdict, ...]) -> Attempt:
        """Its attempt, with what verifiers said of its answer, which has come whole."""
        attempt = self._attempt = msgspec.structs.replace(self.end(), verdicts=verdicts)
        return attempt

    def given_away(self) -> None:
        """What was held back of it was read by whoever asked for it."""
        self._held, self._given = None, True

    def judge_after(self, afterwards: Afterwards, most: int) -> None:
        """Let the answer, once it has gone out whole, be judged before it is recorded; of one that is longer than
        `most` bytes nothing is judged."""
        self._after = afterwards
        self._kept, self._kept_most = [], most

    @property
    def went_by(self) -> bytes | None:
        """The answer as it went to the client, where it is judged afterwards; `None`: it was too long."""
        return self._body if self._body is not None else None if self._kept is None else b"".join(self._kept)

    @property
    def is_whole(self) -> bool:
        """Whether it is a stream that has come to its proper end, as far as it was read."""
        return self._meter is not None and self._meter.complete

    @property
    def error_type(self) -> str | None:
        """The vendor's type of an error in the answer, as far as it was read."""
        meter = self._meter or self._whole
        return None if meter is None else meter.error_type

    def close(self, problem: BaseException | None = None) -> None:
        """End the call and record the request. Idempotent; never raises or waits."""
        if self._closed:
            return
        attempt = self.end(problem)
        self._closed = True
        if self._after is not None and attempt.result == "ok":
            self._after(self, attempt)
        else:
            self.record(attempt)

    def record(self, attempt: Attempt) -> None:
        """Write the request down. Once, after `close`, and by that except where the answer is judged afterwards."""
        job = self._job
        outcome = outcome_of(
            job,
            attempt,
            self.hold,
            self._means.runtime,
            Delivery(
                self.before,
                self.status,
                self._problem,
                self.simulated,
                self._bytes,
                self._ms_since(job.arrived),
                self.warned,
                self._given is False,
            ),
            self.judgement,
        )
        recorder = self._means.recorder
        if (task := self._job.task) is not None and (tasking := self._means.tasking) is not None:
            tasking.settle(task, outcome)
        recorder.record(outcome, self._job.call.headers)
        if job.recorded is not None:
            job.recorded(outcome)
        if self._copy is not None:
            self._copy.end(outcome, self.is_event_stream, self.header(b"content-encoding"))
        if self._validator is not None and self._ended and (problems := self._validator.finish()):
            recorder.invalid_stream()
            _log.warning(
                "request %s: the platform broke the event rules: %s", self._job.id, "; ".join(problems)
            )

    def carry(self) -> None:
        """It is not recorded here: its attempt is among those before another one of the same request."""
        self._closed = True
        if self._copy is not None:
            self._copy.drop()

    def end(self, problem: BaseException | None = None) -> Attempt:
        """Cut what is unfinished and settle the hold. Idempotent; never raises or waits. `close` or `carry` follows."""
        if self._attempt is not None:
            return self._attempt
        self._catch_up()
        self._problem = problem = self._problem or problem
        if self._reply is not None:
            self._reply.close()
        job, means = self._job, self._means
        result = self._result()
        try:
            billed = bill(
                job, self.status, problem, self._meter, self._whole, self.hold.amount, means.catalogue
            )
        except Exception:
            # Whatever a platform's numbers do to the arithmetic, the call is accounted for, at its worst case.
            _log.exception("request %s: its usage cannot be priced; settled at the worst case", job.id)
            billed = (self.hold.amount, "estimated", None)
        means.ledger.settle(self.hold, billed[0], billed_in_and_out(billed))
        attempt = self._attempt = self._as_attempt(result, billed)
        if problem is not None or self.status < 500:  # an overloaded platform answers, and does not work
            means.watch.saw(job.provider.name, problem)
        if self._started is not None and means.standings is not None:
            ending = ending_of(self.status, self.error_type, problem, self._body or b"")
            ended = Ended(ending, self._started, self.status, self.headers, self._lagged)
            tell(means.standings, means.watch, job, attempt, ended)
        return attempt

    def _result(self) -> Literal["ok", "error", "truncated", "cancelled"]:
        if isinstance(self._problem, Exception):
            return "truncated" if 0 < self.status < HTTP_ERRORS else "error"
        # An error event is the end of a stream, and a status that says enough that of its answer, whether anybody read
        # on or not.
        failed = self.error_type is not None or self.status >= HTTP_ERRORS
        if self._problem is not None or not (self._ended or failed):
            return "cancelled"
        return "error" if failed else "ok"

    def _as_attempt(self, result: Literal["ok", "error", "truncated", "cancelled"], billed: Bill) -> Attempt:
        job, (cost, source, usage) = self._job, billed
        meter = self._meter or self._whole
        problem = self._problem
        error = meter.error_type if meter is not None else None
        if error is not None and self._whole is not None and self._whole.error_message:
            error = shortened(f"{error}: {self._whole.error_message}", MAX_ERROR_CHARS)
        elif self.status >= HTTP_ERRORS and self._body is None:
            error = f"status {self.status}: its body was not waited for"
        if isinstance(problem, Exception):
            error = shortened(f"{type(problem).__name__}: {problem}", MAX_ERROR_CHARS)
        # In the order of the fields: by name, msgspec takes 1 us more.
        return Attempt(
            job.provider.name,
            job.send_model,
            result,
            self.status or None,
            error,
            (self.header(b"request-id") or self.header(b"x-request-id")).decode("latin-1") or None,
            meter.model if meter is not None else None,
            meter.stop_reason if meter is not None else None,
            usage,
            self.hold.amount,
            cost,
            source,
            self._head_ms,
            self._first_content_ms,
            self._ms_since(self._sent),
            job.account,
            None if job.step is None else job.plan.arm,
            job.step or 0,
        )
