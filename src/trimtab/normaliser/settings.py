"""The `[normaliser]` section, and what of `[effort]` concerns a request's body."""

from typing import Literal

import msgspec

from trimtab.catalogue import Effort
from trimtab.catalogue.effort import EffortSettings, EffortWords

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


LEAST_ROOM = 2
"""A budget that we set takes at most one part in so many of max_tokens: the rest is for the answer."""


class EffortPolicy(msgspec.Struct, frozen=True):
    """What becomes of an effort that a model lacks."""

    settings: EffortSettings = EffortSettings(without="off")
    words: EffortWords | None = None
    """How it is said to a model without levels; without them it is left out."""

    def budget(self, effort: Effort, max_tokens: int | None) -> int | None:
        """The thinking budget of an effort; `None` where max_tokens has no room for it beside an answer."""
        if self.words is None or max_tokens is None or max_tokens < LEAST_ROOM * self.words.least_budget:
            return None
        return min(self.words.budgets[effort], max_tokens // LEAST_ROOM)


LEFT_OUT = EffortPolicy()
