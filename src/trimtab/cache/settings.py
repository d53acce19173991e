"""The `[cache]` section: whether answers are kept to be given again, for how long, and to whom."""

from collections.abc import Callable, Collection
from typing import Annotated, Literal

import msgspec

from trimtab.config import fail

Share = Literal["key", "team", "organisation", "all"]

MIB = 1024 * 1024


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[cache]` section. A reload puts it in force for requests that arrive from then on."""

    mode: Literal["off", "on_request", "on"] = "off"
    """`off`: nothing is kept or looked for. `on_request`: for requests that say so (`x-trimtab-cache: on`). `on`: for
    all whose answer may be kept, unless they say otherwise."""
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=2_592_000)] = 3_600
    """An answer is not given again later than so long after it was kept. An hour: long enough for tests and pipelines
    that run again, short enough that nobody is surprised by last week's answer."""
    max_mb: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 256
    """All kept answers together, packed, in MiB; what was used longest ago gives way."""
    share: Share = "key"
    """Whom an answer may be given to besides the key that asked first: nobody, its team, its organisation, all."""
    sampled: bool = False
    """Whether `on` keeps answers of requests that sample (a temperature above 0, or none given) too. A request that
    says `x-trimtab-cache: on` is taken at its word."""
    wait_s: Annotated[int, msgspec.Meta(ge=0, le=3_600)] = 120
    """A request whose question is being asked at this moment waits so long for that answer, before it asks for itself;
    0: not at all. As `retries.within_s`: no call is begun later than so long after its request came."""
    tiers: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    """Where one of these is given: only requests for these tiers, or that these routes took."""

    @property
    def most_bytes(self) -> int:
        """`max_mb` in bytes."""
        return self.max_mb * MIB


def check_cache(
    settings: CacheSettings,
    where: Callable[[str], str],
    *,
    tiers: Collection[str],
    routes: Collection[str],
) -> None:
    """Raise `ConfigError` for a tier or route that is not there; `where` places a key."""
    for name, given, known in (("tiers", settings.tiers, tiers), ("routes", settings.routes, routes)):
        for one in given:
            if one not in known:
                there = ", ".join(sorted(known)) or "none"
                fail(where(name), one, f"there is no such {name[:-1]}; name one of those there are: {there}")
