"""Judges answers: whether one can be believed, or a stronger arm should be asked.

What it is not: the decision to ask again (`routing.cascade`), or the calls (`engine`). Invariants: a check that crashes
or runs out of time is unsure, and is recorded; nothing but an `accept` of every check is one.
"""

from trimtab.verification.panel import Check, Judged, judge
from trimtab.verification.registry import Verifiers
from trimtab.verification.seam import (
    Ask,
    Case,
    Factory,
    Finding,
    Heard,
    Means,
    Prompt,
    Spends,
    Verifier,
)
from trimtab.verification.settings import VerificationSettings, check_verification

__all__ = [
    "Ask",
    "Case",
    "Check",
    "Factory",
    "Finding",
    "Heard",
    "Judged",
    "Means",
    "Prompt",
    "Spends",
    "VerificationSettings",
    "Verifier",
    "Verifiers",
    "check_verification",
    "judge",
]
