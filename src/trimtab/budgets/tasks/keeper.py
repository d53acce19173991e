"""Leave for calls of tasks, and what they came to: one transaction each, in the store that all processes share.

What it is not: SQL, or the thread that runs it (`app` passes that in). Invariants: nobody waits longer than `wait_s`; a
hold that came too late for its call is given back; what a call came to is written before the next call of its task
begins in this process, and is tried again until the store has it.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

import msgspec

from trimtab.budgets.tasks.asking import Ask, Granted, Refused, ask
from trimtab.budgets.tasks.keeping import Step, change, count_in
from trimtab.budgets.tasks.model import Event, Task
from trimtab.budgets.tasks.refusing import error_of
from trimtab.budgets.tasks.seam import TaskAsk, TaskGrant
from trimtab.errors import Conflict, NotFound, StoreError, Unavailable, printable
from trimtab.records import Caller, TaskSpent
from trimtab.store import Transaction
from trimtab.store.tasks import KeptTask, settle_hold

T = TypeVar("T")

AGAIN_S = 0.5
"""After a failure the store is left alone for so long."""

MAX_NOTES = 4

_log = logging.getLogger("trimtab.budgets")


class Threads(Protocol):
    """Runs units of work on the database, each in a thread."""

    def submit(self, work: Callable[[Transaction], T], *, durable: bool) -> "Future[T]":
        """Begin soon. The future raises what `work` does, or `StoreError`."""
        ...


class _Answer(msgspec.Struct, frozen=True):
    made: Granted | Refused
    task: Task
    scenario: str


class TaskKeeper:
    """Implements `TaskBudgets`. One for each serving process; its methods belong to one event loop."""

    def __init__(self, threads: Threads, worker: str, *, wait_s: float) -> None:
        self._threads = threads
        self._worker = worker
        self._wait_s = wait_s
        self._unsaid: dict[str, dict[str, TaskSpent]] = {}
        """By task: what its calls came to that the store has not confirmed."""
        self._saying: set[str] = set()
        """Tasks for which a thread is at it, or will be again."""
        self._idle = asyncio.Event()
        self._idle.set()
        self.problem: str | None = None
        """Why task budgets cannot be kept, while that is so."""

    async def begin(self, ask_: TaskAsk) -> TaskGrant:
        """See `TaskBudgets.begin`."""
        unsaid = dict(self._unsaid.get(ask_.task, {}))

        def work(transaction: Transaction) -> _Answer | None:
            for request, spent in unsaid.items():
                settle_hold(transaction, request, spent)
            return change(
                transaction, ask_.task, self._worker, lambda kept, task, now: _asked(ask_, kept, task, now)
            )

        asked = self._threads.submit(work, durable=True)
        try:
            async with asyncio.timeout(self._wait_s):
                answer = await asyncio.wrap_future(asked)
        except (TimeoutError, asyncio.CancelledError) as problem:
            self._take_back(ask_, asked)
            if isinstance(problem, asyncio.CancelledError):
                raise
            raise _away(ask_.task) from None
        except StoreError as problem:
            self._failed(problem)
            raise _away(ask_.task) from None
        self._said(ask_.task, unsaid)
        if answer is None:
            raise unknown(ask_.task)
        if isinstance(answer.made, Refused):
            raise error_of(ask_.task, answer.made)
        return _grant(ask_, answer.made, answer)

    def settle(self, grant: TaskGrant, spent: TaskSpent) -> None:
        """See `TaskBudgets.settle`."""
        self._unsaid.setdefault(grant.task, {})[grant.request_id] = spent
        self._say(grant.task)

    def _say(self, task: str) -> None:
        """Have the store told of what calls of a task came to."""
        if task in self._saying:
            return  # whoever is at it looks again when it is done
        self._saying.add(task)
        self._idle.clear()
        unsaid = dict(self._unsaid.get(task, {}))

        def work(transaction: Transaction) -> None:
            for request, spent in unsaid.items():
                settle_hold(transaction, request, spent)
            count_in(transaction, task, self._worker)

        loop = asyncio.get_running_loop()
        try:
            # Not forced to disk: should the machine lose power, the hold stands until the record settles it.
            asked = self._threads.submit(work, durable=False)
        except StoreError as problem:
            self._failed(problem)
            self._over(task)
            return
        asked.add_done_callback(lambda done: _soon(loop, lambda: self._told(task, unsaid, done)))

    def _told(self, task: str, unsaid: dict[str, TaskSpent], done: "Future[None]") -> None:
        if done.cancelled() or (problem := done.exception()) is None:
            self._said(task, unsaid)
            self.problem = None
            self._over(task)
            if task in self._unsaid:
                self._say(task)
            return
        self._failed(problem)
        asyncio.get_running_loop().call_later(AGAIN_S, self._again, task)

    def _again(self, task: str) -> None:
        self._over(task)
        if task in self._unsaid:
            self._say(task)

    def _over(self, task: str) -> None:
        self._saying.discard(task)
        if not self._saying:
            self._idle.set()

    def _said(self, task: str, told: dict[str, TaskSpent]) -> None:
        """The store has these."""
        left = {
            request: spent
            for request, spent in self._unsaid.get(task, {}).items()
            if told.get(request) is not spent
        }
        if left:
            self._unsaid[task] = left
        else:
            self._unsaid.pop(task, None)

    def _take_back(self, ask_: TaskAsk, asked: "Future[_Answer | None]") -> None:
        """Nobody waits for it any more: what it may yet hold is free."""
        if asked.cancel():
            return
        loop = asyncio.get_running_loop()

        def late(done: "Future[_Answer | None]") -> None:
            if done.cancelled() or done.exception() is not None:
                return
            answer = done.result()
            if answer is not None and isinstance(answer.made, Granted):
                grant = _grant(ask_, answer.made, answer)
                _soon(loop, lambda: self.settle(grant, TaskSpent()))

        asked.add_done_callback(late)

    def _failed(self, problem: BaseException) -> None:
        if self.problem is None:
            _log.warning(
                "task budgets cannot be kept now: %s; calls of tasks get 503 until they can", problem
            )
        self.problem = str(problem)

    async def aclose(self, timeout_s: float) -> int:
        """Wait until the store has what calls came to; how many it still lacks. Their records settle those later."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._saying:  # more may have begun since the event was set
                    await self._idle.wait()
        except TimeoutError:
            pass
        return sum(map(len, self._unsaid.values()))


def unknown(task: str) -> NotFound:
    """The same for a task that is not there and for somebody else's."""
    return NotFound(
        f"x-trimtab-task: {printable(task, 80)!r}: no such task of this key; make one with POST /trimtab/v1/tasks"
    )


def owns(kept: KeptTask, caller: Caller) -> bool:
    """Whether calls of this caller may use the task."""
    return kept.key == caller.key and kept.organisation == caller.organisation


def _asked(ask_: TaskAsk, kept: KeptTask, task: Task, now_ms: int) -> tuple[Step, str, _Answer]:
    if not owns(kept, ask_.caller):
        raise unknown(ask_.task)
    if ask_.total is not None and ask_.total != task.total:
        raise Conflict(
            f"task {task.id}: its total is {task.total:,} tokens and this request says {ask_.total:,}; the total of a "
            f"task is changed by POST /trimtab/v1/tasks/{task.id}/extend only"
        )
    made = ask(
        task,
        Ask(
            id=ask_.request_id,
            phase=ask_.phase,
            progress=ask_.progress_permille,
            conversation=ask_.conversation,
            input_estimate=ask_.input_estimate,
            max_tokens=ask_.max_tokens,
            input_nanousd=ask_.input_nanousd,
            output_nanousd=ask_.output_nanousd,
            simulated=ask_.simulated,
            at_ms=now_ms,
        ),
    )
    hold = ask_.request_id if isinstance(made, Granted) else ""
    return (made.task, made.events), hold, _Answer(made, task, kept.scenario)


def _grant(ask_: TaskAsk, made: Granted, answer: _Answer) -> TaskGrant:
    before, phases = answer.task, made.task.phases
    phase = next(one for one in phases if one.name == made.phase)
    return TaskGrant(
        task=ask_.task,
        request_id=ask_.request_id,
        phase=made.phase,
        max_tokens=made.max_tokens,
        limited_by=made.limited_by,
        task_total=made.task.total,
        first_total=made.task.first_total or made.task.total,
        left_tokens=made.left,
        phase_budget=phase.budget,
        phase_left=made.phase_left,
        left_nanousd=before.left_nanousd,
        first_of_phase=made.first_of_phase,
        first_of_task=before.at < 0,
        strategy=made.task.strategy,
        scenario=answer.scenario,
        phases=tuple((one.name, max(0, one.budget - one.spent)) for one in phases),
        notes=_notes(ask_, made),
    )


def _notes(ask_: TaskAsk, made: Granted) -> tuple[str, ...]:
    moves = [event for event in made.events if event.kind == "moved"]
    notes = [_move_note(event) for event in moves[:MAX_NOTES]]
    if len(moves) > MAX_NOTES:
        notes.append(f"and {len(moves) - MAX_NOTES} more moves")
    if made.limited_by:
        notes.append(
            f"task: max_tokens {made.max_tokens:,} instead of {ask_.max_tokens:,}, as the task's "
            f"{'money' if made.limited_by == 'usd' else 'tokens'} in phase {made.phase} permit no more"
        )
    return tuple(notes)


def _move_note(event: Event) -> str:
    return f"task: {event.tokens:,} tokens moved from {event.source} to {event.phase}: {event.reason}"


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    """From a thread. A loop that has ended does nothing more, and the process with it."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(work)


def _away(task: str) -> Unavailable:
    return Unavailable(
        f"the budget of task {printable(task, 80)} cannot be asked for now, and no task runs without one; try again",
        1,
    )
