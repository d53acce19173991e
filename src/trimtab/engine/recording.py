"""Where finished requests go: the store's queue and the metrics, in that order, always both."""

import logging
from typing import Protocol

from trimtab.engine.observing import Observe, error_type, says_of, steps_of
from trimtab.providers import Headers
from trimtab.records import Intent, Outcome, answered_by, arm_of, call_ending
from trimtab.telemetry import Metrics

NO_HEADERS: Headers = []

UNJUDGED = "none"
"""In the place of what verifiers came to."""

LIMITS = {"RateLimited": "rate", "BudgetSpent": "budget", "Unavailable": "unchecked"}
"""What a refused request's error says of the limits of its key; see `names.LIMITS_REFUSED`."""

_log = logging.getLogger("trimtab.engine")


class Sink(Protocol):
    """What keeps records; the store is one."""

    def intend(self, intent: Intent) -> bool:
        """Write down a call before it goes out; whether that worked. Never waits for a database, never raises."""
        ...

    def put(self, outcome: Outcome) -> None:
        """Take a record. Never blocks, never raises."""
        ...


class Copy(Protocol):
    """What is kept of one call while it goes through. Never waits, never raises."""

    def add(self, chunk: bytes) -> None:
        """A piece of the answer, as it goes to the client."""
        ...

    def end(self, outcome: Outcome, event_stream: bool, encoding: bytes) -> None:
        """It is over: its record, and how its answer is to be read."""
        ...

    def drop(self) -> None:
        """It is over, and another call of the same request takes its place: nothing of it is kept."""
        ...


class Keep(Protocol):
    """Keeps prompts and answers; built only where the policy asks for it, so that else nothing is called."""

    def begin(self, request: bytes) -> Copy:
        """A call goes out for this body, as the client sent it."""
        ...


class Recorder:
    """Writes one `Outcome` per request."""

    def __init__(self, sink: Sink, metrics: Metrics, observe: Observe | None = None) -> None:
        """`observe` is told of each request after all else; `None` where nobody asked for a log or traces."""
        self._sink = sink
        self._metrics = metrics
        self._observe = observe

    def intend(self, intent: Intent) -> bool:
        """Write down a call before it goes out; whether that worked. What is so written is recorded in any case."""
        return self._sink.intend(intent)

    def invalid_stream(self) -> None:
        """Count a stream that broke the event rules (debug mode)."""
        self._metrics.invalid_stream()

    def held_back(self, stream: bool, seconds: float) -> None:
        """Count how long an answer was held back that was judged before it went out."""
        self._metrics.held_back(stream, seconds)

    def record(self, outcome: Outcome, headers: Headers = NO_HEADERS) -> None:
        """Keep the record and count it. `headers` are the request's; only the trace context in them is read."""
        self._sink.put(outcome)
        try:
            self._count(outcome)
        except Exception:  # telemetry fails open: no number may cost a client its answer
            _log.exception("request %s: not counted in metrics", outcome.id)
        if self._observe is not None:
            try:
                self._observe(outcome, headers)
            except Exception:
                _log.exception("request %s: not shown in the access log or the traces", outcome.id)

    def _count(self, outcome: Outcome) -> None:
        plan, attempts = outcome.plan, outcome.attempts
        metrics = self._metrics
        answered = attempts[-1] if attempts else None
        if outcome.answered is not None:
            answered = answered_by(outcome)
        planned = plan.arm.model if plan else ""
        metrics.request(
            outcome.endpoint,
            planned if answered is None or answered.arm is None else answered.arm.model,
            answered.platform if answered is not None else plan.platform if plan else "",
            outcome.result,
            outcome.simulated,
            outcome.stream,
            outcome.total_ms / 1000,
        )
        if plan is None and (limit := LIMITS.get(error_type(outcome.error) or "")) is not None:
            metrics.limit_refused(limit)
        judged = False
        simulated = outcome.simulated
        counts = outcome.endpoint != "count_tokens"
        for attempt in attempts:
            model = planned if attempt.arm is None else attempt.arm.model
            if attempt.verdicts or attempt.step:
                judged = True
            source = attempt.cost_source
            first = attempt.first_content_ms
            metrics.attempt(
                model,
                attempt.platform,
                source,
                attempt.cost_nanousd,
                simulated,
                None if first is None else first / 1000,
            )
            if counts:
                ending = call_ending(attempt.result, attempt.status, attempt.error)
                metrics.call(model, attempt.platform, attempt.account, ending, simulated)
            if (usage := attempt.usage) is not None and source != "unbilled":
                if usage.input_tokens:
                    metrics.tokens(model, "input", usage.input_tokens, simulated)
                if usage.output_tokens:
                    metrics.tokens(model, "output", usage.output_tokens, simulated)
                if usage.cache_read_input_tokens:
                    metrics.tokens(model, "cache_read", usage.cache_read_input_tokens, simulated)
                if usage.cache_creation_input_tokens:
                    metrics.tokens(model, "cache_write", usage.cache_creation_input_tokens, simulated)
            if attempt.status is None and attempt.result != "cancelled":
                metrics.upstream_error(attempt.platform, "no_answer")
            elif attempt.result == "truncated":
                metrics.upstream_error(attempt.platform, "truncated")
        if judged:
            self._count_judged(outcome)

    def _count_judged(self, outcome: Outcome) -> None:
        metrics, simulated = self._metrics, outcome.simulated
        answered = answered_by(outcome)
        metrics.judged(says_of(() if answered is None else (answered,)) or UNJUDGED, simulated)
        before = ""
        for place, step in enumerate(steps_of(outcome), start=1):
            says = says_of(step) or UNJUDGED
            arm = arm_of(outcome, step[-1])
            metrics.step("" if arm is None else arm.model, place, says, simulated)
            if before:
                metrics.escalation(before, simulated)
            before = says
            for attempt in step:
                for verdict in attempt.verdicts:
                    said = "failed" if verdict.failed else verdict.says
                    metrics.verdict(
                        verdict.verifier, said, verdict.ms / 1000, verdict.cost_nanousd, simulated
                    )
