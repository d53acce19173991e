"""What the journal of a dead process says, and its removal.

What it is not: the writing of a journal (`journal`), or what is done with what is found (`recovery`).
Invariants: a directory is a journal only when it is a real one, named as we name them, with our lock and nothing that
is not ours; anything else is never opened, changed or removed. What is removed is removed file by file, and only what
was read. No content of a file, and no kind of file, raises an error.
"""

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from trimtab.records import Intent, Outcome
from trimtab.store.records.journal import HEAD, INTENT, LOCK, OUTCOME, SOCKET, Head, boot_id, lines_of

T = TypeVar("T")

FILE_BYTES_MAX = 64 * 1024 * 1024
"""A file is 4 MiB, or one line where that is longer. What is bigger was not written by us, and is not read."""

_HEAD_BYTES = 4096
"""A head has some 150."""

_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FILE = re.compile(r"[0-9]{8}\.log", re.ASCII)


class Abandoned:
    """The journal of a process that is dead; held so that nobody else recovers it too."""

    def __init__(self, home: Path, directory: int, lock: int) -> None:
        self.home = home
        self.worker = home.name
        self._directory, self._lock = directory, lock
        self._files = sorted(name for name in os.listdir(directory) if _FILE.fullmatch(name))
        self.empty = not self._files
        """Nothing was written, or it is gone."""
        self.complete = not self.empty
        """Whether all that was written can be read: false when the machine was started anew since, or a line does not
        check, or a file is not one that we wrote."""
        self.unread: set[str] = set()
        """Files that could not be read at all, or are of another journal; they are not removed."""

    def head(self) -> Head | None:
        """What the first readable file begins with. Blocks on disk."""
        for name in self._files:
            head = _head(self._content(name, _HEAD_BYTES) or b"")
            if head is not None:
                return head
        return None

    def outcomes(self) -> Iterator[Outcome]:
        """Every call of it: its outcome, or for a call that was under way one at its worst case. Blocks on disk."""
        intents: dict[str, Intent] = {}
        now, of = boot_id(), self.head()
        for name in self._files:
            content = self._content(name, FILE_BYTES_MAX)
            if content is None:
                self.complete = False
                self.unread.add(name)
                continue
            head = _head(content)
            if head is None:
                self.complete = False
            elif of is None or (head.worker, head.store) != (of.worker, of.store):
                self.complete = False
                self.unread.add(name)
                continue
            elif head.boot != now:
                self.complete = False
            for kind, line in lines_of(content):
                if kind == INTENT and (intent := _decoded(_decode_intent, line)) is not None:
                    intents[intent.id] = intent
                elif kind == OUTCOME and (outcome := _decoded(_decode_outcome, line)) is not None:
                    intents.pop(outcome.id, None)
                    yield outcome
                elif kind != HEAD:
                    self.complete = False
        for intent in intents.values():
            yield intent.outcome()

    def remove(self) -> bool:
        """Forget what was read: all of it is in the store. Whether nothing is left. Never raises."""
        try:
            for name in self._files:
                if name not in self.unread:
                    os.unlink(name, dir_fd=self._directory)
            if self.unread:
                return False
            for name in (SOCKET, LOCK):
                if name in os.listdir(self._directory):
                    os.unlink(name, dir_fd=self._directory)
            self.home.rmdir()
        except OSError:
            return False
        finally:
            self.let_go()
        return True

    def let_go(self) -> None:
        """Leave it for another try. Idempotent."""
        for descriptor in (self._lock, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._directory = -1

    def _content(self, name: str, limit: int) -> bytes | None:
        """The first bytes of a file, or `None` for what cannot be read or is not a file that we could have written."""
        try:
            file = _opened(name, os.O_RDONLY, self._directory)
        except OSError:
            return None
        try:
            if os.fstat(file).st_size > FILE_BYTES_MAX:
                return None
            parts, room = [], limit
            while room and (part := os.read(file, min(room, 1 << 20))):
                parts.append(part)
                room -= len(part)
            return b"".join(parts)
        except OSError:
            return None
        finally:
            os.close(file)


def abandoned(root: Path) -> Iterator[Abandoned]:
    """The journals whose processes are dead. Each must be removed or let go. Blocks on disk. Raises `OSError`."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return
    for name in names:
        if _NAME.fullmatch(name) and (found := _held(root / name)) is not None:
            yield found


def is_journal(home: Path) -> bool:
    """Whether that is a journal, of a process dead or alive. Raises `OSError` where that cannot be seen."""
    try:
        directory = _opened_directory(home)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        if home.is_symlink():
            return False
        raise
    try:
        return _is_journal(home, directory)
    finally:
        os.close(directory)


def _held(home: Path) -> Abandoned | None:
    """The journal, if it is one, with its lock; `None` also when its process lives, or somebody else recovers it."""
    directory = lock = -1
    found = None
    try:
        directory = _opened_directory(home)
        if _is_journal(home, directory):
            lock = _opened(LOCK, os.O_RDWR, directory)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = os.stat(LOCK, dir_fd=directory, follow_symlinks=False)  # another if it was just removed
            if os.path.samestat(named, os.fstat(lock)) and not named.st_size:  # we write nothing there
                found = Abandoned(home, directory, lock)
    except OSError:
        found = None
    finally:
        if found is None:
            for descriptor in (lock, directory):
                if descriptor >= 0:
                    os.close(descriptor)
    return found


def _is_journal(home: Path, directory: int) -> bool:
    names = os.listdir(directory)
    ours = all(name in (LOCK, SOCKET) or _FILE.fullmatch(name) for name in names)
    return _NAME.fullmatch(home.name) is not None and LOCK in names and ours


def _opened_directory(home: Path) -> int:
    return os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _opened(name: str, flags: int, directory: int) -> int:
    """Open an ordinary file; a pipe or a device does not hold us up. Raises `OSError`."""
    file = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{name}: not an ordinary file")
    return file


def _head(content: bytes) -> Head | None:
    kind, line = next(lines_of(content), (b"", b""))
    return _decoded(_decode_head, line) if kind == HEAD else None


def _decoded(decode: Callable[[bytes], T], line: bytes) -> T | None:
    """A line, or `None` for one that says nothing to us, in whichever way."""
    try:
        return decode(line)
    except Exception:  # also RecursionError: whoever wrote it, the lines around it count
        return None


_decode_head: Callable[[bytes], Head] = msgspec.json.Decoder(Head).decode
_decode_intent: Callable[[bytes], Intent] = msgspec.json.Decoder(Intent).decode
_decode_outcome: Callable[[bytes], Outcome] = msgspec.json.Decoder(Outcome).decode
