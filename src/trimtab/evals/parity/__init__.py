"""The same requests to two platform entries, and what differs.

What it is not: a judgement of quality. Cases are put to a gateway as any client's are, each request bound to one entry
by `x-trimtab-platform`; nothing goes around it, and everything is on record there.
Invariant: `same` and `different` are said only of what was observed on both sides; the rest is `inconclusive`.
"""

from trimtab.evals.parity.cases import Case, Step, cases_of_lines, shipped_cases
from trimtab.evals.parity.gathering import Everywhere
from trimtab.evals.parity.judging import Difference, Judged, Outcome
from trimtab.evals.parity.report import Ratio, Report
from trimtab.evals.parity.running import Asked, check_parity

__all__ = [
    "Asked",
    "Case",
    "Difference",
    "Everywhere",
    "Judged",
    "Outcome",
    "Ratio",
    "Report",
    "Step",
    "cases_of_lines",
    "check_parity",
    "shipped_cases",
]
