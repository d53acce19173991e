"""The `[content]` section: what is kept of prompts and answers."""

from typing import Annotated, Literal

import msgspec


class ContentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[content]` section. A reload puts it in force for requests that arrive from then on."""

    keep: Literal["off", "redacted", "full"] = "off"
    """`off`: nothing. `redacted`: with placeholders for what looks like a secret or names a person; see
    docs/content.md for what that finds and what not. `full`: the exact bytes."""
    days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] = 30
    """Content older than this is deleted, within the hour or so; never later than the record."""
    max_bytes: Annotated[int, msgspec.Meta(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    """Of each side, as much is kept; the rest is cut off, and that is marked."""
    simulated: bool = True
    """Whether content of simulated requests is kept too."""


def days_kept(days: int, records_days: int) -> int:
    """For how long content is kept: never longer than its record (`store.keep_days`, where 0 is for ever)."""
    return min(days, records_days) if records_days else days
