"""What will have been spent at the end of a period, and when a limit will be reached, if things go on as they did.

What it is not: a promise, or a model of weeks and seasons: the pace is the mean of the last whole days. Invariants:
nothing is forecast from nothing; the interval says how little few days tell.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

from trimtab.stats import student_reach

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

DAYS_LOOKED_AT = 28
"""Four weeks: whole weeks, so that weekends count as they come, and short enough to follow a change."""
HOURS_LOOKED_AT = 24

FARTHEST_MS = 3660 * DAY_MS
"""A limit that is reached in more than ten years is as good as never reached."""


class Pace(msgspec.Struct, frozen=True):
    """How fast something is spent, by whole steps of the past."""

    steps: int
    """Whole days (for a limit of a day: whole hours) that it rests on."""
    step_ms: int
    mean: float
    """A step."""
    spread: float | None
    """The standard deviation of a step; `None` where there is one only."""

    def later(self, spent: int, after_ms: float) -> tuple[float, float, float]:
        """Low, middle and high of what will have been spent `after_ms` from now, with 95 % confidence where the steps
        are alike and independent; all the same where one step says nothing of an interval.

        Source: the prediction of a sum of k further observations from n (Hahn and Meeker, "Statistical Intervals",
        1991, section 4.7): k * mean, give or take t(n - 1) * s * sqrt(k + k^2 / n).
        """
        k = after_ms / self.step_ms
        middle = spent + self.mean * k
        if self.spread is None:
            return middle, middle, middle
        reach = student_reach(self.steps - 1) * self.spread * math.sqrt(k + k * k / self.steps)
        return max(float(spent), middle - reach), middle, middle + reach


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """In the unit of the limit."""

    pace: Pace
    at_end: int | None = None
    """At the end of the period; `None` for a total, which has none."""
    at_end_low: int | None = None
    """`None` where it rests on a single step."""
    at_end_high: int | None = None
    reached_ms: int | None = None
    """When the limit is reached at this pace; `None`: not within the period, for a total not within ten years."""
    reached_early_ms: int | None = None
    """The earliest that the interval holds."""


def pace_of(history: Sequence[int], step_ms: int) -> Pace | None:
    """`history` is what was spent in each whole step, oldest first; what lies before the first use is left out here.

    `None`: no data.
    """
    first = next((n for n, amount in enumerate(history) if amount), None)
    if first is None:
        return None
    used = history[first:]
    n = len(used)
    mean = sum(used) / n
    spread = math.sqrt(sum((one - mean) ** 2 for one in used) / (n - 1)) if n > 1 else None
    return Pace(n, step_ms, mean, spread)


def forecast(pace: Pace, spent: int, limit: int, now_ms: int, ends_ms: int | None) -> Forecast:
    """What comes of it by the end of the period, `None` for a total."""
    horizon_ms = FARTHEST_MS if ends_ms is None else max(0, ends_ms - now_ms)
    reached, early = (
        _crossed(lambda after_ms, high=high: pace.later(spent, after_ms)[2 if high else 1], limit, horizon_ms)  # type: ignore[misc]
        for high in (False, True)
    )
    low, middle, high = pace.later(spent, horizon_ms)
    sure = pace.spread is not None
    return Forecast(
        pace=pace,
        at_end=None if ends_ms is None else round(middle),
        at_end_low=None if ends_ms is None or not sure else round(low),
        at_end_high=None if ends_ms is None or not sure else round(high),
        reached_ms=None if reached is None else now_ms + reached,
        reached_early_ms=None if early is None or not sure else now_ms + early,
    )


def _crossed(curve: Callable[[float], float], limit: int, horizon_ms: int) -> int | None:
    """After how many milliseconds a curve that never falls is at the limit; `None`: not within the horizon."""
    if curve(0) >= limit:
        return 0
    if curve(horizon_ms) < limit:
        return None
    low, high = 0.0, float(horizon_ms)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (middle, high) if curve(middle) < limit else (low, middle)
    return round(high)
