"""Which step is better after an arm that failed: more effort of the same model, or another model.

What it is not: the decision (`routing`), or a claim about requests on which the arm failed: the table is of all
requests of the class. Invariant: what the outcomes do not show leaves effort before model.
"""

from trimtab.catalogue import Arm
from trimtab.efforts.comparing import compare
from trimtab.efforts.table import Cell, ClassTable, EffortTable


def model_first(table: ClassTable, arm: Arm, effort: Arm, model: Arm) -> bool:
    """Whether the table shows that more effort does not help, and that the other model does. Pure.

    Both are tested at 95 %: success with more `effort` is no better than before, or the same within the margin
    (`comparing.MARGIN`), and success with the other `model` is better than with more effort.
    """
    before, more, other = (_cell(table, one) for one in (arm, effort, model))
    if before is None or more is None or other is None:
        return False
    return compare(before, more).verdict in ("equal", "worse") and compare(more, other).verdict == "better"


def _cell(table: ClassTable, arm: Arm) -> Cell | None:
    return table.cell(arm.model, arm.effort or "")


class Stepping:
    """What a process knows of tables that were published. `now_is` replaces one side; safe to ask from any thread."""

    def __init__(self) -> None:
        self._tables: dict[bool, EffortTable] = {}
        self._said: dict[bool, dict[tuple[str, Arm, Arm, Arm], bool]] = {False: {}, True: {}}

    def now_is(self, table: EffortTable) -> None:
        """From now on this table holds for real, or for simulated, requests."""
        self._tables[table.simulated] = table
        self._said[table.simulated] = {}

    def __call__(self, task_class: str, arm: Arm, effort: Arm, model: Arm, simulated: bool) -> bool:
        """Whether another model comes before more effort. Never waits. Cost: 0.3 us; the first time 50 us."""
        table, said = self._tables.get(simulated), self._said[simulated]
        if table is None:
            return False
        asked = (task_class, arm, effort, model)
        known = said.get(asked)
        if known is None:
            of_class = table.of(task_class)
            known = of_class is not None and model_first(of_class, arm, effort, model)
            if of_class is not None:  # so that only classes of the table are kept
                said[asked] = known
        return known
