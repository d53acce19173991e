"""What a serving process does for the journal beside its requests: forces it to disk, and accounts for dead processes.

What it is not: the journal's format (`journal`) or the writing of records (`writer`).
Invariants: the slices of a dead process are free only after each of its calls is recorded; where that cannot be known
(its journal is gone, or the machine was started anew), all that it held counts as spent. Only journals of this store
are touched. Whatever one journal holds, the others are recovered and the thread goes on.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from trimtab.errors import StoreError
from trimtab.records import Outcome
from trimtab.store.database import Database, Transaction
from trimtab.store.limits import PERMIT_LOST_MS, forget_worker
from trimtab.store.records.abandoned import Abandoned, abandoned, is_journal
from trimtab.store.records.backlog import Replay
from trimtab.store.records.journal import SYNC_EVERY_S, Journal

LOOK_EVERY = 2
"""Rounds between two looks for journals that dead processes left."""

CHUNK = 1_000
"""Recovered records in one commit."""

CLOSE_S = 5.0
"""How long closing waits for the thread; a store that does not answer holds it up for longer."""

_CLOSING_STEP_S = 0.1


class Upkeep:
    """A thread beside the writer's."""

    def __init__(
        self,
        journal: Journal,
        root: Path,
        database: Database,
        replay: Callable[[Replay], None],
        *,
        worker: str,
        tell: Callable[[str], None],
        store: str = "",
    ) -> None:
        """Start. `replay` has records written (`RecordStore.replay`); `tell` takes lines for the operator; `store` is
        the name of the store, as in its journals."""
        self._journal = journal
        self._root = root
        self._database = database
        self._replay = replay
        self._worker = worker
        self._tell = tell
        self._store = store
        self._left: set[str] = set()
        """Journals that no further try makes any better."""
        self._troubles: set[str] = set()
        """What went wrong in the last round, by where."""
        self._closing = threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="trimtab-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, waiting up to `CLOSE_S`; what it was recovering is left for the next process."""
        self._closing.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        rounds = 0
        while True:
            self._try("forcing the journal to disk", self._keep)
            if rounds % LOOK_EVERY == 0:
                self._try("looking for journals of dead processes", self._look)
                self._try("looking for processes that are gone", self._write_off)
            rounds += 1
            if self._closing.wait(SYNC_EVERY_S):
                return

    def _try(self, what: str, step: Callable[[], None]) -> None:
        """Take a step; one line when it begins to fail, and one when it works again. Never raises."""
        try:
            step()
        except Exception as problem:  # nothing may end this thread
            if isinstance(problem, StoreError) and self._store_is_away():
                return  # it says so itself, and the step is taken again
            if what not in self._troubles:
                self._troubles.add(what)
                self._say(f"{what}: {type(problem).__name__}: {problem}; it is tried again every few seconds")
            return
        if what in self._troubles:
            self._troubles.discard(what)
            self._say(f"{what}: works again")

    def _store_is_away(self) -> bool:
        try:
            self._database.read(lambda t: t.row("SELECT 1"))
        except StoreError:
            return True
        return False

    def _say(self, line: str) -> None:
        with suppress(Exception):  # a log that cannot be written must not end the thread
            self._tell(line)

    def _keep(self) -> None:
        self._journal.sync()
        self._say_if_failing()

    def _say_if_failing(self) -> None:
        problem = self._journal.problem
        if problem is not None and self._problem is None:
            self._say(
                f"{problem}; calls of keys with limited money are refused until it can be written, other calls go on "
                "and would be lost with this process"
            )
        elif problem is None and self._problem is not None:
            self._say(f"journal {self._journal.home}: can be written again")
        self._problem = problem

    def _look(self) -> None:
        for lost in abandoned(self._root):
            try:
                if self._closing.is_set():
                    return
                if lost.worker not in self._left:
                    self._try(f"recovering {lost.home}", lambda lost=lost: self._recover(lost))  # type: ignore[misc]
            finally:
                lost.let_go()

    def _recover(self, lost: Abandoned) -> None:
        ours = self._is_ours(lost)
        if not ours:
            if ours is None:
                self._leave(lost, "does not say whose it is, and no process of this store had it")
            return
        outcomes, recorded, unknown = lost.outcomes(), 0, 0
        while chunk := list(islice(outcomes, CHUNK)):
            if not self._written(chunk):
                return
            recorded += len(chunk)
            unknown += sum(outcome.result == "unknown" for outcome in chunk)
        self._database.write(lambda t: forget_worker(t, lost.worker, spent=not lost.complete))
        removed = lost.remove()
        if recorded or not lost.complete:
            part = "" if lost.complete else "; its journal is not whole, so all that it held counts as spent"
            self._say(
                f"a process ended without closing: {recorded} of its calls are recorded, {unknown} of them at their "
                f"worst case because nobody knows how they ended{part}"
            )
        if not removed:
            self._leave(lost, "could not be read or removed whole")

    def _is_ours(self, lost: Abandoned) -> bool | None:
        """Whether a journal belongs to this store; `None` where nobody can tell. Raises `StoreError`."""
        if lost.empty:
            return True  # whoever had it, nothing is lost with it
        head = lost.head()
        if head is not None and head.worker != lost.worker:
            return False  # a copy
        if head is not None and (head.store or not self._store):
            return head.store == self._store
        # It does not say: then it is ours if the process was.
        known = self._database.read(lambda t: t.row("SELECT 1 FROM workers WHERE id = ?", (lost.worker,)))
        return known is not None or None

    def _leave(self, lost: Abandoned, why: str) -> None:
        self._left.add(lost.worker)
        self._say(f"journal {lost.home}: {why}; it is left there, look at it and delete it")

    def _written(self, chunk: list[Outcome]) -> bool:
        """Have them written, and wait for it; false when this process closes first."""
        done = threading.Event()
        self._replay(Replay(lambda: chunk, False, done.set))
        kept = time.monotonic()
        while not done.wait(_CLOSING_STEP_S):
            if self._closing.is_set():
                return False
            if time.monotonic() > kept + SYNC_EVERY_S:
                # Our own journal does not wait for a store that is away.
                self._try("forcing the journal to disk", self._keep)
                kept = time.monotonic()
        return True

    def _write_off(self) -> None:
        """Processes of this machine that are gone and left no journal: all that they held counts as spent."""

        def gone(transaction: Transaction) -> list[tuple[str, int]]:
            return [
                (str(worker), int(pid))
                for worker, pid in transaction.rows(
                    "SELECT id, pid FROM workers WHERE host = ? AND id <> ? AND seen_ms < ?",
                    (socket.gethostname(), self._worker, transaction.now_ms() - PERMIT_LOST_MS),
                )
            ]

        for worker, pid in self._database.read(gone):
            self._try(
                f"writing off process {pid}",
                lambda worker=worker, pid=pid: self._write_off_one(worker, pid),  # type: ignore[misc]
            )

    def _write_off_one(self, worker: str, pid: int) -> None:
        if _runs(pid) or is_journal(self._root / worker):
            return
        self._database.write(lambda t: forget_worker(t, worker, spent=True))
        self._say(f"process {pid} ended and its journal is gone: all that it held counts as spent")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
