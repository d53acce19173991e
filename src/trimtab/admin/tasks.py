"""The door for tasks: made, read, extended, cancelled and closed by whose key they are, or by an admin.

What it is not: calls of tasks (`budgets.tasks.TaskKeeper`) or the arithmetic. Invariants: somebody else's task answers
as one that is not there; each change is an event of the task that says who made it, and what is done to another's task
has an audit row besides. Making and using a task of one's own is use, not administration: it has events only.
Every method blocks on the store and raises `StoreError`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from trimtab.admin.keys import check_still_admin, find_key
from trimtab.admin.task_words import (
    MAX_TEXT_CHARS,
    EventView,
    Extension,
    NewTask,
    ProgressMade,
    TaskView,
    event_view,
    nanousd_of,
    task_view,
)
from trimtab.admin.words import Actor
from trimtab.budgets.tasks import NewPhase, Task, new_task
from trimtab.budgets.tasks.changing import cancel, close, extend, progress
from trimtab.budgets.tasks.keeping import ENDED, Step, change, count_in, keep_new, make_room, present
from trimtab.budgets.tasks.model import Event
from trimtab.catalogue.effort import Scenario
from trimtab.errors import (
    AuthenticationFailed,
    Conflict,
    NotFound,
    PermissionDenied,
    RequestError,
    printable,
    quoted,
)
from trimtab.records import NOBODY, Caller, RequestId
from trimtab.store import Database, Transaction
from trimtab.store.keys import audit as chain
from trimtab.store.keys.tables import key_by_id
from trimtab.store.tasks import KeptTask, events_of, list_tasks, moves_of, see_task

T = TypeVar("T")

MAX_ID_CHARS = 80


class Visitor(msgspec.Struct, frozen=True):
    """Who stands before the door: a caller, with its actor where its key has admin set or it is on the machine."""

    caller: Caller = NOBODY
    actor: Actor | None = None

    def sees(self, kept: KeptTask) -> bool:
        """Whether the task is one of theirs."""
        if self.owns(kept):
            return True
        return self.actor is not None and self.actor.organisation in (None, kept.organisation)

    def owns(self, kept: KeptTask) -> bool:
        """Whether it was made for the key that they show, or without a key by somebody without one."""
        return (kept.key, kept.organisation) == (self.caller.key, self.caller.organisation)


class TaskEvents(msgspec.Struct, frozen=True):
    """What happened since the event that was seen last."""

    events: Sequence[EventView]
    last: int
    over: bool
    """The task has ended, and no event is left."""


class TaskAdmin:
    """Keeps nothing; safe to use from any thread."""

    def __init__(
        self,
        database: Database,
        new_id: Callable[[], RequestId],
        worker: str = "",
        scenarios: Mapping[str, Scenario] | None = None,
        *,
        most: int,
    ) -> None:
        """`scenarios`: those that a task may name, with the phases of tasks that name none; `None` where none is
        made. `most`: tasks of one key that go on at a time."""
        self._most = most
        self._scenarios = scenarios or {}
        self._database = database
        self._new_id = new_id
        self._worker = worker

    def add(self, visitor: Visitor, wanted: NewTask) -> TaskView:
        """Make a task. Raises `RequestError` for a budget that makes no sense, `Conflict` where the key has as many as
        it may, `PermissionDenied`, `NotFound`."""
        identity = f"task_{self._new_id()}"

        def work(transaction: Transaction) -> TaskView:
            now_ms = transaction.now_ms()
            owner = self._owner(transaction, visitor, wanted.key)
            task, events = new_task(
                identity,
                wanted.total,
                at_ms=now_ms,
                nanousd=None if wanted.usd is None else nanousd_of(wanted.usd),
                phases=self._phases_of(wanted),
                strategy=wanted.strategy,
                least_output=wanted.least_output,
                floor_percent=wanted.floor_percent,
            )
            for field, texts in (
                ("name", [wanted.name]),
                ("tags", wanted.tags),
            ):
                for text in texts:
                    if not text.isprintable() or len(text) > MAX_TEXT_CHARS:
                        raise RequestError(
                            f"{field}: {quoted(text)}: must be printable, {MAX_TEXT_CHARS} characters at the most"
                        )
            make_room(transaction, owner.key, owner.organisation, self._most)
            kept = keep_new(
                transaction,
                KeptTask(
                    id=identity,
                    key=owner.key,
                    organisation=owner.organisation,
                    team=owner.team,
                    user=owner.user,
                    name=wanted.name,
                    scenario=wanted.scenario,
                    tags=tuple(wanted.tags),
                    state=task.state,
                    created_ms=now_ms,
                    changed_ms=now_ms,
                    detail=b"",
                ),
                task,
                events,
            )
            self._audit(transaction, visitor, "tasks.add", kept)
            return task_view(kept, task, [])

        return self._database.write(work)

    def _phases_of(self, wanted: NewTask) -> Sequence[NewPhase] | None:
        """Those that it names, else those of its scenario, if any. Raises `RequestError` for an unknown scenario."""
        if not wanted.scenario:
            return wanted.phases
        scenario = self._scenarios.get(wanted.scenario)
        if scenario is None:
            raise RequestError(
                f"scenario: {printable(wanted.scenario, 80)!r} is no scenario here; there are "
                f"{', '.join(self._scenarios) or 'none'}"
            )
        if wanted.phases is not None or scenario.phases is None:
            return wanted.phases
        return [NewPhase(name, percent=share) for name, share in scenario.phases.items()]

    def tasks(
        self, visitor: Visitor, *, state: str | None = None, before: str = "", most: int = 100
    ) -> list[TaskView]:
        """The visitor's tasks, or all of its organisation's for an admin, the newest first, from behind `before`."""
        actor, caller = visitor.actor, visitor.caller

        def work(view: Transaction) -> list[TaskView]:
            found = list_tasks(
                view,
                key=caller.key if actor is None else None,
                organisation=caller.organisation if actor is None else actor.organisation,
                state=state,
                before=before,
                most=most,
            )
            return [task_view(one.task, present(one)) for one in found]

        return self._database.read(work)

    def show(self, visitor: Visitor, identity: str) -> TaskView:
        """One task with its moves. Raises `NotFound`."""

        def work(view: Transaction) -> TaskView:
            seen = see_task(view, _plain(identity))
            if seen is None or not visitor.sees(seen.task):
                raise no_task(identity)
            return task_view(seen.task, present(seen), moves_of(view, identity))

        return self._database.read(work)

    def extend(self, visitor: Visitor, identity: str, wanted: Extension) -> TaskView:
        """Add tokens and money. Raises `NotFound`, `RequestError`, `TaskEnded`."""
        nanousd = nanousd_of(wanted.usd)
        return self._change(
            visitor,
            identity,
            "tasks.extend",
            lambda task, now: extend(task, wanted.total, nanousd, now, wanted.phase),
        )

    def progress(self, visitor: Visitor, identity: str, made: ProgressMade) -> TaskView:
        """Say how far a phase is. Raises `NotFound`, `RequestError`, `TaskEnded`."""
        permille = made.permille
        return self._change(
            visitor, identity, "tasks.progress", lambda task, now: progress(task, made.phase, permille, now)
        )

    def cancel(self, visitor: Visitor, identity: str) -> TaskView:
        """Let no further call begin; those in flight finish. Idempotent. Raises `NotFound`, `TaskEnded`."""
        return self._change(visitor, identity, "tasks.cancel", cancel)

    def close(self, visitor: Visitor, identity: str) -> TaskView:
        """Say that it is done. Idempotent. Raises `NotFound`, `TaskEnded`."""
        return self._change(visitor, identity, "tasks.close", close)

    def events(self, visitor: Visitor, identity: str, after: int) -> TaskEvents:
        """What happened to a task after the event of this number; what calls came to meanwhile is counted in first.

        Raises `NotFound`, `AuthenticationFailed` for a key that has ended meanwhile.
        """
        name = _plain(identity)

        def work(view: Transaction) -> TaskEvents | None:
            seen = see_task(view, name)
            if seen is None or not visitor.sees(seen.task):
                raise no_task(identity)
            self._check_key(view, visitor)
            if seen.due:
                return None
            events = [] if seen.task.events <= after else events_of(view, name, after)
            last = events[-1].n if events else after
            over = seen.task.state in ENDED and last >= seen.task.events and not present(seen).holds
            return TaskEvents([event_view(one) for one in events], last, over)

        while (found := self._database.read(work)) is None:
            self._database.write(lambda t: count_in(t, name, self._worker), durable=False)
        return found

    def _check_key(self, view: Transaction, visitor: Visitor) -> None:
        """Who follows a task does so for long. Raises `AuthenticationFailed` once its key has ended."""
        key = key_by_id(view, visitor.caller.key) if visitor.caller.key else None
        ended = [] if key is None else [key.revoked_ms, key.expires_ms]
        if any(moment is not None and moment <= view.now_ms() for moment in ended):
            raise AuthenticationFailed("the key that was shown has ended")

    def _change(
        self,
        visitor: Visitor,
        identity: str,
        action: str,
        step: Callable[[Task, int], tuple[Task, tuple[Event, ...]]],
    ) -> TaskView:
        def work(transaction: Transaction) -> TaskView:
            if visitor.actor is not None:
                check_still_admin(transaction, visitor.actor)

            def changed(kept: KeptTask, task: Task, now_ms: int) -> tuple[Step, str, TaskView]:
                if not visitor.sees(kept):
                    raise no_task(identity)
                after, events = step(task, now_ms)
                if after != task:
                    self._audit(transaction, visitor, action, kept)
                told = kept if not events else msgspec.structs.replace(kept, changed_ms=now_ms)
                return (after, [_by(visitor, one) for one in events]), "", task_view(told, after)

            made = change(transaction, _plain(identity), self._worker, changed)
            if made is None:
                raise no_task(identity)
            return made

        return self._database.write(work)

    def _owner(self, transaction: Transaction, visitor: Visitor, key: str | None) -> Caller:
        """Whose the new task is."""
        if key is None:
            return visitor.caller
        if visitor.actor is None:
            raise PermissionDenied(
                "key: only a key that was made with --admin makes tasks for other keys; leave it out"
            )
        check_still_admin(transaction, visitor.actor)
        found = find_key(transaction, visitor.actor, key)
        if found.revoked_ms is not None:
            raise Conflict(f"key: {found.id} was revoked; a task for it could make no call")
        return Caller(key=found.id, organisation=found.organisation, team=found.team, user=found.user)

    def _audit(self, transaction: Transaction, visitor: Visitor, action: str, kept: KeptTask) -> None:
        """What is done to another's task."""
        if visitor.actor is not None and not visitor.owns(kept):
            chain.add_row(
                transaction,
                actor=visitor.actor.name,
                action=action,
                organisation=kept.organisation,
                subject=kept.id,
                before=None,
                after=None,
            )


def no_task(identity: str) -> NotFound:
    """Also for somebody else's."""
    return NotFound(
        f"there is no task {printable(identity, 80)!r}; "
        "GET /trimtab/v1/tasks or `trimtab tasks list` says which there are"
    )


def _plain(identity: str) -> str:
    """A name that can be looked up. Raises `NotFound`."""
    if len(identity) > MAX_ID_CHARS or not (identity.isascii() and identity.isprintable()):
        raise no_task(identity)
    return identity


def _by(visitor: Visitor, event: Event) -> Event:
    """The event of a change that a person or program asked for says who it was."""
    if event.kind not in ("extended", "cancelled", "closed"):
        return event
    who = (
        visitor.actor.name
        if visitor.actor is not None
        else f"key:{visitor.caller.key}"
        if visitor.caller.key
        else ""
    )
    return msgspec.structs.replace(event, reason=f"by {who}") if who else event
