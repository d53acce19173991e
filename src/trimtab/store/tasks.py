"""Tasks with their budgets, what is held for their calls in flight, and the events of each.

What it is not: the arithmetic of a budget (`budgets.tasks`), which is passed in as what a change does to a task.
Invariants: a task is changed by one transaction at a time; a hold is settled once, whoever says first what the call
came to (the process that made it, the writer of its record, or who recovers a dead process); what is settled is counted
in by the next change of the task, in the same transaction in which the hold goes.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from trimtab.records import TaskSpent
from trimtab.store.database import Row, Transaction, Value

T = TypeVar("T")

EVENTS_MOST = 1_000
"""In one answer."""

SETTLE = (
    "UPDATE task_holds SET settled = 1, known = ?, input_tokens = ?, output_tokens = ?, nanousd = ? "
    "WHERE request_id = ? AND settled = 0"
)
"""Also the writer's statement: `settling` makes its values."""

_COLUMNS = (
    "id, key_id, organisation, team, user_name, name, scenario, tags, state, created_ms, changed_ms, events, "
    "detail"
)
_EVENT = "task, n, at_ms, kind, phase, tokens, source, reason, request_id, nanousd"


class KeptTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task as it is kept."""

    id: str
    key: str
    """The id of the key that it belongs to; empty for a caller without a key."""
    organisation: str
    team: str
    user: str
    name: str = ""
    scenario: str = ""
    tags: tuple[str, ...] = ()
    state: str
    created_ms: int
    changed_ms: int
    events: int = 0
    """How many it has had."""
    detail: bytes


class Due(msgspec.Struct, frozen=True):
    """What a call came to that is not counted in yet."""

    request: str
    spent: TaskSpent


class KeptEvent(msgspec.Struct, frozen=True):
    """One event; `n` counts them from 1."""

    n: int
    at_ms: int
    kind: str
    phase: str
    tokens: int
    source: str
    reason: str
    request: str
    nanousd: int


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a change makes of a task."""

    state: str
    detail: bytes
    events: Sequence[KeptEvent] = ()
    """Their numbers are given here, whatever they say."""
    folded: Sequence[str] = ()
    """Requests that are counted in now."""
    hold: str = ""
    """A request that holds a part of it from now on."""


class Seen(msgspec.Struct, frozen=True):
    """A task with what is not counted in yet."""

    task: KeptTask
    due: tuple[Due, ...]


def insert_task(transaction: Transaction, task: KeptTask, events: Sequence[KeptEvent]) -> KeptTask:
    """Keep a new task."""
    kept = msgspec.structs.replace(task, events=len(events))
    transaction.change(
        f"INSERT INTO tasks ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (our own names)
        (
            kept.id,
            kept.key,
            kept.organisation,
            kept.team,
            kept.user,
            kept.name,
            kept.scenario,
            msgspec.json.encode(kept.tags).decode(),
            kept.state,
            kept.created_ms,
            kept.changed_ms,
            kept.events,
            kept.detail,
        ),
    )
    _tell(transaction, kept.id, 0, events)
    return kept


def see_task(view: Transaction, identity: str) -> Seen | None:
    """A task as it is now."""
    found = view.row(f"SELECT {_COLUMNS} FROM tasks WHERE id = ?", (identity,))  # noqa: S608
    return None if found is None else Seen(_task(found), _due(view, identity))


def list_tasks(
    view: Transaction,
    *,
    key: str | None = None,
    organisation: str | None = None,
    state: str | None = None,
    before: str = "",
    most: int,
) -> list[Seen]:
    """The newest first, those that came before the task `before`; of one key, or one organisation, or all."""
    where, values = ["1 = 1"], list[Value]()
    for column, value in (("key_id", key), ("organisation", organisation), ("state", state)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if before:
        where.append("id < ?")
        values.append(before)
    found = view.rows(
        f"SELECT {_COLUMNS} FROM tasks WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?",  # noqa: S608
        (*values, most),
    )
    return [Seen(task := _task(row), _due(view, task.id)) for row in found]


def change_task(
    transaction: Transaction, identity: str, worker: str, work: Callable[[Seen], tuple[Changed | None, T]]
) -> T | None:
    """Change a task while nobody else does; `None` where there is none. `work` makes nothing of it by `None`.

    What `work` raises undoes the transaction.
    """
    found = transaction.row(
        f"SELECT {_COLUMNS} FROM tasks WHERE id = ? {transaction.words.lock_row}",  # noqa: S608
        (identity,),
    )
    if found is None:
        return None
    task = _task(found)
    changed, answer = work(Seen(task, _due(transaction, identity)))
    if changed is None:
        return answer
    now = transaction.now_ms()
    for request in changed.folded:
        transaction.change("DELETE FROM task_holds WHERE request_id = ?", (request,))
    if changed.hold:
        transaction.change(
            "INSERT INTO task_holds (request_id, task, worker, at_ms, settled, known, input_tokens, output_tokens) "
            "VALUES (?, ?, ?, ?, 0, 1, 0, 0) ON CONFLICT (request_id) DO UPDATE SET worker = excluded.worker, "
            "at_ms = excluded.at_ms, settled = 0, known = 1, input_tokens = 0, output_tokens = 0, nanousd = NULL",
            (changed.hold, identity, worker, now),
        )
    transaction.change(
        "UPDATE tasks SET state = ?, changed_ms = ?, events = ?, detail = ? WHERE id = ?",
        (changed.state, now, task.events + len(changed.events), changed.detail, identity),
    )
    _tell(transaction, identity, task.events, changed.events)
    return answer


def settle_hold(transaction: Transaction, request: str, spent: TaskSpent) -> bool:
    """Write down what a call came to, unless that is known already or it holds nothing; whether it was."""
    return transaction.change(SETTLE, settling(request, spent)) > 0


def settling(request: str, spent: TaskSpent) -> tuple[Value, ...]:
    """The values of `SETTLE`."""
    return int(spent.known), spent.input_tokens, spent.output_tokens, spent.nanousd, request


def let_go(transaction: Transaction, worker: str, *, spent: bool) -> None:
    """A process has ended and what is known of its calls is written down: what it still held is free again, or counts
    as spent in full."""
    transaction.change(
        "UPDATE task_holds SET settled = 1, known = ?, input_tokens = 0, output_tokens = 0, nanousd = ? "
        "WHERE worker = ? AND settled = 0",
        (0, None, worker) if spent else (1, 0, worker),
    )


def events_of(view: Transaction, identity: str, after: int, most: int = EVENTS_MOST) -> list[KeptEvent]:
    """Events of a task after the one of this number, in order."""
    return [
        _event(row)
        for row in view.rows(
            f"SELECT {_EVENT} FROM task_events WHERE task = ? AND n > ? ORDER BY n LIMIT ?",  # noqa: S608
            (identity, after, most),
        )
    ]


def moves_of(view: Transaction, identity: str, most: int = EVENTS_MOST) -> list[KeptEvent]:
    """The last moves between a task's phases, in order."""
    found = view.rows(
        f"SELECT {_EVENT} FROM task_events WHERE task = ? AND kind = 'moved' ORDER BY n DESC LIMIT ?",  # noqa: S608
        (identity, most),
    )
    return [_event(row) for row in reversed(found)]


def delete_idle(transaction: Transaction, before_ms: int, most: int) -> int:
    """Delete some tasks that nothing happened to since then and that hold nothing; how many."""
    return _delete(
        transaction,
        transaction.rows(
            "SELECT id FROM tasks WHERE changed_ms < ? AND NOT EXISTS "
            "(SELECT 1 FROM task_holds WHERE task = tasks.id) ORDER BY changed_ms LIMIT ?",
            (before_ms, most),
        ),
    )


def count_tasks(
    transaction: Transaction, key: str, organisation: str, states: Sequence[str], most: int
) -> int:
    """How many tasks of a key are in one of these states, counted up to `most`. Who makes tasks of the same key waits
    until this transaction is over, so that two do not count the same; without a key they do so on SQLite only.
    55 ns a task."""
    if key:
        transaction.row(f"SELECT id FROM keys WHERE id = ? {transaction.words.lock_row}", (key,))  # noqa: S608
    found = transaction.row(
        "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE key_id = ? AND organisation = ? AND "  # noqa: S608
        f"state IN {transaction.words.texts} LIMIT ?) AS counted",
        (key, organisation, msgspec.json.encode(list(states)).decode(), most),
    )
    assert found is not None
    return int(found[0])


def delete_first(transaction: Transaction, key: str, organisation: str, state: str, most: int) -> int:
    """Delete tasks of a key in this state that hold nothing, those that were made first; how many."""
    return _delete(
        transaction,
        transaction.rows(
            "SELECT id FROM tasks WHERE key_id = ? AND organisation = ? AND state = ? AND NOT EXISTS "
            "(SELECT 1 FROM task_holds WHERE task = tasks.id) ORDER BY id LIMIT ?",
            (key, organisation, state, most),
        ),
    )


def _delete(transaction: Transaction, found: Sequence[Row]) -> int:
    if not found:
        return 0
    ids = msgspec.json.encode([row[0] for row in found]).decode()
    texts = transaction.words.texts
    transaction.change(f"DELETE FROM task_events WHERE task IN {texts}", (ids,))  # noqa: S608
    return transaction.change(f"DELETE FROM tasks WHERE id IN {texts}", (ids,))  # noqa: S608


def _tell(transaction: Transaction, identity: str, last: int, events: Sequence[KeptEvent]) -> None:
    if events:
        transaction.change_many(
            f"INSERT INTO task_events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            [
                (
                    identity,
                    last + n,
                    one.at_ms,
                    one.kind,
                    one.phase,
                    one.tokens,
                    one.source,
                    one.reason,
                    one.request,
                    one.nanousd,
                )
                for n, one in enumerate(events, start=1)
            ],
        )


def _due(view: Transaction, identity: str) -> tuple[Due, ...]:
    return tuple(
        Due(
            str(request),
            TaskSpent(int(came_in), int(out), None if money is None else int(money), bool(known)),
        )
        for request, known, came_in, out, money in view.rows(
            "SELECT request_id, known, input_tokens, output_tokens, nanousd FROM task_holds "
            "WHERE task = ? AND settled = 1 ORDER BY at_ms, request_id",
            (identity,),
        )
    )


def _task(row: Row) -> KeptTask:
    identity, key, organisation, team, user, name, scenario, tags, state, created, changed, events, detail = (
        row
    )
    return KeptTask(
        id=str(identity),
        key=str(key),
        organisation=str(organisation),
        team=str(team),
        user=str(user),
        name=str(name),
        scenario=str(scenario),
        tags=tuple(msgspec.json.decode(str(tags), type=list[str])),
        state=str(state),
        created_ms=int(created),
        changed_ms=int(changed),
        events=int(events),
        detail=bytes(detail),
    )


def _event(row: Row) -> KeptEvent:
    _, n, at_ms, kind, phase, tokens, source, reason, request, nanousd = row
    return KeptEvent(
        int(n),
        int(at_ms),
        str(kind),
        str(phase),
        int(tokens),
        str(source),
        str(reason),
        str(request),
        int(nanousd),
    )
