"""What the access log and the traces say of a finished request, told from its record.

What it is not: the record. Invariant: no message content, no error text (it may quote a message) and no session is
told; `requested_model` in the access log is the one value that a caller invents. It fails open and off the path.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from trimtab.messages import Usage
from trimtab.providers import Headers
from trimtab.records import Attempt, Outcome, Says, answered_by, arm_of, overall
from trimtab.telemetry import Metrics, names
from trimtab.telemetry.afterwards import Afterwards
from trimtab.telemetry.tracing import (
    AttributeValue,
    Span,
    TraceParent,
    Tracer,
    parent_of,
    span_id_of,
    trace_id_of,
)

PATHS = {
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "chat": "/v1/chat/completions",
}
OPERATIONS = {"messages": "chat", "count_tokens": "count_tokens", "chat": "chat"}
"""`gen_ai.operation.name`: the convention's word where it has one."""

Observe = Callable[[Outcome, Headers], None]
"""Takes a finished request with its request headers. Never waits, never raises."""

_access = logging.getLogger(names.ACCESS_LOGGER)


class _Finished(msgspec.Struct, frozen=True):
    outcome: Outcome
    headers: Headers
    vendors: Mapping[str, str]


class Observer:
    """Tells of finished requests in a thread of its own."""

    def __init__(self, metrics: Metrics, *, access: bool, tracer: Tracer | None) -> None:
        self._access = access
        self._tracer = tracer
        self._afterwards: Afterwards[_Finished] = Afterwards(self._tell, metrics.telemetry_dropped)

    def among(self, vendors: Mapping[str, str]) -> Observe:
        """What a recorder calls. `vendors` says what kind each platform entry is, for `gen_ai.provider.name`."""
        put = self._afterwards.put
        return lambda outcome, headers: put(_Finished(outcome, headers, vendors))

    def close(self, timeout_s: float) -> None:
        """Tell what is left, for at most `timeout_s`; blocks."""
        self._afterwards.close(timeout_s / 2)
        if self._tracer is not None:
            self._tracer.close(timeout_s / 2)

    def _tell(self, finished: _Finished) -> None:
        outcome = finished.outcome
        if self._access:
            fields = access_fields(outcome)
            text = f"{fields[names.ACCESS_METHOD]} {fields[names.ACCESS_PATH]}"
            _access.info(text, extra={names.LOG_REQUEST: outcome.id, "fields": fields})
        if self._tracer is not None:
            self._tracer.export(request_spans(outcome, finished.headers, finished.vendors))


def steps_of(outcome: Outcome) -> list[tuple[Attempt, ...]]:
    """The attempts of each step that was made, in order."""
    steps: dict[int, tuple[Attempt, ...]] = {}
    for attempt in outcome.attempts:
        steps[attempt.step] = (*steps.get(attempt.step, ()), attempt)
    return [steps[step] for step in sorted(steps)]


def says_of(attempts: Sequence[Attempt]) -> Says | None:
    """What verifiers came to on the answer of a step; `None`: nothing was judged."""
    verdicts = tuple(verdict for attempt in attempts for verdict in attempt.verdicts)
    return overall(verdicts) if verdicts else None


def _is_judged(outcome: Outcome) -> bool:
    return any(attempt.verdicts or attempt.step for attempt in outcome.attempts)


def access_fields(outcome: Outcome) -> dict[str, str | int | float | bool | None]:
    """The fields of a line of the access log, in the order of the documentation."""
    answered = answered_by(outcome)
    arm = arm_of(outcome, answered)
    judged = _is_judged(outcome)
    usage = [attempt.usage for attempt in outcome.attempts if attempt.usage is not None]
    return {
        names.ACCESS_METHOD: "POST",
        names.ACCESS_PATH: PATHS[outcome.endpoint],
        names.ACCESS_ENDPOINT: outcome.endpoint,
        names.ACCESS_KEY: outcome.key or None,
        names.ACCESS_REQUESTED_MODEL: outcome.requested_model[:80],
        names.ACCESS_MODEL: arm.model if arm is not None else None,
        names.ACCESS_ARM: str(arm) if arm is not None else None,
        names.ACCESS_PLATFORM: _platform(outcome),
        names.ACCESS_ATTEMPTS: len(outcome.attempts),
        names.ACCESS_STATUS: outcome.status,
        names.ACCESS_RESULT: outcome.result,
        names.ACCESS_ERROR: error_type(outcome.error),
        names.ACCESS_COST_USD: outcome.cost_nanousd / 1e9,
        names.ACCESS_COST_SOURCE: _cost_source(outcome),
        names.ACCESS_INPUT_TOKENS: sum(map(input_tokens, usage)) if usage else None,
        names.ACCESS_OUTPUT_TOKENS: sum(u.output_tokens or 0 for u in usage) if usage else None,
        names.ACCESS_STEPS: len(steps_of(outcome)) if judged else None,
        names.ACCESS_VERDICT: None if answered is None else says_of((answered,)),
        names.ACCESS_CHECKS_USD: outcome.checks_nanousd / 1e9 if judged else None,
        names.ACCESS_STREAM: outcome.stream,
        names.ACCESS_TOTAL_MS: outcome.total_ms,
        names.ACCESS_SIMULATED: outcome.simulated,
    }


def request_spans(outcome: Outcome, headers: Headers, vendors: Mapping[str, str]) -> tuple[Span, ...]:
    """A server span for the request, then a client span for each attempt."""
    parent = parent_of(headers)
    trace_id = trace_id_of(outcome.id, parent)
    start_ns = outcome.at_ms * 1_000_000
    end_ns = start_ns + _ns(outcome.total_ms)
    sampled = parent.sampled if parent is not None else True
    us = TraceParent(trace_id, span_id_of(outcome.id), sampled)
    server = Span(
        name=f"POST {PATHS[outcome.endpoint]}",
        kind="server",
        trace_id=trace_id,
        span_id=us.span_id,
        parent=parent,
        remote=True,
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=_request_attributes(outcome),
        failed=outcome.status >= 500 or outcome.result == "truncated",
    )
    spans = [server]
    attempt_end = end_ns
    # A record has no start of an attempt, but the last ends when the request does, and each before it earlier.
    for number, attempt in reversed(list(enumerate(outcome.attempts))):
        if number + 1 < len(outcome.attempts):  # what was checked before another step was begun
            attempt_end -= _ns(sum(verdict.ms for verdict in attempt.verdicts))
        attempt_start = max(start_ns, attempt_end - _ns(attempt.total_ms))
        spans.insert(
            1,
            Span(
                name=f"{OPERATIONS[outcome.endpoint]} {attempt.model}",
                kind="client",
                trace_id=trace_id,
                span_id=span_id_of(outcome.id, number),
                parent=us,
                start_ns=attempt_start,
                end_ns=attempt_end,
                attributes=_attempt_attributes(outcome, attempt, vendors),
                failed=attempt.result in ("error", "truncated"),
            ),
        )
        attempt_end = attempt_start
    return tuple(spans)


def _request_attributes(outcome: Outcome) -> dict[str, AttributeValue]:
    plan, answered = outcome.plan, answered_by(outcome)
    arm = arm_of(outcome, answered)
    judged = _is_judged(outcome)
    found: dict[str, AttributeValue | None] = {
        names.HTTP_METHOD: "POST",
        names.HTTP_ROUTE: PATHS[outcome.endpoint],
        names.HTTP_STATUS: outcome.status,
        names.ERROR_TYPE: error_type(outcome.error),
        names.SPAN_REQUEST: outcome.id,
        names.SPAN_PURPOSE: outcome.purpose,
        names.SPAN_RESULT: outcome.result,
        names.SPAN_STREAM: outcome.stream,
        names.SPAN_TIER: plan.tier if plan else None,
        names.SPAN_ARM: str(arm) if arm is not None else None,
        names.SPAN_EFFORT: arm.effort if arm is not None else None,
        names.SPAN_PLATFORM: _platform(outcome),
        names.SPAN_KEY: outcome.key or None,
        names.SPAN_COST_USD: outcome.cost_nanousd / 1e9,
        names.SPAN_STEP: len(steps_of(outcome)) if judged else None,
        names.SPAN_VERDICT: None if answered is None else says_of((answered,)),
        names.SPAN_CHECKS_USD: outcome.checks_nanousd / 1e9 if judged else None,
        names.SPAN_CONFIG_VERSION: outcome.config_version or None,
        names.SPAN_CATALOGUE_VERSION: outcome.catalogue_version or None,
        names.SPAN_SIMULATED: outcome.simulated,
    }
    return _given(found)


def _attempt_attributes(
    outcome: Outcome, attempt: Attempt, vendors: Mapping[str, str]
) -> dict[str, AttributeValue]:
    usage = attempt.usage
    found: dict[str, AttributeValue | None] = {
        names.GENAI_OPERATION: OPERATIONS[outcome.endpoint],
        names.GENAI_PROVIDER: vendors.get(attempt.platform),
        names.GENAI_REQUEST_MODEL: attempt.model,
        names.GENAI_RESPONSE_MODEL: attempt.response_model,
        names.GENAI_FINISH_REASONS: (attempt.stop_reason,) if attempt.stop_reason else None,
        names.HTTP_STATUS: attempt.status,
        names.ERROR_TYPE: error_type(attempt.error),
        names.SPAN_RESULT: attempt.result,
        names.SPAN_PLATFORM: attempt.platform,
        names.SPAN_ACCOUNT: attempt.account or None,
        names.SPAN_PLATFORM_REQUEST: attempt.provider_request_id,
        names.SPAN_FIRST_CONTENT_MS: attempt.first_content_ms,
        names.SPAN_COST_USD: attempt.cost_nanousd / 1e9,
        names.SPAN_COST_SOURCE: attempt.cost_source,
        names.SPAN_ARM: None if attempt.arm is None else str(attempt.arm),
        names.SPAN_STEP: attempt.step + 1 if attempt.step or attempt.verdicts else None,
        names.SPAN_VERDICT: says_of((attempt,)),
        names.SPAN_SIMULATED: outcome.simulated,
    }
    if usage is not None and attempt.cost_source != "unbilled":
        found[names.GENAI_INPUT_TOKENS] = input_tokens(usage)
        found[names.GENAI_OUTPUT_TOKENS] = usage.output_tokens
        found[names.GENAI_CACHE_READ_TOKENS] = usage.cache_read_input_tokens
        found[names.GENAI_CACHE_WRITE_TOKENS] = usage.cache_creation_input_tokens
    return _given(found)


def _platform(outcome: Outcome) -> str | None:
    """The entry that answered; where none was called, the one that would have been."""
    answered = answered_by(outcome)
    if answered is not None:
        return answered.platform
    return outcome.plan.platform if outcome.plan is not None else None


def _cost_source(outcome: Outcome) -> str | None:
    """Of the sum of all attempts: it is no better than the least certain of them."""
    sources = {attempt.cost_source for attempt in outcome.attempts}
    return next((source for source in ("estimated", "reported", "unbilled") if source in sources), None)


def input_tokens(usage: Usage) -> int:
    """All input, cached or not; the vendor counts only what was not cached as `input_tokens`."""
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return (usage.input_tokens or 0) + cached


def error_type(error: str | None) -> str | None:
    """The vendor's type, or our name for what broke, without its text."""
    if error is None:
        return None
    kind = error.partition(":")[0]
    return kind if kind.isidentifier() and len(kind) <= 64 else "other"


def _given(found: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {name: value for name, value in found.items() if value is not None}


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)
