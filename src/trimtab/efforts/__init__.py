"""What effort buys: tables of tokens, money, time and success by model, effort and class of work; comparisons, the
frontier, and advice that follows from them.

What it is not: the choice of an effort for a request (`routing`), or the records (`store`). Invariants: pure functions
of what was recorded and told; figures only where there is enough behind them, with their intervals; nothing is advised
that the outcomes do not show.
"""

from trimtab.efforts.building import build_table
from trimtab.efforts.comparing import Comparison, compare, equivalents
from trimtab.efforts.table import Cell, ClassTable, EffortTable, Expected, Figure, Success

__all__ = [
    "Cell",
    "ClassTable",
    "Comparison",
    "EffortTable",
    "Expected",
    "Figure",
    "Success",
    "build_table",
    "compare",
    "equivalents",
]
