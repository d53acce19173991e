"""Where a call can go: one configured platform entry, or one key of its pool, with what the operator says of it.

What it is not: an open connection (`providers`), or how the place does (`standing`). Invariant: what is declared never
changes within one configuration, so a place may stand in a kept decision.
"""

import datetime
from collections.abc import Collection, Mapping
from decimal import Decimal

import msgspec

NO_DISCOUNT = Decimal(0)


class Place(msgspec.Struct, frozen=True):
    """One configured platform entry, or one key of its pool, as far as a decision needs it."""

    name: str
    """Of the entry."""
    platform: str
    """The catalogue's name for its kind."""
    ids: Mapping[str, str]
    """What it calls each model that it serves, by catalogue id."""
    account: str = ""
    """Which key of the entry's pool: "1", "2" ...; empty where it has one."""
    weight: float = 1.0
    """Its share of the conversations among places that are as good."""
    data_region: str | None = None
    """Where its data stay, in the operator's words."""
    hardware: str | None = None
    """What it computes on, in the operator's words: `trainium`, `tpu`, `nvidia`."""
    online_from: datetime.date | None = None
    """The first day, UTC, on which calls go there."""
    regional: bool = False
    """Whether its calls may be served at a regional endpoint, which costs more on some platforms."""
    discount: Decimal = NO_DISCOUNT
    """What is taken off the list price, as a part of it: 0.15 is 15 %."""

    simulated: bool = False
    """Whether the entry says that no real model answers there."""
    takes_effort: bool = True
    """Whether it takes `reasoning_effort`, where it speaks the chat API."""

    @property
    def key(self) -> str:
        """Tells it from every other place: "claude", or "claude#2" for a key of a pool."""
        return f"{self.name}#{self.account}" if self.account else self.name


def is_online(online_from: datetime.date | None, today: datetime.date) -> bool:
    """Whether a place with this first day may be called today; both are days in UTC."""
    return online_from is None or online_from <= today


def stays_in(data_region: str | None, *allowed: Collection[str] | None) -> bool:
    """Whether a place that declares this region is within all of the rules; `None` among them is no rule."""
    return all(regions is None or data_region in regions for regions in allowed)


class Candidate(msgspec.Struct, frozen=True):
    """A place that may serve a request, and what the model is called there."""

    place: Place
    send_model: str
    """The `model` value for the platform."""
