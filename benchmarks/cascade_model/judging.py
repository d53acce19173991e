"""Whether what was measured in a setting agrees with what must come of it.

Three figures of each setting are compared: the share of right answers, the share of requests that were escalated, and
dollars for a request. A rule that was written down before the first run:

- A figure *fails* where what must come of it lies outside its interval. All intervals together hold with 95 %
  (Bonferroni: each with 1 - 0.05 / comparisons), so that a gateway without a fault fails anywhere in one of 20 runs.
- It is *inconclusive* where its interval reaches further than `WIDEST` to both sides: it would agree with too much.
- Else it passes. How many lie outside their own 95 % interval is told, beside how many must be expected to.
- Where all requests must cost the same, they must do so to the nano-dollar.
- The sums over all settings are compared too, which sees a small error that all settings share.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Literal

from cascade_expected import Expected
from exact_interval import clopper_pearson

from trimtab.stats import Interval, student_reach

CONFIDENCE = 0.95
WIDEST = 0.10
"""Of a rate, and of a cost as a part of what the top rung alone costs: with 600 requests a rate of one half is known to
± 7 points at the confidence that 90 comparisons together need."""

Says = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Request:
    """What came of one."""

    right: bool
    calls: int
    """Rungs that were called."""
    nanousd: int
    """Of all calls and checks."""


@dataclass(frozen=True)
class Line:
    """One comparison."""

    setting: str
    figure: Literal["right", "escalated", "cost"]
    expected: float
    measured: float
    own: Interval
    """With 95 %."""
    family: Interval
    """With which all hold together."""
    says: Says

    @property
    def outside_own(self) -> bool:
        """Whether what must come of it lies outside its own interval."""
        return not holds(self.own, self.expected)


def holds(interval: Interval, value: float) -> bool:
    """Whether it lies in the interval, but for rounding."""
    slack = 1e-9 * max(1.0, abs(value))
    return interval.low - slack <= value <= interval.high + slack


def compared(
    setting: str, requests: Sequence[Request], expected: Expected, top: float, comparisons: int
) -> list[Line]:
    """The three lines of a setting. `top`: what the top rung alone costs."""
    count = len(requests)
    family = 1 - (1 - CONFIDENCE) / comparisons
    lines: list[Line] = []
    for figure, hits, must in (
        ("right", sum(one.right for one in requests), expected.right),
        ("escalated", sum(one.calls > 1 for one in requests), expected.escalated),
    ):
        wide = clopper_pearson(hits, count, family)
        exact = must in (0.0, 1.0) and hits == must * count
        says = _says(wide, must, exact or (wide.high - wide.low) / 2 <= WIDEST)
        own = clopper_pearson(hits, count)
        lines.append(Line(setting, figure, must, hits / count, own, wide, says))  # type: ignore[arg-type]
    costs = [float(one.nanousd) for one in requests]
    mean = fmean(costs)
    error = stdev(costs) / math.sqrt(count) if count > 1 else math.inf
    own, wide = (_around(mean, student_reach(count - 1, level) * error) for level in (CONFIDENCE, family))
    known = (wide.high - wide.low) / 2 <= WIDEST * top
    lines.append(Line(setting, "cost", expected.cost, mean, own, wide, _says(wide, expected.cost, known)))
    return lines


def pooled(
    settings: Sequence[tuple[Sequence[Request], Expected]], comparisons: int
) -> list[tuple[str, float, float, Says]]:
    """For each figure the mean difference over all requests, how far off it may be with the family's confidence, and
    whether 0 lies within; costs relative to what each setting must cost."""
    reach = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / comparisons / 2)
    count = sum(len(requests) for requests, _ in settings)
    found: list[tuple[str, float, float, Says]] = []
    for figure in ("right", "escalated", "cost"):
        difference = variance = 0.0
        for requests, must in settings:
            n = len(requests)
            if figure == "cost":
                difference += sum(one.nanousd / must.cost - 1 for one in requests)
                variance += n * (must.cost_sd / must.cost) ** 2
            else:
                rate = must.right if figure == "right" else must.escalated
                hits = sum(one.right if figure == "right" else one.calls > 1 for one in requests)
                difference += hits - n * rate
                variance += n * rate * (1 - rate)
        allowed = reach * math.sqrt(max(variance, 0.0)) / count
        says: Says = "pass" if abs(difference / count) <= allowed + 1e-12 else "fail"
        found.append((figure, difference / count, allowed, says))
    return found


def at_most(comparisons: int) -> int:
    """So many lie outside their own 95 % interval at most, but in one of a thousand runs, if they were independent.
    Those of one setting are not, so this is a rough guide and not judged."""
    left, k = 1.0, -1
    while left > 0.001:
        k += 1
        left -= math.comb(comparisons, k) * 0.05**k * 0.95 ** (comparisons - k)
    return k


def _around(middle: float, reach: float) -> Interval:
    return Interval(middle - reach, middle + reach)


def _says(interval: Interval, must: float, is_narrow: bool) -> Says:
    if not holds(interval, must):
        return "fail"
    return "pass" if is_narrow else "inconclusive"
