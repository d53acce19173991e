"""The first page: what was asked, what it cost, how long it took and what failed, over time.

What it is not: the figures' source (`figures`).
"""

import msgspec

from trimtab.console.application import Shown
from trimtab.console.situation import Situation
from trimtab.console.visit import Visit
from trimtab.console.visitors import Visitor


class OverviewData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    config_version: str


class OverviewPage:
    """Reads the figures of a stretch of time."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown:
        """See `Page`."""
        return Shown(
            template="overview.html",
            title="Overview",
            data=OverviewData(config_version=self._situation.config_version),
            simulated=self._situation.simulated,
        )
