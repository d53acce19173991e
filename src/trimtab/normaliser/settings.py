"""The `[normaliser]` section."""

from typing import Literal

import msgspec

Mode = Literal["strict", "adapt", "observe", "off"]
"""`strict`: refuse what the model would refuse. `adapt`: change it and say so. `observe`: only say so, in the record.
`off`: look at nothing."""

PlatformMode = Literal["strict", "adapt", "off"]
"""`strict`: refuse what the platform does not take. `adapt`: take out what can be taken out, say so, and refuse the
rest. `off`: let the platform judge."""


class NormaliserSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done with a request that the model it goes to would refuse, or silently take for something else."""

    tiers: Mode = "adapt"
    """For requests that name a tier: the caller left the model to us."""
    pinned: Mode = "observe"
    """For requests that name a model: these go out byte for byte unless the operator says otherwise."""
    platform: PlatformMode | None = None
    """For what a platform does not take, whatever the model. `None`: `strict` where `tiers` or `pinned` is, else
    `adapt`, for a request that is known to be refused helps nobody."""
