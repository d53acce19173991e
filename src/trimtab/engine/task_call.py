"""One request's part of a task's budget.

What it is not: the budget (`budgets.tasks`).
"""

import msgspec

from trimtab.budgets.tasks import TaskGrant


class TaskCall(msgspec.Struct, frozen=True):
    """Leave for one request of a task."""

    grant: TaskGrant
    held_nanousd: int
    """What the task holds for it: the most that one call can cost."""

    @property
    def told(self) -> bytes:
        """What the client is told of the budget: what was left before this call, and what this call may write."""
        grant = self.grant
        return (
            f"left={grant.left_tokens}; phase={grant.phase}; phase_left={grant.phase_left}; "
            f"max_tokens={grant.max_tokens}"
        ).encode()
