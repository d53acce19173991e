"""Turns a request that was written for one model into one that another model takes: strict, adapt, observe.

What it is not: a validator of the whole vendor schema (the platform is that), or a chooser of models. Its rules are
data (`rules.yaml`). Invariant: what no rule names stays, byte for byte.
"""

from trimtab.normaliser.normaliser import (
    Asked,
    Normalised,
    Normaliser,
    Seen,
    platform_rules_of,
    rules_of,
    shipped_rules,
)
from trimtab.normaliser.rules import Rule
from trimtab.normaliser.settings import EffortPolicy, Mode, NormaliserSettings

__all__ = [
    "Asked",
    "EffortPolicy",
    "Mode",
    "Normalised",
    "Normaliser",
    "NormaliserSettings",
    "Rule",
    "Seen",
    "platform_rules_of",
    "rules_of",
    "shipped_rules",
]
