"""Opening the SQLite file, and saying in one line why that, or a write to it, failed.

What it is not: the tables (`schema`) or the statements.
Invariants: the file is created with mode 0600 and never by SQLite itself; every problem that an operator can cause
becomes a `StoreError` of one line that names the file and the remedy.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from trimtab.errors import StoreError, StoreLocked
from trimtab.store.schema import PAGE_BYTES, migrate, version_of

OPEN_BUSY_MS = 5_000
"""How long opening waits for another process, which may be migrating."""

BUSY_STEP_S = 0.01

READ_BUSY_MS = 2_000
"""In WAL a reader waits only while another process recovers or takes the file exclusively."""

WAL_LIMIT_BYTES = 64 * 1024 * 1024
"""The write-ahead log is cut back to this after a burst."""

SMALLEST_DATABASE_BYTES = 512
"""One page of the smallest size. SQLite would take a shorter file for an empty one and write over it."""

FileId = tuple[int, int]
"""Device and inode."""

_REMEDIES: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full; free some space"),
    (
        apsw.ReadOnlyError,
        "cannot be written: the file or its file system is read-only; change its permissions",
    ),
    (apsw.NotADBError, "is not a SQLite database; point store.url at another file"),
    (apsw.CorruptError, "is damaged; stop Trimtab and put a copy in its place"),
    (apsw.CantOpenError, "cannot be opened; check that the file and its directory may be read and written"),
    (apsw.PermissionsError, "cannot be opened: permission denied"),
)


def explain(path: Path, problem: Exception) -> StoreError:
    """The problem as one line for the operator."""
    if isinstance(problem, StoreError):
        return problem
    if isinstance(problem, apsw.BusyError | apsw.LockedError):
        return StoreLocked(f"store {path}: another process holds the file; stop it, or wait until it is done")
    for kind, text in _REMEDIES:
        if isinstance(problem, kind):
            return StoreError(f"store {path}: {text}")
    if isinstance(problem, OSError):
        return StoreError(f"store {path}: {problem.strerror or problem}")
    if isinstance(problem, apsw.IOError):
        return StoreError(f"store {path}: the disk reports an error ({problem}); check it")
    return StoreError(f"store {path}: {type(problem).__name__}: {problem}")


def identify(path: Path) -> FileId | None:
    """Which file the path leads to now; `None` when it is gone."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def connect(path: Path, *, busy_ms: int, clock_ms: Callable[[], int]) -> apsw.Connection:
    """A connection that may write, to a file that is created and migrated as needed. Blocks. Raises `StoreError`."""
    try:
        _create(path)
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except (apsw.Error, OSError) as problem:
        raise explain(path, problem) from None
    try:
        connection.set_busy_timeout(busy_ms)
        _begun(connection, busy_ms)
        migrate(connection, clock_ms)
    except (apsw.Error, StoreError) as problem:
        connection.close(force=True)
        if isinstance(problem, StoreError):
            raise type(problem)(f"store {path}: {problem}") from None
        raise explain(path, problem) from None
    return connection


def _begun(connection: apsw.Connection, busy_ms: int) -> None:
    """Prepare a connection. The change to WAL does not wait for others by itself: it is tried until time is up."""
    until = time.monotonic() + busy_ms / 1000
    while True:
        try:
            _prepare(connection)
        except apsw.BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(BUSY_STEP_S)
        else:
            return


def connect_to_read(path: Path) -> apsw.Connection:
    """A connection that cannot write. Blocks. Raises `StoreError`."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(READ_BUSY_MS)
    except apsw.Error as problem:
        raise explain(path, problem) from None
    return connection


def _create(path: Path) -> None:
    if not path.parent.is_dir():
        reason = "is not a directory" if path.parent.exists() else "does not exist"
        raise StoreError(
            f"store {path}: its directory {path.parent} {reason}; create it, or change store.url"
        )
    if path.is_dir():
        raise StoreError(f"store {path}: is a directory; store.url must name a file")
    if path.exists() and not path.is_file():
        raise StoreError(f"store {path}: is not an ordinary file; store.url must name one")
    if path.exists() and 0 < path.stat().st_size < SMALLEST_DATABASE_BYTES:
        raise StoreError(f"store {path}: is not a SQLite database; point store.url at another file")
    _check_permission(path if path.exists() else path.parent, path)
    if not path.exists():
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass  # another process was first


def _check_permission(place: Path, path: Path) -> None:
    if os.access(place, os.W_OK):
        return
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        raise StoreError(
            f"store {path}: its file system is read-only; mount it writable, or change store.url"
        )
    raise StoreError(f"store {path}: no permission to write {place}; change its permissions or owner")


def _prepare(connection: apsw.Connection) -> None:
    """Settings of the file and the connection; the first thing is to see that the file is ours to set."""
    version_of(connection)
    if connection.readonly("main"):
        raise StoreError(
            "cannot be written: the file or its file system is read-only; change its permissions"
        )
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    mode = connection.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":
        raise StoreError("its file system has no shared memory for a write-ahead log; use a local disk")
    # Survives the death of the process; see docs/store.md for what the loss of power may cost.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
