"""Who sends a request, and what it may use. Made by `identity` from a key; read by routing, engine and budgets."""

import msgspec


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Hard limits of one key; `None` is no limit."""

    concurrency: int | None = None
    """Requests in flight at a time, over all workers and instances."""
    requests_per_minute: int | None = None
    """Requests admitted in any 60 seconds, over all workers and instances."""
    total_nanousd: int | None = None
    """What the key may ever spend. Real and simulated money each have this limit on their own."""
    may_overshoot: bool = False
    """Whether it may use what bills by use and has no bound (server tools, MCP servers, skills, compaction): what that
    costs beyond the hold is counted afterwards, and may pass the limit of money."""

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return not (
            self.concurrency is None and self.requests_per_minute is None and self.total_nanousd is None
        )


class Caller(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key as the snapshot holds it, or `NOBODY`."""

    key: str = ""
    """The key's id (not its secret); empty for a caller without a key."""
    organisation: str = ""
    team: str = ""
    user: str = ""
    limits: Limits = Limits()
    models: tuple[str, ...] | None = None
    """Catalogue ids that may be used; `None` is all."""
    tiers: tuple[str, ...] | None = None
    """Tiers that may be named (`trimtab/<tier>`); `None` is all."""
    platforms: tuple[str, ...] | None = None
    """Platform entries that may be used; `None` is all."""
    default_tier: str | None = None
    """What `trimtab/auto` means for this key, where it is not the default tier."""
    admin: bool = False
    """May change keys through the API."""


NOBODY = Caller()
"""A caller on this machine without a key: no limits."""
