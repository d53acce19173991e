"""The file that a backup is: filling it, and reading it with every row held against its manifest.

What it is not: the way from a store (`making`) or into one (`restore`).
Invariant: whoever reads a table of it to the end has the rows that were written, or gets a `StoreError`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec

from trimtab.errors import StoreError, printable
from trimtab.store.backup.tables import MANIFEST, Table, TableSum, quoted, sqlite_tables
from trimtab.store.database import Row
from trimtab.store.engines.sqlite import connect_to_read, explain
from trimtab.store.schema import APPLICATION_ID, BACKUP_ID, PAGE_BYTES, migrate
from trimtab.store.steps import Engine, Step, load_steps

ROWS_AT_ONCE = 5_000
"""Between two reports."""

_HEADER = b"SQLite format 3\0"

Progress = Callable[[str, int, str], None]
"""Told what is being done, how much of it is done, and in which unit."""


class TableManifest(msgspec.Struct, frozen=True):
    """What a backup says of one table."""

    name: str
    rows: int
    digest: str
    """See `TableSum`."""


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself."""

    made_ms: int
    """Unix milliseconds."""
    trimtab: str
    """The version of the program that made it."""
    schema: int
    """Steps of the schema that its source had taken."""
    engine: Engine
    """What its source ran on."""
    tables: tuple[TableManifest, ...]

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(table.rows for table in self.tables)


def explained(path: Path, problem: Exception) -> StoreError:
    """The trouble with a backup file as one line."""
    told = explain(path, problem)
    return type(told)(str(told).replace("store ", "backup ", 1))


def reported(rows: Iterator[Row], doing: str, progress: Progress) -> Iterator[Row]:
    """The rows, with a report every now and then."""
    count = 0
    for count, row in enumerate(rows, start=1):
        yield row
        if count % ROWS_AT_ONCE == 0:
            progress(doing, count, "rows")
    progress(doing, count, "rows")


def unguarded(file: apsw.Connection) -> None:
    """Settings for a file that nobody else has and that is thrown away when anything goes wrong."""
    file.execute("PRAGMA journal_mode = OFF").fetchall()
    file.execute("PRAGMA synchronous = OFF")
    file.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()


def new_file(part: Path, steps: tuple[Step, ...], clock_ms: Callable[[], int]) -> apsw.Connection:
    """An empty database with the first steps of the schema. Raises `apsw.Error`."""
    file = apsw.Connection(str(part))
    file.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    file.execute("PRAGMA synchronous = OFF")
    migrate(file, clock_ms, steps)
    unguarded(file)
    return file


def fill(file: apsw.Connection, table: Table, rows: Iterator[Row]) -> TableManifest:
    """Put rows into a table in place of what the schema's steps may have put there. Raises `apsw.Error`."""
    total = TableSum()

    def added() -> Iterator[Row]:
        for row in rows:
            total.add(row)
            yield row

    # Indexes are built at the end in one go: row by row, in random order, they would take most of the time.
    indexes = file.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (table.name,),
    ).fetchall()
    places = ", ".join("?" * len(table.columns))
    with file:
        for name, _ in indexes:
            file.execute(f"DROP INDEX {quoted(str(name))}")
        file.execute(f"DELETE FROM {quoted(table.name)}")  # noqa: S608 (name quoted)
        file.executemany(
            f"INSERT INTO {quoted(table.name)} ({table.list}) VALUES ({places})",  # noqa: S608 (names quoted)
            added(),
        )
        for _, sql in indexes:
            file.execute(str(sql))
    return TableManifest(table.name, total.rows, total.digest)


def check_same_tables(found: Sequence[Table], wanted: Sequence[Table]) -> None:
    """Raises `StoreError` naming what differs."""
    if tuple(found) == tuple(wanted):
        return
    ours, theirs = {table.name: table for table in wanted}, {table.name: table for table in found}
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    raise StoreError(
        f"its tables are not those of its schema (see {', '.join(names)}); were they changed by hand?"
    )


def sign(file: apsw.Connection, manifest: Manifest) -> None:
    """Make a filled file a backup."""
    file.execute(f"CREATE TABLE {MANIFEST} (content TEXT NOT NULL) STRICT")
    content = msgspec.json.encode(manifest).decode()
    file.execute(f"INSERT INTO {MANIFEST} VALUES (?)", (content,))  # noqa: S608 (our own name)
    file.execute(f"PRAGMA application_id = {BACKUP_ID}")


def placed(place: str, problem: StoreError) -> StoreError:
    """The problem with the place that it is about, if it does not name one."""
    text = str(problem)
    return problem if text.startswith(("store ", "backup ")) else type(problem)(f"{place}: {text}")


class BackupFile:
    """A backup that is read: hands out rows table by table, and knows at the end whether they were the right ones."""

    def __init__(
        self, path: Path, connection: apsw.Connection, manifest: Manifest, progress: Progress
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.progress = progress
        self._connection = connection
        self._wanted = {table.name: table for table in manifest.tables}

    def check_tables(self, tables: Sequence[Table]) -> None:
        """Raises `StoreError` unless the backup has these tables and no other."""
        try:
            found = sqlite_tables(self._connection)
            check_same_tables(found, tables)
        except (apsw.Error, UnicodeDecodeError) as problem:
            raise _damaged(self.path, problem) from None
        except StoreError as problem:
            raise self.damaged(str(problem)) from None
        if [table.name for table in found] != sorted(self._wanted):
            raise self.damaged("its manifest names other tables")

    def rows(self, table: Table) -> Iterator[Row]:
        """Raises `StoreError` after the last row when they are not those of the manifest."""
        total, doing = TableSum(), f"restoring {table.name}"
        try:
            for row in reported(self._connection.execute(table.select), doing, self.progress):
                total.add(row)
                yield row
        except (apsw.Error, UnicodeDecodeError) as problem:
            raise _damaged(self.path, problem) from None
        wanted = self._wanted[table.name]
        if (total.rows, total.digest) != (wanted.rows, wanted.digest):
            raise self.damaged(
                f"{table.name} has {total.rows:,} rows with sum {total.digest}, and should have {wanted.rows:,} "
                f"with {wanted.digest}"
            )

    def damaged(self, what: str) -> StoreError:
        """The error for it."""
        return _damage(self.path, what)


@contextmanager
def opened(source: Path, progress: Progress) -> Iterator[BackupFile]:
    """Lend a backup. Raises `StoreError` for whatever is wrong with the file, also while it is lent."""
    backup: apsw.Connection | None = None
    try:
        if not source.is_file():
            raise StoreError(
                f"backup {source}: {'is not an ordinary file' if source.exists() else 'does not exist'}"
            )
        with source.open("rb") as file:
            if file.read(len(_HEADER)) != _HEADER:
                raise StoreError(f"backup {source}: is not a backup of Trimtab's")
        backup = connect_to_read(source)
        backup.execute("PRAGMA trusted_schema = OFF")
        backup.execute("PRAGMA cell_size_check = ON")
        backup.execute("BEGIN")
        yield BackupFile(source, backup, _manifest(source, backup), progress)
    except (apsw.Error, OSError, UnicodeDecodeError) as problem:
        raise _damaged(source, problem) from None
    finally:
        if backup is not None:
            backup.close(force=True)


def _damaged(source: Path, problem: Exception) -> StoreError:
    if isinstance(problem, apsw.CorruptError | apsw.NotADBError | apsw.SQLError | UnicodeDecodeError):
        return _damage(source, str(problem))
    return explained(source, problem)


def _damage(source: Path, what: str) -> StoreError:
    """What is wrong may repeat a part of the file."""
    return StoreError(
        f"backup {source}: is damaged; use another copy of it ({printable(' '.join(what.split()))})"
    )


def _manifest(source: Path, backup: apsw.Connection) -> Manifest:
    mark = backup.execute("PRAGMA application_id").get
    if mark == APPLICATION_ID:
        raise StoreError(
            f"backup {source}: is a store, not a backup; make one of it with `trimtab doctor backup`, or point "
            "store.url at it"
        )
    if mark != BACKUP_ID:
        raise StoreError(f"backup {source}: is not a backup of Trimtab's")
    content = backup.execute(f"SELECT content FROM {MANIFEST}").get  # noqa: S608 (our own name)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as problem:
        raise _damage(source, f"manifest: {problem}") from None
    known = len(load_steps("sqlite"))
    if manifest.schema > known:
        raise StoreError(
            f"backup {source}: its schema is {manifest.schema} and this Trimtab knows {known}; restore it with "
            f"Trimtab {printable(manifest.trimtab, 40)}, which wrote it, or a newer one"
        )
    return manifest
