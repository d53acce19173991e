"""What the log says of platforms that fail, and of places that get no calls for a while.

What it is not: a choice of platforms, or a count of failures (`/metrics` has those). Invariant: a line when a platform
begins to fail and one when it answers again, however many calls there are; of a place that is left alone and tried in
turns, two lines a minute at most.
"""

import logging
from collections.abc import Callable

from trimtab.errors import UpstreamError
from trimtab.routing import Ending, Standings

_log = logging.getLogger("trimtab.engine")

QUIET_S = 60.0
"""So long nothing more is said of a place: a rate limit that is reached every other second would fill the log."""

MOST_PLACES = 1000
"""Places and models that are remembered; the line of one that was forgotten is written again."""


class PlatformWatch:
    """Tells the operator when a platform begins to fail and when it answers again: a line each, not one a call."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failing: set[str] = set()
        self._left_alone: dict[tuple[str, str], tuple[float, bool]] = {}
        """When the last line of a place and model was written, and whether it said that no call goes there."""

    def saw(self, platform: str, problem: BaseException | None) -> None:
        """Take note of how a call ended."""
        if isinstance(problem, UpstreamError):
            if platform not in self._failing:
                self._failing.add(platform)
                _log.warning(
                    "platform %s fails: %s; further failures are counted in /metrics", platform, problem
                )
        elif problem is None and platform in self._failing:
            self._failing.discard(platform)
            _log.warning("platform %s answers again", platform)

    def stands(self, place: str, model: str, ending: Ending, standings: Standings) -> None:
        """Take note of where a call leaves its place. Cost where nothing is wrong: 0.1 us."""
        if ending == "ok" and not self._left_alone:
            return
        key = (place, model)
        since, alone = self._left_alone.get(key, (-QUIET_S, False))
        why = standings.keeps_away(place, model)
        now = self._monotonic()
        if why is not None and now - since >= QUIET_S:
            if len(self._left_alone) >= MOST_PLACES:
                self._left_alone.clear()
            self._left_alone[key] = (now, True)
            _log.warning("platform %s gets no calls for now: %s", _named(place, model), why)
        elif why is None and alone and ending == "ok":
            self._left_alone[key] = (since, False)
            _log.warning("platform %s gets calls again", _named(place, model))


def _named(place: str, model: str) -> str:
    entry, _, account = place.partition("#")
    return f"{entry}, key {account} ({model})" if account else f"{entry} ({model})"
