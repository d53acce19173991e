"""The five fields of cron: minute, hour, day of the month, month, day of the week; in UTC.

What it is not: a clock. Invariant: `after(t)` is the first matching minute later than `t`, and there is one.

A field is `*` or a list of numbers, ranges `a-b` and names (`jan`, `mon`), each range with an optional `/step`.
Sunday is 0 or 7. Where both days are restricted, either suffices.
Source: POSIX.1-2017, crontab, and its common extensions (names, steps, 7).
"""

import calendar
import datetime

import msgspec

MINUTE_MS = 60_000

_YEARS = 8
"""The longest gap between two 29ths of February (over 2100)."""

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


class Cron(msgspec.Struct, frozen=True):
    """A parsed line."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either_day: bool
    """Both days are restricted, so one of them suffices."""

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Raises `ValueError` with what is wrong, also for days that no month has."""
        fields = text.split()
        if len(fields) != 5:
            raise ValueError(
                f"{text!r} has {len(fields)} fields; write five: minute hour day-of-month month day-of-week"
            )
        minute, hour, day, month, weekday = fields
        cron = cls(
            _field("minute", minute, 0, 59),
            _field("hour", hour, 0, 23),
            _field("day of the month", day, 1, 31),
            _field("month", month, 1, 12, _MONTHS),
            frozenset(number % 7 for number in _field("day of the week", weekday, 0, 7, _DAYS)),
            not day.startswith("*") and not weekday.startswith("*"),
        )
        if cron._first_day(datetime.date(2096, 3, 1)) is None:
            raise ValueError(f"{text!r}: no such month has such a day")
        return cron

    def after(self, unix_ms: int) -> int:
        """Unix milliseconds of the first matching minute after a moment."""
        at = datetime.datetime.fromtimestamp(unix_ms // MINUTE_MS * 60, datetime.UTC)
        at += datetime.timedelta(minutes=1)
        day = self._first_day(at.date())
        if day == at.date():
            for hour in sorted(hour for hour in self.hours if hour >= at.hour):
                for minute in sorted(self.minutes):
                    if (hour, minute) >= (at.hour, at.minute):
                        return _unix_ms(day, hour, minute)
            day = self._first_day(at.date() + datetime.timedelta(days=1))
        assert day is not None  # parse has seen to it
        return _unix_ms(day, min(self.hours), min(self.minutes))

    def _first_day(self, start: datetime.date) -> datetime.date | None:
        """The first matching day from `start` on."""
        day = start
        for _ in range(_YEARS * 366 + 1):
            if day.month in self.months and self._day_matches(day):
                return day
            day += datetime.timedelta(days=1)
        return None

    def _day_matches(self, day: datetime.date) -> bool:
        in_month = day.day in self.days
        in_week = day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week


def _unix_ms(day: datetime.date, hour: int, minute: int) -> int:
    at = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=datetime.UTC)
    return int(at.timestamp()) * 1_000


def _field(
    what: str, text: str, lowest: int, highest: int, names: dict[str, int] | None = None
) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(what, step_text, 1, highest) if slash else 1
        if span == "*":
            first, last = lowest, highest
        else:
            first_text, dash, last_text = span.partition("-")
            first = _number(what, first_text, lowest, highest, names)
            last = _number(what, last_text, lowest, highest, names) if dash else first
            if slash and not dash:
                last = highest
        if last < first:
            raise ValueError(f"{what} {part!r}: the range runs backwards; write {last}-{first}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(what: str, text: str, lowest: int, highest: int, names: dict[str, int] | None = None) -> int:
    if names and text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit() and len(text) < 3 and lowest <= int(text) <= highest):
        raise ValueError(f"{what} {text!r}: write a number from {lowest} to {highest}, or *")
    return int(text)
