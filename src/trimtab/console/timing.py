"""Where the time of one request went: stretches of each attempt and of the checks of its answer, and our own work.

What it is not: a measurement; all times are the record's. Invariant: stretches follow one another, whatever was under
way at once, and none is longer than recorded.
"""

from collections.abc import Sequence

import msgspec

from trimtab.console.answers import Bar
from trimtab.records import Attempt

BAR_WORDS = {
    "gateway": "reading, deciding, between attempts",
    "head": "until the platform began to answer",
    "content": "until the first content",
    "rest": "until the end",
}

WIDE_PERCENT = 0.4
"""What is there can be seen, however short it was."""


class Stretch(msgspec.Struct, frozen=True):
    """One piece of the timing bar, placed."""

    kind: str
    says: str
    lane: int
    """0 is our own work, 1 the first attempt."""
    from_ms: float
    took_ms: float
    left: float
    """Per cent of the whole."""
    wide: float


def bars(total_ms: float, attempts: Sequence[Attempt]) -> tuple[Bar, ...]:
    """The timing bar. Attempts, each with the checks of its answer behind it, end where the request ends or the next
    begins; what is left before them is our work."""
    took = sum(attempt.total_ms + sum(one.ms for one in attempt.verdicts) for attempt in attempts)
    own = max(total_ms - took, 0.0)
    found = []
    at = own
    if own > 0:
        found.append(Bar(None, "gateway", 0.0, round(own, 3)))
    for n, attempt in enumerate(attempts):
        begin, end = at, at + attempt.total_ms
        last = begin
        for kind, ms in (("head", attempt.head_ms), ("content", attempt.first_content_ms)):
            if ms is not None:
                until = min(max(begin + ms, last), end)
                found.append(Bar(n, kind, round(last, 3), round(until, 3)))
                last = until
        found.append(Bar(n, "rest", round(last, 3), round(end, 3)))
        at = end
        for verdict in attempt.verdicts:
            found.append(Bar(n, "check", round(at, 3), round(at + verdict.ms, 3), verdict.verifier))
            at += verdict.ms
    return tuple(found)


def stretches(found: Sequence[Bar], total_ms: float) -> list[Stretch]:
    """The bars, placed side by side."""
    whole = max([total_ms, *(bar.to_ms for bar in found)], default=0.0)
    if whole <= 0:
        return []
    return [_stretch(bar, whole) for bar in found]


def lanes(attempts: Sequence[Attempt]) -> list[str]:
    """What the rows of the timing bar are called: ours, and each attempt's."""
    steps = {step: number for number, step in enumerate(sorted({attempt.step for attempt in attempts}), 1)}
    if len(steps) < 2:
        return ["Trimtab", *(f"Attempt {number}" for number in range(1, len(attempts) + 1))]
    return [
        "Trimtab",
        *(
            f"Step {steps[attempt.step]}" + (f", attempt {number}" if len(attempts) > len(steps) else "")
            for number, attempt in enumerate(attempts, 1)
        ),
    ]


def _stretch(bar: Bar, whole: float) -> Stretch:
    wide = max(100 * (bar.to_ms - bar.from_ms) / whole, WIDE_PERCENT)
    left = min(100 * bar.from_ms / whole, 100 - wide)
    return Stretch(
        bar.kind,
        f"checking: {bar.verifier}" if bar.kind == "check" else BAR_WORDS.get(bar.kind, bar.kind),
        0 if bar.attempt is None else bar.attempt + 1,
        bar.from_ms,
        max(0.0, bar.to_ms - bar.from_ms),
        round(left, 2),
        round(wide, 2),
    )
