"""The lower floor: reserve, call, settle, record. Every upstream call of the program is one `Job` here.

Invariants: no call goes out whose worst case was not reserved and whose intent was not written down; once
`Metered.call` was entered, exactly one `Outcome` is recorded and the hold is settled, whatever happens: an answer, an
error, a cut, a deadline, a client that goes away.
"""

import asyncio
import datetime
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from trimtab.budgets import Hold, Ledger
from trimtab.catalogue import Catalogue, Model, NanoUSD, upper_bound_tokens
from trimtab.engine.platform_watch import PlatformWatch
from trimtab.engine.recording import Copy, Keep, Recorder
from trimtab.errors import (
    RequestError,
    TrimtabError,
    Unavailable,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamTimeout,
    shortened,
)
from trimtab.messages import ReplyMeter, ServerToolUse, StreamMeter, StreamValidator, Usage
from trimtab.messages.chat import ChatReplyMeter, ChatStreamMeter
from trimtab.providers import Call, Headers, Provider, Reply, Sink
from trimtab.records import (
    MAX_ERROR_CHARS,
    NOBODY,
    Attempt,
    Caller,
    CostSource,
    Endpoint,
    Intent,
    Outcome,
    Plan,
    Purpose,
    RequestId,
)

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A whole JSON answer is collected before it goes on (its cost is a header); larger ones are refused."""

UNREAD_CHUNKS = 32
UNREAD_BYTES = 2 * 1024
"""So many pieces of a stream, none of them larger, may have gone on to the client before the meter reads them: a third
of a stream's own work was metering each event as it came."""

HTTP_OK = 200
HOUR_MS = 3_600_000

T = TypeVar("T")
_log = logging.getLogger("trimtab.engine")


class Runtime(msgspec.Struct, frozen=True):
    """What the engine takes from the outside world."""

    monotonic: Callable[[], float]
    """Seconds, never going back."""
    config_version: str
    catalogue_version: str
    validate_streams: bool = False
    """Debug mode: hold every stream against the event rules and log what breaks them."""
    outgoing: Callable[[RequestId, Headers], Headers] | None = None
    """Changes the headers of a call that goes out, for tracing; `None` leaves them as they are. Never raises."""
    keep: Keep | None = None
    """Keeps prompts and answers, where the policy asks for it."""


class Job(msgspec.Struct, frozen=True):
    """One call to be made, with everything that its record will say."""

    id: RequestId
    purpose: Purpose
    endpoint: Endpoint
    requested_model: str
    session: str
    plan: Plan
    model: Model
    send_model: str
    provider: Provider
    call: Call
    max_tokens: int | None
    input_bound: int
    """Input tokens, at most; see `bounds.input_bound`."""
    request_bytes: int
    arrived_ms: int
    arrived: float
    caller: Caller = NOBODY
    fast: bool = False
    """Fast mode is asked for, which costs more where the model has it."""
    us_only: bool = False
    """US-only inference is asked for, which costs more."""
    may_think: bool = False
    """Hidden thinking may be billed, so a cut answer cannot be estimated from what was seen."""
    asked: bytes | None = None
    """The body as the client sent it, where prompts are kept. `None` where they are not, so that it can be let go of,
    and for calls of our own, whose body is the call's."""
    adaptations: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent: RequestId | None = None
    answers: int = 1
    """How many answers are asked for at once, each of `max_tokens`."""
    hides_usage: bool = False
    """A stream was asked for its usage by us, not by the client, to whom the chunk that holds it does not go."""
    deadline: float | None = None
    """Monotonic seconds; the call is cut when it passes."""


@functools.lru_cache(maxsize=8)
def _priced_at(hour: int) -> datetime.datetime:
    """The moment that prices a call: the hour (since 1970) of its arrival. Prices are those of a day."""
    return datetime.datetime.fromtimestamp(hour * 3600, datetime.UTC)


def most_output(job: Job) -> int:
    """Output tokens, at most: what was asked for, or all that fits the context."""
    return min(job.max_tokens or 0, job.model.limits.context) * job.answers


def _asked(job: Job) -> bytes:
    body = job.call.body if job.asked is None else job.asked
    return body if isinstance(body, bytes) else b""


class Metered:
    """Makes jobs happen and accounts for them."""

    def __init__(self, catalogue: Catalogue, ledger: Ledger, recorder: Recorder, runtime: Runtime) -> None:
        self.catalogue = catalogue
        self.ledger = ledger
        self.recorder = recorder
        self.runtime = runtime
        self.watch = PlatformWatch()
        self.simulated: set[str] = set()
        """Platforms behind HTTP that said in their last answer that they are simulated: their money is held on that
        side from the start."""

    async def reserve(self, job: Job) -> Hold:
        """Leave for a job within its caller's limits, with its intent written down. `call` it next, without waiting.

        Waits only for a caller with limits whose slice is used up. Raises `RateLimited`, `BudgetSpent`, or
        `Unavailable` when the limits cannot be checked or the journal cannot be written.
        """
        at = _priced_at(job.arrived_ms // HOUR_MS)
        provider = job.provider
        simulated = provider.simulated or provider.name in self.simulated
        hold = await self.ledger.reserve(self.worst_case(job, at), simulated=simulated, caller=job.caller)
        if hold.amount and not self.recorder.intend(self._intent(job, hold)) and hold.takes_money:
            self.ledger.settle(hold, NanoUSD(0))
            raise Unavailable("calls of a key with limited money cannot be journalled now; try again", 1)
        return hold

    async def call(self, job: Job, hold: Hold) -> "MeteredReply":
        """Send, and wait for the response head. Spends money.

        The caller must `close` the reply, also after an error. Raises `UpstreamError` when no head came; the
        attempt is then settled and recorded already.
        """
        reply = MeteredReply(self, job, hold)
        try:
            await reply.open()
        except BaseException as problem:
            reply.close(problem)
            raise
        return reply

    def _intent(self, job: Job, hold: Hold) -> Intent:
        caller, runtime = job.caller, self.runtime
        # In the order of the fields: by name, msgspec takes 0.9 us more.
        return Intent(
            job.id,
            job.arrived_ms,
            job.purpose,
            job.endpoint,
            job.requested_model,
            job.session,
            job.plan,
            job.send_model,
            hold.amount,
            job.call.stream,
            hold.simulated,
            hold.takes_money,
            job.request_bytes,
            job.tags,
            job.parent,
            caller.key,
            caller.organisation,
            caller.team,
            caller.user,
            runtime.config_version,
            runtime.catalogue_version,
        )

    def worst_case(self, job: Job, at: datetime.datetime) -> NanoUSD:
        """The most that the job can cost, unbounded server tools aside; 0 for endpoints that bill nothing."""
        if job.endpoint == "count_tokens":
            return NanoUSD(0)
        return self.catalogue.worst_case(
            job.model,
            job.input_bound,
            most_output(job),
            at,
            platform=job.provider.platform,
            fast=job.fast,
            us=job.us_only,
            regional=job.provider.regional,
        )


class MeteredReply:
    """An answer on its way through. Read it to the end, then `close`; closing early cuts the platform off."""

    __slots__ = (
        "_bytes",
        "_closed",
        "_copy",
        "_cost",
        "_ended",
        "_first_content_ms",
        "_head_ms",
        "_hold",
        "_job",
        "_meter",
        "_metered",
        "_named",
        "_patience",
        "_problem",
        "_reply",
        "_sent",
        "_unread",
        "_validator",
        "_whole",
        "headers",
        "is_event_stream",
        "simulated",
        "status",
    )

    def __init__(self, metered: Metered, job: Job, hold: Hold) -> None:
        self._metered = metered
        self._job = job
        self._hold = hold
        self._sent = metered.runtime.monotonic()
        self._reply: Reply | None = None
        self._meter: StreamMeter | ChatStreamMeter | None = None
        self._whole: ReplyMeter | ChatReplyMeter | None = None
        self._validator: StreamValidator | None = None
        self._head_ms: float | None = None
        self._first_content_ms: float | None = None
        self._bytes = 0
        self._ended = False
        self._closed = False
        self._cost = NanoUSD(0)
        self._problem: BaseException | None = None
        self._unread: list[bytes] = []
        """What went on to the client and is not counted, kept or metered yet."""
        self._patience = 1
        """How many pieces may be unread; one until the first content, whose time is noted."""
        self._copy: Copy | None = None
        if (keep := metered.runtime.keep) is not None and job.endpoint != "count_tokens":
            self._copy = keep.begin(_asked(job))
        self.status = 0
        self.headers: Headers = []
        self._named: Mapping[bytes, bytes] = {}
        self.is_event_stream = False
        self.simulated = hold.simulated
        """Whether no real model answers. Known for certain once the head has arrived."""

    @property
    def job(self) -> Job:
        """What was asked."""
        return self._job

    @property
    def at_boundary(self) -> bool:
        """Whether another event may be written to the client now."""
        self._catch_up()
        return self._meter is not None and self._meter.at_boundary

    async def open(self) -> None:
        """Send the call and take the response head."""
        job = self._job
        call = job.call
        if (outgoing := self._metered.runtime.outgoing) is not None:
            call = msgspec.structs.replace(call, headers=outgoing(job.id, call.headers))
        sending = job.provider.send(call)
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
            if self._metered.runtime.validate_streams and not encoding and not on_chat:
                self._validator = StreamValidator()

    def _find_out_if_simulated(self) -> None:
        """A simulated platform behind an HTTP address says so itself, in every answer."""
        job, metered = self._job, self._metered
        if job.provider.simulated:
            return
        if self.header(b"x-trimtab-simulated") == b"true":
            self.simulated = True
            metered.simulated.add(job.provider.name)
        elif self.status == HTTP_OK:
            self.simulated = False
            metered.simulated.discard(job.provider.name)
        if self._hold.simulated != self.simulated:
            metered.ledger.move(self._hold, simulated=self.simulated)

    def header(self, name: bytes) -> bytes:
        """The first response header of this (lower-case) name, or empty."""
        return self._named.get(name, b"")

    async def read(self) -> bytes:
        """The next bytes of an event stream; `b""` at its proper end. Raises `UpstreamError`."""
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
        return ended

    def _saw(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._copy is not None:
            self._copy.add(chunk)
        meter = self._meter
        if meter is not None:
            meter.feed(chunk)
            if meter.saw_content and self._first_content_ms is None:
                self._first_content_ms = self._ms_since(self._sent)
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

    async def body(self) -> bytes:
        """A whole JSON answer. Raises `UpstreamError` when it does not arrive whole."""
        parts = []
        while chunk := await self._take():
            parts.append(chunk)
            self._saw(chunk)
            if self._bytes > MAX_ANSWER_BYTES:
                self._problem = UpstreamBroken(f"the platform's answer is over {MAX_ANSWER_BYTES} bytes")
                raise self._problem
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        meter = ChatReplyMeter if self._job.endpoint == "chat" else ReplyMeter
        self._whole = meter(body, self.header(b"content-encoding"))
        return body

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
        left_s = (self._job.deadline or 0.0) - self._metered.runtime.monotonic()
        try:
            async with asyncio.timeout(left_s):
                return await work
        except TimeoutError:
            self._problem = UpstreamTimeout("the deadline of this call has passed", "total")
            raise self._problem from None

    def _ms_since(self, moment: float) -> float:
        """Milliseconds, in whole microseconds."""
        return int((self._metered.runtime.monotonic() - moment) * 1_000_000) / 1000

    def cost(self) -> NanoUSD:
        """What the call costs; final once it is closed."""
        return self._cost

    def close(self, problem: BaseException | None = None) -> None:
        """Cut what is unfinished, settle the hold and record the outcome. Idempotent; never raises or waits."""
        if self._closed:
            return
        self._closed = True
        self._catch_up()
        self._problem = self._problem or problem
        if self._reply is not None:
            self._reply.close()
        result = self._result()
        try:
            cost, source, usage = self._settlement()
        except Exception:
            # Whatever a platform's numbers do to the arithmetic, the call is accounted for, at its worst case.
            _log.exception("request %s: its usage cannot be priced; settled at the worst case", self._job.id)
            cost, source, usage = self._hold.amount, "estimated", None
        self._cost = cost
        self._metered.ledger.settle(self._hold, cost)
        outcome = self._outcome(result, cost, source, usage)
        self._metered.recorder.record(outcome, self._job.call.headers)
        if self._copy is not None:
            self._copy.end(outcome, self.is_event_stream, self.header(b"content-encoding"))
        self._metered.watch.saw(self._job.provider.name, self._problem)
        if self._validator is not None and self._ended and (problems := self._validator.finish()):
            self._metered.recorder.invalid_stream()
            _log.warning(
                "request %s: the platform broke the event rules: %s", self._job.id, "; ".join(problems)
            )

    def _result(self) -> Literal["ok", "error", "truncated", "cancelled"]:
        if isinstance(self._problem, Exception):
            return "truncated" if 0 < self.status < 300 else "error"
        if self._problem is not None or not self._ended:
            return "cancelled"
        stream_error = self._meter is not None and self._meter.error_type is not None
        return "error" if self.status >= 300 or stream_error else "ok"

    def _settlement(self) -> tuple[NanoUSD, CostSource, Usage | None]:
        """(cost, where it comes from, usage). Never under-counts: what may have been billed is estimated high."""
        meter = self._meter or self._whole
        usage = meter.usage if meter is not None else None
        if self._unbilled():
            return NanoUSD(0), "unbilled", usage
        if meter is not None and usage is not None and meter.final:
            return self._price(usage), "reported", usage
        if usage is None or not usage.input_said:
            return self._hold.amount, "estimated", usage
        estimate = self._estimate(usage)
        return self._price(estimate), "estimated", estimate

    def _unbilled(self) -> bool:
        problem = self._problem
        if self._job.endpoint == "count_tokens" or self.status >= 300 or isinstance(problem, UpstreamRefused):
            return True
        if isinstance(problem, UpstreamTimeout) and problem.phase == "connect":
            return True
        if (
            isinstance(problem, RequestError) and self.status == 0
        ):  # the platform has no words for it: not sent
            return True
        if self._job.provider.platform == "bedrock_converse":
            return False  # what AWS itself filters is a refusal there, and AWS does not say that it is free
        # Source: vendor refusal page (2026-11): a refusal before any output is not billed.
        if self._meter is not None:
            return self._meter.stop_reason == "refusal" and not self._meter.saw_content
        return (
            self._whole is not None and self._whole.stop_reason == "refusal" and not self._whole.has_content
        )

    def _estimate(self, reported: Usage) -> Usage:
        """What an answer that was cut may come to, from the input that its start reported."""
        job = self._job
        output, extra_input, searches = most_output(job), 0, 0
        if (meter := self._meter) is not None:
            if not job.may_think:
                output = min(upper_bound_tokens(meter.content_bytes), output)
            extra_input = upper_bound_tokens(meter.tool_result_bytes)
            searches = meter.server_tool_uses
        told = reported.server_tool_use
        if searches > ((told.web_search_requests or 0) if told is not None else 0):
            told = ServerToolUse(web_search_requests=searches)
        return msgspec.structs.replace(
            reported,
            input_tokens=(reported.input_tokens or 0) + extra_input,
            output_tokens=max(output, reported.output_tokens or 0),
            server_tool_use=told,
            iterations=None,
            speed=reported.speed or ("fast" if job.fast else None),
            inference_geo=reported.inference_geo or ("us" if job.us_only else None),
        )

    def _price(self, usage: Usage) -> NanoUSD:
        at, by = _priced_at(self._job.arrived_ms // HOUR_MS), self._job.provider
        price = self._metered.catalogue.price
        return price(self._job.model, usage, at, platform=by.platform, regional=by.regional)

    def _outcome(
        self,
        result: Literal["ok", "error", "truncated", "cancelled"],
        cost: NanoUSD,
        source: CostSource,
        usage: Usage | None,
    ) -> Outcome:
        job, runtime = self._job, self._metered.runtime
        caller = job.caller
        meter = self._meter or self._whole
        problem = self._problem
        error = meter.error_type if meter is not None else None
        if error is not None and self._whole is not None and self._whole.error_message:
            error = shortened(f"{error}: {self._whole.error_message}", MAX_ERROR_CHARS)
        if isinstance(problem, Exception):
            error = shortened(f"{type(problem).__name__}: {problem}", MAX_ERROR_CHARS)
        status = self.status or (problem.status if isinstance(problem, TrimtabError) else 499)
        # In the order of the fields: by name, msgspec takes 2 us more for these two.
        attempt = Attempt(
            job.provider.name,
            job.send_model,
            result,
            self.status or None,
            error,
            (self.header(b"request-id") or self.header(b"x-request-id")).decode("latin-1") or None,
            meter.model if meter is not None else None,
            meter.stop_reason if meter is not None else None,
            usage,
            self._hold.amount,
            cost,
            source,
            self._head_ms,
            self._first_content_ms,
            self._ms_since(self._sent),
        )
        return Outcome(
            job.id,
            job.arrived_ms,
            job.purpose,
            "chat" if job.endpoint == "chat" else "messages",
            job.endpoint,
            job.requested_model,
            job.session,
            result,
            status,
            job.call.stream,
            job.plan,
            (attempt,),
            error,
            cost,
            job.adaptations,
            job.observations,
            job.tags,
            job.parent,
            caller.key,
            caller.organisation,
            caller.team,
            caller.user,
            self.simulated,
            self._hold.takes_money,
            job.request_bytes,
            self._bytes,
            self._ms_since(job.arrived),
            runtime.config_version,
            runtime.catalogue_version,
        )
