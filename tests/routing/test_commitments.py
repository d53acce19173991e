"""Commitments: where one stands, and that preferring it neither wastes it nor overshoots."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.routing.commitments import LEAST_FACTOR, Commitment, Spent, pace

YEAR = Commitment(365 * 10**9, datetime.date(2026, 1, 1), datetime.date(2026, 12, 31))


def at(month: int, day: int, year: int = 2026) -> datetime.datetime:
    return datetime.datetime(year, month, day, tzinfo=datetime.UTC)


def test_half_of_what_was_promised_at_the_rate_of_the_last_week_halves_the_price_that_counts() -> None:
    where = pace(YEAR, Spent(0, 7 * 500_000_000), at(1, 1))  # half a dollar a day, a dollar was promised
    assert (where.state, where.passed, where.used) == ("under", 0, 0)
    assert where.forecast == pytest.approx(0.5)
    assert where.factor == pytest.approx(0.5)


def test_what_was_spent_so_far_counts_with_what_is_to_come() -> None:
    half_year = at(7, 2) + datetime.timedelta(hours=12)
    where = pace(YEAR, Spent(int(182.5e9), 7 * 10**9), half_year)
    assert (where.state, where.factor) == ("on", 1.0)
    assert where.passed == pytest.approx(0.5)
    assert where.forecast == pytest.approx(1.0)
    assert pace(YEAR, Spent(int(182.5e9), 14 * 10**9), half_year).state == "over"
    behind = pace(YEAR, Spent(int(91.25e9), 7 * 10**9), half_year)
    assert behind.factor == pytest.approx(0.75)


def test_before_its_first_day_and_after_its_last_it_has_no_effect() -> None:
    assert pace(YEAR, Spent(0, 0), at(12, 31, 2025)).state == "not begun"
    assert pace(YEAR, Spent(0, 0), at(12, 31)).state == "under", "the last day belongs to it"
    ended = pace(YEAR, Spent(100 * 10**9, 10**9), at(1, 1, 2027))
    assert (ended.state, ended.factor, ended.passed) == ("ended", 1.0, 1.0)
    assert ended.forecast == ended.used, "nothing is added to what is over"


def test_records_of_two_days_are_not_taken_for_a_week() -> None:
    week, days = Spent(0, 2 * 10**9), Spent(0, 2 * 10**9, 2.0)
    assert pace(YEAR, week, at(1, 1)).forecast == pytest.approx(2 / 7)
    assert pace(YEAR, days, at(1, 1)).forecast == pytest.approx(1.0)


@given(
    st.integers(0, 10**15),
    st.integers(-(10**12), 10**16),
    st.integers(-(10**12), 10**15),
    st.floats(0.0, 7.0),
    st.datetimes(
        datetime.datetime(2020, 1, 1), datetime.datetime(2032, 1, 1), timezones=st.just(datetime.UTC)
    ),
    st.integers(0, 2000),
)
def test_a_commitment_never_makes_a_price_higher_and_one_that_is_used_up_never_lower(
    promised: int, spent: int, lately: int, days: float, now: datetime.datetime, length: int
) -> None:
    start = datetime.date(2025, 6, 1)
    commitment = Commitment(promised, start, start + datetime.timedelta(length))
    where = pace(commitment, Spent(spent, lately, days), now)
    assert LEAST_FACTOR <= where.factor <= 1
    assert 0 <= where.passed <= 1
    if where.used >= 1 or where.state != "under":
        assert where.factor == 1
    more = pace(commitment, Spent(spent, lately + 10**9, days), now)
    assert more.factor >= where.factor, "the more is spent there, the less it is preferred"


def test_a_commitment_without_an_end_that_anybody_will_see_is_one_like_others() -> None:
    ever = Commitment(10**9, datetime.date(2026, 1, 1), datetime.date.max)
    told = pace(ever, Spent(5 * 10**8, 7 * 10**6), datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC))
    assert (told.state, told.used) == ("over", 0.5)
    assert 0 < told.passed < 0.001
    last = datetime.datetime(9999, 12, 31, 23, 59, tzinfo=datetime.UTC)
    assert pace(ever, Spent(0, 0), last).state == "under"
