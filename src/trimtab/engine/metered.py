"""The lower floor: reserve, call, settle, record. Every upstream call of the program is one `Job` here.

Invariant: once `Metered.call` was entered, exactly one `Outcome` is recorded and the hold is settled, whatever
happens: an answer, an error, a cut, a deadline, a client that goes away.
"""

import asyncio
import datetime
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import msgspec

from trimtab.catalogue import Catalogue, Model, NanoUSD, upper_bound_tokens
from trimtab.engine.ledger import Hold, Ledger
from trimtab.engine.recording import Recorder
from trimtab.errors import TrimtabError, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from trimtab.messages import ReplyMeter, StreamMeter, StreamValidator, Usage, merge_usage
from trimtab.providers import Call, Headers, Provider, Reply
from trimtab.records import Attempt, CostSource, Outcome, Plan, Purpose, RequestId

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A whole JSON answer is collected before it goes on (its cost is a header); larger ones are refused."""

MAX_IMAGE_TOKENS = 4784
"""Source: vendor image table (2026-11), high-resolution tier."""

T = TypeVar("T")
_log = logging.getLogger("trimtab.engine")


class Runtime(msgspec.Struct, frozen=True):
    """What the engine takes from the outside world."""

    clock_ms: Callable[[], int]
    """Unix milliseconds."""
    monotonic: Callable[[], float]
    """Seconds, never going back."""
    config_version: str
    catalogue_version: str
    validate_streams: bool = False
    """Debug mode: hold every stream against the event rules and log what breaks them."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One call to be made, with everything that its record will say."""

    id: RequestId
    purpose: Purpose
    endpoint: Literal["messages", "count_tokens"]
    requested_model: str
    session: str
    plan: Plan
    model: Model
    send_model: str
    provider: Provider
    call: Call
    max_tokens: int | None
    input_bound: int
    """Input tokens, at most; see `input_bound`."""
    fast: bool = False
    """Fast mode is asked for, which costs more where the model has it."""
    us_only: bool = False
    """US-only inference is asked for, which costs more."""
    may_think: bool = False
    """Hidden thinking may be billed, so a cut answer cannot be estimated from what was seen."""
    arrived_ms: int
    arrived: float
    request_bytes: int
    adaptations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent: RequestId | None = None
    deadline: float | None = None
    """Monotonic seconds; the call is cut when it passes."""


def input_bound(raw: bytes, model: Model) -> int:
    """Input tokens of a body, at most. Never more than the model's context, which a longer request cannot pass.

    A byte is at least one token's share of text; an image costs at most `MAX_IMAGE_TOKENS` however few bytes name
    it; documents and files have no such bound, so they count as a full context. Cost: three searches of the body.
    """
    context = model.limits.context
    if b'"document"' in raw or b'"file"' in raw:
        return context
    return min(context, upper_bound_tokens(len(raw)) + MAX_IMAGE_TOKENS * raw.count(b'"image"'))


def most_output(job: Job) -> int:
    """Output tokens, at most: what was asked for, or all that fits the context."""
    return min(job.max_tokens or 0, job.model.limits.context)


class Metered:
    """Makes jobs happen and accounts for them."""

    def __init__(self, catalogue: Catalogue, ledger: Ledger, recorder: Recorder, runtime: Runtime) -> None:
        self.catalogue = catalogue
        self.ledger = ledger
        self.recorder = recorder
        self.runtime = runtime

    async def call(self, job: Job) -> "MeteredReply":
        """Reserve, send, and wait for the response head. Spends money.

        The caller must `close` the reply, also after an error. Raises `UpstreamError` when no head came; the
        attempt is then settled and recorded already.
        """
        reply = MeteredReply(self, job)
        try:
            await reply.open()
        except BaseException as problem:
            reply.close(problem)
            raise
        return reply

    def at(self, job: Job) -> datetime.datetime:
        """The time that prices a job: its arrival."""
        return datetime.datetime.fromtimestamp(job.arrived_ms / 1000, datetime.UTC)

    def worst_case(self, job: Job) -> NanoUSD:
        """The most that the job can cost, unbounded server tools aside; 0 for endpoints that bill nothing."""
        if job.endpoint == "count_tokens":
            return NanoUSD(0)
        return self.catalogue.worst_case(
            job.model,
            job.input_bound,
            most_output(job),
            self.at(job),
            platform=job.provider.platform,
            fast=job.fast,
            us=job.us_only,
        )


class MeteredReply:
    """An answer on its way through. Read it to the end, then `close`; closing early cuts the platform off."""

    def __init__(self, metered: Metered, job: Job) -> None:
        self._metered = metered
        self._job = job
        self._hold: Hold = metered.ledger.reserve(metered.worst_case(job), simulated=job.provider.simulated)
        self._sent = metered.runtime.monotonic()
        self._reply: Reply | None = None
        self._meter: StreamMeter | None = None
        self._whole: ReplyMeter | None = None
        self._validator: StreamValidator | None = None
        self._head_ms: float | None = None
        self._first_content_ms: float | None = None
        self._bytes = 0
        self._ended = False
        self._closed = False
        self._cost = NanoUSD(0)
        self._problem: BaseException | None = None
        self.status = 0
        self.headers: Headers = []
        self.is_event_stream = False
        self.simulated = job.provider.simulated
        """Whether no real model answers. Known for certain once the head has arrived."""

    @property
    def job(self) -> Job:
        """What was asked."""
        return self._job

    @property
    def at_boundary(self) -> bool:
        """Whether another event may be written to the client now."""
        return self._meter is not None and self._meter.at_boundary

    async def open(self) -> None:
        """Send the call and take the response head."""
        job = self._job
        reply = self._reply = await self._within(job.provider.send(job.call))
        self._head_ms = self._since_sent()
        self.status = reply.status
        self.headers = reply.headers
        encoding = self.header(b"content-encoding")
        if self.header(b"x-trimtab-simulated") == b"true":
            # A simulated platform behind an HTTP address stays simulated.
            self.simulated = True
            self._metered.ledger.mark_simulated(self._hold)
        self.is_event_stream = self.header(b"content-type").startswith(b"text/event-stream")
        if self.is_event_stream:
            self._meter = StreamMeter(encoding)
            if self._metered.runtime.validate_streams and not encoding:
                self._validator = StreamValidator()

    def header(self, name: bytes) -> bytes:
        """The first response header of this (lower-case) name, or empty."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""

    async def read(self) -> bytes:
        """The next bytes of an event stream; `b""` at its proper end. Raises `UpstreamError`."""
        chunk = await self._take()
        meter = self._meter
        if chunk and meter is not None:
            meter.feed(chunk)
            if self._first_content_ms is None and meter.saw_content:
                self._first_content_ms = self._since_sent()
            if self._validator is not None:
                self._validator.feed(chunk)
        elif meter is not None and meter.readable and not (meter.complete or meter.error_type):
            self._problem = UpstreamBroken("the platform ended the stream before message_stop")
            raise self._problem
        return chunk

    async def body(self) -> bytes:
        """A whole JSON answer. Raises `UpstreamError` when it does not arrive whole."""
        parts = []
        while chunk := await self._take():
            parts.append(chunk)
            if self._bytes > MAX_ANSWER_BYTES:
                self._problem = UpstreamBroken(f"the platform's answer is over {MAX_ANSWER_BYTES} bytes")
                raise self._problem
        body = b"".join(parts)
        self._whole = ReplyMeter(body, self.header(b"content-encoding"))
        return body

    async def _take(self) -> bytes:
        assert self._reply is not None
        try:
            chunk = await self._within(self._reply.read())
        except UpstreamError as problem:
            self._problem = problem
            raise
        self._bytes += len(chunk)
        self._ended = self._ended or not chunk
        return chunk

    async def _within(self, work: Awaitable[T]) -> T:
        deadline = self._job.deadline
        if deadline is None:
            return await work
        left_s = deadline - self._metered.runtime.monotonic()
        try:
            async with asyncio.timeout(left_s):
                return await work
        except TimeoutError:
            self._problem = UpstreamTimeout("the deadline of this call has passed", "total")
            raise self._problem from None

    def _since_sent(self) -> float:
        return (self._metered.runtime.monotonic() - self._sent) * 1000

    def cost(self) -> NanoUSD:
        """What the call costs; final once it is closed."""
        return self._cost

    def close(self, problem: BaseException | None = None) -> None:
        """Cut what is unfinished, settle the hold and record the outcome. Idempotent; never raises or waits."""
        if self._closed:
            return
        self._closed = True
        self._problem = self._problem or problem
        if self._reply is not None:
            self._reply.close()
        result = self._result()
        try:
            cost, source, usage = self._settlement(result)
        except Exception:
            # Whatever a platform's numbers do to the arithmetic, the call is accounted for, at its worst case.
            _log.exception("request %s: its usage cannot be priced; settled at the worst case", self._job.id)
            cost, source, usage = self._hold.amount, "estimated", None
        self._cost = cost
        self._metered.ledger.settle(self._hold, cost)
        self._metered.recorder.record(self._outcome(result, cost, source, usage))
        if self._validator is not None and self._ended and (problems := self._validator.finish()):
            self._metered.recorder.invalid_stream()
            _log.warning(
                "request %s: the platform broke the event rules: %s", self._job.id, "; ".join(problems)
            )

    def _result(self) -> Literal["ok", "error", "truncated", "cancelled"]:
        if isinstance(self._problem, TrimtabError):
            return "truncated" if 0 < self.status < 400 else "error"
        if self._problem is not None or not self._ended:
            return "cancelled"
        stream_error = self._meter is not None and self._meter.error_type is not None
        return "error" if self.status >= 400 or stream_error else "ok"

    def _settlement(self, result: str) -> tuple[NanoUSD, CostSource, Usage | None]:
        """(cost, where it comes from, usage). Never under-counts: what may have been billed is estimated high."""
        meter = self._meter or self._whole
        usage = meter.usage if meter is not None else None
        if self._unbilled():
            return NanoUSD(0), "unbilled", usage
        stop_reason = meter.stop_reason if meter is not None else None
        # A final stop reason means that the usage beside it is the final one, even if the stream then broke.
        if usage is not None and (result == "ok" or stop_reason is not None):
            return self._price(usage), "reported", usage
        estimate = self._estimate(usage)
        return self._price(estimate), "estimated", estimate

    def _unbilled(self) -> bool:
        problem = self._problem
        if self._job.endpoint == "count_tokens" or self.status >= 400 or isinstance(problem, UpstreamRefused):
            return True
        if isinstance(problem, UpstreamTimeout) and problem.phase == "connect":
            return True
        # Source: vendor refusal page (2026-11): a refusal before any output is not billed.
        if self._meter is not None:
            return self._meter.stop_reason == "refusal" and not self._meter.saw_content
        return (
            self._whole is not None and self._whole.stop_reason == "refusal" and not self._whole.has_content
        )

    def _estimate(self, usage: Usage | None) -> Usage:
        job = self._job
        most = most_output(job)
        if self._meter is None or job.may_think:
            output = most
        else:
            seen = upper_bound_tokens(self._meter.content_bytes)
            reported = (usage.output_tokens or 0) if usage is not None else 0
            output = max(min(seen, most), reported)
        if usage is None or usage.input_tokens is None:
            usage = merge_usage(usage, Usage(input_tokens=job.input_bound))
        return merge_usage(usage, Usage(output_tokens=output))

    def _price(self, usage: Usage) -> NanoUSD:
        job = self._job
        return self._metered.catalogue.price(
            job.model, usage, self._metered.at(job), platform=job.provider.platform
        )

    def _outcome(
        self,
        result: Literal["ok", "error", "truncated", "cancelled"],
        cost: NanoUSD,
        source: CostSource,
        usage: Usage | None,
    ) -> Outcome:
        job = self._job
        runtime = self._metered.runtime
        meter = self._meter or self._whole
        problem = self._problem
        error = meter.error_type if meter is not None else None
        if isinstance(problem, TrimtabError):
            error = f"{type(problem).__name__}: {problem}"
        status = self.status or (problem.status if isinstance(problem, TrimtabError) else 499)
        attempt = Attempt(
            platform=job.provider.name,
            model=job.send_model,
            result=result,
            status=self.status or None,
            error=error,
            provider_request_id=self.header(b"request-id").decode("latin-1") or None,
            response_model=meter.model if meter is not None else None,
            stop_reason=meter.stop_reason if meter is not None else None,
            usage=usage,
            reserved_nanousd=self._hold.amount,
            cost_nanousd=cost,
            cost_source=source,
            head_ms=self._head_ms,
            first_content_ms=self._first_content_ms,
            total_ms=self._since_sent(),
        )
        return Outcome(
            id=job.id,
            at_ms=job.arrived_ms,
            purpose=job.purpose,
            surface="messages",
            endpoint=job.endpoint,
            requested_model=job.requested_model,
            session=job.session,
            result=result,
            status=status,
            stream=job.call.stream,
            plan=job.plan,
            attempts=(attempt,),
            error=error,
            cost_nanousd=cost,
            adaptations=job.adaptations,
            tags=job.tags,
            parent=job.parent,
            simulated=self.simulated,
            request_bytes=job.request_bytes,
            response_bytes=self._bytes,
            total_ms=(runtime.monotonic() - job.arrived) * 1000,
            config_version=runtime.config_version,
            catalogue_version=runtime.catalogue_version,
        )
