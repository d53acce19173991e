"""Forecasts: what they say of the end of a period, and that they do not say more than the past holds."""

import random

from hypothesis import given
from hypothesis import strategies as st

from trimtab.budgets.forecast import DAY_MS, forecast, pace_of

NOW = 1_790_000_000_000


def test_without_any_use_there_is_no_data() -> None:
    assert pace_of([], DAY_MS) is None
    assert pace_of([0, 0, 0], DAY_MS) is None


def test_days_before_the_first_use_do_not_slow_the_pace() -> None:
    pace = pace_of([0, 0, 10, 10, 0, 10], DAY_MS)
    assert pace is not None
    assert (pace.steps, pace.mean) == (4, 7.5)


def test_one_day_says_where_it_goes_and_no_interval() -> None:
    pace = pace_of([100], DAY_MS)
    assert pace is not None
    made = forecast(pace, 50, 1_000, NOW, NOW + 5 * DAY_MS)
    assert (made.at_end, made.at_end_low, made.at_end_high) == (550, None, None)
    assert (made.reached_ms, made.reached_early_ms) == (None, None)


def test_a_steady_pace_reaches_the_limit_when_it_says_so() -> None:
    pace = pace_of([100] * 7, DAY_MS)
    assert pace is not None
    made = forecast(pace, 300, 600, NOW, NOW + 10 * DAY_MS)
    assert (made.at_end, made.at_end_low, made.at_end_high) == (1300, 1300, 1300)
    assert made.reached_ms == made.reached_early_ms
    assert abs((made.reached_ms or 0) - (NOW + 3 * DAY_MS)) <= 2
    spent = forecast(pace, 700, 600, NOW, NOW + 10 * DAY_MS)
    assert spent.reached_ms == NOW


def test_a_total_has_no_end_and_is_reached_or_not_within_ten_years() -> None:
    pace = pace_of([1], DAY_MS)
    assert pace is not None
    assert forecast(pace, 0, 10_000, NOW, None).reached_ms is None
    soon = forecast(pace, 0, 100, NOW, None)
    assert soon.at_end is None
    assert abs((soon.reached_ms or 0) - (NOW + 100 * DAY_MS)) <= 2


@given(
    st.lists(st.integers(0, 10**12), max_size=28),
    st.integers(0, 10**13),
    st.integers(1, 10**13),
    st.integers(0, 40 * DAY_MS),
)
def test_the_interval_holds_the_middle_and_never_what_is_spent_already(
    history: list[int], spent: int, limit: int, left_ms: int
) -> None:
    pace = pace_of(history, DAY_MS)
    assert (pace is None) == (not any(history))
    if pace is None:
        return
    made = forecast(pace, spent, limit, NOW, NOW + left_ms)
    assert made.at_end is not None
    assert made.at_end >= spent
    if made.at_end_low is not None and made.at_end_high is not None:
        assert spent <= made.at_end_low <= made.at_end <= made.at_end_high
    if made.reached_ms is not None:
        assert NOW <= made.reached_ms <= NOW + left_ms
        if made.reached_early_ms is not None:
            assert NOW <= made.reached_early_ms <= made.reached_ms


def test_of_many_months_of_alike_days_the_interval_holds_about_95_of_100() -> None:
    chance = random.Random(6)
    held = 0
    for _ in range(400):
        days = [round(chance.gauss(1_000_000, 200_000)) for _ in range(30)]
        pace = pace_of(days[:10], DAY_MS)
        assert pace is not None
        made = forecast(pace, sum(days[:10]), 1, NOW, NOW + 20 * DAY_MS)
        held += (made.at_end_low or 0) <= sum(days) <= (made.at_end_high or 0)
    assert 0.92 <= held / 400 <= 0.98
