"""The door for those who ask for work: checks what they say, then stores it.

What it is not: a worker, or a permission (package `admin`). Every call blocks; async callers use a thread.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from trimtab.errors import RequestError
from trimtab.jobs.schedules import fire_due, parse_rule
from trimtab.jobs.seam import NewId
from trimtab.store.database import Transaction
from trimtab.store.jobs import (
    Job,
    JobId,
    JobState,
    JobTables,
    Limit,
    Missed,
    NewJob,
    Schedule,
    Scope,
    Step,
    insert_job,
)

NAME_MAX = 200
INPUT_MAX_BYTES = 16 * 1024 * 1024
"""Larger inputs belong into a blob that the input names: every claim reads the input."""
PRIORITY_MAX = 1_000
SWEEP_BATCH = 200
"""Finished jobs that one transaction deletes: some 10 ms, in which SQLite has no other writer."""


class JobBoard:
    """Raises `RequestError` for what cannot be stored, `NotFound`, `Conflict` and `StoreError`."""

    def __init__(self, tables: JobTables, new_id: NewId) -> None:
        self._tables = tables
        self._new_id = new_id

    def enqueue(self, new: NewJob) -> JobId:
        """Store a job durably; the id of the job of that kind and unique key if there is one already."""
        return self.enqueue_many([new])[0]

    def enqueue_many(self, jobs: Sequence[NewJob]) -> list[JobId]:
        """Store jobs in one commit, all or none."""
        for new in jobs:
            _check(new)
        return self._tables.insert([(self._new_id(), new) for new in jobs])

    def enqueue_in(self, transaction: Transaction, new: NewJob) -> JobId:
        """Store a job together with the other writes of a transaction."""
        _check(new)
        return insert_job(transaction, self._new_id(), new)

    def find(self, job: str) -> Job | None:
        """A job by its id."""
        return self._tables.find(job)

    def steps(self, job: str) -> tuple[Step, ...]:
        """A job's journal, in order."""
        return self._tables.steps(job)

    def newest(
        self,
        limit: int,
        *,
        state: JobState | None = None,
        kind: str | None = None,
        queue: str | None = None,
        owner: str | None = None,
    ) -> list[Job]:
        """The newest jobs first, those only that have all that is given."""
        return self._tables.newest(limit, state=state, kind=kind, queue=queue, owner=owner)

    def counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs there are by queue and state."""
        return self._tables.counts()

    def signal(self, job: str, event: str, payload: Any = None) -> None:
        """Give a job an event, kept until a wait takes it. `payload` is anything that JSON holds."""
        _check_name("event", event)
        if "#" in event:
            raise RequestError(f"event {event!r}: a name has no '#'")
        self._tables.signal(job, event, msgspec.json.encode(payload))

    def cancel(self, job: str) -> JobState:
        """Cancel at once; a job that runs (the answer is `running`) stops at its next step or heartbeat."""
        return self._tables.cancel(job)

    def pause(self, job: str) -> JobState:
        """As `cancel`, but it can be resumed where it was."""
        return self._tables.pause(job)

    def resume(self, job: str) -> JobState:
        """Undo `pause`."""
        return self._tables.resume(job)

    def retry(self, job: str, *, repeat: Sequence[str] = (), outcomes: dict[str, Any] | None = None) -> None:
        """Run a failed or cancelled job again; finished steps are not.

        For steps of unknown outcome a person decides: `repeat` names those that did not happen, `outcomes` gives the
        results of those that did.
        """
        encoded = {name: msgspec.json.encode(value) for name, value in (outcomes or {}).items()}
        self._tables.retry(job, repeat=repeat, outcomes=encoded)

    def fork(self, job: str, before: str | None = None) -> JobId:
        """A new job that has this one's input and finished steps, up to and without `before`."""
        job_id = self._new_id()
        self._tables.fork(job, before, job_id)
        return job_id

    def limits(self) -> list[Limit]:
        """All limits."""
        return self._tables.limits()

    def set_limit(self, scope: Scope, name: str, max_running: int) -> None:
        """How many jobs of a queue, kind or owner may run, over all workers; `*`: each that has none of its own."""
        _check_name(scope, name)
        if not 0 <= max_running <= 1_000_000:
            raise RequestError(f"max_running {max_running}: write 0 (none starts) to 1000000")
        self._tables.set_limit(Limit(scope, name, max_running))

    def remove_limit(self, scope: Scope, name: str) -> bool:
        """Whether there was one."""
        return self._tables.remove_limit(scope, name)

    def put_schedule(self, name: str, rule: str, job: NewJob, *, missed: Missed = "skip") -> None:
        """Store `job` at each time of `rule` (`every 300s`, or five fields of cron in UTC).

        Times that pass while no worker runs are left out (`skip`) or made up for by one job (`once`). A schedule of
        that name is replaced; it keeps its pause, and its next time unless the rule changes.
        """
        _check_name("schedule", name)
        _check(job)
        try:
            parsed = parse_rule(rule)
        except ValueError as problem:
            raise RequestError(f"schedule {name!r}: {problem}") from None
        now_ms, _ = self._tables.schedules(due=True)
        self._tables.put_schedule(
            Schedule(name=name, rule=rule, missed=missed, paused=False, next_ms=parsed.after(now_ms), job=job)
        )

    def schedules(self) -> list[Schedule]:
        """All schedules by name."""
        return self._tables.schedules()[1]

    def change_schedule(self, name: str, change: Literal["pause", "resume", "remove"]) -> None:
        """Stop it, let it go on (times that passed count as missed), or delete it."""
        if change == "remove":
            self._tables.remove_schedule(name)
        else:
            self._tables.pause_schedule(name, paused=change == "pause")

    def fire_due(self) -> int:
        """Store the jobs of schedules that are due; how many this call stored. Workers do this every second."""
        return len(fire_due(self._tables, self._new_id))

    def sweep(self, before_ms: int) -> int:
        """Delete up to `SWEEP_BATCH` jobs that ended before a time, with their journals; how many."""
        return self._tables.delete_finished(before_ms, SWEEP_BATCH)


def _check(new: NewJob) -> None:
    _check_name("kind", new.kind)
    _check_name("queue", new.queue)
    if new.owner:
        _check_name("owner", new.owner)
    if new.unique_key is not None:
        _check_name("unique_key", new.unique_key)
    if len(new.input) > INPUT_MAX_BYTES:
        raise RequestError(
            f"input of {len(new.input)} bytes: {INPUT_MAX_BYTES} is the most; name a file instead"
        )
    if abs(new.priority) > PRIORITY_MAX:
        raise RequestError(f"priority {new.priority}: write -{PRIORITY_MAX} (first) to {PRIORITY_MAX} (last)")
    if not 1 <= new.max_attempts <= 1_000:
        raise RequestError(f"max_attempts {new.max_attempts}: write 1 to 1000")
    if not 0 <= new.backoff_ms <= 86_400_000:
        raise RequestError(f"backoff_ms {new.backoff_ms}: write 0 to 86400000, a day")
    if not 0 <= new.run_at_ms < 1 << 53:
        raise RequestError(f"run_at_ms {new.run_at_ms}: write Unix milliseconds")


def _check_name(what: str, name: str) -> None:
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise RequestError(f"{what} {name!r}: a name has 1 to {NAME_MAX} printable characters")
