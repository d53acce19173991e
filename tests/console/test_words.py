"""How pages write figures."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trimtab.console.words as words


def plain(text: str) -> str:
    return text.replace(words.NBSP, " ")


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.04, "0.04 ms"),
        (1.44, "1.4 ms"),
        (99.96, "100 ms"),
        (999.6, "1.00 s"),
        (5_938.7, "5.94 s"),
        (59_960, "1 min 0 s"),
        (3_599_999, "1 h 0 min"),
        (5_000_000, "1 h 23 min"),
    ],
)
def test_times_are_read_at_a_glance(ms: float | None, said: str) -> None:
    assert plain(words.duration(ms)) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (2.5, "2.5"), (42, "42"), (999, "999"), (1_000, "1k"), (1_250, "1.2k"), (999_999, "1M"), (145_000_000, "145M")]
)  # fmt: skip
def test_counts_on_an_axis_are_short(value: float, said: str) -> None:
    assert words.short(value) == said


def test_a_share_never_rounds_some_to_none_or_not_all_to_all_of_none() -> None:
    assert plain(words.share(0, 0)) == "–"
    assert plain(words.share(0, 5)) == "0 %"
    assert plain(words.share(1, 100_000)) == "< 0.1 %"
    assert plain(words.share(5, 5)) == "100 %"


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Worked out by hand: 1 of 14.
    assert plain(words.interval(1, 14)) == "1.3 to 31.5 %"
    assert plain(words.interval(0, 10)) == "0.0 to 27.8 %"
    assert words.interval(0, 0) == "–"


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_an_interval_holds_its_share(whole: int, part: int) -> None:
    part = min(part, whole)
    low, high = (float(one) for one in re.findall(r"[\d.]+", words.interval(part, whole)))
    assert low - 0.06 <= 100 * part / whole <= high + 0.06


@pytest.mark.parametrize(
    ("now", "before", "said"), [(0, 5, ""), (5, 0, ""), (None, 1, ""), (108, 100, "+8 %"), (91, 100, "−9 %"), (100, 100, "±0 %"), (1500, 100, "15 times")]
)  # fmt: skip
def test_a_change_is_said_only_where_there_is_something_to_compare(
    now: float | None, before: float | None, said: str
) -> None:
    assert plain(words.change(now, before)) == said


def test_times_are_utc_to_the_second_and_exact_where_asked_for() -> None:
    assert words.moment(1_795_199_400_123) == "2026-11-20 18:30:00"
    assert words.exact_moment(1_795_199_400_123) == "2026-11-20 18:30:00.123"
    assert words.machine_time(1_795_199_400_123) == "2026-11-20T18:30:00.123Z"


def test_a_part_of_one_is_told_in_per_cent_and_what_is_absurd_is_only_said_to_be_much() -> None:
    assert [plain(words.percent(part)) for part in (0, 0.0004, 0.123, 1, 1.5, 16_000)] == [
        "0 %",
        "< 0.1 %",
        "12.3 %",
        "100 %",
        "150.0 %",
        "> 1,000 %",
    ]
    assert words.minute_of_day(3_660_000) == "01:01"
    assert words.wilson(0, 7)[0] == 0
    assert words.wilson(7, 7)[1] == 1
