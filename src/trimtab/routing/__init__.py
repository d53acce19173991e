"""Which arm serves a request, and where. Pure decisions with reasons; nothing here calls, spends or waits."""

from trimtab.routing.breaker import Started
from trimtab.routing.decide import VIRTUAL_PREFIX, Ask, Decision, TierRouter
from trimtab.routing.limits import Remaining, retry_after
from trimtab.routing.place import Candidate, Place
from trimtab.routing.standing import Ending, Standing, Standings

__all__ = [
    "VIRTUAL_PREFIX",
    "Ask",
    "Candidate",
    "Decision",
    "Ending",
    "Place",
    "Remaining",
    "Standing",
    "Standings",
    "Started",
    "TierRouter",
    "retry_after",
]
