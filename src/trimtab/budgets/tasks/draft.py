"""A task while it changes, and the moves of tokens between its phases.

What it is not: when to move (`asking`, `changing`). Invariant: every move is an event with its reason, so that moves
replayed from the beginning give the present budgets; a move leaves the sum of the budgets as it is.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from trimtab.budgets.tasks.model import WARN_PERCENT, Event, EventKind, Task
from trimtab.errors import RequestError, printable


class Draft:
    """A task that is being changed at one moment."""

    def __init__(self, task: Task, at_ms: int) -> None:
        self.task = task
        self.phases = list(task.phases)
        self.at_ms = at_ms
        self.events: list[Event] = []

    def done(self) -> tuple[Task, tuple[Event, ...]]:
        """The task as it is now, and what happened."""
        task = msgspec.structs.replace(self.task, phases=tuple(self.phases))
        percent = task.spent * 100 // task.total
        passed = max((mark for mark in WARN_PERCENT if mark <= percent), default=0)
        if passed > task.warned:
            self.tell("warning", reason=f"{passed} % of the total is spent", tokens=task.spent)
        if passed != task.warned:
            task = msgspec.structs.replace(task, warned=passed)
        if task.state == "open" and not task.holds and (why := spent_up(task)):
            task = msgspec.structs.replace(task, state="exhausted")
            self.tell("exhausted", reason=why, tokens=task.spent)
        return task, tuple(self.events)

    def tell(
        self,
        kind: EventKind,
        phase: str = "",
        tokens: int = 0,
        *,
        source: str = "",
        reason: str = "",
        request: str = "",
        nanousd: int = 0,
    ) -> None:
        """Note an event."""
        self.events.append(Event(kind, self.at_ms, phase, tokens, source, reason, request, nanousd))

    def set(self, n: int, **fields: Any) -> None:
        """Change fields of one phase."""
        self.phases[n] = msgspec.structs.replace(self.phases[n], **fields)

    def place(self, name: str) -> int:
        """Where a phase stands. Raises `RequestError`."""
        for n, phase in enumerate(self.phases):
            if phase.name == name:
                return n
        known = ", ".join(phase.name for phase in self.phases)
        raise RequestError(f"phase {printable(name, 80)!r}: this task has no such phase; it has {known}")

    def move(self, source: int, target: int, tokens: int, reason: str) -> None:
        """From one phase's budget to another's."""
        if tokens <= 0:
            return
        giver, taker = self.phases[source], self.phases[target]
        self.set(source, budget=giver.budget - tokens)
        self.set(target, budget=taker.budget + tokens)
        self.tell("moved", taker.name, tokens, source=giver.name, reason=reason)

    def lenders(self, target: int) -> list[int]:
        """The other phases that have something to give, in the order in which they are asked.

        First those that are over. Then the one with the largest surplus, the nearest of equals: what is small and at
        the end (a report) is asked last, and few moves do. With `prioritize_quality` the last phase comes before them.
        """
        quality = self.task.strategy == "prioritize_quality"
        last = len(self.phases) - 1

        def key(n: int) -> tuple[bool, bool, int, int]:
            return (n >= self.task.at, not (quality and n == last), -self.phases[n].surplus, abs(n - target))

        return sorted((n for n, phase in enumerate(self.phases) if n != target and phase.surplus), key=key)

    def borrow(self, target: int, tokens: int, reason: str) -> int:
        """Move up to so much to a phase from the others' surplus; how much it was."""
        wanted = tokens
        for n in self.lenders(target):
            part = min(wanted, self.phases[n].surplus)
            self.move(n, target, part, reason)
            wanted -= part
            if not wanted:
                break
        return tokens - wanted

    def flow(self, source: int, tokens: int, onto: Iterable[int], reason: str) -> None:
        """Move what a phase does not need on: first to where something was taken, nearest first, the rest to the first
        of `onto`."""
        targets = list(onto)
        for n in targets:
            part = min(tokens, max(0, self.phases[n].planned - self.phases[n].budget))
            self.move(source, n, part, reason)
            tokens -= part
        if targets:
            self.move(source, targets[0], tokens, reason)

    def flow_on(self, reason: str) -> None:
        """What phases that are over have left goes to the present one and those after it. A phase that is guaranteed
        and has been passed over keeps what it was promised: it may still come."""
        at = self.task.at
        for n in range(at):
            phase = self.phases[n]
            if phase.guaranteed and not phase.begun:
                continue
            if phase.floor > (used := phase.spent + phase.held):
                self.set(n, floor=used)
            if (unused := self.phases[n].free) > 0:
                self.flow(n, unused, range(at, len(self.phases)), reason.format(phase.name))

    def enter(self, n: int) -> bool:
        """A call of this phase is about to be made; whether it is its first. A later phase ends the ones before it."""
        phase = self.phases[n]
        if n > self.task.at:
            self.task = msgspec.structs.replace(self.task, at=n)
        if phase.begun:
            return False
        self.set(n, begun=True)
        self.tell("phase", phase.name, phase.budget)
        if n == self.task.at:
            self.flow_on(f"unused by {{}} when {phase.name} began")
        return True


def spent_up(task: Task) -> str:
    """Why not even a short answer is left; empty where one is."""
    if task.left < task.least_output:
        return "task_budget_exhausted"
    money = task.left_nanousd
    return "task_usd_exhausted" if money is not None and money <= 0 else ""
