"""What the organs produce and the store keeps: plans, attempts, outcomes. Data only, frozen, versioned.

Units: money in integer nano-dollars, time in milliseconds or Unix milliseconds, tokens in tokens.
"""

from trimtab.records.caller import NOBODY, Caller, Limits
from trimtab.records.ending import CALL_ENDINGS, CallEnding, call_ending
from trimtab.records.ids import RequestId, new_request_id
from trimtab.records.intent import Intent
from trimtab.records.outcome import (
    MAX_ERROR_CHARS,
    Attempt,
    CostSource,
    Draw,
    Endpoint,
    Outcome,
    Plan,
    Purpose,
    Surface,
)

__all__ = [
    "CALL_ENDINGS",
    "MAX_ERROR_CHARS",
    "NOBODY",
    "Attempt",
    "CallEnding",
    "Caller",
    "CostSource",
    "Draw",
    "Endpoint",
    "Intent",
    "Limits",
    "Outcome",
    "Plan",
    "Purpose",
    "RequestId",
    "Surface",
    "call_ending",
    "new_request_id",
]
