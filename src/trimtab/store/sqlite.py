"""The embedded store: one SQLite file in WAL, one writer thread, a few reading connections.

What it is not: a client of other engines, or a place where requests wait.
Invariant: writing and reading never share a connection, and no connection is used by two threads at once.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

import trimtab.store.rows as rows
from trimtab.errors import StoreError
from trimtab.records import Outcome
from trimtab.store.backlog import Backlog, ConfigVersion
from trimtab.store.connection import OPEN_BUSY_MS, connect_to_read, explain
from trimtab.store.seam import StoreSettings, StoreStatus, TokenCounts, Totals
from trimtab.store.writer import Writer

READERS_MAX = 4
"""Idle reading connections that are kept; more may exist while many read at once."""


class Readers:
    """Lends each borrower a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[apsw.Connection] = deque()
        self._lock = threading.Lock()
        self._generation = 0
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[apsw.Connection]:
        """A connection for one read. Blocks. Raises `StoreError`."""
        with self._lock:
            if self._closed:
                raise StoreError(f"store {self._path}: is closed")
            generation = self._generation
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                connection = connect_to_read(self._path)
            yield connection
        except BaseException as problem:  # whatever state it is in, nobody shall borrow it again
            if connection is not None:
                connection.close(force=True)
            if isinstance(problem, apsw.Error):
                raise explain(self._path, problem) from None
            raise
        with self._lock:
            if generation == self._generation and not self._closed and len(self._idle) < READERS_MAX:
                self._idle.append(connection)
                return
        connection.close(force=True)

    def renew(self) -> None:
        """Forget connections to a file that may be another one now."""
        with self._lock:
            self._generation += 1
            old, self._idle = self._idle, deque()
        for connection in old:
            connection.close(force=True)

    def close(self) -> None:
        """Close what is idle; what is lent closes when it comes back."""
        with self._lock:
            self._closed = True
        self.renew()


class SQLiteStore:
    """Implements `Store`."""

    def __init__(
        self,
        path: Path,
        settings: StoreSettings,
        *,
        clock_ms: Callable[[], int],
        on_problem: Callable[[str], None] | None,
        open_busy_ms: int = OPEN_BUSY_MS,
    ) -> None:
        """Create and migrate the file as needed and start the writer. Blocks. Raises `StoreError`."""
        self._readers = Readers(path)
        self._backlog = Backlog(settings.queue_max, settings.batch_max)
        self._writer = Writer(
            path,
            self._backlog,
            linger_s=settings.batch_ms / 1000,
            clock_ms=clock_ms,
            on_problem=on_problem,
            on_reopen=self._readers.renew,
            open_busy_ms=open_busy_ms,
        )
        self._left: int | None = None
        self.put: Callable[[Outcome], None] = self._backlog.put
        """See `Store.put`; bound straight to the queue because every request pays for it."""

    def find(self, request_id: str) -> bytes | None:
        """See `Store.find`."""
        if not request_id.isascii():
            return None
        detail = self._backlog.find(request_id)
        if detail is not None:
            return detail
        with self._readers.borrow() as connection:
            found = connection.execute(rows.FIND, (request_id,)).get
        return None if found is None else str(found).encode()

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
        )

    def totals(self, since_ms: int, *, simulated: bool = False) -> Totals:
        """See `Store.totals`."""
        with self._readers.borrow() as connection:
            with self._writer.commit_gate:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM schema_version").fetchall()  # takes the snapshot
                waiting = self._backlog.waiting()
            found: list[rows.Counts] = waiting.counts(since_ms, simulated)
            for query in (rows.REQUEST_TOTALS, rows.GAP_TOTALS):
                found.extend(connection.execute(query, (since_ms, simulated)))
            connection.execute("COMMIT")
        total = rows.NO_COUNTS
        for part in found:
            total = rows.add(total, part)
        requests, attempts, cost, *kinds = total
        return Totals(requests, attempts, cost, TokenCounts(*kinds))

    def close(self, timeout_s: float) -> int:
        """See `Store.close`."""
        if self._left is None:
            self._backlog.start_closing()
            ended = self._writer.finish(timeout_s)
            self._readers.close()
            if ended:
                self._writer.close()
            self._left = self._backlog.unaccounted()
        return self._left
