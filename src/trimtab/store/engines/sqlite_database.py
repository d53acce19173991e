"""`Database` on a SQLite file.

What it is not: the records' connection, which the writer thread owns.
Invariants: one transaction of this process writes at a time, so its threads wait on a lock and not on SQLite's polling;
a connection is used by one thread at a time and never kept after an error.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from trimtab.errors import StoreError
from trimtab.store.database import SQLITE_WORDS, Row, T, Value, Words
from trimtab.store.engines.sqlite import connect, connect_to_read, explain

WRITE_WAIT_MS = 5_000
"""How long a transaction waits for writers of other processes; each holds the file for some milliseconds."""

BUSY_STEP_S = 0.002

READERS_MAX = 4
"""Idle reading connections that are kept; more may exist while many read at once."""


class SQLiteTransaction:
    """Implements `Transaction`."""

    words: Words = SQLITE_WORDS

    def __init__(self, connection: apsw.Connection, clock_ms: Callable[[], int]) -> None:
        self._connection = connection
        self._clock_ms = clock_ms

    def now_ms(self) -> int:
        """See `Transaction.now_ms`: all users of a file are on one machine."""
        return self._clock_ms()

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """See `Transaction.rows`."""
        return list(self._connection.execute(sql, values))

    def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """See `Transaction.row`."""
        found = list(self._connection.execute(sql, values))
        return found[0] if found else None

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """See `Transaction.change`."""
        self._connection.execute(sql, values)
        return self._connection.changes()

    def change_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """See `Transaction.change_many`."""
        self._connection.executemany(sql, rows)


class Readers:
    """Lends each reader a connection of its own. One for each file and user of it."""

    def __init__(self, path: Path, clock_ms: Callable[[], int]) -> None:
        self._path = path
        self._clock_ms = clock_ms
        self._idle: deque[apsw.Connection] = deque()
        self._lock = threading.Lock()
        self._generation = 0
        self._closed = False

    def read(self, work: Callable[[SQLiteTransaction], T]) -> T:
        """Run `work` on one unchanging view of the file. Blocks. Raises `StoreError`."""
        with self._lock:
            if self._closed:
                raise StoreError(f"store {self._path}: is closed")
            generation = self._generation
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                connection = connect_to_read(self._path)
            connection.execute("BEGIN")
            result = work(SQLiteTransaction(connection, self._clock_ms))
            connection.execute("COMMIT")
        except BaseException as problem:  # whatever state it is in, nobody shall use it again
            if connection is not None:
                connection.close(force=True)
            if isinstance(problem, apsw.Error):
                raise explain(self._path, problem) from None
            raise
        with self._lock:
            if generation == self._generation and not self._closed and len(self._idle) < READERS_MAX:
                self._idle.append(connection)
                return result
        connection.close(force=True)
        return result

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


class SQLiteDatabase:
    """Implements `Database`."""

    words: Words = SQLITE_WORDS

    def __init__(self, path: Path, clock_ms: Callable[[], int], *, wait_ms: int = WRITE_WAIT_MS) -> None:
        """Create and migrate the file as needed. Blocks. Raises `StoreError`."""
        self._path = path
        self._clock_ms = clock_ms
        self._wait_ms = wait_ms
        self._writing = threading.Lock()
        self._writer: apsw.Connection | None = None
        self._readers = Readers(path, clock_ms)
        self._closed = False
        with self._writing:
            self._writer = self._connect()

    def write(self, work: Callable[[SQLiteTransaction], T], *, durable: bool = True) -> T:
        """See `Database.write`."""
        if not self._writing.acquire(timeout=self._wait_ms / 1000):
            raise StoreError(f"store {self._path}: other work of this process holds the file; try again")
        try:
            if self._closed:
                raise StoreError(f"store {self._path}: is closed")
            connection = self._writer = self._writer or self._connect()
            try:
                return self._run(connection, work, durable)
            except apsw.Error as problem:
                connection.close(force=True)
                self._writer = None
                raise explain(self._path, problem) from None
        finally:
            self._writing.release()

    def _run(self, connection: apsw.Connection, work: Callable[[SQLiteTransaction], T], durable: bool) -> T:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(SQLiteTransaction(connection, self._clock_ms))
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return result

    def read(self, work: Callable[[SQLiteTransaction], T]) -> T:
        """See `Database.read`."""
        return self._readers.read(work)

    def fold(self) -> bool:
        """See `Database.fold`."""
        if not self._writing.acquire(timeout=self._wait_ms / 1000):
            return False
        try:
            if self._closed:
                raise StoreError(f"store {self._path}: is closed")
            connection = self._writer = self._writer or self._connect()
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        except apsw.BusyError:
            return False
        except apsw.Error as problem:
            raise explain(self._path, problem) from None
        finally:
            self._writing.release()
        return not busy

    def close(self) -> None:
        """See `Database.close`."""
        with self._writing:
            self._closed = True
            if self._writer is not None:
                self._writer.close(force=True)
                self._writer = None
        self._readers.close()

    def _connect(self) -> apsw.Connection:
        connection = connect(self._path, busy_ms=self._wait_ms, clock_ms=self._clock_ms)
        connection.set_busy_handler(self._busy)
        return connection

    def _busy(self, tries: int) -> bool:
        """SQLite asks whether to try once more for the file. Its own handler sleeps up to 0.1 s, longer than a request
        may wait for a slice."""
        time.sleep(BUSY_STEP_S)
        return tries < self._wait_ms / 1000 / BUSY_STEP_S
