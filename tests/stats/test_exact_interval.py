"""The exact interval of a rate, by which benchmarks judge, against published figures and its own definition."""

import pytest
from exact_interval import clopper_pearson, up_to
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats import wilson

PUBLISHED = [
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
    # table I, method 5.
    (81, 263, 0.2527, 0.3676),
    (15, 148, 0.0578, 0.1617),
    (0, 20, 0.0, 0.1684),
    (1, 29, 0.0009, 0.1776),
]


@pytest.mark.parametrize(("successes", "trials", "low", "high"), PUBLISHED)
def test_it_is_what_was_published(successes: int, trials: int, low: float, high: float) -> None:
    found = clopper_pearson(successes, trials)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_without_failures_it_is_the_rule_that_routing_certificates_rest_on() -> None:
    """One-sided 95 %: 0 of 59 is below 5 %, 0 of 299 below 1 %."""
    for trials, most in ((59, 0.05), (299, 0.01)):
        assert clopper_pearson(0, trials, 0.90).high < most < clopper_pearson(0, trials - 2, 0.90).high


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_its_ends_leave_half_of_the_rest_each_and_hold_the_score_interval_s_middle(
    counts: tuple[int, int],
) -> None:
    successes, trials = counts
    found = clopper_pearson(successes, trials)
    assert 0 <= found.low <= successes / trials <= found.high <= 1
    assert found.meets(wilson(successes, trials))
    if successes:
        assert 1 - up_to(successes - 1, trials, found.low) == pytest.approx(0.025, abs=1e-6)
    if successes < trials:
        assert up_to(successes, trials, found.high) == pytest.approx(0.025, abs=1e-6)
