"""The local journal: what is about to be spent, and what was, in files that outlive the process.

What it is not: the store. It holds a record only until the store has it, and then drops it by the file.
Invariants: an intent is in the file (given to the system, so it survives the death of the process) before `intend`
returns; an intent without an outcome is a call whose process died; a file is removed only when each of its intents has
its outcome in a journal file or the store, and each of its outcomes is in the store.

A journal is a directory of its own below a root, one for each process, locked (`flock`) while the process lives: a lock
that can be had means that the process is dead. Files ("segments") have their room set aside when they are made, so
that a disk that fills up later does not stop the next calls. A line is `kind crc32 json`; what follows a zero byte
or a line that does not check is not there.
"""

import fcntl
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from trimtab.errors import StoreError
from trimtab.records import Intent, Outcome

SEGMENT_BYTES = 4 * 1024 * 1024
"""Some 3,000 requests. A file is made in about 0.1 ms, off the path of requests where there is time."""

SPILL_BYTES = 1024 * 1024 * 1024
"""Journal files together, at most. A store that is away fills this with some 700,000 requests."""

SYNC_EVERY_S = 1.0

_INTENT, _OUTCOME, _HEAD = b"I", b"O", b"H"
_LOCK = "lock"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Head(msgspec.Struct, frozen=True):
    """The first line of each file."""

    worker: str
    boot: str
    """Which start of the machine this was; after another one the end of a file may be missing."""


class _Segment:
    """One file, written from its start to its end."""

    def __init__(self, path: Path, number: int, size: int) -> None:
        self.path, self.number, self.size = path, number, size
        self.position = 0
        self.calls = 0
        """Intents whose outcome has not come yet."""
        self.unsaved = 0
        """Outcomes that the store does not have yet."""
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self.file, 0, size)
        except OSError:  # no room to set aside, or no such call here: writes will say so
            pass

    def write(self, line: bytes) -> None:
        """Append. Raises `OSError`, having changed nothing that is read back."""
        written = os.pwrite(self.file, line, self.position)
        if written != len(line):
            raise OSError(28, "No space left on device")
        self.position += written

    def remove(self) -> None:
        """Close and delete the file."""
        os.close(self.file)
        self.path.unlink(missing_ok=True)


class Journal:
    """One process's journal. Safe to use from any thread; no call waits for more than the system's page cache."""

    def __init__(
        self, root: Path, worker: str, *, segment_bytes: int = SEGMENT_BYTES, spill_bytes: int = SPILL_BYTES
    ) -> None:
        """Make the directory and the first file. Raises `StoreError`."""
        self.home = root / worker
        self._worker = worker
        self._segment_bytes = segment_bytes
        self._spill_bytes = spill_bytes
        self._boot = boot_id()
        self._mutex = threading.Lock()
        self._encode = msgspec.json.Encoder().encode
        self._calls: dict[str, _Segment] = {}
        self._segments: dict[int, _Segment] = {}
        self._done: list[_Segment] = []
        """Not needed any more, to be removed off the path of requests."""
        self._next = 1
        self.problem: str | None = None
        """Why the last write failed, until one succeeds."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.home.mkdir(mode=0o700)
            self._lock = _locked(self.home)
            self._current = self._open_segment()
        except OSError as problem:
            reason = (
                "Not a directory" if isinstance(problem, FileExistsError) else problem.strerror or problem
            )
            raise StoreError(
                f"journal {self.home}: {reason}; free the disk, correct its permissions, or "
                "change store.journal"
            ) from None

    def intend(self, intent: Intent) -> bool:
        """Write down a call; whether that worked. Never raises."""
        line = _line(_INTENT, self._encode(intent))
        with self._mutex:
            segment = self._append(line)
            if segment is None:
                return False
            segment.calls += 1
            self._calls[intent.id] = segment
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
                segment = self._append(_line(_OUTCOME, detail))
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
        return [_decode_outcome(line) for kind, line in _lines(content) if kind == _OUTCOME]

    def sync(self) -> None:
        """Force what was written to disk, and remove files that are done with. Blocks; call it about once a second."""
        with self._mutex:
            file = os.dup(self._current.file)
            done, self._done = self._done, []
        for segment in done:
            segment.remove()
        try:
            os.fdatasync(file)
        except OSError:
            pass  # the next write says it
        finally:
            os.close(file)

    @property
    def size_bytes(self) -> int:
        """Room that the files take, about."""
        return (len(self._segments) + len(self._done)) * self._segment_bytes

    def close(self) -> bool:
        """Let go; whether nothing was left, so that the directory is gone. What is left is recovered by the next."""
        with self._mutex:
            left = any(segment.calls or segment.unsaved for segment in self._segments.values())
            for segment in self._segments.values():
                os.close(segment.file)
            self._segments.clear()
            while self._done:
                self._done.pop().remove()
            if not left:
                shutil.rmtree(self.home, ignore_errors=True)
            os.close(self._lock)
            return not left

    def _append(self, line: bytes) -> _Segment | None:
        """Under the lock."""
        segment = self._current
        try:
            if segment.position + len(line) > segment.size:
                segment = self._open_segment(len(line))
                old, self._current = self._current, segment
                self._drop_if_done(old)
            segment.write(line)
        except OSError as problem:
            self.problem = f"journal {self.home}: {problem.strerror or problem}"
            return None
        self.problem = None
        return segment

    def _open_segment(self, least: int = 0) -> _Segment:
        head = _line(_HEAD, self._encode(Head(self._worker, self._boot)))
        size = max(self._segment_bytes, least + len(head))
        segment = _Segment(self.home / f"{self._next:08d}.log", self._next, size)
        try:
            segment.write(head)
        except OSError:
            os.close(segment.file)
            raise
        self._segments[segment.number] = segment
        self._next += 1
        return segment

    def _drop_if_done(self, segment: _Segment) -> None:
        if segment.calls or segment.unsaved or segment is self._current:
            return
        del self._segments[segment.number]
        self._done.append(segment)


class Abandoned:
    """The journal of a process that is dead; held so that nobody else recovers it too."""

    def __init__(self, home: Path, lock: int) -> None:
        self.home = home
        self.worker = home.name
        self._lock = lock
        self.complete = True
        """Whether all that was written can be read: false when the machine was started anew since, or a line does not
        check."""

    def outcomes(self) -> Iterator[Outcome]:
        """Every call of it: its outcome, or for a call that was under way one at its worst case. Blocks on disk."""
        intents: dict[str, Intent] = {}
        now = boot_id()
        for path in sorted(self.home / name for name in os.listdir(self.home) if name.endswith(".log")):
            lines = _lines(path.read_bytes())
            kind, first = next(lines, (b"", b""))
            if kind != _HEAD or msgspec.json.decode(first, type=Head).boot != now:
                self.complete = False
            for kind, line in lines:
                try:
                    if kind == _INTENT:
                        intent = msgspec.json.decode(line, type=Intent)
                        intents[intent.id] = intent
                    elif kind == _OUTCOME:
                        outcome = _decode_outcome(line)
                        intents.pop(outcome.id, None)
                        yield outcome
                    else:
                        self.complete = False
                except (msgspec.DecodeError, UnicodeDecodeError):
                    self.complete = False
        for intent in intents.values():
            yield intent.outcome()

    def remove(self) -> None:
        """Forget it: all of it is in the store."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.let_go()

    def let_go(self) -> None:
        """Leave it for another try."""
        os.close(self._lock)


def abandoned(root: Path) -> Iterator[Abandoned]:
    """The journals whose processes are dead. Each must be removed or let go. Blocks on disk."""
    for home in sorted(root.iterdir()) if root.is_dir() else ():
        if not home.is_dir():
            continue
        try:
            lock = _locked(home)
        except OSError:
            continue  # its process lives, or somebody else recovers it
        if not home.is_dir():  # removed while we waited for our turn
            os.close(lock)
            continue
        yield Abandoned(home, lock)


def boot_id() -> str:
    """Names this start of the machine; empty where that cannot be known."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _locked(home: Path) -> int:
    """Take the lock of a journal. Raises `OSError` when somebody has it."""
    lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _line(kind: bytes, content: bytes) -> bytes:
    return b"%b%08x %b\n" % (kind, zlib.crc32(content), content)


def _lines(content: bytes) -> Iterator[tuple[bytes, bytes]]:
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
