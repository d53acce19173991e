"""Putting a backup in the place of what a PostgreSQL database holds.

What it is not: SQLite's way (`restore_sqlite`).
Invariant: one transaction replaces everything, and nobody else can read or write meanwhile.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from trimtab.errors import StoreError, StoreLocked
from trimtab.store.backup.file import BackupFile, Manifest, TableManifest, explained, placed
from trimtab.store.backup.loans import giving_up
from trimtab.store.backup.new_store import ROWS_LOOKED_AT, NewStore, not_empty
from trimtab.store.backup.restore_sqlite import build
from trimtab.store.backup.tables import (
    Table,
    TableSum,
    copy_types,
    plain_reals,
    postgres_tables,
    quoted,
    sqlite_tables,
)
from trimtab.store.database import Row
from trimtab.store.engines import postgres
from trimtab.store.engines.sqlite import connect_to_read
from trimtab.store.steps import load_steps

if TYPE_CHECKING:
    import psycopg

ALIVE_MS = 30_000
"""A process that was seen in the database so recently may be running. They are seen every 2 s."""

_REFUSALS = (TypeError, ValueError, AttributeError, OverflowError)
"""What a value of another type than its column's raises, which only a damaged file holds."""

_LOCK_TIMEOUT_MS = 5_000


def into_postgres(url: str, backup: BackupFile, clock_ms: Callable[[], int], force: bool) -> int:
    """Replace what the schema `trimtab` holds; in how many texts NUL became U+FFFD. Blocks. Raises `StoreError`."""
    place = f"store {postgres.place_of(url)}"
    connection = postgres.connect(url)
    try:
        postgres.migrate(connection, clock_ms)
        steps = load_steps("postgresql")
        version, _ = postgres.version_of(connection)
        if version != len(steps):
            raise StoreError(
                f"its schema is {version} and this Trimtab knows {len(steps)}; restore with the newer Trimtab"
            )
        connection.execute("SET statement_timeout = 0")
        if backup.manifest.schema == len(steps):
            return _load(connection, place, backup, force)
        # An older backup is brought forward on a copy, by the steps for SQLite.
        with tempfile.TemporaryDirectory(prefix="trimtab-restore-") as folder:
            staged = Path(folder) / "staged"
            build(staged, backup, clock_ms)
            newer = connect_to_read(staged)
            try:
                forward = BackupFile(staged, newer, _as_it_is(newer, backup.manifest), backup.progress)
                return _load(connection, place, forward, force)
            finally:
                newer.close(force=True)
    except StoreError as problem:
        raise placed(place, problem) from None
    except apsw.Error as problem:
        raise explained(backup.path, problem) from None
    except OSError as problem:
        raise StoreError(f"{place}: {problem.strerror or problem} ({tempfile.gettempdir()})") from None
    except Exception as problem:
        raise postgres.explain(url, problem) from None
    finally:
        connection.close()


def _as_it_is(file: apsw.Connection, manifest: Manifest) -> Manifest:
    sums = []
    for table in sqlite_tables(file):
        total = TableSum()
        for row in file.execute(table.select):
            total.add(row)
        sums.append(TableManifest(table.name, total.rows, total.digest))
    return msgspec.structs.replace(manifest, tables=tuple(sums))


def _load(connection: "psycopg.Connection[Any]", place: str, backup: BackupFile, force: bool) -> int:
    """Everything in one transaction; how many texts were changed."""
    errors = postgres.driver().errors
    tables = postgres_tables(connection)
    backup.check_tables(tables)
    changed = _Changed()
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}".encode())
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (postgres.MIGRATION_LOCK,))
        names = ", ".join(quoted(table.name) for table in tables)
        # Nobody sees half of it, and nobody changes what was found empty.
        connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
        _check_unused(connection)
        fresh = NewStore()
        for table in tables:
            few = connection.execute(f"{table.select} LIMIT {ROWS_LOOKED_AT}".encode())
            if fresh.differs(table, plain_reals(table, iter(few))) and not force:
                raise not_empty(place)
        connection.execute(f"TRUNCATE {names}".encode())
        for table in tables:
            try:
                _copy_in(connection, table, changed.without_nul(table, backup.rows(table)))
            except _REFUSALS as problem:
                raise backup.damaged(f"{table.name}: {problem}") from None
            except (errors.IntegrityError, errors.DataError) as problem:
                raise backup.damaged(f"{table.name}: {problem}") from None
        for statement in giving_up(table.name for table in tables):
            connection.execute(statement.encode())
    connection.execute(f"ANALYZE {names}".encode())
    return changed.texts


def _check_unused(connection: "psycopg.Connection[Any]") -> None:
    """Processes that go on with what they know of the old rows would spoil the new ones."""
    alive = connection.execute(
        "SELECT host, pid FROM workers "
        "WHERE seen_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint - %s ORDER BY host, pid",
        (ALIVE_MS,),
    ).fetchall()
    if alive:
        who = ", ".join(f"pid {pid} on {host}" for host, pid in alive[:5])
        raise StoreLocked(
            f"{len(alive)} {'process uses' if len(alive) == 1 else 'processes use'} it ({who}); stop every "
            f"Trimtab that uses it, wait {ALIVE_MS // 1000} s, then restore"
        )


def _copy_in(connection: "psycopg.Connection[Any]", table: Table, rows: Iterator[Row]) -> None:
    statement = f"COPY {quoted(table.name)} ({table.list}) FROM STDIN (FORMAT BINARY)".encode()
    types = copy_types(connection, table)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


class _Changed:
    """Takes the one character that PostgreSQL cannot hold out of texts, and counts."""

    def __init__(self) -> None:
        self.texts = 0

    def without_nul(self, table: Table, rows: Iterator[Row]) -> Iterator[Row]:
        places = [n for n, column in enumerate(table.columns) if column.kind == "TEXT"]
        for row in rows:
            if any(row[n] is not None and "\0" in row[n] for n in places):
                changed = list(row)
                for n in places:
                    if row[n] is not None and "\0" in row[n]:
                        changed[n] = row[n].replace("\0", "\ufffd")
                        self.texts += 1
                row = tuple(changed)
            yield row
