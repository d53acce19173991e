"""Section `[choosing]`: which of several places that serve a model is asked first.

What it is not: who may be asked at all by the caller's key, or what follows a failure. Invariant: a setting that would
have no effect is refused.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from trimtab.config import fail
from trimtab.errors import ConfigError

MOST_WEIGHT = 1000.0
MOST_STICKY_S = 86_400.0

DEFAULT_COST, DEFAULT_LATENCY, DEFAULT_THROUGHPUT, DEFAULT_ROOM = 1.0, 0.3, 0.3, 0.2
"""Of `balanced`: a third slower to begin is as bad as 9 % dearer; an empty rate limit as 20 % dearer."""


class ChoosingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section `[choosing]`. `check_choosing` checks it."""

    prefer: Literal["order", "cost", "speed", "balanced", "weights"] = "order"
    """`order`: as configured, the others are for when it fails. `weights`: by each entry's share of conversations."""
    cost: float | None = None
    """How much it counts in `balanced`; so do the next three."""
    latency: float | None = None
    throughput: float | None = None
    room: float | None = None
    data_regions: tuple[str, ...] | None = None
    """Only places that declare one of these are asked; `None`: any."""
    sticky: bool = True
    """Whether a conversation stays where its prompt cache is."""
    sticky_s: float = 300.0
    """For how long after its last request. The vendor's prompt cache lives for 5 minutes, or for an hour."""

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """Of cost, latency, throughput and room in `balanced`."""
        return (
            DEFAULT_COST if self.cost is None else self.cost,
            DEFAULT_LATENCY if self.latency is None else self.latency,
            DEFAULT_THROUGHPUT if self.throughput is None else self.throughput,
            DEFAULT_ROOM if self.room is None else self.room,
        )


def check_choosing(settings: ChoosingSettings, where: Callable[[str], str]) -> None:
    """Raises `ConfigError` named by `where(key)` for what cannot be meant."""
    for key in ("cost", "latency", "throughput", "room"):
        value = getattr(settings, key)
        if value is None:
            continue
        if settings.prefer != "balanced":
            fail(
                where(key), value, f'has no effect with prefer = "{settings.prefer}"; set prefer = "balanced"'
            )
        if not 0 <= value <= MOST_WEIGHT:  # so written that nan is refused
            fail(where(key), value, f"must be from 0 to {MOST_WEIGHT:g}")
    if settings.prefer == "balanced" and not any(settings.weights):
        raise ConfigError(
            where("prefer"), "'balanced': every weight is 0; give one of them more, or use \"order\""
        )
    if not 0 < settings.sticky_s <= MOST_STICKY_S:
        fail(where("sticky_s"), settings.sticky_s, f"must be greater than 0 and at most {MOST_STICKY_S:g}")
    check_regions(settings.data_regions, where("data_regions"))


def check_regions(regions: tuple[str, ...] | None, where: str) -> None:
    """Raises `ConfigError` for a list that leaves nothing."""
    if regions is not None and not regions:
        raise ConfigError(
            where, "is empty, which leaves no platform at all; name a region, or leave the key out"
        )


def check_declared(regions: tuple[str, ...] | None, declared: Iterable[str | None], where: str) -> None:
    """Raises `ConfigError` for a region that no platform entry declares."""
    known = sorted({one for one in declared if one is not None})
    for region in regions or ():
        if region not in known:
            there = f"those declared are {', '.join(known)}" if known else "none declares any"
            fail(where, region, f"no platform entry declares this data_region; {there}")
