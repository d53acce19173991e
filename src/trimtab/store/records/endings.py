"""How the calls to platforms ended, and what they add to the sums that are kept by the hour.

What it is not: how a request ended, which may have taken several calls: that is `rollups`.
Invariant: each call but those that count tokens is in exactly one row, that of its own model, and has exactly one
ending. Step 14 of the
schema says the same in SQL for the records that it finds; both must agree.
"""

import operator
from collections import defaultdict

from trimtab.records import CALL_ENDINGS, CallEnding, call_ending
from trimtab.store.records.rows import ATTEMPTS, HOUR_MS, REQUESTS, SUM_MAX, TOKENS, Recorded, Row, plain_name

ATTEMPT_SUMS = (
    "attempts",
    *CALL_ENDINGS,
    "cost_nanousd",
    "input_tokens",
    "output_tokens",
    "timed_tokens",
    "timed_ms",
)
"""The columns of sums. `input_tokens` are of all kinds; `timed_ms` is not a whole number."""

_ASKED = operator.itemgetter(*map(REQUESTS.index, ("simulated", "purpose", "model")))
_TOLD = operator.itemgetter(*map(ATTEMPTS.index, ("platform", "account", "result")))
_PROBLEM = operator.itemgetter(*map(ATTEMPTS.index, ("status", "error")))
_FIGURES = operator.itemgetter(*map(ATTEMPTS.index, ("cost_nanousd", *TOKENS[:5])))
"""Thinking is a part of the output."""

_TIMES = operator.itemgetter(*map(ATTEMPTS.index, ("total_ms", "first_content_ms")))

_Place = tuple[int, Row, Row, CallEnding]
"""Hour, what tells requests apart, what tells their calls apart, and the ending."""


def took_ms(total_ms: float, first_content_ms: float | None) -> float:
    """How long an answer took to come: after its first content, or, of one that came whole, since the call."""
    ms = total_ms if first_content_ms is None else total_ms - first_content_ms
    return ms if 0 <= ms < 1e12 else 0.0


class Tried:
    """Gathers what the calls of new records add."""

    def __init__(self) -> None:
        self._alike: defaultdict[_Place, list[Row]] = defaultdict(list)
        """Rows of `attempts` by what tells them apart, which is seldom much within one batch."""

    def record(self, hour: int, made: Recorded) -> None:
        """Count the calls of a record in, whose request generates. Raises one of `rows.NONSENSE`. About 0.6 us."""
        asked = _ASKED(made.request)
        for n, attempt in enumerate(made.attempts):
            if made.models:
                asked = (*asked[:2], made.models[n])
            told = _TOLD(attempt)
            ending = "answered" if told[2] == "ok" else call_ending(told[2], *_PROBLEM(attempt))
            self._alike[hour, asked, told, ending].append(attempt)

    def rows(self) -> list[Row]:
        """Of `attempts_by_hour`, in the order of their keys. Raises one of `rows.NONSENSE`. About 0.6 us a call."""
        sums: dict[Row, list[int]] = {}
        timed: dict[Row, float] = {}
        for (hour, (simulated, purpose, model), (platform, account, _), ending), calls in self._alike.items():
            key: Row = (
                hour * HOUR_MS,
                simulated,
                purpose,
                *map(plain_name, (platform, account, model)),
            )
            cost, plain, five, long, read, output = map(sum, zip(*map(_FIGURES, calls), strict=True))
            count, answered = len(calls), ending == "answered"
            figures = [
                count,
                *(count if ending == name else 0 for name in CALL_ENDINGS),
                cost,
                plain + five + long + read,
                output,
                output if answered else 0,
            ]
            known = sums.get(key)
            sums[key] = figures if known is None else [*map(operator.add, known, figures)]
            if answered:
                took = sum(took_ms(total, first) for total, first in map(_TIMES, calls))
                timed[key] = timed.get(key, 0.0) + took
        return [
            (*key, *(min(figure, SUM_MAX) for figure in figures), timed.get(key, 0.0))
            for key, figures in sorted(sums.items())
        ]
