"""A file that appears under its name whole or not at all, whatever kills the process that writes it.

What it is not: SQLite's own safety, which is switched off while such a file is filled.
Invariants: nobody else can read it (mode 0600) and one process fills it at a time; what an earlier one left behind is
written over; the bytes are on the disk before the name is.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import StoreError, StoreLocked

_BESIDE = ("-journal", "-wal", "-shm")
"""Files of SQLite's that would be taken for part of the database next to them."""


def put_in_place(part: Path, target: Path) -> None:
    """Give the finished file its name, in place of whatever had it."""
    os.replace(part, target)


@contextmanager
def written_whole(target: Path, publish: Callable[[Path, Path], None] = put_in_place) -> Iterator[Path]:
    """Lends an empty file beside `target`; at the end it is forced to disk and gets its name by `publish`.

    After an exception it is removed. SQLite may open it, and must have closed it at the end. Blocks.
    Raises `StoreLocked` when another process fills the same file, `OSError`.
    """
    part = target.with_name(target.name + ".part")
    lock = _claim(part)
    try:
        _remove_beside(part)
        yield part
        _remove_beside(part)
        os.fsync(lock)
        publish(part, target)
        _sync_folder(target.parent)
    except BaseException:
        for path in (part, *_beside(part)):
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)


def _claim(part: Path) -> int:
    """Open and lock the file, empty. Closing the descriptor would undo SQLite's locks, so it stays open to the end."""
    while True:
        try:
            descriptor = os.open(part, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except IsADirectoryError:
            raise StoreError(f"{part}: is a directory, but is needed for a file; remove it") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreLocked(f"{part}: another process is writing it; wait until it is done") from None
        held = os.fstat(descriptor)
        try:
            there = os.stat(part, follow_symlinks=False)
        except FileNotFoundError:
            there = None
        if there is not None and (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino):
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, 0)
            return descriptor
        os.close(descriptor)  # another process finished it between our two looks


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in _BESIDE]


def _remove_beside(path: Path) -> None:
    for other in _beside(path):
        other.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
