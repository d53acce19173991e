"""One file of a journal: its room is set aside when it is made, and lines are appended until it is full.

What it is not: the journal (`journal`), which knows what lines mean and when a file may go.
Invariants: a line is whole in the system's page cache when `write` returns, so it survives the death of the process; a
line whose last byte is missing was never written; a disk that fails or is full raises `OSError` and ends nothing.

Where that is safe, lines are stored through a shared mapping, which makes no system call and does not let the
interpreter lock go. A page of a mapping that the disk cannot take ends the process (SIGBUS), so three things must hold
(see docs/decisions/0011): the file system is one of `MAPPED_ON` and set the room aside; the system made the pages
writable beforehand, which tells a failure instead of ending us (`MADV_POPULATE_WRITE`); and it did so since they were
last written to disk, because each writing makes them read-only again. Everything else is `pwrite`.
"""

import mmap
import os
from contextlib import suppress
from pathlib import Path

MAPPED_ON = frozenset({"ext4", "xfs", "tmpfs"})
"""Overwriting what `fallocate` set aside takes no more room there. On btrfs it does, even once a page was writable
(tried: the process dies); of file systems over a network, in user space or over others (overlay) nobody can tell."""

_POPULATE_WRITE = 23
"""`MADV_POPULATE_WRITE` of Linux 5.14 and later; `mmap` has no name for it. Before that it is refused (EINVAL)."""

_STEP_MAX = 64 * 1024
"""So much is made writable at a time, beginning with one page after each forcing to disk and doubling: what is made
writable is also written, and an idle server should not write 64 KiB a second. A call takes some 10 us for 16 pages,
which hold about 100 lines."""

_NEWLINE = 10

_MOUNTS = Path("/proc/self/mountinfo")


class Segment:
    """One file, written from its start to its end. Not safe for threads: the journal's lock is around it."""

    def __init__(self, path: Path, number: int, size: int, *, mapped: bool) -> None:
        """Make it, or open what is left of one that could not be begun. Raises `OSError`."""
        self.path, self.number, self.size = path, number, size
        self.position = 0
        self.calls = 0
        """Intents whose outcome has not come yet."""
        self.unsaved = 0
        """Outcomes that the store does not have yet."""
        self._map: mmap.mmap | None = None
        self._ready = 0
        """Up to here stores into the mapping cannot fail."""
        self._step = mmap.PAGESIZE
        self._forcing = 0
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self.file, 0, size)
            if mapped:
                self._map = mmap.mmap(self.file, size)
        except (OSError, ValueError):  # no room to set aside, or no such call here: writes will say so
            pass

    @property
    def mapped(self) -> bool:
        """Whether lines go through memory."""
        return self._map is not None

    def write(self, line: bytes) -> bool:
        """Append a line, to which this adds its end; false when the file is full.

        Raises `OSError`, having changed nothing that is read back.
        """
        position = self.position
        end = position + len(line)
        if (end < self._ready or self._prepared(end)) and (shared := self._map) is not None:
            shared[position:end] = line
            shared[end] = _NEWLINE  # last: whoever is killed in between has written no line
        elif end >= self.size:
            return False
        elif os.pwrite(self.file, line + b"\n", position) <= len(line):
            raise OSError(28, "No space left on device")
        self.position = end + 1
        return True

    def force_begins(self) -> None:
        """The file is about to be forced to disk: until that has ended, pages may become read-only at any moment."""
        self._forcing += 1
        self._ready = 0

    def force_ended(self, *, failed: bool) -> None:
        """It was forced to disk, or could not be: then the next write, by `pwrite`, says what is wrong."""
        self._forcing -= 1
        self._ready = 0
        self._step = mmap.PAGESIZE
        if failed:
            self.unmap()

    def unmap(self) -> None:
        """Write by system calls from now on. Idempotent."""
        self._ready = 0
        if self._map is not None:
            self._map.close()
            self._map = None

    def close(self) -> None:
        """Let the file go, and leave it."""
        self.unmap()
        os.close(self.file)

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        with suppress(OSError):  # it is recovered then, which adds nothing
            self.path.unlink()

    def _prepared(self, end: int) -> bool:
        """Make the next pages writable, at least to the byte at `end`; whether a line may be stored there."""
        if self._map is None or self._forcing or end >= self.size:
            return False
        start = self.position - self.position % mmap.PAGESIZE
        until = min(max(start + self._step, end + 1), self.size)
        try:
            self._map.madvise(_POPULATE_WRITE, start, until - start)
        except OSError:  # the disk fails, the file was cut, or the system is too old
            self.unmap()
            return False
        self._ready = until
        self._step = min(self._step * 2, _STEP_MAX)
        return True


def stores_safely(place: Path, kinds: frozenset[str] = MAPPED_ON, mounts: Path = _MOUNTS) -> bool:
    """Whether a file or directory is on a file system of one of these kinds, as far as Linux says.

    Not with `data=journal` (ext4): there a page becomes read-only also when the log is written or fails.
    **Source:** proc_pid_mountinfo(5): the third field is the device; after " - " come kind, source and options.
    """
    try:
        device = os.stat(place).st_dev
        name = f"{os.major(device)}:{os.minor(device)}"
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return False
    found = []
    for line in lines:
        mount, _, rest = line.partition(" - ")
        if mount.split(" ", 3)[2:3] == [name]:
            kind, *options = rest.split(" ")
            found.append(kind in kinds and "data=journal" not in ",".join(options).split(","))
    return bool(found) and all(found)
