"""Which step is better after an arm that failed: more effort of the same model, or another model. Pure.

What it is not: the decision (`routing`), or a claim about requests on which the arm failed: the table is of all
requests of the class. Invariant: what the outcomes do not show leaves effort before model.
"""

from trimtab.efforts.comparing import compare
from trimtab.efforts.table import ClassTable


def prefers_model(
    table: ClassTable, arm: tuple[str, str], effort: tuple[str, str], model: tuple[str, str]
) -> bool:
    """Whether the table shows that more effort does not help, and that the other model does; each arm as its model and
    effort. Both are tested at 95 %: success with more effort is no better than before, or the same within the margin
    (`comparing.MARGIN`), and success with the other model is better than with more effort."""
    before, more, other = (table.cell(*one) for one in (arm, effort, model))
    if before is None or more is None or other is None:
        return False
    return compare(before, more).verdict in ("equal", "worse") and compare(more, other).verdict == "better"
