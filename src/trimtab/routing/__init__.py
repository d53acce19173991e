"""Which arm serves a request, and where. Pure decisions with reasons; nothing here calls, spends or waits."""

from trimtab.routing.breaker import Started
from trimtab.routing.choosing import Choice, Chooser
from trimtab.routing.commitments import Commitment, Pace, Spent
from trimtab.routing.decide import Ask, Decision, TierRouter
from trimtab.routing.effort import SetThinking
from trimtab.routing.homes import Homes
from trimtab.routing.limits import Remaining, retry_after
from trimtab.routing.place import Candidate, Place, is_online, stays_in
from trimtab.routing.preferring import ChoosingSettings, check_choosing
from trimtab.routing.routes import (
    VIRTUAL_PREFIX,
    Route,
    RouteSettings,
    Taken,
    Wanted,
    resolve_routes,
)
from trimtab.routing.rules import check_rules, check_served
from trimtab.routing.standing import Ending, Standing, Standings

__all__ = [
    "VIRTUAL_PREFIX",
    "Ask",
    "Candidate",
    "Choice",
    "Chooser",
    "ChoosingSettings",
    "Commitment",
    "Decision",
    "Ending",
    "Homes",
    "Pace",
    "Place",
    "Remaining",
    "Route",
    "RouteSettings",
    "SetThinking",
    "Spent",
    "Standing",
    "Standings",
    "Started",
    "Taken",
    "TierRouter",
    "Wanted",
    "check_choosing",
    "check_rules",
    "check_served",
    "is_online",
    "resolve_routes",
    "retry_after",
    "stays_in",
]
