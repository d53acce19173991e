"""From outcomes to flat rows: which columns there are, and what adds them up.

What it is not: the full record, which is kept as JSON in `requests.detail`; columns are what one filters and adds.
Invariant: `counts` (over `records.billed_tokens`) is the only arithmetic over usage here, so that rows, queued records
and gaps agree.
"""

import functools
from collections.abc import Sequence

import msgspec

from trimtab.records import Attempt, Outcome, answered_by, arm_of
from trimtab.records.billed import Tokens, billed_tokens, plain_count
from trimtab.records.verdict import Verdict, overall, quotes

Counts = tuple[int, ...]
"""Nine figures: requests, attempts, cost_nanousd, then tokens in the order of `TOKENS`."""

Row = tuple[str | int | float | bytes | None, ...]

NO_COUNTS: Counts = (0,) * 9

TOKENS = (
    "input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "thinking_tokens",
)

SUMMED = ("requests", "attempts", "cost_nanousd", *TOKENS)
"""The columns of `Counts`, in order."""

REQUESTS = (
    "id",
    "at_ms",
    "purpose",
    "surface",
    "endpoint",
    "requested_model",
    "model",
    "effort",
    "tier",
    "platform",
    "session",
    "result",
    "status",
    "error",
    "stream",
    "simulated",
    "attempt_count",
    "cost_nanousd",
    *TOKENS,
    "total_ms",
    "first_content_ms",
    "request_bytes",
    "response_bytes",
    "config_version",
    "catalogue_version",
    "parent",
    "key_id",
    "team_id",
    "organisation",
    "route",
    "task_class",
    "task",
    "phase",
    "detail",
)

ATTEMPTS = (
    "request_id",
    "n",
    "platform",
    "model",
    "status",
    "result",
    "error",
    "stop_reason",
    "provider_request_id",
    "cost_nanousd",
    "cost_source",
    *TOKENS,
    "head_ms",
    "first_content_ms",
    "total_ms",
    "account",
)

JUDGED = (
    "request_id",
    "n",
    "step",
    "at_ms",
    "purpose",
    "simulated",
    "route",
    "task_class",
    "model",
    "effort",
    "thinking",
    "result",
    "says",
    "released",
    "cost_nanousd",
    "checks_nanousd",
    "checks_ms",
    "total_ms",
    "verdicts",
    "texts",
)

GAPS = (
    "writer",
    "serial",
    "purpose",
    "simulated",
    "key_id",
    "team_id",
    "organisation",
    "from_ms",
    "to_ms",
    *SUMMED,
)

CONFIGS = ("version", "at_ms", "content")

GAPS_OF = "SELECT count(*) FROM record_gaps WHERE writer = ? AND serial = ?"

FIND = "SELECT detail FROM requests WHERE id = ?"

_COST_AND_TOKENS = ", ".join(f"coalesce(sum({column}), 0)" for column in SUMMED[2:])
_SUMS = ", ".join(f"coalesce(sum({column}), 0)" for column in SUMMED)
USAGE_TOTALS = f"SELECT {_SUMS} FROM usage_by_team WHERE hour_ms >= ? AND simulated = ?"  # noqa: S608 (our own names)
REQUEST_TOTALS = (
    f"SELECT count(*), coalesce(sum(attempt_count), 0), {_COST_AND_TOKENS} FROM requests "  # noqa: S608
    "WHERE at_ms >= ? AND at_ms < ? AND simulated = ?"
)
GAP_TOTALS = f"SELECT {_SUMS} FROM record_gaps WHERE to_ms >= ? AND to_ms < ? AND simulated = ?"  # noqa: S608

SUM_MAX = 2**62 - 1
"""Two of these still add up within 64 bits."""

HOUR_MS = 3_600_000

BILLED = ("live", "task")
"""Purposes whose money counts against a key."""

CHECKS = ("judge", "audit")
"""Purposes whose money counts against a key where it came out of that key's limit: calls of checks that whoever asked
pays for. Others of these purposes have a key, too, and hold nothing of it."""

NAME_CHARS_MAX = 256
"""Longer names of models, tiers and the like are cut in roll-ups and gaps; none that Trimtab takes is."""

NONSENSE = (OverflowError, TypeError, ValueError, AttributeError)
"""What a record that makes no sense raises when it is turned into rows, or by a driver that is given them."""


def counts(outcome: Outcome) -> Counts:
    """What one record adds to a total."""
    return _counts(outcome, [billed_tokens(attempt.usage) for attempt in outcome.attempts])


def _counts(outcome: Outcome, by_attempt: Sequence[Tokens]) -> Counts:
    if len(by_attempt) == 1:
        return 1, 1, plain_count(outcome.cost_nanousd), *by_attempt[0]
    plain = five = hour = read = output = thinking = 0
    for one in by_attempt:
        plain, five, hour, read = plain + one[0], five + one[1], hour + one[2], read + one[3]
        output, thinking = output + one[4], thinking + one[5]
    return (
        1,
        len(by_attempt),
        plain_count(outcome.cost_nanousd),
        plain_count(plain),
        plain_count(five),
        plain_count(hour),
        plain_count(read),
        plain_count(output),
        plain_count(thinking),
    )


@functools.lru_cache(maxsize=4096, typed=True)
def plain_name(name: object) -> str:
    """A name that both engines can hold; none is ''."""
    text = "" if name is None else name if isinstance(name, str) else str(name)
    if text.isascii() and len(text) <= NAME_CHARS_MAX and "\0" not in text:
        return text
    return text[:NAME_CHARS_MAX].replace("\0", "\ufffd").encode(errors="replace").decode()


def add(left: Counts, right: Counts) -> Counts:
    """Figure by figure, kept within what a column holds."""
    return tuple(min(a + b, SUM_MAX) for a, b in zip(left, right, strict=True))


class Other(msgspec.Struct, frozen=True, gc=False):
    """What a request's calls under another arm than the one that answered came to."""

    model: str
    effort: str | None
    platform: str
    counts: Counts
    """Of no request, and of one attempt."""


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """A record as rows."""

    request: Row
    attempts: list[Row]
    counts: Counts
    judged: Sequence[Row] = ()
    """Of `judged_attempts`: none for a request that no verifier looked at and that took one step."""
    others: Sequence[Other] = ()
    models: Sequence[str] = ()
    """The model of each attempt, where they are not all the request's."""


def recorded(outcome: Outcome, detail: str) -> Recorded:
    """The rows of a record; `detail` is its JSON. Raises one of `NONSENSE`. About 2 us, 5 us where its parts
    are in no cache any more; 6 us more for each attempt of a request that was judged."""
    by_attempt = [billed_tokens(attempt.usage) for attempt in outcome.attempts]
    usage = _counts(outcome, by_attempt)
    attempts = [
        _attempt_row(outcome.id, n, attempt, by_attempt[n]) for n, attempt in enumerate(outcome.attempts)
    ]
    request = _request_row(outcome, detail, usage)
    for attempt in outcome.attempts:
        if attempt.verdicts or attempt.step or attempt.arm is not None:
            return _with_steps(outcome, request, attempts, usage, by_attempt)
    return Recorded(request, attempts, usage)


def _with_steps(
    outcome: Outcome, request: Row, attempts: list[Row], usage: Counts, by_attempt: Sequence[Tokens]
) -> Recorded:
    """The rows of a request that was judged, or that may have been answered by another arm than the planned one."""
    answered = answered_by(outcome)
    several = any(attempt.step for attempt in outcome.attempts)
    judged = [
        _judged_row(outcome, n, attempt, attempt is answered)
        for n, attempt in enumerate(outcome.attempts)
        if attempt.verdicts or several
    ]
    arms = [arm_of(outcome, attempt) for attempt in outcome.attempts]
    own = arm_of(outcome, answered)
    others = [
        Other(
            arm.model,
            arm.effort,
            attempt.platform,
            (0, 1, plain_count(attempt.cost_nanousd), *map(plain_count, tokens)),
        )
        for attempt, arm, tokens in zip(outcome.attempts, arms, by_attempt, strict=True)
        if arm is not None and own is not None and (arm.model, arm.effort) != (own.model, own.effort)
    ]
    models = [arm.model if arm is not None else "" for arm in arms] if others else ()
    return Recorded(request, attempts, usage, judged, others, models)


def _request_row(outcome: Outcome, detail: str, usage: Counts) -> Row:
    """Model, effort and platform are those of the attempt that answered: the last one, where it is not said. A kept
    answer has no platform."""
    plan, attempts = outcome.plan, outcome.attempts
    last = answered_by(outcome) if outcome.answered is not None else attempts[-1] if attempts else None
    platform = last.platform if last is not None else plan.platform if plan is not None else None
    arm = last.arm if last is not None else None
    if arm is None and plan is not None:
        arm = plan.arm
    return (
        outcome.id,
        outcome.at_ms,
        outcome.purpose,
        outcome.surface,
        outcome.endpoint,
        outcome.requested_model,
        arm.model if arm is not None else None,
        arm.effort if arm is not None else None,
        plan.tier if plan is not None else None,
        platform if outcome.cached is None else None,
        outcome.session,
        outcome.result,
        outcome.status,
        outcome.error,
        int(outcome.stream),
        int(outcome.simulated),
        *usage[1:],
        outcome.total_ms,
        last.first_content_ms if last is not None else None,
        outcome.request_bytes,
        outcome.response_bytes,
        outcome.config_version,
        outcome.catalogue_version,
        outcome.parent,
        outcome.key,
        outcome.team,
        outcome.organisation,
        plan.route if plan is not None else "",
        outcome.task_class,
        outcome.task,
        outcome.phase,
        detail,
    )


def _judged_row(outcome: Outcome, n: int, attempt: Attempt, released: bool) -> Row:
    """One row of `judged_attempts`; `n` is the attempt's, as in `attempts`."""
    arm, verdicts = arm_of(outcome, attempt), attempt.verdicts
    return (
        outcome.id,
        n,
        plain_count(attempt.step),
        outcome.at_ms,
        outcome.purpose,
        int(outcome.simulated),
        plain_name(outcome.plan.route if outcome.plan is not None else ""),
        plain_name(outcome.task_class),
        plain_name(arm.model if arm is not None else ""),
        (arm.effort or "") if arm is not None else "",
        (arm.thinking or "") if arm is not None else "",
        attempt.result,
        overall(verdicts) if verdicts else "",
        int(released),
        plain_count(attempt.cost_nanousd),
        plain_count(sum(verdict.cost_nanousd for verdict in verdicts)),
        plain_ms(sum(verdict.ms for verdict in verdicts)),
        plain_ms(attempt.total_ms),
        msgspec.json.encode([*map(_shortly, verdicts)]).decode(),
        int(any(quotes(name, fact) for verdict in verdicts for name, fact in verdict.evidence.items())),
    )


def _shortly(verdict: Verdict) -> tuple[str, str, int, float, bool]:
    return (
        plain_name(verdict.verifier),
        verdict.says,
        plain_count(verdict.cost_nanousd),
        plain_ms(verdict.ms),
        verdict.failed,
    )


def plain_ms(ms: float) -> float:
    """Nonsense (not a number, negative, beyond years) must not spoil a sum for good."""
    return ms if 0 <= ms < 1e12 else 0.0


def _attempt_row(request_id: str, n: int, attempt: Attempt, used: Tokens) -> Row:
    """One row of `attempts`; `n` counts from 0."""
    return (
        request_id,
        n,
        attempt.platform,
        attempt.model,
        attempt.status,
        attempt.result,
        attempt.error,
        attempt.stop_reason,
        attempt.provider_request_id,
        plain_count(attempt.cost_nanousd),
        attempt.cost_source,
        *used,
        attempt.head_ms,
        attempt.first_content_ms,
        attempt.total_ms,
        attempt.account,
    )
