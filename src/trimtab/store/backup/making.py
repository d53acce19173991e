"""A backup: the whole store at one moment as one SQLite file, whichever engine it comes from.

What it is not: the way back (`restore`), or a store: the file is marked, so that nobody serves from it by mistake.
Invariants: the source is only read, never migrated, and writers are not held up; the file has the schema of its
source, all rows of one snapshot, and a manifest with a count and a sum for each table; it appears whole or not at all.
"""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from trimtab import __version__
from trimtab.errors import StoreError
from trimtab.store.backup.file import (
    Manifest,
    Progress,
    TableManifest,
    check_same_tables,
    explained,
    fill,
    new_file,
    placed,
    reported,
    sign,
    unguarded,
)
from trimtab.store.backup.own_files import refuse_own_file
from trimtab.store.backup.tables import (
    MANIFEST,
    Table,
    TableSum,
    copy_types,
    plain_reals,
    postgres_tables,
    sqlite_tables,
)
from trimtab.store.backup.whole_file import written_whole
from trimtab.store.database import Row
from trimtab.store.engines import postgres
from trimtab.store.engines.sqlite import connect_to_read, explain
from trimtab.store.opening import is_postgres, postgres_url, sqlite_path
from trimtab.store.schema import version_of
from trimtab.store.seam import StoreSettings
from trimtab.store.steps import Step, load_steps

if TYPE_CHECKING:
    import psycopg

PAGES_AT_ONCE = 1024
"""8 MB between two reports. The snapshot is held for the whole copy: otherwise each commit of a busy `serve` would make
SQLite begin again. Writers go on meanwhile, only the write-ahead log is not folded in until the copy is done."""


def make_backup(
    settings: StoreSettings,
    target: Path,
    *,
    clock_ms: Callable[[], int],
    force: bool = False,
    progress: Progress = lambda doing, done, unit: None,
) -> Manifest:
    """Copy the store to the file `target` (mode 0600). Blocks; reads every row; `serve` may be running.

    Raises `ConfigError`, and `StoreError` with one line when the store cannot be read, or when `target` exists
    (unless `force`), belongs to the store itself (always) or cannot be written.
    """
    refuse_own_file(settings, target, also=".part")
    _check_target(target, force)
    try:
        with written_whole(target) as part:
            if is_postgres(settings):
                return _from_postgres(postgres_url(settings), part, clock_ms, progress)
            return _from_sqlite(sqlite_path(settings.url), part, clock_ms, progress)
    except (apsw.Error, OSError) as problem:
        raise explained(target, problem) from None


def _check_target(target: Path, force: bool) -> None:
    if not target.parent.is_dir():
        raise StoreError(f"backup {target}: its directory {target.parent} does not exist; create it")
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as problem:
        raise explained(target, problem) from None
    if not stat.S_ISREG(mode):
        raise StoreError(f"backup {target}: is not an ordinary file; choose another name")
    if not force:
        raise StoreError(f"backup {target}: exists; choose another name, or write over it with --force")


def _from_sqlite(path: Path, part: Path, clock_ms: Callable[[], int], progress: Progress) -> Manifest:
    if not path.is_file():
        raise StoreError(f"store {path}: does not exist; there is nothing to back up")
    source = connect_to_read(path)
    try:
        source.execute("BEGIN")
        schema = _version_of_source(source)
        file = apsw.Connection(str(part))
        try:
            unguarded(file)
            _copy_pages(path, source, file, progress)
            source.execute("ROLLBACK")
            file.execute(f"DROP TABLE IF EXISTS {MANIFEST}")
            sums = [_summed(file, table, progress) for table in sqlite_tables(file)]
            manifest = Manifest(clock_ms(), __version__, schema, "sqlite", tuple(sums))
            sign(file, manifest)
        finally:
            file.close(force=True)
    except StoreError as problem:
        raise placed(f"store {path}", problem) from None
    finally:
        source.close(force=True)
    return manifest


def _version_of_source(source: apsw.Connection) -> int:
    """Also takes the snapshot. Raises `StoreError`; trouble with the source must not pass for trouble with the file."""
    try:
        schema = version_of(source)
    except apsw.Error as problem:
        raise explain(Path(source.filename), problem) from None
    if schema == 0:
        raise StoreError("is empty; there is nothing to back up")
    return schema


def _copy_pages(path: Path, source: apsw.Connection, file: apsw.Connection, progress: Progress) -> None:
    page_bytes = int(source.execute("PRAGMA page_size").get)
    with file.backup("main", source, "main") as copy:
        while not copy.done:
            copy.step(PAGES_AT_ONCE)
            progress("copying", (copy.page_count - copy.remaining) * page_bytes // 1_000_000, "MB")
    # The header says WAL, as the source's; a single file shall need no other beside it.
    file.execute("PRAGMA journal_mode = OFF").fetchall()


def _summed(file: apsw.Connection, table: Table, progress: Progress) -> TableManifest:
    total = TableSum()
    for row in reported(file.execute(table.select), f"adding up {table.name}", progress):
        total.add(row)
    return TableManifest(table.name, total.rows, total.digest)


def _from_postgres(url: str, part: Path, clock_ms: Callable[[], int], progress: Progress) -> Manifest:
    connection = postgres.connect(url)
    try:
        # Session-wide and before the snapshot: no step of the schema is half done in what we see, and one that waits
        # for us waits here, where it is in nobody's way, and not for our locks on the tables.
        connection.execute("SELECT pg_advisory_lock_shared(%s)", (postgres.MIGRATION_LOCK,))
        connection.execute("SET statement_timeout = 0")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        schema, _ = postgres.version_of(connection)
        steps = load_steps("sqlite")
        if schema == 0:
            raise StoreError("is empty; there is nothing to back up")
        if schema > len(steps):
            raise StoreError(
                f"its schema is {schema} and this Trimtab knows {len(steps)}; "
                "make the backup with the newer Trimtab that wrote it"
            )
        return _streamed(connection, part, steps[:schema], clock_ms, progress)
    except StoreError as problem:
        raise placed(f"store {postgres.place_of(url)}", problem) from None
    except (apsw.Error, OSError):
        raise
    except Exception as problem:
        raise postgres.explain(url, problem) from None
    finally:
        connection.close()


def _streamed(
    connection: "psycopg.Connection[Any]",
    part: Path,
    steps: tuple[Step, ...],
    clock_ms: Callable[[], int],
    progress: Progress,
) -> Manifest:
    file = new_file(part, steps, clock_ms)
    try:
        tables = postgres_tables(connection)
        check_same_tables(tables, sqlite_tables(file))
        sums = []
        for table in tables:
            rows = plain_reals(table, _rows_of(connection, table))
            sums.append(fill(file, table, reported(rows, f"copying {table.name}", progress)))
        manifest = Manifest(clock_ms(), __version__, len(steps), "postgresql", tuple(sums))
        sign(file, manifest)
    finally:
        file.close(force=True)
    return manifest


def _rows_of(connection: "psycopg.Connection[Any]", table: Table) -> Iterator[Row]:
    statement = f"COPY ({table.select}) TO STDOUT (FORMAT BINARY)".encode()
    types = copy_types(connection, table)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        yield from copy.rows()
