"""The record store: a queue in memory, one thread that writes, and readers, over either engine.

What it is not: an engine (`sqlite_records`, `postgres_records`), or a place where requests wait.
"""

from collections.abc import Callable
from typing import Protocol

import trimtab.store.records.rows as rows
from trimtab.records import Intent
from trimtab.store.database import T, Transaction
from trimtab.store.records.backlog import Backlog, ConfigVersion, Waiting
from trimtab.store.records.journal import Journal
from trimtab.store.records.writer import RecordEngine, Writer
from trimtab.store.seam import StoreSettings, StoreStatus, TokenCounts, Totals


class Reader(Protocol):
    """Runs reads side by side, each on one unchanging view."""

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`; the view is taken by its first statement. Blocks. Raises `StoreError`."""
        ...

    def close(self) -> None:
        """Close all connections. Idempotent."""
        ...


class RecordStore:
    """Implements `Store`."""

    def __init__(
        self,
        engine: RecordEngine,
        reader: Reader,
        settings: StoreSettings,
        *,
        clock_ms: Callable[[], int],
        on_problem: Callable[[str], None] | None,
        worker: str = "",
        journal: Journal | None = None,
    ) -> None:
        """Create and migrate tables as needed and start the writer. Blocks. Raises `StoreError`."""
        self._reader = reader
        self._backlog = Backlog(settings.queue_max, settings.batch_max, journal=journal)
        try:
            self._writer = Writer(
                engine,
                self._backlog,
                linger_s=settings.batch_ms / 1000,
                clock_ms=clock_ms,
                on_problem=on_problem,
                worker=worker,
            )
        except BaseException:
            reader.close()
            raise
        self._left: int | None = None
        self.put: Callable[..., None] = self._backlog.put
        """See `Store.put`; bound straight to the queue because every request pays for it."""
        self.intend: Callable[[Intent], bool] = _unjournalled if journal is None else journal.intend
        """See `Store.intend`."""
        self.replay = self._backlog.replay
        """See `Store.replay`."""

    def find(self, request_id: str) -> bytes | None:
        """See `Store.find`."""
        if not request_id.isascii() or "\0" in request_id:
            return None
        detail = self._backlog.find(request_id)
        if detail is not None:
            return detail
        found = self._reader.read(lambda view: view.row(rows.FIND, (request_id,)))
        return None if found is None else str(found[0]).encode()

    def note_config(self, version: str, content: bytes, at_ms: int) -> None:
        """See `Store.note_config`."""
        self._backlog.note_config(ConfigVersion(version, at_ms, content))

    def status(self) -> StoreStatus:
        """See `Store.status`."""
        return StoreStatus(
            writable=self._writer.writable,
            problem=self._writer.problem,
            queued=self._backlog.pending,
            written=self._writer.written,
            dropped=self._backlog.dropped,
            last_commit_ms=self._writer.last_commit_ms,
            spilled=self._backlog.spilled,
        )

    def totals(self, since_ms: int, *, simulated: bool = False) -> Totals:
        """See `Store.totals`."""

        def work(view: Transaction) -> list[rows.Counts]:
            with self._writer.commit_gate:
                view.row("SELECT count(*) FROM schema_version")  # takes the view
                waiting: Waiting = self._backlog.waiting()
            found = waiting.counts(since_ms, simulated)
            hour_ms = -(-since_ms // rows.HOUR_MS) * rows.HOUR_MS
            found += view.rows(rows.USAGE_TOTALS, (hour_ms, int(simulated)))
            if since_ms < hour_ms:
                for query in (rows.REQUEST_TOTALS, rows.GAP_TOTALS):
                    found += view.rows(query, (since_ms, hour_ms, int(simulated)))
            return found

        total = rows.NO_COUNTS
        for part in self._reader.read(work):
            total = rows.add(total, tuple(int(figure) for figure in part))
        requests, attempts, cost, *kinds = total
        return Totals(requests, attempts, cost, TokenCounts(*kinds))

    def close(self, timeout_s: float) -> int:
        """See `Store.close`."""
        if self._left is None:
            self._backlog.start_closing()
            self._writer.finish(timeout_s)
            self._reader.close()
            self._left = self._backlog.unaccounted()
        return self._left


def _unjournalled(intent: Intent) -> bool:
    """Nothing is written: for stores that no call is made under."""
    return True
