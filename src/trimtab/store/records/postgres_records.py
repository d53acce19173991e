"""Records in PostgreSQL: the writer's connection.

What it is not: the thread (`writer`), or the tables beside the records (`engines`).
Invariants: records come in by COPY into a table of the session and from there into the real one, where a record that
is there already stays as it is; several writers take the rows that they share in one order, so none waits for
another in a circle.

Commits wait for the server's disk, unless the operator set `synchronous_commit` otherwise: no request waits for them,
and what each key has spent shall survive a crash of the server once the process has forgotten it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import trimtab.store.records.rows as rows
from trimtab.errors import StoreError
from trimtab.records import Outcome, spent_of
from trimtab.store.engines.postgres import connect, driver, explain, migrate, place_of
from trimtab.store.records.backlog import ConfigVersion, Entry, Gap
from trimtab.store.records.rollups import Adding, RollUp
from trimtab.store.tasks import SETTLE, settling

if TYPE_CHECKING:
    import psycopg

STRIDE = 8
"""Records between two moments at which the event loop goes first, while the writer is at ease."""

_SESSION = """
CREATE TEMPORARY TABLE incoming_requests (LIKE requests) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE incoming_attempts (LIKE attempts) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE incoming_judged (LIKE judged_attempts) ON COMMIT DELETE ROWS;
"""

# The order keeps two writers of the same ids from waiting for each other.
_KEEP_REQUESTS = (
    f"INSERT INTO requests ({', '.join(rows.REQUESTS)}) SELECT {', '.join(rows.REQUESTS)} "  # noqa: S608 (our own names)
    "FROM incoming_requests ORDER BY id ON CONFLICT DO NOTHING RETURNING id"
)
_KEEP_ATTEMPTS = (
    f"INSERT INTO attempts ({', '.join(rows.ATTEMPTS)}) SELECT {', '.join(rows.ATTEMPTS)} "  # noqa: S608
    "FROM incoming_attempts ORDER BY request_id, n ON CONFLICT DO NOTHING"
)
_KEEP_JUDGED = (
    f"INSERT INTO judged_attempts ({', '.join(rows.JUDGED)}) SELECT {', '.join(rows.JUDGED)} "  # noqa: S608
    "FROM incoming_judged ORDER BY request_id, n ON CONFLICT DO NOTHING"
)


_LOWER_LEASES = (
    b"INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) "
    b"SELECT spent.key_id, spent.simulated, %s, -spent.cost, 0 "
    b"FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS spent (key_id, simulated, cost) "
    b"ON CONFLICT (key_id, simulated, worker) "
    b"DO UPDATE SET outstanding_nanousd = key_leases.outstanding_nanousd + excluded.outstanding_nanousd"
)
_SETTLE = SETTLE.replace("?", "%s").encode()
_ARRAYS = {"INTEGER": "%s::bigint[]", "REAL": "%s::double precision[]", "TEXT": "%s::text[]"}


class PostgresRecords:
    """Implements `RecordEngine`."""

    def __init__(self, url: str, *, clock_ms: Callable[[], int]) -> None:
        self.place = place_of(url)
        self._url = url
        self._clock_ms = clock_ms
        self._errors = driver().errors
        self._upserts: dict[str, bytes] = {}
        self._connection: psycopg.Connection[Any] | None = None

    def open(self, tell: Callable[[str], None], abandoned: threading.Event) -> None:
        """See `RecordEngine.open`."""
        self._connection = self._connect()

    def begin(self) -> bool:
        """See `RecordEngine.begin`. A connection that died since the last commit is replaced without a word."""
        if self._connection is not None:
            try:
                self._connection.execute("BEGIN")
            except self._errors.Error:
                self.close()
            else:
                return False
        self._connection = self._connect()
        self._connection.execute("BEGIN")
        return True

    def add_records(
        self, entries: Sequence[Entry], adding: Adding, *, behind: bool, replayed: bool
    ) -> list[Entry]:
        """See `RecordEngine.add_records`."""
        made: dict[str, rows.Recorded] = {}

        def requests() -> Iterator[rows.Row]:
            for entry in entries:
                one = made[entry.outcome.id] = rows.recorded(entry.outcome, entry.detail.decode())
                yield one.request

        def attempts() -> Iterator[rows.Row]:
            for entry in new:
                one = made[entry.outcome.id]
                adding.record(entry.outcome, one, own=entry.own)
                yield from one.attempts

        self._copy("incoming_requests", rows.REQUESTS, requests(), behind)
        with self._cursor() as cursor:
            fresh = {found for (found,) in cursor.execute(_KEEP_REQUESTS.encode())}
        new = [entry for entry in entries if entry.outcome.id in fresh]
        self._copy("incoming_attempts", rows.ATTEMPTS, attempts(), behind)
        with self._cursor() as cursor:
            cursor.execute(_KEEP_ATTEMPTS.encode())
        if judged := [row for entry in new for row in made[entry.outcome.id].judged]:
            self._copy("incoming_judged", rows.JUDGED, judged, behind)
            with self._cursor() as cursor:
                cursor.execute(_KEEP_JUDGED.encode())
        return new

    def add_gaps(self, writer: str, serial: int, gaps: Sequence[Gap]) -> Sequence[Gap]:
        """See `RecordEngine.add_gaps`."""
        with self._cursor() as cursor:
            found = cursor.execute(rows.GAPS_OF.replace("?", "%s").encode(), (writer, serial)).fetchone()
            if found != (0,):
                return ()
            self._insert("record_gaps", rows.GAPS, [gap.row(writer, serial) for gap in gaps])
        return gaps

    def add_configs(self, configs: Sequence[ConfigVersion]) -> None:
        """See `RecordEngine.add_configs`."""
        self._insert(
            "config_versions",
            rows.CONFIGS,
            [(config.version, config.at_ms, config.content) for config in configs],
        )

    def add_sums(self, rollup: RollUp, made: Sequence[rows.Row]) -> None:
        """See `RecordEngine.add_sums`."""
        statement = self._upserts.get(rollup.table)
        if statement is None:
            statement = self._upserts[rollup.table] = _upsert(rollup)
        with self._cursor() as cursor:
            cursor.execute(statement, [list(column) for column in zip(*made, strict=True)])

    def lower_leases(self, worker: str, spent: Sequence[tuple[str, int, int]]) -> None:
        """See `RecordEngine.lower_leases`."""
        keys, simulated, costs = zip(*spent, strict=True)
        with self._cursor() as cursor:
            cursor.execute(_LOWER_LEASES, (worker, list(keys), list(simulated), list(costs)))

    def settle_tasks(self, outcomes: Sequence[Outcome]) -> None:
        """See `RecordEngine.settle_tasks`. In one order, so that two writers cannot wait for one another."""
        values = [settling(one.id, spent_of(one)) for one in sorted(outcomes, key=lambda one: one.id)]
        with self._cursor() as cursor:
            cursor.executemany(_SETTLE, values)

    def commit(self) -> None:
        """See `RecordEngine.commit`."""
        self._open_connection().execute("COMMIT")

    def rollback(self) -> None:
        """See `RecordEngine.rollback`."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.info.transaction_status != driver().pq.TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except self._errors.Error:
            self.close()

    def explain(self, problem: Exception) -> StoreError:
        """See `RecordEngine.explain`."""
        return explain(self._url, problem)

    def blames_a_record(self, problem: Exception) -> bool:
        """See `RecordEngine.blames_a_record`."""
        errors = self._errors
        if isinstance(problem, errors.ProgrammingError):
            return problem.sqlstate is None  # the driver could not adapt a value; the server was not asked
        by_server = (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded)
        return isinstance(problem, (*by_server, *rows.NONSENSE))

    def lost_a_race(self, problem: Exception) -> bool:
        """See `RecordEngine.lost_a_race`."""
        return isinstance(problem, self._errors.DeadlockDetected | self._errors.SerializationFailure)

    def failed(self, problem: Exception) -> None:
        """See `RecordEngine.failed`."""
        self.close()

    def caught_up(self) -> None:
        """See `RecordEngine.caught_up`."""

    def close(self) -> None:
        """See `RecordEngine.close`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> "psycopg.Connection[Any]":
        connection = connect(self._url)
        try:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise StoreError(
                    f"the database's encoding is {encoding}, which cannot hold every text; create it with "
                    "ENCODING 'UTF8' TEMPLATE template0"
                )
            migrate(connection, self._clock_ms)
            connection.execute(_SESSION)
        except Exception as problem:
            connection.close()
            told = str(explain(self._url, problem))
            raise StoreError(told if told.startswith("store ") else f"store {self.place}: {told}") from None
        return connection

    def _open_connection(self) -> "psycopg.Connection[Any]":
        assert self._connection is not None, "a transaction has begun"
        return self._connection

    def _cursor(self) -> "psycopg.Cursor[Any]":
        return self._open_connection().cursor()

    def _copy(self, table: str, columns: tuple[str, ...], made: Iterable[rows.Row], behind: bool) -> None:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()
        with self._cursor() as cursor, cursor.copy(statement) as copy:
            for n, row in enumerate(made, start=1):
                copy.write_row([_held(value) for value in row])
                if not behind and n % STRIDE == 0:
                    time.sleep(0)  # the event loop first

    def _insert(self, table: str, columns: tuple[str, ...], made: Sequence[rows.Row]) -> None:
        """Insert a few rows; rows that are there already stay as they are."""
        statement = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) "  # noqa: S608
            "ON CONFLICT DO NOTHING"
        ).encode()
        with self._cursor() as cursor:
            cursor.executemany(statement, [[_held(value) for value in row] for row in made])


def _upsert(rollup: RollUp) -> bytes:
    """Adds rows that come as one array for each column; a single statement, whatever their number."""
    arrays = ", ".join(_ARRAYS[rollup.kind(column)] for column in rollup.columns)
    head = f"INSERT INTO {rollup.table} ({', '.join(rollup.columns)}) SELECT * FROM unnest({arrays})"  # noqa: S608
    return (head + rollup.upsert("least")).encode()


def _held(value: object) -> object:
    """The value as PostgreSQL can hold it: its texts have no NUL character."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
