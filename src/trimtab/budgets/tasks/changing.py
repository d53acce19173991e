"""What a person or a program does to a task beside its calls: progress, extension, cancelling, closing.

Invariants: an extension brings exactly its own tokens; who cancels or closes stops further calls, and those in flight
settle as ever.
"""

from typing import Literal

import msgspec

from trimtab.budgets.tasks.draft import Draft
from trimtab.budgets.tasks.making import MAX_NANOUSD, MAX_TOKENS, divided, floor_of, own_name
from trimtab.budgets.tasks.model import Event, Task
from trimtab.catalogue.money import dollars
from trimtab.errors import RequestError, TaskEnded, quoted

LEAST_PROGRESS = 200
"""Thousandths: earlier than a fifth of the way, what a phase will need cannot be told from what it has used."""

MARGIN_PERCENT = 10
"""What stays with a phase beyond its projected need."""

EARLY_PART = 2
"""Of what others can spare at most half is borrowed early: the projection is rough, and what is missing in the end can
still be borrowed then."""

LEAST_MOVE_PERCENT = 1
"""Of the total: smaller moves are noise of the projection."""


def progress(task: Task, phase: str, permille: int, at_ms: int) -> tuple[Task, tuple[Event, ...]]:
    """Take note of how far a phase is, and move tokens early. Raises `RequestError`, `TaskEnded`."""
    check_goes_on(task)
    draft = Draft(task, at_ms)
    note_progress(draft, draft.place(own_name(phase)), permille)
    return draft.done()


def note_progress(draft: Draft, n: int, permille: int) -> None:
    """From what a phase has used and how far it is follows what it will need: what is beyond that flows on now, what
    is missing is borrowed now, while others can still adjust to it. Raises `RequestError`."""
    if not 0 <= permille <= 1000:
        raise RequestError(f"progress: {permille / 1000}: must be from 0 to 1")
    phase = draft.phases[n]
    if phase.progress != permille:
        draft.set(n, progress=permille)
        draft.tell("progress", phase.name, permille)
    if permille < LEAST_PROGRESS or not phase.spent or n < draft.task.at:
        return
    need = -(-phase.spent * 1000 // permille)
    reason = f"{phase.name} is {permille / 10:g} % done after {phase.spent:,} tokens, so it needs {need:,}"
    least = max(1, draft.task.total * LEAST_MOVE_PERCENT // 100)
    if (missing := need - phase.budget) >= least:
        spare = sum(draft.phases[other].surplus for other in draft.lenders(n))
        if (part := min(missing, spare // EARLY_PART)) >= least:
            draft.borrow(n, part, reason)
        return
    kept = max(need + need * MARGIN_PERCENT // 100, phase.spent + phase.held, phase.floor)
    if (spare := phase.budget - phase.lent - kept) >= least:
        draft.flow(n, spare, range(n + 1, len(draft.phases)), reason)


def extend(
    task: Task, tokens: int, nanousd: int, at_ms: int, phase: str = ""
) -> tuple[Task, tuple[Event, ...]]:
    """Add tokens and money: to one phase, or to those that are not over, by their shares. An exhausted task goes on.

    Raises `RequestError`, `TaskEnded`.
    """
    check_goes_on(task)
    if tokens < 0 or nanousd < 0 or not (tokens or nanousd):
        raise RequestError(
            f"extend: total {quoted(tokens)}, {dollars(nanousd)}: a task is only ever given more; name total or usd "
            "above 0, or cancel the task"
        )
    if task.total + tokens > MAX_TOKENS or (task.nanousd or 0) + nanousd > MAX_NANOUSD:
        raise RequestError(
            f"extend: a task may have at most {MAX_TOKENS:,} tokens and {dollars(MAX_NANOUSD)}"
        )
    if nanousd and task.nanousd is None:
        raise RequestError("extend: this task has no limit of money, so there is nothing to add usd to")
    draft = Draft(task, at_ms)
    going = range(max(task.at, 0), len(task.phases))
    places = [draft.place(own_name(phase))] if phase else list(going)
    parts = divided(tokens, [task.phases[n].planned for n in places])
    for n, part in zip(places, parts, strict=True):
        if part:
            _widen(draft, n, part)
            draft.tell("extended", draft.phases[n].name, part)
    if nanousd:
        draft.tell("extended", nanousd=nanousd)
    limit = None if task.nanousd is None else task.nanousd + nanousd
    draft.task = msgspec.structs.replace(
        draft.task, total=task.total + tokens, nanousd=limit, state="open", refused=""
    )
    return draft.done()


def _widen(draft: Draft, n: int, tokens: int) -> None:
    task, phase = draft.task, draft.phases[n]
    planned, floor = phase.planned + tokens, phase.floor
    if n >= task.at or (phase.guaranteed and not phase.begun):
        floor = floor_of(
            planned,
            task.strategy,
            task.least_output,
            task.floor_percent,
            guaranteed=phase.guaranteed,
            last=n == len(draft.phases) - 1,
        )
        floor = max(phase.floor, min(floor, phase.budget - phase.lent + tokens))
    draft.set(n, planned=planned, budget=phase.budget + tokens, floor=floor)


def cancel(task: Task, at_ms: int, reason: str = "") -> tuple[Task, tuple[Event, ...]]:
    """No further call. Cancelling a cancelled task changes nothing. Raises `TaskEnded` for a closed one."""
    return _end(task, "cancelled", at_ms, reason)


def close(task: Task, at_ms: int, reason: str = "") -> tuple[Task, tuple[Event, ...]]:
    """It is done. Raises `TaskEnded` for a cancelled one."""
    return _end(task, "closed", at_ms, reason)


def _end(
    task: Task, state: Literal["cancelled", "closed"], at_ms: int, reason: str
) -> tuple[Task, tuple[Event, ...]]:
    if task.state == state:
        return task, ()
    check_goes_on(task)
    ended = msgspec.structs.replace(task, state=state)
    return ended, (Event(state, at_ms, tokens=task.spent, reason=reason),)


def check_goes_on(task: Task) -> None:
    """Raises `TaskEnded` for a task that was cancelled or closed."""
    if task.state in ("cancelled", "closed"):
        raise TaskEnded(
            f"task {task.id} was {task.state}; make another one", f"task_{task.state}", {"task": task.id}
        )
