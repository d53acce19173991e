"""Intervals of clustered observations hold what they should, and are the textbook's where nothing is clustered."""

import math
import random

import pytest

from trimtab.stats import wilson
from trimtab.stats.clusters import Rate, difference, mean_of, quantile_of, rate_of, ratio


def test_outcomes_that_are_independent_have_the_interval_of_as_many_trials() -> None:
    alone = [(1, 1.0)] * 160 + [(1, 0.0)] * 40
    rate = rate_of(alone)
    assert (rate.value, rate.clusters) == (0.8, 200)
    assert rate.effective == pytest.approx(200, rel=0.02)
    found, expected = rate.interval(), wilson(160, 200)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_ten_copies_of_each_outcome_say_no_more_than_one() -> None:
    alone = rate_of([(1, float(n % 5 > 0)) for n in range(200)])
    copied = rate_of([(10, 10.0 * (n % 5 > 0)) for n in range(200)])
    assert copied.effective == pytest.approx(alone.effective, rel=0.01)
    assert copied.interval().high - copied.interval().low == pytest.approx(
        alone.interval().high - alone.interval().low, rel=0.01
    )


@pytest.mark.parametrize("success", [0.0, 1.0])
def test_where_all_succeeded_each_conversation_counts_once(success: float) -> None:
    rate = rate_of([(10, 10 * success)] * 30)
    assert (rate.value, rate.effective) == (success, 30)
    interval = rate.interval()
    assert interval.high - interval.low == pytest.approx(0.12, abs=0.03)
    assert 0 <= interval.low <= interval.high <= 1


def test_the_intervals_of_clustered_rates_means_and_medians_hold_the_truth_about_as_often_as_they_say() -> (
    None
):
    draw = random.Random(5)
    held = {"rate": 0, "mean": 0, "median": 0}
    rounds = 300
    for _ in range(rounds):
        outcomes, costs, times = [], [], []
        for cluster in range(40):
            count = 1 + int(draw.expovariate(0.25))
            own = draw.betavariate(0.8 * 4, 0.2 * 4)
            outcomes.append((count, float(sum(draw.random() < own for _ in range(count)))))
            base = draw.gauss(0, 0.5)
            made = [math.exp(base + draw.gauss(0, 0.5)) for _ in range(count)]
            costs.append((count, math.fsum(made)))
            times += [(cluster, one) for one in made]
        held["rate"] += _holds(rate_of(outcomes).interval(), 0.8)
        held["mean"] += _holds(mean_of(costs).interval(), math.exp(0.25))
        median = quantile_of(times)
        assert median is not None
        held["median"] += median.low <= 1.0 <= median.high
    # 95 % less four standard errors of so many rounds, and what 40 skewed clusters cost.
    assert {what: count / rounds > 0.88 for what, count in held.items()} == dict.fromkeys(held, True), held
    assert all(count / rounds < 0.995 for count in held.values()), (
        "intervals that say nothing hold everything"
    )


def _holds(interval: object, truth: float) -> bool:
    return interval.low <= truth <= interval.high  # type: ignore[attr-defined,no-any-return]


def test_a_difference_of_independent_rates_is_newcombes() -> None:
    """Newcombe (1998), table II, (a): 56/70 against 48/80 has the interval 0.0524 to 0.3339 by method 10."""
    found = difference(Rate(48 / 80, 80, 10**6), Rate(56 / 70, 70, 10**6))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=0.0006)


def test_what_is_too_little_for_an_interval_has_none() -> None:
    assert quantile_of([]) is None
    assert quantile_of([(1, 1.0)] * 50) is None, "one conversation"
    assert quantile_of([(n, float(n)) for n in range(4)]) is None
    assert quantile_of([(n, float(n)) for n in range(30)], 0.95) is None
    with pytest.raises(ValueError, match="two at least"):
        mean_of([(5, 1.0)])
    assert ratio(mean_of([(1, 0.0)] * 9), mean_of([(1, 1.0)] * 9)) is None
    again = ratio(mean_of([(1, 1.0), (1, 3.0)] * 50), mean_of([(1, 2.0), (1, 6.0)] * 50))
    assert again is not None
    assert again.low < 2 < again.high
