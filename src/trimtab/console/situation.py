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


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """Which configuration answers, and whether all is well, as it is now."""

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
    conditions: Mapping[str, str | None] = {}
    """Each part that can be in trouble while requests are answered, with its trouble or `None`."""

    @property
    def troubles(self) -> str:
        """All troubles in one line; empty where there is none."""
        return "; ".join(f"{part}: {trouble}" for part, trouble in self.conditions.items() if trouble)


class Situation:
    """One version of the configuration, in force."""

    def __init__(self, settled: InForce, conditions: Callable[[], Mapping[str, str | None]]) -> None:
        """`conditions` does not block."""
        self.settled = settled
        self._conditions = conditions
        self.simulated = all(platform.simulated for platform in settled.platforms)
        """Whether nothing but simulated answers can come of this configuration; then they are what is shown first."""

    def in_force(self) -> InForce:
        """As it is now."""
        return msgspec.structs.replace(self.settled, conditions=self._conditions())

    def completed(self, query: bytes) -> bytes:
        """A query that says whether real or simulated traffic is meant: its own word, or what fits."""
        if not self.simulated or any(part.startswith(b"simulated=") for part in query.split(b"&")):
            return query
        return query + (b"&" if query else b"") + b"simulated=true"
