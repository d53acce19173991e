"""What happens to requests that were written for one model when another answers them: refusals, silent changes, cost.

What it is not: the change itself (configuration does that), or a judgement of answers (`evals`). Invariants: nothing is
called or spent; every refusal it names is one that the normaliser's rules hold the target to; every figure has an
interval, or says that none is known.
"""

from trimtab.migration.behaviour import BehaviourChange, behaviour_changes
from trimtab.migration.costs import Tokens, Traffic
from trimtab.migration.judging import Finding, Judge, Judged
from trimtab.migration.picture import drawn
from trimtab.migration.reading import Request, Spoken, Unreadable, read_requests
from trimtab.migration.report import Report, made_report

__all__ = [
    "BehaviourChange",
    "Finding",
    "Judge",
    "Judged",
    "Report",
    "Request",
    "Spoken",
    "Tokens",
    "Traffic",
    "Unreadable",
    "behaviour_changes",
    "drawn",
    "made_report",
    "read_requests",
]
