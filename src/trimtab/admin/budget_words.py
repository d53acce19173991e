"""What goes in and out of the door for budgets. Data only; the same for the terminal, for HTTP and for pages."""

from typing import Literal

import msgspec

from trimtab.admin.budget_history import BurnDown
from trimtab.budgets.forecast import Forecast
from trimtab.records import Meter, Period, Reserve, ScopeKind
from trimtab.store.budgets.warnings import Given


class Standing(msgspec.Struct, frozen=True):
    """Where one limit stands on one side, in its own unit: nano-dollars, tokens, requests."""

    spent: int
    held: int
    """What processes have on loan for it; a part may be spent already and not yet recorded."""
    left: int
    """The limit less what is spent; what is held is a part of it. Never below 0."""
    forecast: Forecast | None = None
    """`None`: no data, or none is made of this limit (`forecast_note`)."""
    forecast_note: str = ""

    @property
    def used(self) -> float:
        """The part of the limit that is spent; above 1 where it was overshot."""
        return self.spent / (self.spent + self.left) if self.left else float("inf")


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """What one limit is counted on now."""

    account: str
    """Another in each period."""
    scope: str
    """Whose it is, as accounts begin: `team=default/red`."""
    real: Standing
    simulated: Standing | msgspec.UnsetType = msgspec.UNSET
    """Unset where nothing simulated was counted."""


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a budget."""

    field: str
    """The setting, as `usd_per_month`."""
    meter: Meter
    period: Period
    limit: int
    from_ms: int | None
    """When the period began; `None` for a total and for concurrency."""
    renews_ms: int | None
    """When the next one begins, at zero."""
    accounts: tuple[AccountView, ...]
    """One, but where a budget is for each of several: then those that something was counted on, the most used first."""


class BudgetView(msgspec.Struct, frozen=True, kw_only=True):
    """A budget as people may see it. Times in Unix milliseconds."""

    name: str
    source: Literal["file", "store"]
    file: str
    """The file that it is written in; empty for one of the store."""
    scope: ScopeKind
    who: str
    """As it is written: for a key, its id or its name."""
    organisation: str
    """Whose that is; empty: of any organisation."""
    soft: bool
    may_overshoot: bool
    reserve: Reserve
    """What is held for calls in flight."""
    warn_percent: int
    webhook: str | None
    """Without what may be a secret in it."""
    signed: bool
    """Whether what is sent there is signed."""
    note: str
    """What is odd about it, as a team that there is not yet; else empty."""
    made_ms: int | None
    """`None` for one of a file."""
    changed_ms: int | None
    lines: tuple[LineView, ...]
    warnings: tuple[Given, ...]
    """The newest that were given, and what became of sending them."""


class BudgetPictures(msgspec.Struct, frozen=True, kw_only=True):
    """Budgets with the way that each account took, on one side."""

    now_ms: int
    budgets: tuple[BudgetView, ...]
    burn_downs: tuple[BurnDown, ...]
    """One for each account and limit, but those of a minute and of requests in flight."""


class BudgetChanged(msgspec.Struct, frozen=True):
    """A budget after a change, and the settings that it had before."""

    budget: BudgetView | None
    """`None`: it was removed."""
    was: BudgetView | None
    """`None`: it is new."""
