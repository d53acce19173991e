"""What an operator wants to know before any figure: which configuration answers, and whether all is well.

What it is not: the configuration itself; no secret and no setting that could hold one is here.
"""

from collections.abc import Callable, Mapping

import msgspec


class PlatformShown(msgspec.Struct, frozen=True):
    """One platform entry in force."""

    name: str
    kind: str
    simulated: bool
    """No real model answers there."""


class ContentPolicy(msgspec.Struct, frozen=True):
    """What is kept of prompts and answers."""

    keep: str = "off"
    """`off`, `redacted` or `full`."""
    days: int = 0
    """How long; 0 where nothing is kept."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the configuration, in force."""

    config_name: str
    """The file, or `defaults`."""
    config_version: str
    catalogue_version: str
    catalogue_as_of: str
    platforms: tuple[PlatformShown, ...]
    tiers: Mapping[str, str]
    """Role to arm."""
    store: str
    """Address, without any secret."""
    keep_days: int
    """Days that records are kept; 0 is for ever."""
    workers: int
    url: str
    """Where programs reach this server."""
    keys_required: bool
    content: ContentPolicy
    conditions: Callable[[], Mapping[str, str | None]]
    """Each part that can be in trouble while requests are answered, with its trouble or `None`. Does not block."""

    @property
    def simulated(self) -> bool:
        """Whether nothing but simulated answers can come of this configuration."""
        return all(platform.simulated for platform in self.platforms)
