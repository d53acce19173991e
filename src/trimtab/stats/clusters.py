"""Means, rates and quantiles of observations that come in clusters, as the requests of one conversation do.

What it is not: a correction for who got what. Observations of one cluster are alike, so many of them say less than as
many from different clusters; here the clusters are what is independent, and intervals are as wide as that makes them.
Invariants: with one observation in each cluster these are the textbook intervals; no interval is narrower than that of
as many independent observations; nothing is said of fewer than two clusters.

Pure Python, linear in the observations: 100,000 take 0.1 s.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec

from trimtab.stats.intervals import CONFIDENCE, Interval, score_interval
from trimtab.stats.student import student_reach

DEGREES_MOST = 500
"""Of Student's t: beyond it the reach is that of the normal distribution within 0.2 %, and takes longer to find."""


class Mean(msgspec.Struct, frozen=True):
    """A mean over all observations, and how far it may be off."""

    value: float
    error: float
    """Its standard error."""
    clusters: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """For a mean of what is never negative (tokens, money): symmetric on the scale of ratios, so never below 0."""
        if self.value <= 0:
            return Interval(0.0, 0.0)
        reach = _reach(self.clusters, confidence) * self.error / self.value
        return Interval(self.value * math.exp(-reach), self.value * math.exp(min(reach, 50.0)))


class Rate(msgspec.Struct, frozen=True):
    """A mean of outcomes from 0 to 1, and how many independent ones say as much as they do."""

    value: float
    effective: float
    """Not more than there are observations."""
    clusters: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The score interval for so many effective outcomes; for few clusters wider, as Student's t is.

        Source: E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of
        positive counts estimated from survey data", Survey Methodology 24 (1998), with Wilson's interval in the place
        of the exact one as in C. Franco et al., Journal of Survey Statistics and Methodology 7 (2019).
        """
        normal = NormalDist().inv_cdf((1 + confidence) / 2)
        reach = _reach(self.clusters, confidence)
        return score_interval(self.value, self.effective * (normal / reach) ** 2, confidence)


def mean_of(clusters: Sequence[tuple[int, float]]) -> Mean:
    """The mean over all observations of clusters that are given as (how many, their sum). Raises `ValueError` for
    fewer than two clusters.

    The standard error is the jackknife's, which leaves out one cluster at a time. Measured with 20 to 200 clusters of
    exponential sizes (mean 5) and a correlation of 0.3 within them: 95 % intervals of rates of 0.5 and 0.8 hold them in
    93 to 95 % of cases (91 to 95 % with linearized errors), of a rate of 0.95 in 91 to 95 %; without correlation in 95
    to 98 %.
    Source: W. G. Cochran, "Sampling Techniques", 3rd edition (1977), section 6.17.
    """
    if len(clusters) < 2:
        raise ValueError(f"{len(clusters)} clusters: there must be two at least")
    count = sum(number for number, _ in clusters)
    value = math.fsum(total for _, total in clusters) / count
    groups = len(clusters)
    squares = math.fsum(((total - number * value) / (1 - number / count)) ** 2 for number, total in clusters)
    return Mean(value, math.sqrt((groups - 1) / groups * squares) / count, groups)


def rate_of(clusters: Sequence[tuple[int, float]]) -> Rate:
    """The rate over all outcomes of clusters that are given as (how many, their sum). Raises `ValueError` for fewer
    than two clusters.

    Where all outcomes are the same, nothing tells how alike those of one cluster are: each cluster counts as one.
    """
    mean = mean_of(clusters)
    count = sum(number for number, _ in clusters)
    value = min(max(mean.value, 0.0), 1.0)
    spread = value * (1 - value)
    if spread < 1e-12 or mean.error <= 0:
        return Rate(value, float(len(clusters)), len(clusters))
    return Rate(value, min(spread / mean.error**2, float(count)), len(clusters))


def difference(first: Rate, second: Rate, confidence: float = CONFIDENCE) -> Interval:
    """An interval for how much higher the second rate is than the first, of independent samples.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of
    eleven methods", Statistics in Medicine 17 (1998), method 10, on the intervals of `Rate`.
    """
    one, two = first.interval(confidence), second.interval(confidence)
    middle = second.value - first.value
    low = math.hypot(second.value - two.low, one.high - first.value)
    high = math.hypot(two.high - second.value, first.value - one.low)
    return Interval(max(middle - low, -1.0), min(middle + high, 1.0))


def ratio(first: Mean, second: Mean, confidence: float = CONFIDENCE) -> Interval | None:
    """An interval for how many times the first mean the second is, of independent samples; `None` where one is 0."""
    if first.value <= 0 or second.value <= 0:
        return None
    error = math.hypot(first.error / first.value, second.error / second.value)
    reach = min(_reach(min(first.clusters, second.clusters), confidence) * error, 50.0)
    middle = second.value / first.value
    return Interval(middle * math.exp(-reach), middle * math.exp(reach))


class Quantile(msgspec.Struct, frozen=True):
    """A quantile of observations, and where that of what they were drawn from lies."""

    value: float
    low: float
    high: float


def quantile_of(
    observations: Sequence[tuple[int, float]], share: float = 0.5, confidence: float = CONFIDENCE
) -> Quantile | None:
    """A quantile of observations that are given as (cluster, value), with its interval; `None` where that would reach
    beyond the smallest or the largest of them, so there are too few. Sorts them.

    The interval of the rate of observations up to the quantile is carried over to their values.
    Source: R. S. Woodruff, "Confidence intervals for medians and other position measures", JASA 47 (1952).
    """
    ordered = sorted(value for _, value in observations)
    count = len(ordered)
    if count < 2:
        return None
    middle = ordered[max(math.ceil(share * count) - 1, 0)]
    by_cluster: dict[int, list[int]] = {}
    for cluster, value in observations:
        counted = by_cluster.setdefault(cluster, [0, 0])
        counted[0] += 1
        counted[1] += value <= middle
    if len(by_cluster) < 2:
        return None
    found = rate_of([(number, float(under)) for number, under in by_cluster.values()])
    reach = msgspec.structs.replace(found, value=share).interval(confidence)
    first, last = math.floor(reach.low * count), math.ceil(reach.high * count)
    if first < 1 or last > count - 1:
        return None
    return Quantile(middle, ordered[first - 1], ordered[last])


def _reach(clusters: int, confidence: float) -> float:
    return student_reach(min(max(clusters - 1, 1), DEGREES_MOST), confidence)
