"""Where conversations are at home: the place whose prompt cache holds what they said so far.

What it is not: a choice. One for each process, outlives a change of configuration. Invariant: bounded; what is
forgotten is chosen anew, and goes by the same rules in every process.
"""

from collections import OrderedDict

import msgspec

MOST = 20_000
"""Conversations that are known, about 6 MB. Beyond it the one that was not heard of for longest is forgotten."""


class Home(msgspec.Struct):
    """One conversation's place for one model."""

    place: str
    """The key of the place."""
    until: float
    """By the monotonic clock; afterwards it is chosen anew."""
    away: bool
    """Whether it is there for want of its own place. Then its time is not made longer, and it goes back afterwards."""


class Homes:
    """Homes by conversation and model. Used on the event loop only."""

    def __init__(self, limit: int = MOST) -> None:
        self._limit = limit
        self._homes: OrderedDict[tuple[str, str], Home] = OrderedDict()

    def __len__(self) -> int:
        return len(self._homes)

    def of(self, conversation: str, model_id: str, now: float) -> Home | None:
        """Its home, unless that time is over."""
        home = self._homes.get((conversation, model_id))
        return home if home is not None and now < home.until else None

    def settle(self, conversation: str, model_id: str, home: Home) -> None:
        """It is there from now on."""
        key = (conversation, model_id)
        self._homes[key] = home
        self._homes.move_to_end(key)
        if len(self._homes) > self._limit:
            self._homes.popitem(last=False)

    def stay(self, conversation: str, model_id: str, home: Home, until: float) -> None:
        """It was heard of again."""
        if not home.away:
            home.until = until
        self._homes.move_to_end((conversation, model_id))
