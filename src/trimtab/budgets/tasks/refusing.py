"""What a caller is told when a task has nothing for its call: a stop reason for programs, and sentences for people."""

from trimtab.budgets.tasks.asking import Refused
from trimtab.catalogue.money import NANO, dollars
from trimtab.errors import RateLimited, TaskBudgetSpent, TaskEnded, TrimtabError

RETRY_S = 1


def error_of(task: str, refused: Refused) -> TrimtabError:
    """The error for a refusal."""
    details = details_of(task, refused)
    reason, phase = refused.reason, refused.phase
    if reason in ("task_cancelled", "task_closed"):
        state = reason.removeprefix("task_")
        return TaskEnded(
            f"task {task} was {state}; make another one with POST /trimtab/v1/tasks", reason, details
        )
    if reason == "task_budget_held":
        return RateLimited(
            f"task {task}: what is left of its budget is held for its calls in flight; wait for one to end",
            RETRY_S,
        )
    if reason.endswith("usd_exhausted"):
        left = dollars(refused.left_nanousd or 0)
        kept = "" if reason == "task_usd_exhausted" else "; the rest is kept for the phases after it"
        said = (
            f"phase {phase} may still cost {left} and this call needs {dollars(refused.needs_nanousd)}{kept}"
        )
    elif reason == "phase_budget_exhausted":
        said = (
            f"phase {phase} has {refused.phase_left:,} tokens and needs {refused.needs:,} for this call; "
            f"{refused.left:,} are left, but kept for the phases after it"
        )
    else:
        said = f"{refused.left:,} tokens are left and phase {phase} needs {refused.needs:,} for this call"
    begin = ", begin the next phase," if refused.next_phase else ""
    following = (
        f"; the next phase, {refused.next_phase}, needs {refused.next_needs:,} at the least and was planned with "
        f"{refused.next_planned:,}"
        if refused.next_phase
        else ""
    )
    return TaskBudgetSpent(
        f"task {task} is out of budget ({reason}): {said}{following}. Extend it{begin} or send less",
        reason,
        details,
    )


def details_of(task: str, refused: Refused) -> dict[str, object]:
    """The figures, for programs."""
    found: dict[str, object] = {
        "task": task,
        "phase": refused.phase,
        "left_tokens": refused.left,
        "phase_left_tokens": refused.phase_left,
        "needed_tokens": refused.needs,
        "wanted_tokens": refused.wanted,
    }
    if refused.left_nanousd is not None:
        found["left_usd"] = refused.left_nanousd / NANO
        found["needed_usd"] = refused.needs_nanousd / NANO
    if refused.next_phase:
        found["next_phase"] = refused.next_phase
        found["next_phase_needs_tokens"] = refused.next_needs
        found["next_phase_planned_tokens"] = refused.next_planned
    return found
