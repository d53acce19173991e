"""The one thread that writes: takes batches, commits them, and keeps at it when the engine does not.

What it is not: the queue (`backlog`), an engine (`sqlite_records`, `postgres_records`), or anybody's answer: nothing
waits for it but `close`.
Invariants: a batch is settled only after its commit; any failure keeps it for the next try; the operator hears one
line when trouble begins and one when all has caught up.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from trimtab.errors import StoreError
from trimtab.records import Outcome
from trimtab.store.records.backlog import Backlog, Batch, ConfigVersion, Entry, Gap
from trimtab.store.records.rollups import Adding, RollUp
from trimtab.store.records.rows import Row

BUSY_STEP_S = 0.02
"""How soon a writer that waits for others notices that it is given up."""

BACKOFF_FIRST_S = 0.1
BACKOFF_MOST_S = 5.0

SUMS_PER_STATEMENT = 64
SUMS_PER_TURN = 16
"""Rows of roll-ups after which the event loop gets its turn: a tenth of a millisecond's work where tables get few, less
than half a millisecond's where one gets many. A turn after each table cost as much as the tables."""

RACES_MAX = 4
"""How often a commit that another writer beat is tried again before it counts as a problem."""


class RecordEngine(Protocol):
    """One engine's side of writing. Only the writer's thread uses it once it is open; every call blocks.

    Between `begin` and `commit` or `rollback` lies one transaction. A commit whose outcome is unknown is repeated,
    so whatever is added must be recognised when it comes again.
    """

    place: str
    """For people: what follows `store ` in a line."""

    def open(self, tell: Callable[[str], None], abandoned: threading.Event) -> None:
        """Connect, creating and migrating tables as needed. `tell` takes lines for the operator; when `abandoned` is
        set, waits should end soon. Raises `StoreError`."""
        ...

    def begin(self) -> bool:
        """Begin a transaction, on a new connection if need be; whether it is a new one, to tables that may be new.

        Raises `StoreError` and the engine's own errors, like all that follow.
        """
        ...

    def add_records(
        self, entries: Sequence[Entry], adding: Adding, *, behind: bool, replayed: bool
    ) -> list[Entry]:
        """Add what is not there yet, count that in, and return it. No two have one id.

        `behind`: speed goes before the event loop's ease. `replayed`: some are likely to be there already.
        """
        ...

    def add_gaps(self, writer: str, serial: int, gaps: Sequence[Gap]) -> Sequence[Gap]:
        """Add the gaps of this serial unless they are there, and return what was added."""
        ...

    def add_configs(self, configs: Sequence[ConfigVersion]) -> None:
        """Add the versions that are not there yet."""
        ...

    def add_sums(self, rollup: RollUp, made: Sequence[Row]) -> None:
        """Add rows, each of another key, to the rows of these keys that are there."""
        ...

    def lower_leases(self, worker: str, spent: Sequence[tuple[str, int, int]]) -> None:
        """Take what is recorded now off what this worker has outstanding: key_id, simulated, nano-dollars."""
        ...

    def settle_tasks(self, outcomes: Sequence[Outcome]) -> None:
        """Write down what calls of tasks came to, where that is not known yet."""
        ...

    def commit(self) -> None:
        """Make it stand."""
        ...

    def rollback(self) -> None:
        """Undo what has begun, if anything has. Never raises."""
        ...

    def explain(self, problem: Exception) -> StoreError:
        """A problem as one line for the operator."""
        ...

    def blames_a_record(self, problem: Exception) -> bool:
        """Whether one record is at fault, so that trying it again would stop all that come after it."""
        ...

    def lost_a_race(self, problem: Exception) -> bool:
        """Whether nothing is wrong but that another writer was in the way: nothing stands, try again at once."""
        ...

    def failed(self, problem: Exception) -> None:
        """Get ready for the next try."""
        ...

    def caught_up(self) -> None:
        """All is well again."""
        ...

    def close(self) -> None:
        """Close the connection. Idempotent."""
        ...


class Writer:
    """Owns the engine and the thread."""

    def __init__(
        self,
        engine: RecordEngine,
        backlog: Backlog,
        *,
        linger_s: float,
        clock_ms: Callable[[], int],
        on_problem: Callable[[str], None] | None,
        worker: str = "",
    ) -> None:
        """Open the engine and start. Blocks. Raises `StoreError`."""
        self._engine = engine
        self._backlog = backlog
        self._linger_s = linger_s
        self._clock_ms = clock_ms
        self._on_problem = on_problem
        self._worker = worker
        self._name = os.urandom(8).hex()
        """Names the gaps of this opening; two openings must never share it."""
        self._refusal: str | None = None
        self._dropped_told = 0
        self._files_next = False
        self._abandoned = threading.Event()
        self.commit_gate = threading.Lock()
        """Held while a commit and its settling happen; whoever holds it sees each record in one place only."""
        self.problem: str | None = None
        self.writable = True
        self.written = 0
        self.last_commit_ms: int | None = None
        engine.open(self._tell, self._abandoned)
        self._thread = threading.Thread(target=self._run, name="trimtab-store", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> bool:
        """Write what is queued and end the thread; whether it ended in time. The backlog must be closing."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._abandoned.set()
            self._thread.join(BUSY_STEP_S * 5)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._write_all()
        finally:
            self._engine.close()

    def _write_all(self) -> None:
        pause_s = 0.0
        while not self._abandoned.is_set():
            if pause_s:
                self._pause(pause_s)
            elif self._backlog.pending < self._backlog.batch_max:
                self._gather()
            try:
                batch = self._next()
                if batch is None:
                    self._caught_up()
                    if self._backlog.closing:
                        return
                    continue
                self._write(batch)
            except Exception as problem:  # the thread must outlive every surprise; the batch is kept
                self._failed(problem)
                pause_s = min(max(pause_s * 2, BACKOFF_FIRST_S), BACKOFF_MOST_S)
            else:
                self._succeeded(batch)
                pause_s = 0.0

    def _next(self) -> Batch | None:
        """From files and from memory in turn, so that neither waits for the other to end."""
        self._files_next = not self._files_next
        if self._files_next and not self._backlog.closing:
            return self._replayed() or self._backlog.batch()
        return self._backlog.batch() or (None if self._backlog.closing else self._replayed())

    def _replayed(self) -> Batch | None:
        """Records that wait in files, while memory is at ease."""
        replay = self._backlog.next_replay()
        if replay is None:
            return None
        entries = (Entry(outcome, msgspec.json.encode(outcome), replay.own) for outcome in replay.load())
        return Batch(tuple(entries), (), 0, (), replay)

    def _gather(self) -> None:
        """Let a batch come together; while there is a problem, only look again soon."""
        if self.problem is None:
            self._backlog.wait_for_batch(self._linger_s)
        else:
            self._backlog.wait_for_closing(self._linger_s)

    def _pause(self, pause_s: float) -> None:
        if self._backlog.closing:
            self._abandoned.wait(BACKOFF_FIRST_S)
        else:
            self._backlog.wait_for_closing(pause_s)

    def _write(self, batch: Batch) -> None:
        try:
            self._commit(batch)
        except Exception as problem:
            if not batch.entries or not self._engine.blames_a_record(problem):
                raise
            for entry in batch.entries:
                self._write_alone(entry, replayed=batch.replay is not None)
            if batch.replay is not None:
                self._backlog.settle(batch)
            # Gaps and versions of this batch are in the next one.

    def _write_alone(self, entry: Entry, *, replayed: bool) -> None:
        try:
            self._commit(Batch((entry,), (), 0, ()))
        except Exception as problem:
            if not self._engine.blames_a_record(problem):
                raise
            self._refusal = f"record {entry.outcome.id}: {type(problem).__name__}: {problem}"
            self._backlog.reject(entry, replayed=replayed)

    def _commit(self, batch: Batch) -> None:
        for tries in range(1, RACES_MAX + 1):
            try:
                added = self._commit_once(batch)
            except Exception as problem:
                if tries == RACES_MAX or not self._engine.lost_a_race(problem):
                    raise
            else:
                self.written += added
                self.last_commit_ms = self._clock_ms()
                return

    def _commit_once(self, batch: Batch) -> int:
        """Write a batch in one transaction and settle it; how many of its records are new."""
        engine = self._engine
        try:
            if engine.begin():
                self._backlog.repeat_configs()
            new = self._add(batch)
            with self.commit_gate:
                engine.commit()
                self._backlog.settle(batch)
        finally:
            engine.rollback()
        return len(new)

    def _add(self, batch: Batch) -> list[Entry]:
        """Add what is new, and what that adds to roll-ups and takes off leases."""
        engine = self._engine
        adding = Adding()
        new: list[Entry] = []
        behind = len(batch.entries) >= self._backlog.batch_max
        if batch.entries:
            # A file may hold a record twice. Of two with one id the first stands.
            once = {entry.outcome.id: entry for entry in reversed(batch.entries)}
            new = engine.add_records(
                [*reversed(once.values())], adding, behind=behind, replayed=batch.replay is not None
            )
        if batch.gaps:
            for gap in engine.add_gaps(self._name, batch.gap_serial, batch.gaps):
                adding.gap(gap)
        if batch.configs:
            engine.add_configs(batch.configs)
        added = 0
        for rollup, made in adding.sums():
            for start in range(0, len(made), SUMS_PER_STATEMENT):
                part = made[start : start + SUMS_PER_STATEMENT]
                engine.add_sums(rollup, part)
                added += len(part)
                if added >= SUMS_PER_TURN and not behind:
                    time.sleep(0)  # the event loop first
                    added = 0
        leases = adding.leases()
        if self._worker and leases:
            engine.lower_leases(self._worker, leases)
        if adding.of_tasks:
            engine.settle_tasks(adding.of_tasks)
        return new

    def _failed(self, problem: Exception) -> None:
        reason = self._engine.explain(problem)
        self._engine.failed(problem)
        if self.problem is None:
            self._tell(f"{reason}; until then records wait in memory and are tried again")
        self.problem = str(reason)
        self.writable = False  # last: who sees it may ask why

    def _succeeded(self, batch: Batch) -> None:
        self.writable = True
        if batch.gaps and self.problem is None:
            reason = self._refusal or "the queue is full"
            self.problem = (
                f"store {self._engine.place}: cannot keep all records ({reason}); "
                "totals of the others are kept"
            )
            self._tell(self.problem)
        elif not batch.gaps and self._backlog.pending < self._backlog.batch_max:
            self._caught_up()

    def _caught_up(self) -> None:
        if self.problem is None:
            return
        lost = self._backlog.dropped - self._dropped_told
        self._dropped_told = self._backlog.dropped
        self._refusal = None
        self._engine.caught_up()
        self.problem = None
        fate = f"; of {lost} records only the totals are kept" if lost else "; nothing is lost"
        self._tell(f"store {self._engine.place}: writes again and has caught up{fate}")

    def _tell(self, line: str) -> None:
        if self._on_problem is None:
            return
        try:
            self._on_problem(line)
        except Exception:  # the operator's listener must not stop the writer
            return
