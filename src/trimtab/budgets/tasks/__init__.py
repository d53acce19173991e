"""Task budgets: a total in tokens that the model sees, divided into phases, and moved between them with a reason.

What it is not: an agent (a task here is a container of budget), the vendor's own `task_budget`, or the limits of keys.
Invariant: what is spent and what is held never pass the total, but for listed overshoot; the phases' budgets always add
up to the total.
"""

from trimtab.budgets.tasks.keeper import TaskKeeper
from trimtab.budgets.tasks.making import NewPhase, new_task
from trimtab.budgets.tasks.model import Task
from trimtab.budgets.tasks.seam import (
    PhaseHeader,
    TaskAsk,
    TaskBudgets,
    TaskGrant,
    TaskHeader,
    phase_header,
    task_header,
)

__all__ = [
    "NewPhase",
    "PhaseHeader",
    "Task",
    "TaskAsk",
    "TaskBudgets",
    "TaskGrant",
    "TaskHeader",
    "TaskKeeper",
    "new_task",
    "phase_header",
    "task_header",
]
