"""Money that was promised to a seller for a time: whether it will be used up, and what that makes of a price.

What it is not: the sum of what was spent (the store's, which `app` brings in) or a bill. Invariants: a price is never
made higher by this, and never lower once the promise will be kept at the present rate.

What was promised is paid whether it is used or not. So as long as it would not be used up, a call within it costs
nothing that would be saved elsewhere. To count the price as zero would send everything there at once, use it up early
and turn back: instead the price counts as the part of the promise that will be used at the present rate. The fuller
that gets, the nearer to its full price the place comes, and the choice settles.
"""

import datetime

import msgspec

LEAST_FACTOR = 0.05
"""Of the price that still counts where nothing would be used: so that prices stay comparable."""
ON_PACE = 0.02
"""A forecast within 2 % of the promise is as good as kept."""
DAY_S = 86_400.0


class Commitment(msgspec.Struct, frozen=True):
    """What one platform entry's owner promised to spend."""

    nanousd: int
    starts: datetime.date
    """The first day, UTC."""
    until: datetime.date
    """The last day, UTC."""


class Spent(msgspec.Struct, frozen=True):
    """What was spent at one platform entry, as far as it is known."""

    nanousd: int
    """Since the commitment began."""
    lately_nanousd: int
    """In the last days."""
    lately_days: float = 7.0
    """How many those are; less than seven where there are no older records."""


class Pace(msgspec.Struct, frozen=True):
    """Where a commitment stands."""

    state: str
    """`not begun`, `under` (it would not be used up), `on`, `over` (more will be spent), `ended`."""
    passed: float
    """The part of its time that is over, 0 to 1."""
    used: float
    """The part of the money that is spent; above 1 once there is more."""
    forecast: float
    """The part that will be spent by its end at the rate of the last days."""
    factor: float
    """What the price is multiplied with when places are compared: 1, or less while it would not be used up."""


def pace(commitment: Commitment, spent: Spent, now: datetime.datetime) -> Pace:
    """Where it stands at `now`, which needs a time zone."""
    starts = datetime.datetime.combine(commitment.starts, datetime.time(), datetime.UTC)
    # In days, for the day after 9999-12-31, which people write for an open end, is no date.
    whole_s = ((commitment.until - commitment.starts).days + 1) * DAY_S
    gone_s = (now - starts).total_seconds()
    passed = min(max(gone_s / whole_s, 0.0), 1.0)
    promised = max(commitment.nanousd, 1)
    used = max(spent.nanousd, 0) / promised
    left_days = whole_s * (1 - passed) / DAY_S
    a_day = max(spent.lately_nanousd, 0) / max(spent.lately_days, 1.0)
    forecast = used + a_day * left_days / promised
    if now < starts:
        return Pace("not begun", passed, used, forecast, 1.0)
    if gone_s >= whole_s:
        return Pace("ended", passed, used, used, 1.0)
    if forecast < 1 - ON_PACE:
        return Pace("under", passed, used, forecast, max(forecast, LEAST_FACTOR))
    return Pace("over" if forecast > 1 + ON_PACE else "on", passed, used, forecast, 1.0)
