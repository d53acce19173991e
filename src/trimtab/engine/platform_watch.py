"""What the log says of platforms that fail.

What it is not: a choice of platforms, or a count of failures (`/metrics` has those). Invariant: a line when a platform
begins to fail and one when it answers again, however many calls there are.
"""

import logging

from trimtab.errors import UpstreamError

_log = logging.getLogger("trimtab.engine")


class PlatformWatch:
    """Tells the operator when a platform begins to fail and when it answers again: a line each, not one a call."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

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
