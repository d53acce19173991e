"""What a serving process does for the journal beside its requests: forces it to disk, and accounts for dead processes.

What it is not: the journal's format (`journal`) or the writing of records (`writer`).
Invariant: the slices of a dead process are free only after each of its calls is recorded; where that cannot be known
(its journal is gone, or the machine was started anew), all that it held counts as spent.
"""

import os
import socket
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from trimtab.errors import StoreError
from trimtab.records import Outcome
from trimtab.store.database import Database, Transaction
from trimtab.store.limits import PERMIT_LOST_MS, forget_worker
from trimtab.store.records.backlog import Replay
from trimtab.store.records.journal import SYNC_EVERY_S, Abandoned, Journal, abandoned

LOOK_EVERY = 2
"""Rounds between two looks for journals that dead processes left."""

CHUNK = 1_000
"""Recovered records in one commit."""

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
    ) -> None:
        """Start. `replay` has records written (`RecordStore.replay`); `tell` takes lines for the operator."""
        self._journal = journal
        self._root = root
        self._database = database
        self._replay = replay
        self._worker = worker
        self._tell = tell
        self._closing = threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="trimtab-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what it was recovering is left for the next process."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        rounds = 0
        while True:
            self._journal.sync()
            self._say_if_failing()
            if rounds % LOOK_EVERY == 0:
                self._look()
            rounds += 1
            if self._closing.wait(SYNC_EVERY_S):
                return

    def _say_if_failing(self) -> None:
        problem = self._journal.problem
        if problem is not None and self._problem is None:
            self._tell(
                f"{problem}; calls of keys with limited money are refused until it can be written, other calls go on "
                "and would be lost with this process"
            )
        elif problem is None and self._problem is not None:
            self._tell(f"journal {self._journal.home}: can be written again")
        self._problem = problem

    def _look(self) -> None:
        try:
            for lost in abandoned(self._root):
                self._recover(lost)
            self._write_off()
        except (StoreError, OSError) as problem:
            self._tell(f"what a dead process left cannot be recovered now: {problem}")

    def _recover(self, lost: Abandoned) -> None:
        outcomes, recorded, unknown = lost.outcomes(), 0, 0
        try:
            while chunk := list(islice(outcomes, CHUNK)):
                if not self._written(chunk):
                    lost.let_go()
                    return
                recorded += len(chunk)
                unknown += sum(outcome.result == "unknown" for outcome in chunk)
            self._database.write(lambda t: forget_worker(t, lost.worker, spent=not lost.complete))
        except BaseException:
            lost.let_go()
            raise
        lost.remove()
        if recorded or not lost.complete:
            part = "" if lost.complete else "; its journal is not whole, so all that it held counts as spent"
            self._tell(
                f"a process ended without closing: {recorded} of its calls are recorded, {unknown} of them at their "
                f"worst case because nobody knows how they ended{part}"
            )

    def _written(self, chunk: list[Outcome]) -> bool:
        """Have them written, and wait for it; false when this process closes first."""
        done = threading.Event()
        self._replay(Replay(lambda: chunk, False, done.set))
        while not done.wait(_CLOSING_STEP_S):
            if self._closing.is_set():
                return False
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
            if (self._root / worker).exists() or _runs(pid):
                continue
            self._database.write(lambda t, worker=worker: forget_worker(t, worker, spent=True))  # type: ignore[misc]
            self._tell(f"process {pid} ended and its journal is gone: all that it held counts as spent")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
