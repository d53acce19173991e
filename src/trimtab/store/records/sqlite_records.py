"""Records in a SQLite file: the writer's connection.

What it is not: the thread (`writer`), or the connections that read and the tables beside the records (`engines`).
Invariant: only the writer's thread uses this connection.
"""

import functools
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import msgspec

import trimtab.store.records.rows as rows
from trimtab.errors import StoreError, StoreLocked
from trimtab.records import Outcome, spent_of
from trimtab.store.engines.sqlite import OPEN_BUSY_MS, FileId, connect, explain, identify
from trimtab.store.records.backlog import ConfigVersion, Entry, Gap
from trimtab.store.records.rollups import Adding, RollUp
from trimtab.store.records.writer import BUSY_STEP_S
from trimtab.store.tasks import SETTLE, settling

BUSY_MS = 2_000
"""How long one try waits for another process's transaction before it counts as a problem."""

ROWS_PER_STATEMENT = 64
"""Rows that one INSERT carries. Each statement lets go of the interpreter lock and must win it back, up to 5 ms
against a busy event loop. Against a thread that never rests, 500-row commits wrote 755 records/s with one row a
statement (`executemany`), 2,830 with 16, 3,500 with 64 and 4,150 with 256; with the lock free all are near 50,000."""

STRIDE_AT_EASE = 32
STRIDE_BEHIND = ROWS_PER_STATEMENT
"""Records between two moments at which the interpreter lock is let go. Short strides, each followed by a yield, spare
the event loop: at 2,000 records/s its p99 lag was 0.8 ms, against 4.2 ms without the yield and 0.7 ms without
recording. Long ones win against a saturated loop when a full batch says that the writer is behind."""

_KNOWN_IDS = "SELECT id FROM requests WHERE id IN (SELECT value FROM json_each(?))"

_LOWER_LEASE = (
    "INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) VALUES (?, ?, ?, ?, 0) "
    "ON CONFLICT (key_id, simulated, worker) "
    "DO UPDATE SET outstanding_nanousd = key_leases.outstanding_nanousd + excluded.outstanding_nanousd"
)
"""A call may be recorded on a side on which nothing was granted yet: only its answer showed that it was simulated."""

_THERE_ALREADY = (apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_UNIQUE)

_BLAMED = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    *rows.NONSENSE,
)


class SQLiteRecords:
    """Implements `RecordEngine`."""

    def __init__(
        self,
        path: Path,
        *,
        clock_ms: Callable[[], int],
        on_reopen: Callable[[], None],
        open_busy_ms: int = OPEN_BUSY_MS,
    ) -> None:
        self.place = str(path)
        self._path = path
        self._clock_ms = clock_ms
        self._on_reopen = on_reopen
        self._open_busy_ms = open_busy_ms
        self._tell: Callable[[str], None] = _nobody_hears
        self._abandoned = threading.Event()
        self._connection: apsw.Connection | None = None
        self._file: FileId | None = None
        self._short_of_room = False
        self._doubtful = False
        """Whether the last try found a record in the file already."""

    def open(self, tell: Callable[[str], None], abandoned: threading.Event) -> None:
        """See `RecordEngine.open`."""
        self._tell = tell
        self._abandoned = abandoned
        self._open(self._open_busy_ms)

    def begin(self) -> bool:
        """See `RecordEngine.begin`. Another file than before is never written to."""
        connection, renewed = self._connected()
        if self._short_of_room:
            _fold_log(connection)
        connection.execute("BEGIN IMMEDIATE")
        return renewed

    def add_records(
        self, entries: Sequence[Entry], adding: Adding, *, behind: bool, replayed: bool
    ) -> list[Entry]:
        """See `RecordEngine.add_records`. From memory nearly always all are new; where one is not, the transaction ends
        with an error that counts as a lost race, and the next try looks first."""
        connection = self._open_connection()
        look = replayed or self._doubtful
        new, add = (self._unknown(entries), insert) if look else ([*entries], _add_new)
        stride = STRIDE_BEHIND if behind else STRIDE_AT_EASE
        for start in range(0, len(new), stride):
            part = new[start : start + stride]
            made = [rows.recorded(entry.outcome, entry.detail.decode()) for entry in part]
            add(connection, "requests", rows.REQUESTS, [one.request for one in made])
            add(connection, "attempts", rows.ATTEMPTS, [row for one in made for row in one.attempts])
            if judged := [row for one in made for row in one.judged]:
                add(connection, "judged_attempts", rows.JUDGED, judged)
            for entry, one in zip(part, made, strict=True):
                adding.record(entry.outcome, one, own=entry.own)
            if not behind:
                time.sleep(0)  # the event loop first
        return new

    def _unknown(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those whose records are not in the file. About 2 us each."""
        ids = msgspec.json.encode([entry.outcome.id for entry in entries]).decode()
        known = {row[0] for row in self._open_connection().execute(_KNOWN_IDS, (ids,))}
        return [entry for entry in entries if entry.outcome.id not in known]

    def add_gaps(self, writer: str, serial: int, gaps: Sequence[Gap]) -> Sequence[Gap]:
        """See `RecordEngine.add_gaps`."""
        connection = self._open_connection()
        if connection.execute(rows.GAPS_OF, (writer, serial)).get:
            return ()
        insert(connection, "record_gaps", rows.GAPS, [gap.row(writer, serial) for gap in gaps])
        return gaps

    def add_configs(self, configs: Sequence[ConfigVersion]) -> None:
        """See `RecordEngine.add_configs`."""
        made: list[rows.Row] = [(config.version, config.at_ms, config.content) for config in configs]
        insert(self._open_connection(), "config_versions", rows.CONFIGS, made)

    def add_sums(self, rollup: RollUp, made: Sequence[rows.Row]) -> None:
        """See `RecordEngine.add_sums`."""
        head = _head("INSERT", rollup.table, rollup.columns)
        _in_chunks(self._open_connection(), head, len(rollup.columns), rollup.upsert("min"), made)

    def lower_leases(self, worker: str, spent: Sequence[tuple[str, int, int]]) -> None:
        """See `RecordEngine.lower_leases`."""
        values = [(key, simulated, worker, -cost) for key, simulated, cost in spent]
        self._open_connection().executemany(_LOWER_LEASE, values)

    def settle_tasks(self, outcomes: Sequence[Outcome]) -> None:
        """See `RecordEngine.settle_tasks`."""
        self._open_connection().executemany(SETTLE, [settling(one.id, spent_of(one)) for one in outcomes])

    def commit(self) -> None:
        """See `RecordEngine.commit`."""
        self._open_connection().execute("COMMIT")
        self._doubtful = False

    def rollback(self) -> None:
        """See `RecordEngine.rollback`."""
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except apsw.Error:  # closing rolls back too
            self.close()

    def explain(self, problem: Exception) -> StoreError:
        """See `RecordEngine.explain`."""
        return explain(self._path, problem)

    def blames_a_record(self, problem: Exception) -> bool:
        """See `RecordEngine.blames_a_record`."""
        return isinstance(problem, _BLAMED)

    def lost_a_race(self, problem: Exception) -> bool:
        """See `RecordEngine.lost_a_race`: a record is in the file already, which the next try looks at."""
        if self._doubtful or getattr(problem, "extendedresult", None) not in _THERE_ALREADY:
            return False
        self._doubtful = True
        return True

    def failed(self, problem: Exception) -> None:
        """See `RecordEngine.failed`."""
        if isinstance(problem, apsw.FullError):
            self._short_of_room = True
        if not isinstance(explain(self._path, problem), StoreLocked):
            self.close()

    def caught_up(self) -> None:
        """See `RecordEngine.caught_up`."""
        self._short_of_room = False

    def close(self) -> None:
        """See `RecordEngine.close`."""
        if self._connection is not None:
            self._connection.close(force=True)
            self._connection = None

    def _open_connection(self) -> apsw.Connection:
        assert self._connection is not None, "a transaction has begun"
        return self._connection

    def _connected(self) -> tuple[apsw.Connection, bool]:
        """The connection, opened again after a failure, and whether it was. Raises `StoreError`, `OSError`."""
        now = identify(self._path)
        if self._connection is not None and now == self._file:
            return self._connection, False
        if self._file is not None and now is None:
            self.close()
            self._file = None
            self._tell(
                f"store {self._path}: the file was removed while in use; its records are gone; beginning anew"
            )
        if self._file is not None and now != self._file:
            raise StoreError(
                f"store {self._path}: another file was put in its place while in use; stop Trimtab, remove "
                f"{self._path.name}-wal and {self._path.name}-shm if they are there, and start again"
            )
        connection = self._open(BUSY_MS)
        self._on_reopen()
        return connection, True

    def _open(self, busy_ms: int) -> apsw.Connection:
        connection = connect(self._path, busy_ms=busy_ms, clock_ms=self._clock_ms)
        connection.set_busy_handler(self._busy)
        self._connection = connection
        self._file = identify(self._path)
        return connection

    def _busy(self, tries: int) -> bool:
        """SQLite asks whether to wait once more for another process."""
        return tries < BUSY_MS / 1000 / BUSY_STEP_S and not self._abandoned.wait(BUSY_STEP_S)


def insert(
    connection: apsw.Connection, table: str, columns: tuple[str, ...], made: Sequence[rows.Row]
) -> None:
    """Insert rows, several to a statement; rows that are there already stay as they are."""
    _in_chunks(connection, _head("INSERT", table, columns), len(columns), " ON CONFLICT DO NOTHING", made)


def _add_new(
    connection: apsw.Connection, table: str, columns: tuple[str, ...], made: Sequence[rows.Row]
) -> None:
    """Insert rows that should not be there, several to a statement. Should a row be refused, the transaction is rolled
    back: a statement that could be undone by itself copies every page that it changes, 1.6 us a record where all have
    one session and 5.5 us where each has its own."""
    _in_chunks(connection, _head("INSERT OR ROLLBACK", table, columns), len(columns), "", made)


def _in_chunks(
    connection: apsw.Connection, head: str, width: int, tail: str, made: Sequence[rows.Row]
) -> None:
    """One statement for each chunk of rows; few sizes of chunk, so that few statements are prepared."""
    start = 0
    while start < len(made):
        size = ROWS_PER_STATEMENT
        while size > len(made) - start:
            size //= 2
        values = [*itertools.chain.from_iterable(made[start : start + size])]
        connection.execute(_statement(head, width, size, tail), values)
        start += size


@functools.cache
def _head(verb: str, table: str, columns: tuple[str, ...]) -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES "


@functools.cache
def _statement(head: str, width: int, size: int, tail: str) -> str:
    """One of few: the tables and sizes of chunks that there are."""
    one = f"({', '.join('?' * width)})"
    return head + ", ".join([one] * size) + tail


def _fold_log(connection: apsw.Connection) -> None:
    """Give back the room that the write-ahead log takes: on a full disk it grows into what the operator frees."""
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.Error:  # there is not even room to fold it in; the commit will say so
        return


def _nobody_hears(line: str) -> None:
    """Before `open`."""
