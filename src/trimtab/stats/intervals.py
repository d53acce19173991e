"""Confidence intervals that hold for few observations.

What it is not: tests of a hypothesis. Invariant: no figure where there are too few observations for one.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist

import msgspec

CONFIDENCE = 0.95


class Interval(msgspec.Struct, frozen=True):
    """From `low` to `high`, both included."""

    low: float
    high: float

    def meets(self, other: "Interval") -> bool:
        """Whether they have a point in common."""
        return self.low <= other.high and other.low <= self.high


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of a rate, within 0 and 1; all of that where nothing was tried.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
    recommended for few trials by Brown, Cai and DasGupta, "Interval estimation for a binomial proportion",
    Statistical Science 16 (2001). Raises `ValueError` for counts that no trials give.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials: must be from 0 to the trials")
    return score_interval(successes / trials if trials else 0.0, trials, confidence)


def score_interval(rate: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """The same for a rate of so many trials, which need not be a whole number."""
    if trials <= 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = z * z / trials
    middle = rate + spread / 2
    half = z * math.sqrt(max(rate * (1 - rate), 0.0) / trials + spread / (4 * trials))
    low = 0.0 if rate <= 0 else (middle - half) / (1 + spread)
    high = 1.0 if rate >= 1 else (middle + half) / (1 + spread)
    return Interval(max(0.0, low), min(1.0, high))


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """An interval for the median of what the values were drawn from, whatever its distribution; `None` where there are
    too few of them (under 6 at 95 %).

    The k-th smallest and the k-th largest value hold the median between them with 1 - 2 P(Bin(n, 1/2) < k); k is the
    largest that leaves that at `confidence` or more. Exact: how many values are under the median is binomial.
    Source: H. A. David and H. N. Nagaraja, "Order Statistics", 3rd edition (2003), section 7.1.
    """
    n, ordered = len(values), sorted(values)
    # 2^n times the probability of fewer than k, in whole numbers of any size.
    allowed = math.floor(Fraction(str(1 - confidence)).limit_denominator(10**6) / 2 * 2**n)
    k = fewer = 0
    while (fewer := fewer + math.comb(n, k)) <= allowed:
        k += 1
    return Interval(ordered[k - 1], ordered[n - k]) if k else None
