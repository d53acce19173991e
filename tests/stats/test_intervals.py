"""Intervals: against published figures, and by counting every case that there is."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats import Interval, median_interval, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Source: Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17
        # (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_rates_have_the_intervals_that_are_published(
    successes: int, trials: int, low: float, high: float
) -> None:
    found = wilson(successes, trials)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_rate_is_within_its_interval_and_turns_over_with_it(successes: int, failures: int) -> None:
    trials = successes + failures
    found, other = wilson(successes, trials), wilson(failures, trials)
    assert 0 <= found.low <= found.high <= 1
    assert not trials or found.low <= successes / trials <= found.high
    assert math.isclose(found.low, 1 - other.high, abs_tol=1e-12)


def test_nothing_tried_says_nothing_and_impossible_counts_are_refused() -> None:
    assert wilson(0, 0) == Interval(0.0, 1.0)
    for counts in ((-1, 3), (4, 3), (0, -1)):
        with pytest.raises(ValueError, match="must be from 0 to the trials"):
            wilson(*counts)


def test_four_of_four_and_none_of_four_are_apart_and_three_are_not() -> None:
    assert not wilson(4, 4).meets(wilson(0, 4))
    assert wilson(3, 3).meets(wilson(0, 3))


@pytest.mark.parametrize("n", [6, 7, 9, 12, 14])
def test_the_median_is_held_as_often_as_promised_and_no_wider_than_needed(n: int) -> None:
    """Each value is above the median or below it like a coin: all 2^n ways are counted."""
    values = list(range(n))
    found = median_interval(values)
    assert found is not None
    k = values.index(int(found.low)) + 1
    assert found.high == values[n - k]
    held = narrower = 0
    for sides in itertools.product((0, 1), repeat=n):
        below = sum(sides)
        held += k <= below <= n - k
        narrower += k + 1 <= below <= n - k - 1
    assert held / 2**n >= 0.95
    assert narrower / 2**n < 0.95, "the next narrower interval would not do"


def test_too_few_values_have_no_interval() -> None:
    assert median_interval([]) is None
    assert median_interval([1.0] * 5) is None
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == Interval(1.0, 6.0)
    assert median_interval([1.0] * 2000) == Interval(1.0, 1.0)
