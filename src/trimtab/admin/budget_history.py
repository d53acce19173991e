"""How a budget came to what is spent of it, and where that leads: its burn-down, and its forecast.

What it is not: what limits go by. Invariant: a curve ends at what is spent now, whatever was used before the budget
came to be.
"""

from collections.abc import Sequence

import msgspec

from trimtab.budgets.forecast import DAYS_LOOKED_AT, HOURS_LOOKED_AT, Forecast, forecast, pace_of
from trimtab.records import Meter, Period, Scope
from trimtab.store import Transaction
from trimtab.store.budgets.history import NOT_BY_TAG, Hour, hours_of

HOUR_MS = 3_600_000
DAY_MS = 86_400_000

TOTAL_SHOWN_MS = 30 * DAY_MS
"""Of a total, which has no beginning, so much is drawn."""

POINTS_MOST = 124
"""Of a curve: four a day of the longest month."""

NO_DATA = "no data"


class Point(msgspec.Struct, frozen=True):
    """What was spent by a moment."""

    at_ms: int
    spent: int


class BurnDown(msgspec.Struct, frozen=True, kw_only=True):
    """What an account came to, over its period. Amounts in its own unit, times in Unix milliseconds."""

    account: str
    field: str
    from_ms: int
    to_ms: int
    """The end of the period; of a total, as long after now as is drawn before."""
    points: tuple[Point, ...]
    note: str = ""
    """Why only where it stands is known."""


class History:
    """What one owner used lately, read once for all limits and periods."""

    def __init__(self, tx: Transaction, now_ms: int, *, simulated: bool) -> None:
        self._tx = tx
        self._now_ms = now_ms
        self._simulated = simulated
        self._known: dict[Scope, tuple[Hour, ...] | None] = {}

    def hours(self, scope: Scope) -> tuple[Hour, ...] | None:
        """The last month and some days; `None` where it is not known."""
        if scope not in self._known:
            today = self._now_ms - self._now_ms % DAY_MS
            self._known[scope] = hours_of(
                self._tx, scope, today - 32 * DAY_MS, self._now_ms, simulated=self._simulated
            )
        return self._known[scope]

    def forecast(
        self, scope: Scope, meter: Meter, period: Period, limit: int, spent: int, ends_ms: int | None
    ) -> tuple[Forecast | None, str]:
        """What is expected of a limit, or why nothing is."""
        if meter == "concurrency" or period == "minute":
            return None, ""
        hours = self.hours(scope)
        if hours is None:
            return None, f"{NO_DATA}: {NOT_BY_TAG}"
        step_ms, count = (HOUR_MS, HOURS_LOOKED_AT) if period == "day" else (DAY_MS, DAYS_LOOKED_AT)
        pace = pace_of(_steps(hours, meter, self._now_ms, step_ms, count), step_ms)
        if pace is None:
            step = "hour" if step_ms == HOUR_MS else "day"
            return None, f"{NO_DATA}: no use before this {step}"
        return forecast(pace, spent, limit, self._now_ms, ends_ms), ""

    def burn_down(
        self, scope: Scope, meter: Meter, account: str, field: str, spent: int, span: tuple[int, int] | None
    ) -> BurnDown:
        """The curve of an account; `span` is its period, `None` for a total."""
        now_ms = self._now_ms
        from_ms, to_ms = span or (now_ms - TOTAL_SHOWN_MS, now_ms + TOTAL_SHOWN_MS)
        hours = self.hours(scope)
        if hours is None:
            points: Sequence[Point] = [Point(now_ms, spent)]
        else:
            points = _curve(hours, meter, spent, from_ms, now_ms)
        if hours is not None and span is not None and points[0].at_ms > from_ms:
            points = [Point(from_ms, 0), *points]
        return BurnDown(
            account=account,
            field=field,
            from_ms=from_ms,
            to_ms=to_ms,
            points=tuple(points),
            note="" if hours is not None else NOT_BY_TAG,
        )


def _steps(hours: Sequence[Hour], meter: Meter, now_ms: int, step_ms: int, count: int) -> list[int]:
    """What was used in each of the last whole steps, the oldest first."""
    ends = now_ms - now_ms % step_ms
    found = [0] * count
    for hour in hours:
        place = count - 1 - (ends - 1 - hour.at_ms) // step_ms
        if hour.at_ms < ends and place >= 0:
            found[place] += hour.amounts.get(meter, 0)
    return found


def _curve(hours: Sequence[Hour], meter: Meter, spent: int, from_ms: int, now_ms: int) -> list[Point]:
    """Counted back from what is spent now, so that its end is true."""
    step_ms = max(HOUR_MS, -(-(now_ms - from_ms) // POINTS_MOST // HOUR_MS) * HOUR_MS)
    points = [Point(now_ms, spent)]
    left = spent
    for hour in reversed(hours):
        if hour.at_ms < from_ms:
            break
        # At the end of the hour before it nothing of this hour was spent.
        left -= hour.amounts.get(meter, 0)
        points.append(Point(max(hour.at_ms, from_ms), max(left, 0)))
    points.reverse()
    kept = [points[0]]
    for point in points[1:-1]:
        if point.at_ms - kept[-1].at_ms >= step_ms:
            kept.append(point)
    return [*kept, points[-1]] if len(points) > 1 else kept
