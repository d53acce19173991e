"""The local journal: what is about to be spent, and what was, in files that outlive the process.

What it is not: the store. It holds a record only until the store has it, and then drops it by the file. What a dead
process left is read by `abandoned`.
Invariants: an intent is in the file (given to the system, so it survives the death of the process) before `intend`
returns; an intent without an outcome is a call whose process died, and the last one of a request says all of it; a file
is removed only when each of its intents has its outcome in a journal file or the store, or a later intent in its place,
and each of its outcomes is in the store.

A journal is a directory of its own below a root, one for each process, locked (`flock`) while the process lives: a lock
that can be had means that the process is dead. It gets its name only when it is locked. Files (`segment`) have their
room set aside when they are made, so that a disk that fills up later does not stop the next calls. A line is
`kind crc32 json`; what follows a zero byte or a line that does not check is not there.
"""

import fcntl
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from trimtab.errors import StoreError
from trimtab.records import Intent, Outcome
from trimtab.store.records.segment import MAPPED_ON, Segment, stores_safely

SEGMENT_BYTES = 4 * 1024 * 1024
"""Some 3,000 requests. A file is made in about 0.1 ms, off the path of requests where there is time."""

SPILL_BYTES = 1024 * 1024 * 1024
"""Journal files together, at most. A store that is away fills this with some 700,000 requests."""

SYNC_EVERY_S = 1.0

INTENT, OUTCOME, HEAD = b"I", b"O", b"H"
LOCK = "lock"
SOCKET = "join"
"""Where other workers listen to calls in flight; `app.once` makes it."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Head(msgspec.Struct, frozen=True):
    """The first line of each file."""

    worker: str
    boot: str
    """Which start of the machine this was; after another one the end of a file may be missing."""
    store: str = ""
    """Which store its records belong to; empty from a program that did not say so."""


class Journal:
    """One process's journal. Safe to use from any thread; no call waits for more than the system's page cache."""

    def __init__(
        self,
        root: Path,
        worker: str,
        *,
        store: str = "",
        segment_bytes: int = SEGMENT_BYTES,
        spill_bytes: int = SPILL_BYTES,
        mapped_on: frozenset[str] = MAPPED_ON,
    ) -> None:
        """Make the directory and the first file. Raises `StoreError`.

        `worker` is 32 lower-case hexadecimal characters: a directory of another name is never recovered. `store` is
        the name of the store (`store_identity`): nobody else recovers it. `mapped_on`: kinds of file systems on which
        lines are stored through memory.
        """
        self.home = root / worker
        self._worker = worker
        self._store = store
        self._segment_bytes = segment_bytes
        self._spill_bytes = spill_bytes
        self._boot = boot_id()
        self._mutex = threading.Lock()
        self._encode = msgspec.json.Encoder().encode
        self._calls: dict[str, Segment] = {}
        self._segments: dict[int, Segment] = {}
        self._done: list[Segment] = []
        """Not needed any more, to be removed off the path of requests."""
        self._next = 1
        self._closed = False
        self.problem: str | None = None
        """Why the last write failed, until one succeeds."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _made(root / f".new-{worker}", self.home)
            self._mapped = stores_safely(self.home, mapped_on)
            try:
                self._current = self._open_segment()
            except OSError:
                _removed(self.home)
                os.close(self._lock)
                raise
        except OSError as problem:
            exists = isinstance(problem, FileExistsError) and not root.is_dir()
            reason = "Not a directory" if exists else problem.strerror or problem
            raise StoreError(
                f"journal {self.home}: {reason}; free the disk, correct its permissions, or "
                "change store.journal"
            ) from None

    def intend(self, intent: Intent) -> bool:
        """Write down a call; whether that worked. Never raises."""
        line = _line(INTENT, self._encode(intent))
        with self._mutex:
            segment = self._append(line)
            if segment is None:
                return False
            segment.calls += 1
            replaced = self._calls.get(intent.id)
            self._calls[intent.id] = segment
            if (
                replaced is not None
            ):  # a further attempt of the same request, whose intent holds the earlier ones
                replaced.calls -= 1
                self._drop_if_done(replaced)
            return True

    def settle(self, request_id: str, detail: bytes) -> int | None:
        """Write down an outcome: of a call that was intended, or of a request that made none.

        The number of the file, to be given to `saved` once the store has it; `None` when it could not be written, so
        that only memory holds it. Requests without a call get half of the room, so that no flood of refusals takes the
        room of what was paid for. Never raises.
        """
        with self._mutex:
            intended = self._calls.pop(request_id, None)
            room = self._spill_bytes if intended is not None else self._spill_bytes // 2
            segment = None
            if len(self._segments) * self._segment_bytes <= room:
                segment = self._append(_line(OUTCOME, detail))
            if segment is not None:
                segment.unsaved += 1
            if intended is not None:
                intended.calls -= 1
                self._drop_if_done(intended)
            return None if segment is None else segment.number

    def saved(self, number: int, outcomes: int) -> None:
        """So many outcomes of this file are in the store now, as rows or in a total."""
        with self._mutex:
            segment = self._segments.get(number)
            if segment is not None:
                segment.unsaved -= outcomes
                self._drop_if_done(segment)

    def outcomes(self, number: int) -> list[Outcome]:
        """The outcomes that a file holds, to be read again. Blocks on disk."""
        with self._mutex:
            segment = self._segments.get(number)
            if segment is None:
                return []
            content = os.pread(segment.file, segment.position, 0)
        return [_decode_outcome(line) for kind, line in lines_of(content) if kind == OUTCOME]

    def sync(self) -> None:
        """Force what was written to disk, and remove files that are done with. Blocks; call it about once a second."""
        with self._mutex:
            done, self._done = self._done, []
        for segment in done:
            segment.remove()
        with self._mutex:
            if self._closed:
                return
            segment = self._current
            try:
                file = os.dup(segment.file)
            except OSError:  # too many files are open; the next round tries again
                return
            segment.force_begins()
        failed = True
        try:
            os.fdatasync(file)  # also what was stored through memory: see fsync(2) and msync(2)
            failed = False
        except OSError:
            pass  # the next write says it
        finally:
            os.close(file)
            with self._mutex:
                segment.force_ended(failed=failed)

    @property
    def size_bytes(self) -> int:
        """Room that the files take, about."""
        return (len(self._segments) + len(self._done)) * self._segment_bytes

    def close(self) -> bool:
        """Let go; whether nothing was left, so that the directory is gone. What is left is recovered by the next."""
        with self._mutex:
            self._closed = True
            left = any(segment.calls or segment.unsaved for segment in self._segments.values())
            for segment in self._segments.values():
                segment.close()
            self._segments.clear()
            while self._done:
                self._done.pop().remove()
            if not left:
                _removed(self.home)
            os.close(self._lock)
            return not left

    def _append(self, line: bytes) -> Segment | None:
        """Under the lock."""
        segment = self._current
        try:
            while not segment.write(line):
                segment = self._open_segment(len(line))
                old, self._current = self._current, segment
                old.unmap()
                self._drop_if_done(old)
        except OSError as problem:
            self.problem = f"journal {self.home}: {problem.strerror or problem}"
            return None
        self.problem = None
        return segment

    def _open_segment(self, least: int = 0) -> Segment:
        head = _line(HEAD, self._encode(Head(self._worker, self._boot, self._store)))
        size = max(self._segment_bytes, least + len(head) + 2)  # two lines, each with its end
        segment = Segment(self.home / f"{self._next:08d}.log", self._next, size, mapped=self._mapped)
        try:
            segment.write(head)
        except OSError:
            segment.close()
            raise
        self._segments[segment.number] = segment
        self._next += 1
        return segment

    def _drop_if_done(self, segment: Segment) -> None:
        if segment.calls or segment.unsaved or segment is self._current:
            return
        del self._segments[segment.number]
        self._done.append(segment)


def boot_id() -> str:
    """Names this start of the machine; empty where that cannot be known."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _made(making: Path, home: Path) -> int:
    """Make a directory that is locked when it gets its name; the lock. Raises `OSError`."""
    making.mkdir(mode=0o700)
    lock = -1
    try:
        lock = os.open(making / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        making.rename(home)
    except OSError:
        if lock >= 0:
            os.close(lock)
        _removed(making)
        raise
    return lock


def _removed(home: Path) -> None:
    """Remove our own journal: its files by name, then the directory, unless somebody put something in it."""
    with suppress(OSError):
        for path in (*sorted(home.glob("[0-9]*.log")), home / SOCKET, home / LOCK):
            path.unlink(missing_ok=True)
        home.rmdir()


def _line(kind: bytes, content: bytes) -> bytes:
    """One line, without its end."""
    return b"%b%08x %b" % (kind, zlib.crc32(content), content)


def lines_of(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, JSON) of each whole line; ends after the first that does not check, whose kind is empty."""
    start = 0
    while (end := content.find(b"\n", start)) > 0:
        line = content[start:end]
        start = end + 1
        kind, check, text = line[:1], line[1:9], line[10:]
        if check != b"%08x" % zlib.crc32(text):
            yield b"", text
            return
        yield kind, text


_decode_outcome: Callable[[bytes], Outcome] = msgspec.json.Decoder(Outcome).decode
