"""From outcomes to flat rows: which columns there are, and what adds them up.

What it is not: the full record, which is kept as JSON in `requests.detail`; columns are what one filters and adds.
Invariant: `counts` (over `records.billed_tokens`) is the only arithmetic over usage here, so that rows, queued records
and gaps agree.
"""

import functools
from collections.abc import Sequence

import msgspec

from trimtab.records import Attempt, Outcome
from trimtab.records.billed import Tokens, billed_tokens, plain_count

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


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """A record as rows."""

    request: Row
    attempts: list[Row]
    counts: Counts


def recorded(outcome: Outcome, detail: str) -> Recorded:
    """The rows of a record; `detail` is its JSON. Raises one of `NONSENSE`. About 2 us, 5 us where its parts
    are in no cache any more."""
    by_attempt = [billed_tokens(attempt.usage) for attempt in outcome.attempts]
    usage = _counts(outcome, by_attempt)
    attempts = [
        _attempt_row(outcome.id, n, attempt, by_attempt[n]) for n, attempt in enumerate(outcome.attempts)
    ]
    return Recorded(_request_row(outcome, detail, usage), attempts, usage)


def _request_row(outcome: Outcome, detail: str, usage: Counts) -> Row:
    """Model and effort are the plan's; the platform is that of the last attempt, and none for a kept answer."""
    plan, attempts = outcome.plan, outcome.attempts
    last = attempts[-1] if attempts else None
    platform = last.platform if last is not None else plan.platform if plan is not None else None
    return (
        outcome.id,
        outcome.at_ms,
        outcome.purpose,
        outcome.surface,
        outcome.endpoint,
        outcome.requested_model,
        plan.arm.model if plan is not None else None,
        plan.arm.effort if plan is not None else None,
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
