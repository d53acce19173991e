"""Whatever scopes are called and whenever they are used, what is counted together is what was meant."""

import datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from trimtab.records import (
    METERS,
    PERIODS,
    SCOPE_KINDS,
    Meter,
    Period,
    Scope,
    account_of,
    period_name,
    period_of,
)

NAMES = st.text(max_size=12) | st.sampled_from(
    ["red", "a/b", "a%2Fb", "a=b", "usd", "total", "\0", "\ud800", "*"]
)
SCOPES = st.builds(Scope, st.sampled_from(SCOPE_KINDS), NAMES, NAMES)
MOMENTS = st.integers(0, 4_102_444_800_000)


@given(SCOPES, SCOPES, st.sampled_from(METERS), st.sampled_from(METERS), st.sampled_from(PERIODS), MOMENTS)
def test_no_two_scopes_or_meters_are_counted_on_one_account(
    one: Scope, other: Scope, meter: Meter, another: Meter, period: Period, at_ms: int
) -> None:
    assume((one, meter) != (other, another))
    assert account_of(one, meter, period, at_ms) != account_of(other, another, period, at_ms)


@given(SCOPES, st.sampled_from(METERS), st.sampled_from(PERIODS), MOMENTS)
def test_an_account_can_be_kept_by_both_engines(
    scope: Scope, meter: Meter, period: Period, at_ms: int
) -> None:
    assert account_of(scope, meter, period, at_ms).isascii()
    assert account_of(scope, meter, period, at_ms).isprintable()


@given(st.sampled_from(PERIODS), MOMENTS)
def test_each_moment_lies_in_one_period_and_the_next_begins_where_it_ends(period: Period, at_ms: int) -> None:
    begins, ends = period_of(period, at_ms)
    if ends is None:
        assert period == "total"
        return
    assert begins <= at_ms < ends
    assert period_name(period, begins) == period_name(period, at_ms) == period_name(period, ends - 1)
    assert (
        period_name(period, begins - 1 if begins else ends)
        != period_name(period, at_ms)
        != period_name(period, ends)
    )
    assert period_of(period, ends)[0] == ends


def test_a_month_begins_at_midnight_utc_and_a_year_turns_over() -> None:
    december = int(datetime.datetime(2026, 12, 31, 23, 59, 59, tzinfo=datetime.UTC).timestamp()) * 1000
    assert (
        account_of(Scope("team", "red", "default"), "usd", "month", december)
        == "team=default/red/usd/2026-12"
    )
    assert (
        account_of(Scope("key", "key_1"), "tokens", "minute", december) == "key=key_1/tokens/2026-12-31T23:59"
    )
    assert (
        account_of(Scope("tag", "night run"), "requests", "day", december + 1000)
        == "tag=night run/requests/2027-01-01"
    )
    assert account_of(Scope("user", "*"), "concurrency", "minute", december) == "user=%2A/concurrency"
    begins, ends = period_of("month", december)
    assert ends is not None
    assert (ends - begins) // 86_400_000 == 31
