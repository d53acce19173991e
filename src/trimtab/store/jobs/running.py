"""Tables of durable jobs, a worker's side: one transaction for all that a worker has to say at a moment.

What it is not: the loop that says it, or the handlers (package `trimtab.jobs`).
Invariants: whatever is recorded for a job is recorded under a lock of its row, and only for the worker and the epoch
that hold it, so who has lost a job can record nothing; entries of one worker are committed together, so a commit costs
each of them a part of a disk flush.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from trimtab.store.database import Database, Transaction
from trimtab.store.jobs.claiming import Wish, claim
from trimtab.store.jobs.rows import Claimed, Held, JobId, JobState, Wanted

Ours: TypeAlias = dict[JobId, tuple[int, Wanted | None]]
"""Jobs that a worker holds: their epochs, and what people want of them."""


FEW = 2
"""Entries that are recorded one by one. On PostgreSQL that saves two exchanges of five with the server, which is what a
step of a lone job takes; with more entries it is cheaper to lock all jobs at once and send all results in a row."""


class Begun(msgspec.Struct, frozen=True):
    """A step that must not be repeated starts now."""

    held: Held
    name: str
    n: int


class Undone(msgspec.Struct, frozen=True):
    """A step that was `Begun` has certainly not happened."""

    held: Held
    name: str


class Recorded(msgspec.Struct, frozen=True):
    """The result of a step."""

    held: Held
    name: str
    n: int
    result: bytes
    along: Callable[[Transaction], None] | None = None
    """Writes of the handler, in the same commit. May run more than once, of which one stands."""


class Wait(msgspec.Struct, frozen=True):
    """The job can go on only after an event, or a time."""

    held: Held
    name: str
    n: int
    event: str | None
    until_ms: int | None
    """Not looked at if the wait is in the journal already: then the time written there holds."""
    for_ms: int | None = None
    """As `until_ms`, from now."""


class Ended(msgspec.Struct, frozen=True):
    """The handler has returned, or was stopped; nobody holds the job any longer."""

    held: Held
    state: JobState
    result: bytes | None = None
    error: str | None = None
    attempts: int = 0
    delay_ms: int | None = None
    """For `ready`: not before this has passed; `None`: where it stood among its owner's jobs."""


Entry: TypeAlias = Begun | Undone | Recorded | Wait | Ended


class Taken(msgspec.Struct, frozen=True):
    """What became of an entry."""

    held: bool
    """False: nothing was recorded, the job is not this worker's any more."""
    wanted: Wanted | None = None
    wait: Literal["waiting", "timeout", "event"] | None = None
    payload: bytes | None = None
    problem: Exception | None = None
    """What `Recorded.along` raised; nothing was recorded then."""


LOST = Taken(held=False)


class Answer(msgspec.Struct, frozen=True):
    """What one exchange brought."""

    taken: list[Taken]
    """One for each entry."""
    renewed: Ours
    """Epoch and wish by id, of those of `renew` that this worker holds; their leases run from now on."""
    claimed: list[Claimed]


class JobExchange:
    """Blocks; safe to use from any thread. Raises `StoreError`."""

    def __init__(
        self,
        database: Database,
        worker: str,
        lease_ms: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._worker = worker
        self._lease_ms = lease_ms
        self._monotonic = monotonic
        self._clock: tuple[int, float] | None = None
        """The database's time, and ours when it was read; leases are never reckoned by this."""

    def anything_due(self, queues: Sequence[str]) -> bool:
        """Whether a claim could find something: cheap, and no writer waits for it."""
        marks = ", ".join("?" * len(queues))
        sql = f"SELECT 1 FROM jobs WHERE queue IN ({marks}) AND state IN ('ready', 'waiting', 'running') "  # noqa: S608 - marks only
        sql += "AND due_ms <= ? LIMIT 1"
        return self._database.read(
            lambda transaction: transaction.row(sql, (*queues, self._about_now(transaction))) is not None
        )

    def exchange(self, entries: Sequence[Entry], renew: Sequence[Held], wish: Wish | None) -> Answer:
        """Record, renew and claim, in this order and one commit; durable unless it only renews."""

        def work(transaction: Transaction) -> Answer:
            if not renew and wish is None and 0 < len(entries) <= FEW and all(map(_is_usual, entries)):
                return Answer([self._record_alone(transaction, entry) for entry in entries], {}, [])
            now = self._now(transaction)
            ids = sorted({entry.held.job for entry in entries} | {held.job for held in renew})
            ours = self._lock(transaction, ids) if ids else {}
            renewed = {held.job: ours[held.job] for held in renew if self._holds(ours, held)}
            self._renew(transaction, sorted(renewed), now)
            recorded = self._record(transaction, entries, ours, now)
            claimed = claim(transaction, self._worker, self._lease_ms, wish, now) if wish is not None else []
            return Answer(recorded, renewed, claimed)

        return self._database.write(work, durable=bool(entries) or wish is not None)

    def _now(self, transaction: Transaction) -> int:
        now = transaction.now_ms()
        self._clock = (now, self._monotonic())
        return now

    def _about_now(self, transaction: Transaction) -> int:
        """Near enough for what is only looked at; claims and renewals read the real one every few seconds."""
        if self._clock is None:
            return self._now(transaction)
        read, at = self._clock
        return read + round((self._monotonic() - at) * 1_000)

    def _record_alone(self, transaction: Transaction, entry: Entry) -> Taken:
        """One of the usual entries in one statement."""
        held = entry.held
        now = self._about_now(transaction)
        if isinstance(entry, Recorded):
            values = (*_result_row(entry, now), held.job, held.epoch, self._worker)
            row = transaction.row(_RESULT_ALONE.format(lock_row=transaction.words.lock_row), values)
            if row is not None:
                return Taken(held=True, wanted=row[0])
        if isinstance(entry, Ended):
            values = (*_ended_row(entry, now), held.epoch, self._worker)
            return Taken(held=True) if transaction.change(_ENDED_ALONE, values) else LOST
        # Not held, or recorded already.
        ours = self._lock(transaction, [held.job])
        return self._record(transaction, [entry], ours, now)[0]

    def _lock(self, transaction: Transaction, ids: Sequence[JobId]) -> Ours:
        words = transaction.words
        # In the order of ids, so that two transactions cannot wait for one another.
        found = transaction.rows(
            f"SELECT id, epoch, wanted FROM jobs WHERE id IN {words.texts} AND state = 'running' AND worker = ? "  # noqa: S608 - our words
            f"ORDER BY id {words.lock_row}",
            (msgspec.json.encode(ids).decode(), self._worker),
        )
        return {job: (epoch, wanted) for job, epoch, wanted in found}

    @staticmethod
    def _holds(ours: Ours, held: Held) -> bool:
        return held.job in ours and ours[held.job][0] == held.epoch

    def _renew(self, transaction: Transaction, ids: Sequence[JobId], now: int) -> None:
        if ids:
            transaction.change(
                f"UPDATE jobs SET due_ms = ? WHERE id IN {transaction.words.texts}",  # noqa: S608 - our words
                (now + self._lease_ms, msgspec.json.encode(ids).decode()),
            )

    def _record(
        self,
        transaction: Transaction,
        entries: Sequence[Entry],
        ours: Ours,
        now: int,
    ) -> list[Taken]:
        """One answer for each entry; plain results go to the database together."""
        plain: list[tuple[Any, ...]] = []
        ended: list[tuple[Any, ...]] = []
        taken = []
        for entry in entries:
            held = entry.held
            if not self._holds(ours, held):
                taken.append(LOST)
                continue
            answer = Taken(held=True, wanted=ours[held.job][1])
            if isinstance(entry, Recorded):
                if entry.along is None:
                    plain.append(_result_row(entry, now))
                else:
                    answer = _record_along(transaction, entry, now, answer)
            elif isinstance(entry, Ended):
                ended.append(_ended_row(entry, now))
                del ours[held.job]
            elif isinstance(entry, Wait):
                answer = _wait(transaction, entry, now, answer)
                if answer.wait == "waiting":
                    del ours[held.job]
            elif isinstance(entry, Begun):
                _put_step(transaction, entry, "intent", now)
            else:
                transaction.change(
                    "DELETE FROM job_steps WHERE job = ? AND name = ? AND state = 'intent'",
                    (held.job, entry.name),
                )
            taken.append(answer)
        _change_all(transaction, _RESULT, plain)
        _change_all(transaction, _ENDED, ended)
        return taken


# A result that is there already is this very one: the commit stood although its answer was lost on the way.
_RESULT = """
INSERT INTO job_steps (job, name, n, state, epoch, at_ms, result) VALUES (?, ?, ?, 'done', ?, ?, ?)
ON CONFLICT (job, name) DO UPDATE SET state = 'done', epoch = excluded.epoch, at_ms = excluded.at_ms,
result = excluded.result WHERE job_steps.state = 'intent'
"""

# As above, with the check and the lock in the same statement.
_RESULT_ALONE = """
INSERT INTO job_steps (job, name, n, state, epoch, at_ms, result) SELECT ?, ?, ?, 'done', ?, ?, ?
FROM jobs WHERE id = ? AND epoch = ? AND worker = ? AND state = 'running' {lock_row}
ON CONFLICT (job, name) DO UPDATE SET state = 'done', epoch = excluded.epoch, at_ms = excluded.at_ms,
result = excluded.result WHERE job_steps.state = 'intent'
RETURNING (SELECT wanted FROM jobs WHERE jobs.id = job_steps.job)
"""

_ENDED = """
UPDATE jobs SET state = ?, result = ?, error = ?, attempts = ?, run_at_ms = coalesce(?, run_at_ms),
due_ms = CASE WHEN ? = 0 THEN NULL ELSE coalesce(?, run_at_ms) END, finished_ms = ?, updated_ms = ?, worker = NULL,
wanted = NULL WHERE id = ?
"""

_ENDED_ALONE = _ENDED + " AND epoch = ? AND worker = ? AND state = 'running'"


def _change_all(transaction: Transaction, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if len(rows) == 1:  # for many, PostgreSQL's driver sets up a pipeline, 0.1 ms of its 0.5
        transaction.change(sql, rows[0])
    elif rows:
        transaction.change_many(sql, rows)


def _is_usual(entry: Entry) -> bool:
    return isinstance(entry, Ended) or (isinstance(entry, Recorded) and entry.along is None)


def _result_row(entry: Recorded, now: int) -> tuple[Any, ...]:
    return (entry.held.job, entry.name, entry.n, entry.held.epoch, now, entry.result)


def _ended_row(entry: Ended, now: int) -> tuple[Any, ...]:
    at = None if entry.delay_ms is None else now + entry.delay_ms
    finished = now if entry.state in ("done", "failed", "cancelled") else None
    return (
        entry.state,
        entry.result,
        entry.error,
        entry.attempts,
        at,
        int(entry.state == "ready"),
        at,
        finished,
        now,
        entry.held.job,
    )


def _record_along(transaction: Transaction, entry: Recorded, now: int, answer: Taken) -> Taken:
    """A result and the handler's own writes: both or neither, whatever else is in this transaction."""
    assert entry.along is not None
    transaction.change("SAVEPOINT along")
    try:
        if transaction.change(_RESULT, _result_row(entry, now)):
            entry.along(transaction)
    except Exception as problem:
        # On a broken connection this raises in turn, and the whole transaction is given up.
        transaction.change("ROLLBACK TO SAVEPOINT along")
        answer = msgspec.structs.replace(answer, problem=problem)
    transaction.change("RELEASE SAVEPOINT along")
    return answer


def _put_step(
    transaction: Transaction,
    entry: Begun | Wait,
    state: str,
    now: int,
    *,
    until_ms: int | None = None,
    result: bytes | None = None,
) -> None:
    transaction.change(
        "INSERT INTO job_steps (job, name, n, state, epoch, at_ms, until_ms, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (job, name) DO UPDATE SET state = excluded.state, epoch = excluded.epoch, "
        "at_ms = excluded.at_ms, result = excluded.result WHERE job_steps.state = 'waiting'",
        (entry.held.job, entry.name, entry.n, state, entry.held.epoch, now, until_ms, result),
    )


def _wait(transaction: Transaction, entry: Wait, now: int, answer: Taken) -> Taken:
    """Take an event that is there, or end the wait because its time has come, or let the job wait."""
    held = entry.held
    known = transaction.row(
        "SELECT state, until_ms, result FROM job_steps WHERE job = ? AND name = ?", (held.job, entry.name)
    )
    until_ms = entry.until_ms if entry.for_ms is None else now + entry.for_ms
    if known is not None:
        state, until_ms, payload = known
        if state != "waiting":  # the commit stood although its answer was lost on the way
            end: Literal["event", "timeout"] = "event" if state == "done" else "timeout"
            return msgspec.structs.replace(answer, wait=end, payload=payload)
    if entry.event is not None:
        event = transaction.row(
            "SELECT n, payload FROM job_events WHERE job = ? AND event = ? ORDER BY n LIMIT 1",
            (held.job, entry.event),
        )
        if event is not None:
            transaction.change("DELETE FROM job_events WHERE job = ? AND n = ?", (held.job, event[0]))
            _put_step(transaction, entry, "done", now, until_ms=until_ms, result=event[1])
            return msgspec.structs.replace(answer, wait="event", payload=event[1])
    if until_ms is not None and until_ms <= now:
        _put_step(transaction, entry, "timeout", now, until_ms=until_ms)
        return msgspec.structs.replace(answer, wait="timeout")
    if (
        answer.wanted is not None
    ):  # to be cancelled or paused: the worker does that now, with the lease it has
        return answer
    _put_step(transaction, entry, "waiting", now, until_ms=until_ms)
    transaction.change(
        "UPDATE jobs SET state = 'waiting', waiting_for = ?, due_ms = ?, worker = NULL, updated_ms = ? WHERE id = ?",
        (entry.event, until_ms, now, held.job),
    )
    return msgspec.structs.replace(answer, wait="waiting")
