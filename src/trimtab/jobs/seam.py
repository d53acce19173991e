"""What jobs need of an engine: the narrow interface behind which another one could stand.

What it is not: an engine; ours is SQL (`store.JobTables`, `store.JobExchange`).
Invariants that an engine must keep: what is recorded for a job is recorded durably and only for the worker and epoch
that hold it; a claim raises the epoch; entries of one exchange are committed together.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from trimtab.store.jobs import Answer, Entry, Held, JobId, NewJob, Schedule, Wish

NewId = Callable[[], JobId]
"""Makes ids that sort by time."""


class Exchange(Protocol):
    """A worker's side: claim, renew, journal, wait, finish. Blocks. Raises `StoreError`."""

    def anything_due(self, queues: Sequence[str]) -> bool:
        """Whether a claim could find something."""
        ...

    def exchange(self, entries: Sequence[Entry], renew: Sequence[Held], wish: Wish | None) -> Answer:
        """Record, renew and claim, all or nothing."""
        ...


class Schedules(Protocol):
    """Stored schedules. Blocks. Raises `StoreError`."""

    def schedules(self, *, due: bool = False) -> tuple[int, list[Schedule]]:
        """The database's time, and the schedules."""
        ...

    def advance(self, schedule: Schedule, next_ms: int, fired: tuple[JobId, NewJob] | None) -> bool:
        """Store the job of this time and go on to the next, once among all workers."""
        ...
