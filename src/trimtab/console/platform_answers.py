"""What is told of platform entries: data for the page, and as JSON the same.

What it is not: text for people; money is nano-dollars, times are milliseconds, shares are parts of 1.
Invariant: what was recorded (of all server processes) and what one process sees now are told apart by name.
"""

import datetime
from collections.abc import Mapping

import msgspec

from trimtab.console.answers import Freshness
from trimtab.console.questions import Window
from trimtab.routing import Remaining
from trimtab.store.figures.platforms import CallError, Calls


class Share(msgspec.Struct, frozen=True):
    """A part of some calls."""

    part: int
    whole: int
    low: float | None
    """Where the share lies with 95 % confidence (Wilson); `None` where there were no calls."""
    high: float | None


class PlaceNow(msgspec.Struct, frozen=True, kw_only=True):
    """How one model does with one key of an entry, as the server process that answers sees it."""

    account: str
    """Which key of the pool; empty where there is none."""
    state: str
    """Of the circuit breaker: `closed` lets calls through, `open` none, `half_open` one that tries."""
    away: str | None
    """Why no call should go there now."""
    away_for_s: float
    calls: int
    """Ended in the last 30 s."""
    failures: int
    room: float | None
    """The part of the rate limit that is left, 0 to 1; `None`: the platform does not say."""
    limits: tuple[Remaining, ...]

    @property
    def kept_back(self) -> bool:
        """Whether calls do not simply go there."""
        return self.away is not None or self.state != "closed"


class ModelThere(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one entry."""

    model: str
    sent_as: str | None
    """What the entry calls it; `None`: it does not serve it now."""
    now: tuple[PlaceNow, ...]
    """Empty where this server process has not called it, or where requests have one place only."""
    lately: Share
    """Answered, of the calls since `lately_from_ms` that say something of the platform: not those refused or
    cancelled."""
    calls: Calls
    """In the window."""
    answered: Share
    """As `lately`, in the window."""
    limited: Share
    """429, of the same calls."""
    price_nanousd: int | None
    """Of an answered task, calls that came to nothing included."""
    tokens_per_s: float | None
    first_p50_ms: float | None
    first_p95_ms: float | None
    last_error: CallError | None
    accounts: Mapping[str, Calls]
    """By key of the pool; empty where there is none."""


class CommitmentNow(msgspec.Struct, frozen=True, kw_only=True):
    """Money that was promised to a seller, and where that stands."""

    nanousd: int
    starts: datetime.date
    until: datetime.date
    """The last day, UTC."""
    spent_nanousd: int | None
    """Since it began; `None`: not read yet."""
    lately_nanousd: int | None
    """In the last `lately_days`."""
    lately_days: float | None
    state: str | None
    """`not begun`, `under` (it would not be used up), `on`, `over`, `ended`."""
    passed: float | None
    """The part of its time that is over."""
    used: float | None
    forecast: float | None
    """The part that will be spent by its end at the rate of the last days; above 1: more than was promised."""


class EntryNow(msgspec.Struct, frozen=True, kw_only=True):
    """One platform entry: what the operator says of it, and what it did."""

    name: str
    kind: str
    """As the catalogue calls it; empty where it is not configured now."""
    simulated: bool
    in_force: bool
    """Whether the configuration that answers has it; else it is known from records."""
    hardware: str | None
    """As the operator declares it, as everything down to `discount`."""
    data_region: str | None
    online_from: datetime.date | None
    online: bool
    """Whether that day has come."""
    weight: float
    discount: float
    """What is taken off the list price, as a part of it."""
    regional: bool
    """Priced as a regional endpoint."""
    accounts: tuple[str, ...]
    """The keys of its pool by number; empty where it has one."""
    serves: int
    """Models that it can be asked for."""
    commitment: CommitmentNow | None
    by_account: Mapping[str, Calls]
    """All models together, by key of the pool; empty where there is none."""
    models: tuple[ModelThere, ...]
    """Those that were called, by name."""


class Platforms(msgspec.Struct, frozen=True, kw_only=True):
    """All entries of one side, real or simulated."""

    window: Window
    """Moved to whole hours."""
    lately_from_ms: int
    """The hour before this one, and this one so far."""
    workers: int
    """Server processes; what is told as now is what one of them sees."""
    entries: tuple[EntryNow, ...]
    freshness: Freshness
