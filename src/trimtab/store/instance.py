"""One `trimtab serve` for each SQLite file: a lock that lives and dies with its process.

What it is not: a lock on the data. Other commands (`doctor`, `keys`, `worker`) open the file beside a server; two
servers on it would each believe that all its limits are theirs.
Invariants: the lock ends with the process that took it, however that ends; no child process inherits it; the lock file
is never removed, because a lock on a removed file holds nobody off.
"""

import fcntl
import os
import stat
import time
from pathlib import Path

from trimtab.errors import ConfigError, StoreError, StoreLocked
from trimtab.store.opening import is_postgres, sqlite_path
from trimtab.store.seam import StoreSettings

PATIENCE_S = 0.5
"""A process that was killed a moment ago may still be ending, and one that it was just starting holds its descriptors
until it has begun its own program: both are over within milliseconds."""

_PAUSE_S = 0.02

MAX_NOTE_BYTES = 512

_OPEN_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class InstanceLock:
    """Holds the lock until `release`, or until the process ends."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def note(self, address: str) -> None:
        """Tell other commands where the server can be reached; see `serving_address`."""
        if self._descriptor is not None:
            text = f"{os.getpid()}\n{address}\n".encode()
            os.pwrite(self._descriptor, text, 0)
            os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """Let another server start. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def hold_instance(settings: StoreSettings) -> InstanceLock:
    """Be the only server on the SQLite file that `store.url` names; any number may serve on one PostgreSQL database.

    Blocks up to `PATIENCE_S`. Raises `StoreLocked` when another server runs on the file, `StoreError` when the lock
    file cannot be made, `ConfigError` for a URL that names nothing.
    """
    if is_postgres(settings):
        return InstanceLock(None)
    path = sqlite_path(settings.url)
    lock = _lock_of(path)
    try:
        descriptor = os.open(lock, _OPEN_LOCK, 0o600)
    except OSError as problem:
        raise StoreError(
            f"store {path}: cannot make its lock file {lock}: {problem.strerror}; the directory must exist and be "
            "writable, or change store.url"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"store {path}: its lock file {lock} is not an ordinary file; remove it")
    give_up = time.monotonic() + PATIENCE_S
    try:
        while not _locked(descriptor):
            if time.monotonic() > give_up:
                raise StoreLocked(
                    f"store {path}: another `trimtab serve` ({_holder(descriptor)}) runs on this file; stop that one, "
                    "or give this one a store.url of its own"
                )
            time.sleep(_PAUSE_S)
    except OSError as problem:
        os.close(descriptor)
        raise StoreError(
            f"store {path}: its file system cannot lock {lock}: {problem.strerror}; use a local disk"
        ) from None
    except StoreLocked:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return InstanceLock(descriptor)


def serving_address(settings: StoreSettings) -> str | None:
    """Where the server that runs on this SQLite file noted that it can be reached; `None`: not known. Never raises.

    `--listen` may have given it another address than the configuration says.
    """
    try:
        if is_postgres(settings):
            return None
        descriptor = os.open(
            _lock_of(sqlite_path(settings.url)), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        )
    except (OSError, ConfigError):
        return None
    try:
        if _locked(descriptor, fcntl.LOCK_SH):  # nobody holds it: what it says is of a server that was killed
            return None
        lines = os.pread(descriptor, MAX_NOTE_BYTES, 0).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    address = lines[1] if len(lines) > 1 else ""
    return address if address.startswith("http://") and address.isprintable() else None


def _lock_of(path: Path) -> Path:
    """Through symbolic links, so that two names of one file share its lock."""
    return Path(f"{os.path.realpath(path)}.lock")


def _locked(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).partition(b"\n")[0]
    return f"pid {text.decode()}" if text.isdigit() else "just starting"
