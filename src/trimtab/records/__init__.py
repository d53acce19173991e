"""What the organs produce and the store keeps: plans, attempts, outcomes. Data only, frozen, versioned.

Units: money in integer nano-dollars, time in milliseconds or Unix milliseconds, tokens in tokens.
"""

from trimtab.records.answered import answered_by, arm_of
from trimtab.records.billed import billed_tokens
from trimtab.records.budget import (
    EACH,
    METERS,
    PERIODS,
    RESERVES,
    SCOPE_KINDS,
    Budget,
    Meter,
    Period,
    Reserve,
    Scope,
    ScopeKind,
    account_of,
    period_name,
    period_of,
)
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
from trimtab.records.task_spent import TaskSpent, spent_of
from trimtab.records.verdict import MAX_EVIDENCE, MAX_EVIDENCE_CHARS, Fact, Says, Verdict, overall

__all__ = [
    "CALL_ENDINGS",
    "EACH",
    "MAX_ERROR_CHARS",
    "MAX_EVIDENCE",
    "MAX_EVIDENCE_CHARS",
    "METERS",
    "NOBODY",
    "PERIODS",
    "RESERVES",
    "SCOPE_KINDS",
    "Attempt",
    "Budget",
    "CallEnding",
    "Caller",
    "CostSource",
    "Draw",
    "Endpoint",
    "Fact",
    "Intent",
    "Limits",
    "Meter",
    "Outcome",
    "Period",
    "Plan",
    "Purpose",
    "RequestId",
    "Reserve",
    "Says",
    "Scope",
    "ScopeKind",
    "Surface",
    "TaskSpent",
    "Verdict",
    "account_of",
    "answered_by",
    "arm_of",
    "billed_tokens",
    "call_ending",
    "new_request_id",
    "overall",
    "period_name",
    "period_of",
    "spent_of",
]
