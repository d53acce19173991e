"""Tasks as the store keeps them, and changes of them: the arithmetic inside one transaction.

What it is not: SQL (`store.tasks`), or who may change what (`keeper` for calls, `admin` for people).
Invariant: whatever a change does, what calls came to meanwhile is counted in before it, and is counted in once.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from trimtab.budgets.tasks.model import Event, Task
from trimtab.budgets.tasks.settling import settle
from trimtab.errors import Conflict
from trimtab.store import Transaction
from trimtab.store.tasks import (
    Changed,
    KeptEvent,
    KeptTask,
    Seen,
    change_task,
    count_tasks,
    delete_first,
    insert_task,
)

T = TypeVar("T")

GOING_ON = ("open", "exhausted")
ENDED = ("closed", "cancelled")

DELETE_MOST = 10
"""Tasks that have ended go so many at a time when another is made: more than one, so that a bound that was lowered is
reached, and few, so that nobody waits for it."""

Step = tuple[Task, Sequence[Event]]
"""A task and what happened to it."""

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Task)


def keep_new(transaction: Transaction, kept: KeptTask, task: Task, events: Sequence[Event]) -> KeptTask:
    """Keep a task that was just made. `kept` says whose it is; state and content are the task's."""
    whole = msgspec.structs.replace(kept, state=task.state, detail=_encode(task))
    return insert_task(transaction, whole, _kept_events(events))


def make_room(transaction: Transaction, key: str, organisation: str, most: int) -> None:
    """For one more task of a key, of which at most so many go on, and at most so many that have ended stay: the oldest
    of those go. Before `keep_new`, in one transaction with it. Raises `Conflict`."""
    if count_tasks(transaction, key, organisation, GOING_ON, most) >= most:
        whose = f"key {key}" if key else "callers without a key"
        raise Conflict(
            f"{whose}: {most:,} tasks are neither closed nor cancelled, and store.tasks_per_key permits no more; close "
            "those that are done (POST /trimtab/v1/tasks/ID/close or `trimtab tasks close`), or have it raised"
        )
    beyond = count_tasks(transaction, key, organisation, ENDED, most + DELETE_MOST) - most
    for state in ENDED:
        if beyond > 0:
            beyond -= delete_first(transaction, key, organisation, state, beyond)


def present(seen: Seen) -> Task:
    """The task with all counted in that is known by now, without changing what is kept."""
    return _counted_in(seen, seen.task.changed_ms)[0]


def change(
    transaction: Transaction,
    identity: str,
    worker: str,
    work: Callable[[KeptTask, Task, int], tuple[Step, str, T]],
) -> T | None:
    """Change a task; `None` where there is none of this name.

    `work` gets whose it is, the task, and the moment in Unix milliseconds; it answers with the task after it, the
    request that holds a part of it from now on (or nothing), and what the caller is told. What it raises undoes all.
    """

    def run(seen: Seen) -> tuple[Changed | None, T]:
        now_ms = transaction.now_ms()
        task, settled = _counted_in(seen, now_ms)
        (after, events), hold, answer = work(seen.task, task, now_ms)
        told = [*settled, *events]
        if after == task and not told and not seen.due and not hold:
            return None, answer
        changed = Changed(
            state=after.state,
            detail=_encode(after),
            events=_kept_events(told),
            folded=[one.request for one in seen.due],
            hold=hold,
        )
        return changed, answer

    return change_task(transaction, identity, worker, run)


def count_in(transaction: Transaction, identity: str, worker: str) -> bool:
    """Count in what calls came to; whether there is such a task."""

    def nothing(_: KeptTask, task: Task, __: int) -> tuple[Step, str, bool]:
        return (task, ()), "", True

    return change(transaction, identity, worker, nothing) is not None


def _counted_in(seen: Seen, now_ms: int) -> tuple[Task, list[Event]]:
    task = _decoder.decode(seen.task.detail)
    told: list[Event] = []
    for due in seen.due:
        task, events = settle(task, due.request, due.spent, now_ms)
        told += events
    return task, told


def _kept_events(events: Sequence[Event]) -> list[KeptEvent]:
    return [
        KeptEvent(
            0,
            one.at_ms,
            one.kind,
            one.phase,
            one.tokens,
            one.source,
            one.reason,
            one.request,
            one.nanousd,
        )
        for one in events
    ]
