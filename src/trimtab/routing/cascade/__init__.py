"""The cascade: on which rung of a ladder a request begins, and whether it goes on to the next. Pure decisions.

What it is not: the calls or the checks (`engine`), or what was measured (`store`). Invariants: each decision says why;
in mode `cost` no cascade is begun that cannot pay; limits of a request win over going on.
"""

from trimtab.routing.cascade.beginning import begin
from trimtab.routing.cascade.going_on import next_step
from trimtab.routing.cascade.knowing import Knowing, Measured, PrefersModel, UsualCost
from trimtab.routing.cascade.ladder import (
    Beginning,
    Estimate,
    Facts,
    Failure,
    Fit,
    Known,
    Ladder,
    Made,
    Mode,
    Next,
)
from trimtab.routing.cascade.remembering import Conversations, Remembered, digest_of
from trimtab.routing.cascade.rules import Condition, Rule, Rules
from trimtab.routing.cascade.rules_file import EscalationSettings, resolve_rules

__all__ = [
    "Beginning",
    "Condition",
    "Conversations",
    "EscalationSettings",
    "Estimate",
    "Facts",
    "Failure",
    "Fit",
    "Knowing",
    "Known",
    "Ladder",
    "Made",
    "Measured",
    "Mode",
    "Next",
    "PrefersModel",
    "Remembered",
    "Rule",
    "Rules",
    "UsualCost",
    "begin",
    "digest_of",
    "next_step",
    "resolve_rules",
]
