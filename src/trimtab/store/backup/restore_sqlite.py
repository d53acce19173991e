"""Putting a backup in the place of a SQLite file.

What it is not: PostgreSQL's way (`restore_postgres`), or the lock that keeps servers out, which the caller holds.
Invariant: under the store's name there is, at every moment, the old file or the whole new one.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from trimtab.errors import StoreError, StoreLocked
from trimtab.store.backup.file import BackupFile, fill, new_file
from trimtab.store.backup.loans import giving_up
from trimtab.store.backup.new_store import NewStore, not_empty
from trimtab.store.backup.tables import sqlite_tables
from trimtab.store.backup.whole_file import written_whole
from trimtab.store.engines.sqlite import OPEN_BUSY_MS, connect_to_read, explain
from trimtab.store.schema import migrate, version_of
from trimtab.store.steps import load_steps


def into_sqlite(path: Path, backup: BackupFile, clock_ms: Callable[[], int], force: bool) -> Path | None:
    """Replace the file `path`; where the old one is kept, if it held anything. Blocks. Raises `StoreError`."""
    if not path.parent.is_dir():
        raise StoreError(f"store {path}: its directory {path.parent} does not exist; create it")
    holds = path.exists() and _holds_something(path)
    if holds and not force:
        raise not_empty(f"store {path}")
    kept: list[Path] = []

    def swap(part: Path, target: Path) -> None:
        if holds:
            kept.append(_keep(target, clock_ms()))
        elif target.exists():
            _fold_log(target)
        os.replace(part, target)

    try:
        with written_whole(path, swap) as part:
            build(part, backup, clock_ms)
    except (apsw.Error, OSError) as problem:
        raise explain(path, problem) from None
    return kept[0] if kept else None


def _holds_something(path: Path) -> bool:
    """Whether the file has any row that a new one does not have. Raises `StoreError` for another program's file."""
    if path.stat().st_size == 0:
        return False
    connection = connect_to_read(path)
    try:
        if version_of(connection) == 0:
            return False
        fresh = NewStore()
        return any(
            fresh.differs(table, connection.execute(table.select)) for table in sqlite_tables(connection)
        )
    except apsw.BusyError as problem:
        raise explain(path, problem) from None
    except apsw.Error:
        return True  # damaged, which may be why there is a restore
    except StoreError as problem:
        raise StoreError(f"store {path}: {problem}") from None
    finally:
        connection.close(force=True)


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


def build(part: Path, backup: BackupFile, clock_ms: Callable[[], int]) -> None:
    """Fill an empty file with the backup, in its own schema first, then bring it forward. Nothing is on loan then."""
    steps = load_steps("sqlite")
    file = new_file(part, steps[: backup.manifest.schema], clock_ms)
    try:
        tables = sqlite_tables(file)
        backup.check_tables(tables)
        for table in tables:
            try:
                fill(file, table, backup.rows(table))
            except (apsw.ConstraintError, apsw.MismatchError) as problem:
                raise backup.damaged(f"{table.name}: {problem}") from None
        # A step may need to be undone, and then the file is thrown away; but SQLite wants a journal for it.
        file.execute("PRAGMA journal_mode = DELETE").fetchall()
        migrate(file, clock_ms, steps)
        with file:
            for statement in giving_up(table.name for table in sqlite_tables(file)):
                file.execute(statement)
    finally:
        file.close(force=True)
