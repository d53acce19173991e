"""Which effort of one model does as well as which of another. Pure.

What it is not: a claim about other work than that of the class, or a correction for who was given which effort: where
harder requests of a class got more effort, the table says so as if effort did less than it does.
Invariant: three outcomes and a fourth: what the outcomes do not decide is "inconclusive", never "equal".
"""

import math
from statistics import NormalDist
from typing import Literal

import msgspec

from trimtab.efforts.table import Cell, ClassTable
from trimtab.stats import Interval
from trimtab.stats.clusters import difference

MARGIN = 0.05
"""Five points of success: what most people would not notice; smaller ones need thousands of outcomes."""

BOTH_SIDES = 0.90
"""Two one-sided tests at 95 % are this two-sided interval within the margins.
Source: D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987)."""

CHANCE = 0.80
"""To find what is there, with the outcomes that are said to be needed."""

Verdict = Literal["equal", "better", "worse", "inconclusive", "no data"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The second arm against the first."""

    first: str
    second: str
    verdict: Verdict
    """`equal`: within the margin, whatever else. `better`, `worse`: the second succeeds more often, or less."""
    difference: float | None = None
    """Of success: second minus first."""
    low: float | None = None
    high: float | None = None
    """The interval of two one-sided tests at 95 %."""
    needed: int | None = None
    """Of an inconclusive one: outcomes of each arm with which equal ones would probably be found equal."""


def compare(first: Cell, second: Cell, margin: float = MARGIN) -> Comparison:
    """Judge it by what was told of both."""
    if first.success is None or second.success is None:
        return Comparison(first=first.arm, second=second.arm, verdict="no data")
    interval = difference(first.success.rate, second.success.rate, BOTH_SIDES)
    verdict = judged(interval, margin)
    return Comparison(
        first=first.arm,
        second=second.arm,
        verdict=verdict,
        difference=second.success.value - first.success.value,
        low=interval.low,
        high=interval.high,
        needed=needed(first, second, margin) if verdict == "inconclusive" else None,
    )


def judged(interval: Interval, margin: float) -> Verdict:
    """What an interval of a difference says."""
    if -margin < interval.low and interval.high < margin:
        return "equal"
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "inconclusive"


def needed(first: Cell, second: Cell, margin: float, sides: float = BOTH_SIDES) -> int | None:
    """How many outcomes of each would show that they are equal, if they are; clusters taken as they were so far.

    Source: the normal approximation, as in S.-C. Chow et al., "Sample Size Calculations in Clinical Research", 4.2.
    """
    if first.success is None or second.success is None:
        return None
    spread = 0.0
    for success in (first.success, second.success):
        share = min(max(success.value, 0.02), 0.98)
        spread += share * (1 - share) * success.told / max(success.effective, 1.0)
    normal = NormalDist()
    reach = normal.inv_cdf((1 + sides) / 2) + normal.inv_cdf(CHANCE)
    return math.ceil(reach**2 * spread / margin**2)


def equivalents(table: ClassTable, margin: float = MARGIN) -> list[Comparison]:
    """Each arm against each arm of every other model, the arms of the first model by effort."""
    return [
        compare(first, second, margin)
        for first in table.cells
        for second in table.cells
        if first.model != second.model
    ]
