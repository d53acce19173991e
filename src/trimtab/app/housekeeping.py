"""Upkeep of the store in the background: one thread that does what is due, whichever process of all gets to it first.

What it is not: the upkeep itself, which `store` has. Invariants: no request waits for it; a failure costs one log line
and a count, never the process; `close` ends it at the next rest between two small transactions.
"""

import math
import threading
from collections.abc import Callable, Sequence

import msgspec

from trimtab.errors import StoreError
from trimtab.store import Database, StoreSettings
from trimtab.store.answers import AnswerStore
from trimtab.store.budgets.old import forget_old_accounts
from trimtab.store.figures import CHORE as FIGURES
from trimtab.store.figures import fold_what_is_due
from trimtab.store.housekeeping import (
    LEASE_MS,
    Retention,
    TurnLost,
    claim,
    delete_old,
    delete_old_content,
    put_down,
)
from trimtab.store.housekeeping.retention import CHORE as RETENTION
from trimtab.store.housekeeping.retention import CONTENT_CHORE

EVERY_S = 3_600.0
"""A chore is due so long after it was last done, by whomever."""

LOOK_S = 600.0
"""How often a process looks, give or take half, so that processes started together do not all look at once."""

FIRST_LOOK_S = 60.0

ANSWERS_S = 300.0
"""Kept answers that are over are removed so often; they are not given again from the moment on that they are over."""

FIGURES_LOOK_S = 20.0
"""Figures are worked out as often: what the console then adds up by itself is the requests of 90 seconds or so. A round
with nothing to do takes 2 ms."""

FIGURES_FIRST_LOOK_S = 5.0


class Turn(msgspec.Struct, frozen=True):
    """What a chore is given."""

    holder: str
    rest: Callable[[float], bool]
    """Waits for so many seconds; True says to stop now."""


class Chore(msgspec.Struct, frozen=True):
    """Something that one process does for all, over and over."""

    name: str
    work: Callable[[Turn], bool]
    """Blocks; renews its claim as it goes. Whether it was done to the end."""
    every_s: float = EVERY_S


class Housekeeping:
    """The thread. Built and started in `app`, one for each process that has the store open for long."""

    def __init__(
        self,
        database: Database,
        chores: Sequence[Chore],
        *,
        holder: str,
        on_problem: Callable[[str], None],
        uniform: Callable[[float, float], float],
        look_s: float = LOOK_S,
        first_look_s: float = FIRST_LOOK_S,
    ) -> None:
        self._database = database
        self._look_s = look_s
        self._first_look_s = first_look_s
        self._chores = chores
        self._holder = holder
        self._on_problem = on_problem
        self._uniform = uniform
        self._failing: set[str] = set()
        self.failures = 0
        """Chores that failed, for metrics."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trimtab-housekeeping", daemon=True)

    def start(self) -> None:
        """Look for the first time soon. Without chores there is nothing to start."""
        if self._chores:
            self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop; blocks for a transaction of milliseconds at the most, unless the store is stuck. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = self._uniform(0, self._first_look_s)
        while not self._stop.wait(wait_s):
            self.do_what_is_due()
            wait_s = self._uniform(self._look_s / 2, self._look_s * 3 / 2)

    def do_what_is_due(self) -> None:
        """One look at all chores. Blocks; never raises."""
        for chore in self._chores:
            if self._stop.is_set():
                return
            try:
                self._do(chore)
            except TurnLost:
                continue
            except Exception as problem:  # the thread must outlive every surprise
                self._failed(chore, problem)
            else:
                self._failing.discard(chore.name)

    def _do(self, chore: Chore) -> None:
        every_ms = int(chore.every_s * 1000)
        claimed = self._database.write(
            lambda transaction: claim(
                transaction, chore.name, self._holder, lease_ms=LEASE_MS, every_ms=every_ms
            )
        )
        if not claimed:
            return
        done = False
        try:
            done = chore.work(Turn(self._holder, self._stop.wait))
        finally:
            self._database.write(
                lambda transaction: put_down(transaction, chore.name, self._holder, done=done)
            )

    def _failed(self, chore: Chore, problem: Exception) -> None:
        self.failures += 1
        if chore.name in self._failing:
            return
        self._failing.add(chore.name)
        minutes = math.ceil(self._look_s * 3 / 2 / 60)
        again = "a minute" if minutes == 1 else f"{minutes} minutes"
        reason = str(problem) if isinstance(problem, StoreError) else f"{type(problem).__name__}: {problem}"
        self._on_problem(f"{chore.name}: {reason}; it is tried again within {again}")


class RecordsRetention:
    """The chore that deletes old records, and how many it has deleted, for metrics."""

    def __init__(self, database: Database, settings: StoreSettings) -> None:
        self._database = database
        self._retention = Retention(settings.keep_days, settings.keep_rollups_days)
        self.deleted = 0

    def chores(self) -> list[Chore]:
        """Nothing where everything is kept for ever."""
        return [Chore(RETENTION, self._work)] if self._retention.records_days else []

    def _work(self, turn: Turn) -> bool:
        deleted = delete_old(self._database, self._retention, holder=turn.holder, rest=turn.rest)
        self.deleted += deleted.records
        return deleted.finished


class FiguresUpkeep:
    """The chore that works out the console's figures."""

    def __init__(self, database: Database, settings: StoreSettings) -> None:
        self._database = database
        self._retention = Retention(settings.keep_days, settings.keep_rollups_days)

    def chore(self) -> Chore:
        """Due always; one process at a time."""
        return Chore(FIGURES, self._work, every_s=FIGURES_LOOK_S / 2)

    def _work(self, turn: Turn) -> bool:
        return fold_what_is_due(self._database, self._retention, holder=turn.holder, rest=turn.rest)


def content_retention(database: Database, days: Callable[[], int]) -> Chore:
    """The chore that deletes old prompts and answers, whatever the policy is now: an earlier one may have kept some."""

    def work(turn: Turn) -> bool:
        return delete_old_content(database, days(), holder=turn.holder, rest=turn.rest).finished

    return Chore(CONTENT_CHORE, work)


def answers_upkeep(store: AnswerStore) -> Chore:
    """The chore that removes kept answers that are over, or whose key was revoked, whatever the settings are now."""

    def work(turn: Turn) -> bool:
        for remove in (store.remove_old, store.remove_of_revoked):
            while remove():
                if turn.rest(0.05):
                    return False
        return True

    return Chore("kept answers", work, every_s=ANSWERS_S)


def accounts_retention(database: Database) -> Chore:
    """The chore that forgets accounts of budgets whose periods are long over."""

    def work(turn: Turn) -> bool:
        while database.write(forget_old_accounts, durable=False):
            if turn.rest(0.05):
                return False
        return True

    return Chore("accounts of budgets", work)
