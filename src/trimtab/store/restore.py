"""From a backup file to a store on either engine; with `backup` also the way from one engine to the other.

What it is not: a merge. What the store held is replaced, or there was nothing.
Invariants: the store is as before or holds the whole backup, whatever kills the process; every row is checked against
the manifest before it counts; what running processes had on loan when the backup was made belongs to nobody
afterwards, and money on loan counts as spent.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from trimtab.errors import StoreError, StoreLocked, shortened
from trimtab.store import postgres
from trimtab.store.backup import (
    Manifest,
    Progress,
    TableManifest,
    check_same_tables,
    copy_types,
    explained,
    fill,
    new_file,
    reported,
)
from trimtab.store.connection import OPEN_BUSY_MS, connect_to_read, explain
from trimtab.store.database import Row
from trimtab.store.instance import hold_instance
from trimtab.store.opening import is_postgres, postgres_url, sqlite_path
from trimtab.store.schema import APPLICATION_ID, BACKUP_ID, migrate, version_of
from trimtab.store.seam import StoreSettings
from trimtab.store.steps import load_steps
from trimtab.store.tables import (
    MANIFEST,
    Table,
    TableSum,
    plain_reals,
    postgres_tables,
    quoted,
    sqlite_tables,
)
from trimtab.store.whole_file import written_whole

if TYPE_CHECKING:
    import psycopg

COPIED = frozenset(
    {
        "attempts",
        "audit",
        "audit_head",
        "config_versions",
        "idempotency_keys",
        "job_events",
        "job_limits",
        "job_schedules",
        "job_steps",
        "job_turn",
        "key_secrets",
        "key_spend",
        "keys",
        "latency_by_hour",
        "limit_locks",
        "organisations",
        "record_gaps",
        "requests",
        "teams",
        "usage_by_hour",
        "usage_by_key",
        "usage_by_team",
        "users",
    }
)
"""Tables that come back as they were."""

ON_LOAN: dict[str, tuple[str, ...]] = {
    # What a process might have spent by the time of the backup is not known, so all that it could have counts.
    "key_leases": (
        "INSERT INTO key_spend (key_id, simulated, spent_nanousd) "
        "SELECT key_id, simulated, sum(outstanding_nanousd) FROM key_leases "
        "WHERE outstanding_nanousd > 0 GROUP BY key_id, simulated "
        "ON CONFLICT (key_id, simulated) "
        "DO UPDATE SET spent_nanousd = key_spend.spent_nanousd + excluded.spent_nanousd",
        "DELETE FROM key_leases",
    ),
    "key_permits": ("DELETE FROM key_permits",),
    "rate_slots": ("DELETE FROM rate_slots",),
    "workers": ("DELETE FROM workers",),
    # Whoever comes first takes the job over, as from a worker that died: finished steps stay finished.
    "jobs": ("UPDATE jobs SET due_ms = 0 WHERE state = 'running'",),
    "chores": ("UPDATE chores SET holder = NULL, until_ms = 0",),
}
"""Tables that say what running processes hold, and the statements, for both engines, after which nobody holds it."""

ALIVE_MS = 30_000
"""A process that was seen in the database so recently may be running. They are seen every 2 s."""

_REFUSALS = (TypeError, ValueError, AttributeError, OverflowError)
"""What a value of another type than its column's raises, which only a damaged file holds."""

_LOCK_TIMEOUT_MS = 5_000

_HEADER = b"SQLite format 3\0"


class Restored(msgspec.Struct, frozen=True):
    """What a restore did."""

    manifest: Manifest
    kept: Path | None
    """The store that was replaced, on SQLite."""
    changed_texts: int
    """Texts that held the character NUL, which PostgreSQL does not take; it is U+FFFD there now."""


def restore_backup(
    settings: StoreSettings,
    source: Path,
    *,
    clock_ms: Callable[[], int],
    force: bool = False,
    progress: Progress = lambda doing, done, unit: None,
) -> Restored:
    """Make the store what the backup `source` says, in the newest schema. Blocks; reads and writes every row.

    With `force` a store that holds something is replaced. Raises `ConfigError`; `StoreLocked` while the store is in
    use; `StoreError` for a store that holds something, a file that is no backup, damaged or newer than this program.
    """
    with _opened(source) as (backup, manifest):
        if is_postgres(settings):
            return _into_postgres(postgres_url(settings), source, backup, manifest, clock_ms, force, progress)
        lock = hold_instance(settings)
        try:
            path = Path(os.path.realpath(sqlite_path(settings.url)))
            return _into_sqlite(path, source, backup, manifest, clock_ms, force, progress)
        finally:
            lock.release()


@contextmanager
def _opened(source: Path) -> Iterator[tuple[apsw.Connection, Manifest]]:
    """Raises `StoreError` for whatever is wrong with the file, also while it is lent."""
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
        yield backup, _manifest(source, backup)
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
        f"backup {source}: is damaged; use another copy of it ({shortened(' '.join(what.split()))})"
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
    except (msgspec.MsgspecError, TypeError) as problem:
        raise _damage(source, f"manifest: {problem}") from None
    known = len(load_steps("sqlite"))
    if manifest.schema > known:
        raise StoreError(
            f"backup {source}: its schema is {manifest.schema} and this Trimtab knows {known}; restore it with "
            f"Trimtab {manifest.trimtab}, which wrote it, or a newer one"
        )
    return manifest


class _Checked:
    """Hands out the rows of a backup table by table, and knows at the end whether they were the right ones."""

    def __init__(self, source: Path, backup: apsw.Connection, manifest: Manifest, progress: Progress) -> None:
        self._source, self._backup, self._progress = source, backup, progress
        self._wanted = {table.name: table for table in manifest.tables}

    def check_tables(self, tables: Sequence[Table]) -> None:
        try:
            found = sqlite_tables(self._backup)
            check_same_tables(found, tables)
        except (apsw.Error, UnicodeDecodeError) as problem:
            raise _damaged(self._source, problem) from None
        except StoreError as problem:
            raise self.damaged(str(problem)) from None
        if [table.name for table in found] != sorted(self._wanted):
            raise self.damaged("its manifest names other tables")

    def rows(self, table: Table) -> Iterator[Row]:
        """Raises `StoreError` after the last row when they are not those of the manifest."""
        total = TableSum()
        try:
            for row in reported(
                self._backup.execute(table.select), f"restoring {table.name}", self._progress
            ):
                total.add(row)
                yield row
        except (apsw.Error, UnicodeDecodeError) as problem:
            raise _damaged(self._source, problem) from None
        self.compare(TableManifest(table.name, total.rows, total.digest))

    def compare(self, found: TableManifest) -> None:
        wanted = self._wanted[found.name]
        if found != wanted:
            raise self.damaged(
                f"{found.name} has {found.rows:,} rows with sum {found.digest}, and should have {wanted.rows:,} "
                f"with {wanted.digest}"
            )

    def damaged(self, what: str) -> StoreError:
        return _damage(self._source, what)


# --- SQLite ---


def _into_sqlite(
    path: Path,
    source: Path,
    backup: apsw.Connection,
    manifest: Manifest,
    clock_ms: Callable[[], int],
    force: bool,
    progress: Progress,
) -> Restored:
    if not path.parent.is_dir():
        raise StoreError(f"store {path}: its directory {path.parent} does not exist; create it")
    holds = path.exists() and _holds_something(path)
    if holds and not force:
        raise _not_empty(f"store {path}")
    kept: list[Path] = []

    def swap(part: Path, target: Path) -> None:
        if holds:
            kept.append(_keep(target, clock_ms()))
        elif target.exists():
            _keep_nothing(target)
        os.replace(part, target)

    try:
        with written_whole(path, swap) as part:
            _build(part, source, backup, manifest, clock_ms, progress)
    except (apsw.Error, OSError) as problem:
        raise explain(path, problem) from None
    return Restored(manifest, kept[0] if kept else None, 0)


def _build(
    part: Path,
    source: Path,
    backup: apsw.Connection,
    manifest: Manifest,
    clock_ms: Callable[[], int],
    progress: Progress,
) -> None:
    """Fill an empty file with the backup, in its own schema first, then bring it forward."""
    steps = load_steps("sqlite")
    checked = _Checked(source, backup, manifest, progress)
    file = new_file(part, steps[: manifest.schema], clock_ms)
    try:
        tables = sqlite_tables(file)
        checked.check_tables(tables)
        for table in tables:
            try:
                fill(file, table, checked.rows(table))
            except (apsw.ConstraintError, apsw.MismatchError) as problem:
                raise checked.damaged(f"{table.name}: {problem}") from None
        # A step may need to be undone, and then the file is thrown away; but SQLite wants a journal for it.
        file.execute("PRAGMA journal_mode = DELETE").fetchall()
        migrate(file, clock_ms, steps)
        with file:
            for statement in _statements_for(table.name for table in sqlite_tables(file)):
                file.execute(statement)
    finally:
        file.close(force=True)


def _statements_for(tables: Iterator[str]) -> list[str]:
    return [statement for table in tables for statement in ON_LOAN.get(table, ())]


def _holds_something(path: Path) -> bool:
    """Whether the file has any row that a new one does not have. Raises `StoreError` for another program's file."""
    if path.stat().st_size == 0:
        return False
    connection = connect_to_read(path)
    try:
        if version_of(connection) == 0:
            return False
        fresh = _fresh()
        for table in sqlite_tables(connection):
            if fresh.get(table.name, _NO_ROWS) != _first_rows(connection.execute(table.select)):
                return True
        return False
    except apsw.BusyError as problem:
        raise explain(path, problem) from None
    except apsw.Error:
        return True  # damaged, which may be why there is a restore
    except StoreError as problem:
        raise StoreError(f"store {path}: {problem}") from None
    finally:
        connection.close(force=True)


_FEW = 16
"""A new store has fewer rows in each table."""

_NO_ROWS = TableManifest("", 0, TableSum().digest)


def _first_rows(rows: Iterator[Row]) -> TableManifest:
    total = TableSum()
    for row in rows:
        total.add(row)
        if total.rows >= _FEW:
            break
    return TableManifest("", total.rows, total.digest)


def _fresh() -> dict[str, TableManifest]:
    """What the tables of a new store hold."""
    connection = apsw.Connection(":memory:")
    migrate(connection, lambda: 0)
    found = {table.name: _first_rows(connection.execute(table.select)) for table in sqlite_tables(connection)}
    connection.close()
    return found


def _not_empty(place: str) -> StoreError:
    return StoreError(
        f"{place}: holds something; restore into an empty store, or replace what is there with --force"
    )


def _keep(target: Path, now_ms: int) -> Path:
    """Give the old store a second name; its own goes to the new one in the next moment."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
    kept = target.with_name(f"{target.name}.before-restore-{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = target.with_name(f"{target.name}.before-restore-{stamp}-{number}")
    try:
        _fold_log(target)
    except (apsw.CorruptError, apsw.NotADBError):
        for end in ("-wal", "-shm"):  # part of a damaged file, but not of the new one
            beside = target.with_name(target.name + end)
            if beside.exists():
                os.replace(beside, kept.with_name(kept.name + end))
    os.link(target, kept)
    return kept


def _keep_nothing(target: Path) -> None:
    _fold_log(target)


def _fold_log(target: Path) -> None:
    """Make the old store one file again. Raises `StoreLocked` when another process has it open."""
    old = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        old.set_busy_timeout(OPEN_BUSY_MS)
        mode = old.execute("PRAGMA journal_mode = DELETE").get
    except apsw.BusyError:
        raise StoreLocked(
            f"store {target}: another process has it open; stop every Trimtab that uses it, then restore"
        ) from None
    finally:
        old.close(force=True)
    if mode != "delete":
        raise StoreLocked(
            f"store {target}: another process has it open; stop every Trimtab that uses it, then restore"
        )


# --- PostgreSQL ---


def _into_postgres(
    url: str,
    source: Path,
    backup: apsw.Connection,
    manifest: Manifest,
    clock_ms: Callable[[], int],
    force: bool,
    progress: Progress,
) -> Restored:
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
        if manifest.schema == len(steps):
            changed = _load(connection, place, _Checked(source, backup, manifest, progress), force)
            return Restored(manifest, None, changed)
        with tempfile.TemporaryDirectory(prefix="trimtab-restore-") as folder:
            # An older backup is brought forward on a copy; the steps that do so know rows, not files.
            staged = Path(folder) / "staged"
            _build(staged, source, backup, manifest, clock_ms, progress)
            newer = connect_to_read(staged)
            try:
                trusted = _Checked(staged, newer, _as_it_is(newer, manifest), progress)
                changed = _load(connection, place, trusted, force)
            finally:
                newer.close(force=True)
        return Restored(manifest, None, changed)
    except StoreError as problem:
        raise _placed(place, problem) from None
    except apsw.Error as problem:
        raise explained(source, problem) from None
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


def _load(connection: "psycopg.Connection[Any]", place: str, checked: _Checked, force: bool) -> int:
    """Everything in one transaction; how many texts were changed."""
    errors = postgres.driver().errors
    tables = postgres_tables(connection)
    checked.check_tables(tables)
    changed = _Changed()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (postgres.MIGRATION_LOCK,))
        connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}".encode())
        names = ", ".join(quoted(table.name) for table in tables)
        # Nobody sees half of it, and nobody changes what was found empty.
        connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
        _check_unused(connection)
        fresh = _fresh()
        for table in tables:
            few = connection.execute(f"{table.select} LIMIT {_FEW}".encode())
            found = _first_rows(plain_reals(table, iter(few)))
            if found != fresh.get(table.name, _NO_ROWS) and not force:
                raise _not_empty(place)
        connection.execute(f"TRUNCATE {names}".encode())
        for table in tables:
            try:
                _copy_in(connection, table, changed.without_nul(table, checked.rows(table)))
            except _REFUSALS as problem:
                raise checked.damaged(f"{table.name}: {problem}") from None
            except (errors.IntegrityError, errors.DataError) as problem:
                raise checked.damaged(f"{table.name}: {problem}") from None
        for statement in _statements_for(table.name for table in tables):
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


def _placed(place: str, problem: StoreError) -> StoreError:
    text = str(problem)
    return problem if text.startswith(("store ", "backup ")) else type(problem)(f"{place}: {text}")
