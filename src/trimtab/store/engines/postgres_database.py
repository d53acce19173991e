"""`Database` on PostgreSQL.

What it is not: the records' connection, which the writer thread owns.
Invariants: a connection is used by one thread at a time and never kept after an error; a unit of work is run again
only when the server said that nothing of it stands (deadlock, serialization) or before its first statement.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.errors import StoreError
from trimtab.store.database import POSTGRES_WORDS, Row, T, Value, Words
from trimtab.store.engines.postgres import connect, driver, explain, migrate, place_of

if TYPE_CHECKING:
    import psycopg

TRIES = 4
"""How often a unit of work may lose a deadlock."""

CONNECTIONS_MAX = 8
"""Connections at a time; who finds none free waits. A gateway process needs two or three."""

WAIT_S = 5.0

IDLE_IN_TRANSACTION_MS = 4_000
"""A process that is stopped in the middle of a transaction (SIGSTOP, a sleeping machine) loses it, and its locks, after
so long: others must be able to go on without it. Units of work only touch the database, so they are never idle."""

_BOUNDS = f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}".encode()

_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class PostgresTransaction:
    """Implements `Transaction`."""

    words: Words = POSTGRES_WORDS

    def __init__(self, cursor: "psycopg.Cursor[Any]", translated: Callable[[str], bytes]) -> None:
        self._cursor = cursor
        self._translated = translated

    def now_ms(self) -> int:
        """See `Transaction.now_ms`: the server's clock."""
        found = self._cursor.execute(_NOW).fetchone()
        assert found is not None
        return int(found[0])

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """See `Transaction.rows`."""
        return self._cursor.execute(self._translated(sql), _plain(values)).fetchall()

    def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """See `Transaction.row`."""
        return self._cursor.execute(self._translated(sql), _plain(values)).fetchone()

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """See `Transaction.change`."""
        return self._cursor.execute(self._translated(sql), _plain(values)).rowcount

    def change_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """See `Transaction.change_many`."""
        self._cursor.executemany(self._translated(sql), [_plain(row) for row in rows])


def _plain(values: Sequence[Value]) -> list[Value]:
    """Flags are numbers in our tables, as in SQLite's."""
    return [int(value) if isinstance(value, bool) else value for value in values]


class PostgresDatabase:
    """Implements `Database`."""

    words: Words = POSTGRES_WORDS

    def __init__(self, url: str, clock_ms: Callable[[], int]) -> None:
        """Connect, and bring the schema up to date. Blocks. Raises `ConfigError`, `StoreError`."""
        self._url = url
        self._errors = driver().errors
        self._idle: deque[psycopg.Connection[Any]] = deque()
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._statements: dict[str, bytes] = {}
        self._closed = False
        first = connect(url)
        try:
            migrate(first, clock_ms)
            first.execute(_BOUNDS)
        except Exception as problem:
            first.close()
            told = explain(url, problem)
            raise type(told)(_placed(url, str(told))) from None
        self._idle.append(first)

    def write(self, work: Callable[[PostgresTransaction], T], *, durable: bool = True) -> T:
        """See `Database.write`."""
        return self._borrowed("BEGIN" if durable else "BEGIN; SET LOCAL synchronous_commit = off", work)

    def read(self, work: Callable[[PostgresTransaction], T]) -> T:
        """See `Database.read`."""
        return self._borrowed("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)

    def _borrowed(self, begin: str, work: Callable[[PostgresTransaction], T]) -> T:
        if not self._free.acquire(timeout=WAIT_S):
            raise StoreError(
                f"store {place_of(self._url)}: all {CONNECTIONS_MAX} connections are in use; try again"
            )
        try:
            return self._run(begin, work)
        finally:
            self._free.release()

    def _run(self, begin: str, work: Callable[[PostgresTransaction], T]) -> T:
        lost = self._errors.DeadlockDetected, self._errors.SerializationFailure
        for again in range(TRIES, 0, -1):
            connection = self._begun(begin)
            try:
                with connection.cursor() as cursor:
                    result = work(PostgresTransaction(cursor, self._translated))
                connection.execute("COMMIT")
            except lost as problem:
                connection.close()
                if again == 1:
                    raise explain(self._url, problem) from None
                continue
            except BaseException as problem:
                self._undo(connection)
                if isinstance(problem, self._errors.Error):
                    raise explain(self._url, problem) from None
                raise
            self._put_back(connection)
            return result
        raise AssertionError("unreachable")

    def _begun(self, begin: str) -> "psycopg.Connection[Any]":
        """A connection in a transaction; one that died while idle is replaced."""
        if self._closed:
            raise StoreError(f"store {place_of(self._url)}: is closed")
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            try:
                connection.execute(begin)
                return connection
            except self._errors.Error:
                connection.close()
        connection = connect(self._url)
        try:
            connection.execute(_BOUNDS)
            connection.execute(begin)
        except self._errors.Error as problem:
            connection.close()
            raise explain(self._url, problem) from None
        return connection

    def _undo(self, connection: "psycopg.Connection[Any]") -> None:
        try:
            connection.execute("ROLLBACK")
        except self._errors.Error:
            connection.close()
        else:
            self._put_back(connection)

    def _put_back(self, connection: "psycopg.Connection[Any]") -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _translated(self, sql: str) -> bytes:
        """The statement with psycopg's placeholders."""
        known = self._statements.get(sql)
        if known is None:
            known = self._statements[sql] = sql.replace("%", "%%").replace("?", "%s").encode()
        return known

    def fold(self) -> bool:
        """See `Database.fold`."""
        return False

    def close(self) -> None:
        """See `Database.close`."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def _placed(url: str, text: str) -> str:
    return text if text.startswith("store ") else f"store {place_of(url)}: {text}"
