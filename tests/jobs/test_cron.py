"""When a schedule is due."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.jobs.cron import MINUTE_MS, Cron
from trimtab.jobs.schedules import INTERVAL_MIN_S, LATE_MS, parse_rule, plan

DAY_MS = 86_400_000
moments = st.integers(0, 4_000_000_000_000)


def ms(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


@pytest.mark.parametrize(
    ("rule", "now", "due"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "2026-01-01T00:14:59", "2026-01-01T00:15:00"),
        ("*/15 * * * *", "2026-01-01T23:59:00", "2026-01-02T00:00:00"),
        ("30 4 * * *", "2026-01-01T04:30:00", "2026-01-02T04:30:00"),
        ("0 0 1 * *", "2026-01-31T12:00:00", "2026-02-01T00:00:00"),
        ("0 0 31 * *", "2026-01-31T12:00:00", "2026-03-31T00:00:00"),
        ("0 0 29 2 *", "2096-02-29T00:00:00", "2104-02-29T00:00:00"),
        ("0 9 * * mon-fri", "2026-11-20T10:00:00", "2026-11-23T09:00:00"),
        ("0 9 * * 7", "2026-11-20T10:00:00", "2026-11-22T09:00:00"),
        ("0 0 13 * fri", "2026-11-14T00:00:00", "2026-11-20T00:00:00"),
        ("0 0 13 * fri", "2026-12-12T00:00:00", "2026-12-13T00:00:00"),
        ("5,10-20/5 8 * JAN,dec *", "2026-01-31T08:10:00", "2026-01-31T08:15:00"),
        ("5/20 * * * *", "2026-01-31T08:25:00", "2026-01-31T08:45:00"),
    ],
)
def test_the_next_time_is_that_of_cron(rule: str, now: str, due: str) -> None:
    assert Cron.parse(rule).after(ms(now)) == ms(due)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("60 * * * *", "minute '60': write a number from 0 to 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of the week"),
        ("*/0 * * * *", "minute '0'"),
        ("5-1 * * * *", "write 1-5"),
        ("- * * * *", "minute"),
        ("1,, * * * *", "minute ''"),
        ("\u0661 * * * *", "minute"),
        ("0 0 30 2 *", "no such month has such a day"),
        ("every 1s", "5 to"),
        ("every day", "every 300s"),
        ("every ", "every 300s"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_what_is_wrong(rule: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_rule(rule)


@given(st.text(max_size=30))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        rule = parse_rule(text)
    except ValueError:
        return
    assert rule.after(0) > 0


def fields(low: int, high: int, last: int | None = None) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field as text, and what it means; `last` is the highest number there is, where `high` stays below it."""
    end = (last or high) + 1

    def one(pair: tuple[int, int]) -> tuple[str, frozenset[int]]:
        a, b = min(pair), max(pair)
        return (f"{a}-{b}" if b > a else f"{a}", frozenset(range(a, b + 1)))

    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(one)
    whole = st.just(("*", frozenset(range(low, end))))
    several = st.lists(span, min_size=1, max_size=3).map(
        lambda parts: (",".join(text for text, _ in parts), frozenset().union(*(found for _, found in parts)))
    )
    step = st.integers(1, high).map(lambda n: (f"*/{n}", frozenset(range(low, end, n))))
    return whole | span | several | step


@given(fields(0, 59), fields(0, 23), fields(1, 28, 31), fields(1, 12), fields(0, 6), moments)
def test_the_next_time_matches_and_none_before_it_does(
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    day: tuple[str, frozenset[int]],
    month: tuple[str, frozenset[int]],
    weekday: tuple[str, frozenset[int]],
    now: int,
) -> None:
    cron = Cron.parse(" ".join(text for text, _ in (minute, hour, day, month, weekday)))

    def matches(at_ms: int) -> bool:
        at = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
        in_month, in_week = at.day in day[1], at.isoweekday() % 7 in weekday[1]
        either = not day[0].startswith("*") and not weekday[0].startswith("*")
        return (
            at.minute in minute[1]
            and at.hour in hour[1]
            and at.month in month[1]
            and ((in_month or in_week) if either else (in_month and in_week))
        )

    due = cron.after(now)
    assert due > now
    assert due % MINUTE_MS == 0
    assert matches(due)
    # Every minute of the last day before it, and the same minute of days further back.
    first = (now // MINUTE_MS + 1) * MINUTE_MS
    assert not any(matches(at) for at in range(max(first, due - DAY_MS), due, MINUTE_MS))
    assert not any(matches(at) for at in range(first, due, 601 * MINUTE_MS))


@given(st.integers(INTERVAL_MIN_S, 1_000_000), moments)
def test_intervals_are_counted_from_one_moment_for_all(seconds: int, now: int) -> None:
    due = parse_rule(f"every {seconds}s").after(now)
    assert now < due <= now + seconds * 1000
    assert due % (seconds * 1000) == 0


rules = st.sampled_from(["every 5s", "every 61s", "* * * * *", "*/7 3 * * *", "0 0 29 2 *", "0 0 1 1 *"])


@given(rules, st.sampled_from(["skip", "once"]), moments, st.integers(0, 10 * 366 * DAY_MS))
def test_of_times_that_passed_the_last_is_fired_or_none_and_the_next_lies_ahead(
    text: str, missed: str, start: int, later: int
) -> None:
    rule = parse_rule(text)
    next_ms = rule.after(start)
    now = next_ms + later
    fired, following = plan(rule, missed, next_ms, now)  # type: ignore[arg-type]
    assert following > now
    latest = next_ms if fired is None else fired
    assert next_ms <= latest <= now
    if fired is not None:
        assert rule.after(fired) == following
        assert rule.after(fired - 1) == fired
    else:
        assert missed == "skip"
        assert now - next_ms > LATE_MS
    if missed == "once" or now - next_ms <= LATE_MS:
        assert fired is not None
