"""Tables of durable jobs, for those who ask for work: store it, look at it, stop it, answer it.

What it is not: a worker's side (`running`), or a judgement of names and sizes (the package `trimtab.jobs`).
Invariants: a job changes state only under a lock of its row; an event is never lost, whether it comes before or after
the job waits for it; what is finished stays as it is until it is retried or deleted.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from trimtab.errors import Conflict, NotFound
from trimtab.store.database import Database, Row, Transaction
from trimtab.store.jobs.rows import FINISHED, Job, JobId, JobState, Limit, NewJob, Schedule, Scope, Step

JOB_COLUMNS = ", ".join(Job.__struct_fields__)
STEP_COLUMNS = ", ".join(Step.__struct_fields__)

_Change: TypeAlias = Callable[[Transaction, str, JobState, str | None], None]

_INSERT = """
INSERT INTO jobs (
    id, kind, queue, owner, priority, unique_key, state, run_at_ms, due_ms, epoch, attempts, max_attempts, backoff_ms,
    losses, forked_from, forked_at, created_ms, updated_ms, input
) VALUES (?, ?, ?, ?, ?, ?, 'ready', ?, ?, 0, 0, ?, ?, 0, ?, ?, ?, ?, ?)
ON CONFLICT (kind, unique_key) WHERE unique_key IS NOT NULL DO NOTHING
"""


def job_from(row: Row) -> Job:
    """A row of `JOB_COLUMNS`."""
    return Job(**dict(zip(Job.__struct_fields__, row, strict=True)))


def steps_of(transaction: Transaction, job: str) -> tuple[Step, ...]:
    """The journal of a job in its order."""
    sql = f"SELECT {STEP_COLUMNS} FROM job_steps WHERE job = ? ORDER BY n"  # noqa: S608 - our own names
    return tuple(Step(*row) for row in transaction.rows(sql, (job,)))


def insert_job(transaction: Transaction, job_id: JobId, new: NewJob) -> JobId:
    """Store a job within another transaction; the id of the job of that kind and key if there is one already."""
    now = transaction.now_ms()
    values = _row(job_id, new, now)
    if transaction.change(_INSERT, values) or new.unique_key is None:
        return job_id
    found = transaction.row(
        "SELECT id FROM jobs WHERE kind = ? AND unique_key = ?", (new.kind, new.unique_key)
    )
    # Gone in between: its deletion was committed after our insert gave way, which only PostgreSQL can do.
    return insert_job(transaction, job_id, new) if found is None else found[0]


def _row(job_id: JobId, new: NewJob, now: int, fork: Sequence[str | None] = (None, None)) -> tuple[Any, ...]:
    run_at = max(now, new.run_at_ms)
    return (
        job_id,
        new.kind,
        new.queue,
        new.owner,
        new.priority,
        new.unique_key,
        run_at,
        run_at,
        new.max_attempts,
        new.backoff_ms,
        *fork,
        now,
        now,
        new.input,
    )


class JobTables:
    """Blocks; safe to use from any thread. Raises `StoreError`, and `NotFound` or `Conflict` where said."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, jobs: Sequence[tuple[JobId, NewJob]]) -> list[JobId]:
        """Store jobs in one commit; ids as `insert_job` has them."""
        return self._database.write(
            lambda transaction: [insert_job(transaction, job_id, new) for job_id, new in jobs]
        )

    def find(self, job: str) -> Job | None:
        """A job by its id."""
        return self._database.read(lambda transaction: _find(transaction, job))

    def steps(self, job: str) -> tuple[Step, ...]:
        """The journal of a job in its order; results of waits are the events' payloads."""
        return self._database.read(lambda transaction: steps_of(transaction, job))

    def newest(
        self,
        limit: int,
        *,
        state: JobState | None = None,
        kind: str | None = None,
        queue: str | None = None,
        owner: str | None = None,
    ) -> list[Job]:
        """The newest jobs first, those only that have all that is given. Reads past all others."""
        given = {"state": state, "kind": kind, "queue": queue, "owner": owner}
        asked = {name: value for name, value in given.items() if value is not None}
        where = "".join(f" AND {name} = ?" for name in asked)
        sql = f"SELECT {JOB_COLUMNS} FROM jobs WHERE 1 = 1{where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - our names
        return self._database.read(
            lambda transaction: [job_from(row) for row in transaction.rows(sql, (*asked.values(), limit))]
        )

    def counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs there are by queue and state. Reads an index of all jobs."""
        sql = "SELECT queue, state, count(*) FROM jobs GROUP BY queue, state"
        return self._database.read(
            lambda transaction: {(queue, state): n for queue, state, n in transaction.rows(sql)}
        )

    def signal(self, job: str, event: str, payload: bytes) -> None:
        """Keep an event for a job, and wake it if it waits for it. `Conflict` if it is finished, `NotFound`."""

        def work(transaction: Transaction) -> None:
            state, _, waiting_for = _lock(transaction, job)
            if state in FINISHED:
                raise Conflict(f"job {job} is {state}; it takes no more events")
            transaction.change(
                "INSERT INTO job_events (job, n, event, at_ms, payload) "
                "SELECT ?, coalesce(max(n), 0) + 1, ?, ?, ? FROM job_events WHERE job = ?",
                (job, event, transaction.now_ms(), payload, job),
            )
            if state == "waiting" and waiting_for == event:
                _set_state(transaction, job, "ready")

        self._database.write(work)

    def cancel(self, job: str) -> JobState:
        """Cancel at once, or ask the worker that runs it to stop; the state it is in now. `Conflict`, `NotFound`."""
        return self._change(job, _cancel)

    def pause(self, job: str) -> JobState:
        """Keep it from running until resumed; what runs stops after its step. As `cancel`."""
        return self._change(job, _pause)

    def resume(self, job: str) -> JobState:
        """Undo `pause`: it is ready again, or goes on. As `cancel`."""
        return self._change(job, _resume)

    def _change(self, job: str, change: _Change) -> JobState:
        def work(transaction: Transaction) -> JobState:
            state, wanted, _ = _lock(transaction, job)
            change(transaction, job, state, wanted)
            after: JobState = _lock(transaction, job)[0]
            return after

        return self._database.write(work)

    def retry(self, job: str, *, repeat: Sequence[str], outcomes: dict[str, bytes]) -> None:
        """Make a failed or cancelled job ready again, with its journal and all its attempts.

        Steps of unknown outcome: `repeat` forgets that they were begun, `outcomes` gives the results that a person
        found out. `Conflict` when the job is neither failed nor cancelled, or has no such step in doubt; `NotFound`.
        """

        def work(transaction: Transaction) -> None:
            state, *_ = _lock(transaction, job)
            if state not in ("failed", "cancelled"):
                raise Conflict(f"job {job} is {state}; only failed and cancelled jobs can be retried")
            now = transaction.now_ms()
            intent = "WHERE job = ? AND name = ? AND state = 'intent'"
            decided = {
                name: transaction.change(f"DELETE FROM job_steps {intent}", (job, name))  # noqa: S608 - our text
                for name in repeat
            }
            for name, result in outcomes.items():
                decided[name] = transaction.change(
                    f"UPDATE job_steps SET state = 'done', result = ?, at_ms = ? {intent}",  # noqa: S608 - our text
                    (result, now, job, name),
                )
            for name, changed in decided.items():
                if not changed:
                    raise Conflict(
                        f"job {job} has no step {name!r} of unknown outcome; 'trimtab jobs show {job}'"
                    )
            transaction.change(
                "UPDATE jobs SET state = 'ready', wanted = NULL, attempts = 0, losses = 0, error = NULL, "
                "finished_ms = NULL, run_at_ms = ?, due_ms = ?, updated_ms = ? WHERE id = ?",
                (now, now, now, job),
            )

        self._database.write(work)

    def fork(self, job: str, before: str | None, new_id: JobId) -> None:
        """Store a new job with the input of this one and its journal up to, and without, the step `before`.

        Without `before` the whole journal is copied, but nothing that is not finished. `NotFound`, `Conflict`.
        """

        def work(transaction: Transaction) -> None:
            found = _find(transaction, job)
            if found is None:
                raise _missing(job)
            end = None
            if before is not None:
                step = transaction.row("SELECT n FROM job_steps WHERE job = ? AND name = ?", (job, before))
                if step is None:
                    raise Conflict(f"job {job} has no step {before!r}; 'trimtab jobs show {job}' lists them")
                end = step[0]
            now = transaction.now_ms()
            new = NewJob(
                kind=found.kind,
                input=found.input,
                owner=found.owner,
                queue=found.queue,
                priority=found.priority,
                max_attempts=found.max_attempts,
                backoff_ms=found.backoff_ms,
            )
            transaction.change(_INSERT, _row(new_id, new, now, (job, before)))
            transaction.change(
                "INSERT INTO job_steps (job, name, n, state, epoch, at_ms, until_ms, result) "
                "SELECT ?, name, n, state, 0, at_ms, until_ms, result FROM job_steps "
                "WHERE job = ? AND state IN ('done', 'timeout') AND n < ?",
                (new_id, job, end if end is not None else 1 << 62),
            )

        self._database.write(work)

    def delete_finished(self, before_ms: int, limit: int) -> int:
        """Delete the oldest jobs that ended before a time, with their journals; how many there were, up to `limit`."""

        def work(transaction: Transaction) -> int:
            words = transaction.words
            found = transaction.rows(
                f"SELECT id FROM jobs WHERE finished_ms < ? ORDER BY finished_ms LIMIT ? {words.skip_locked}",  # noqa: S608
                (before_ms, limit),
            )
            ids = msgspec.json.encode([row[0] for row in found]).decode()
            if found:
                for table, column in (("job_steps", "job"), ("job_events", "job"), ("jobs", "id")):
                    transaction.change(f"DELETE FROM {table} WHERE {column} IN {words.texts}", (ids,))  # noqa: S608 - our names
            return len(found)

        return self._database.write(work, durable=False)

    def limits(self) -> list[Limit]:
        """All limits."""
        sql = "SELECT scope, name, max_running FROM job_limits ORDER BY scope, name"
        return self._database.read(lambda transaction: [Limit(*row) for row in transaction.rows(sql)])

    def set_limit(self, limit: Limit) -> None:
        """Set a limit; what runs already goes on."""
        self._database.write(
            lambda transaction: transaction.change(
                "INSERT INTO job_limits (scope, name, max_running) VALUES (?, ?, ?) "
                "ON CONFLICT (scope, name) DO UPDATE SET max_running = excluded.max_running",
                (limit.scope, limit.name, limit.max_running),
            )
        )

    def remove_limit(self, scope: Scope, name: str) -> bool:
        """Remove a limit; whether there was one."""
        sql = "DELETE FROM job_limits WHERE scope = ? AND name = ?"
        return self._database.write(lambda transaction: transaction.change(sql, (scope, name))) > 0

    def put_schedule(self, schedule: Schedule) -> None:
        """Store a schedule. One of that name keeps its pause, and its next time unless the rule changes."""

        def work(transaction: Transaction) -> None:
            transaction.change(
                "INSERT INTO job_schedules (name, rule, missed, paused, next_ms, job) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET missed = excluded.missed, job = excluded.job, "
                "next_ms = CASE WHEN job_schedules.rule = excluded.rule "
                "THEN job_schedules.next_ms ELSE excluded.next_ms END, rule = excluded.rule",
                (
                    schedule.name,
                    schedule.rule,
                    schedule.missed,
                    int(schedule.paused),
                    schedule.next_ms,
                    msgspec.json.encode(schedule.job),
                ),
            )

        self._database.write(work)

    def schedules(self, *, due: bool = False) -> tuple[int, list[Schedule]]:
        """The time by the database's clock, and all schedules, or those only that are due now."""

        def work(transaction: Transaction) -> tuple[int, list[Schedule]]:
            now = transaction.now_ms()
            sql = "SELECT name, rule, missed, paused, next_ms, job FROM job_schedules"
            if due:
                sql += " WHERE paused = 0 AND next_ms <= ?"
            found = transaction.rows(sql + " ORDER BY name", (now,) if due else ())
            return now, [_schedule(row) for row in found]

        return self._database.read(work)

    def pause_schedule(self, name: str, *, paused: bool) -> None:
        """Stop or go on. `NotFound`."""
        sql = "UPDATE job_schedules SET paused = ? WHERE name = ?"
        if not self._database.write(lambda transaction: transaction.change(sql, (int(paused), name))):
            raise _no_schedule(name)

    def remove_schedule(self, name: str) -> None:
        """Delete a schedule; jobs that it stored stay. `NotFound`."""
        sql = "DELETE FROM job_schedules WHERE name = ?"
        if not self._database.write(lambda transaction: transaction.change(sql, (name,))):
            raise _no_schedule(name)

    def advance(self, schedule: Schedule, next_ms: int, fired: tuple[JobId, NewJob] | None) -> bool:
        """Go on to the next time and store the job of this one; False if another worker has done so."""

        def work(transaction: Transaction) -> bool:
            taken = transaction.change(
                "UPDATE job_schedules SET next_ms = ? WHERE name = ? AND next_ms = ? AND paused = 0",
                (next_ms, schedule.name, schedule.next_ms),
            )
            if taken and fired is not None:
                insert_job(transaction, *fired)
            return taken > 0

        return self._database.write(work)


def _find(transaction: Transaction, job: str) -> Job | None:
    row = transaction.row(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", (job,))  # noqa: S608 - our own names
    return None if row is None else job_from(row)


def _lock(transaction: Transaction, job: str) -> Row:
    sql = f"SELECT state, wanted, waiting_for FROM jobs WHERE id = ? {transaction.words.lock_row}"  # noqa: S608 - our words
    row = transaction.row(sql, (job,))
    if row is None:
        raise _missing(job)
    return row


def _missing(job: str) -> NotFound:
    return NotFound(f"there is no job {job!r}; 'trimtab jobs list' shows the newest")


def _no_schedule(name: str) -> NotFound:
    return NotFound(f"there is no schedule {name!r}; 'trimtab jobs schedules' lists them")


def _schedule(row: Row) -> Schedule:
    name, rule, missed, paused, next_ms, job = row
    return Schedule(
        name=name,
        rule=rule,
        missed=missed,
        paused=bool(paused),
        next_ms=next_ms,
        job=msgspec.json.decode(job, type=NewJob),
    )


def _set_state(transaction: Transaction, job: str, state: JobState) -> None:
    """Of a job that is not running."""
    now = transaction.now_ms()
    transaction.change(
        "UPDATE jobs SET state = ?, waiting_for = NULL, updated_ms = ?, finished_ms = ?, "
        "due_ms = CASE WHEN ? = 'ready' THEN run_at_ms END WHERE id = ?",
        (state, now, now if state in FINISHED else None, state, job),
    )


def _want(transaction: Transaction, job: str, wanted: str | None) -> None:
    transaction.change("UPDATE jobs SET wanted = ? WHERE id = ?", (wanted, job))


def _cancel(transaction: Transaction, job: str, state: JobState, wanted: str | None) -> None:
    if state in ("done", "failed"):
        raise Conflict(f"job {job} is {state} already; there is nothing to cancel")
    if state == "running":
        _want(transaction, job, "cancel")
    elif state != "cancelled":
        _set_state(transaction, job, "cancelled")


def _pause(transaction: Transaction, job: str, state: JobState, wanted: str | None) -> None:
    if state in FINISHED or wanted == "cancel":
        raise Conflict(f"job {job} is {'being cancelled' if wanted else state}; it cannot be paused")
    if state == "running":
        _want(transaction, job, "pause")
    elif state != "paused":
        _set_state(transaction, job, "paused")


def _resume(transaction: Transaction, job: str, state: JobState, wanted: str | None) -> None:
    if state == "paused":
        _set_state(transaction, job, "ready")
    elif state == "running" and wanted == "pause":
        _want(transaction, job, None)
    else:
        raise Conflict(f"job {job} is {state}; only paused jobs can be resumed")
