"""What a serving process stands on: its store, database, journal and slices of limits, opened and closed in order."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trimtab.admin import ContentAdmin
from trimtab.app.budget_watch import BudgetWatch
from trimtab.app.clock import unix_ms
from trimtab.app.effort_watch import EffortWatch
from trimtab.app.expecting import UsualWatch, usual_upkeep
from trimtab.app.housekeeping import (
    FIGURES_FIRST_LOOK_S,
    FIGURES_LOOK_S,
    Chore,
    FiguresUpkeep,
    Housekeeping,
    RecordsRetention,
    accounts_retention,
    answers_upkeep,
    content_retention,
)
from trimtab.app.limits import Trader
from trimtab.app.measuring import MeasuredWatch, judged_upkeep
from trimtab.app.once import StoreClaims, forgetting, share
from trimtab.app.spending import PlatformSpending
from trimtab.app.tasks import StoreThreads, forgetting_tasks
from trimtab.app.token_learning import TokenLearning
from trimtab.budgets import Dealer, Ledger
from trimtab.budgets.tasks import TaskKeeper
from trimtab.budgets.warnings import Refusals
from trimtab.cache import Shelves
from trimtab.content import Keeper, days_kept
from trimtab.errors import StoreError
from trimtab.gateway import Once
from trimtab.store import (
    Database,
    Journal,
    Store,
    StoreSettings,
    Upkeep,
    journal_root,
    open_database,
    open_store,
    store_identity,
)
from trimtab.store.answers import AnswerStore
from trimtab.store.content import ContentStore
from trimtab.store.feedback import FeedbackStore
from trimtab.store.limits import forget_worker
from trimtab.store.records.record_store import RecordStore

MIB = 1024 * 1024

CLOSE_S = 10.0
"""How long the last records may take to be written. What is not written by then stays in the journal."""

CLOSE_TASKS_S = 2.0
"""How long the store may take to hear what the last calls of tasks came to. Their records say it too."""


class _Opened(NamedTuple):
    """The store, with a connection of its own for content: what is big fills the write-ahead log, and who commits when
    that is full folds it in. An exchange of slices, which has 50 ms, must not wait for it."""

    database: Database
    content_database: Database
    identity: str
    journal: Journal
    store: RecordStore


def _opened(
    settings: StoreSettings, worker_id: str, root: Path, on_problem: Callable[[str], None]
) -> _Opened:
    """All of it, or nothing stays open. Raises `ConfigError`, `StoreError`."""
    with contextlib.ExitStack() as so_far:
        database = open_database(settings, clock_ms=unix_ms)
        so_far.callback(database.close)
        content_database = open_database(settings, clock_ms=unix_ms)
        so_far.callback(content_database.close)
        identity = store_identity(database)
        journal = Journal(root, worker_id, store=identity, spill_bytes=settings.spill_mb * MIB)
        so_far.callback(journal.close)
        store = open_store(
            settings, clock_ms=unix_ms, on_problem=on_problem, worker=worker_id, journal=journal
        )
        so_far.pop_all()
    return _Opened(database, content_database, identity, journal, store)


class Ground:
    """Opened for as long as the process serves."""

    def __init__(self, settings: StoreSettings, worker_id: str, on_problem: Callable[[str], None]) -> None:
        """Open everything. Blocks. Raises `ConfigError`, `StoreError`; nothing is left open then."""
        self._worker_id = worker_id
        self._keep_days = settings.keep_days
        self._on_problem = on_problem
        root = journal_root(settings)
        opened = _opened(settings, worker_id, root, on_problem)
        self.database = opened.database
        self._content_database = opened.content_database
        self.journal = opened.journal
        self.store: Store = opened.store
        self.claims = StoreClaims(self.database, worker_id, root, wait_s=settings.wait_ms / 1000)
        self._upkeep = Upkeep(
            self.journal,
            root,
            self.database,
            opened.store.replay,
            worker=worker_id,
            tell=on_problem,
            store=opened.identity,
        )
        self.content = ContentStore(self._content_database)
        self.content_admin = ContentAdmin(self._content_database)
        self.feedback = FeedbackStore(self.database)
        self.keeper = Keeper(self.content, on_problem=on_problem)
        answers = AnswerStore(self._content_database)
        self.shelves = Shelves(
            answers, wait_s=settings.wait_ms / 1000, monotonic=time.monotonic, on_problem=on_problem
        )
        self.spending = PlatformSpending(self.database, clock_ms=unix_ms, on_problem=on_problem)
        self.retention = RecordsRetention(self.database, settings)
        self.learning = TokenLearning(self._content_database)
        self.housekeeping = Housekeeping(
            self.database,
            self._chores(settings, answers),
            holder=worker_id,
            on_problem=on_problem,
            uniform=random.uniform,
        )
        self._figures = Housekeeping(
            self.database,
            [FiguresUpkeep(self.database, settings).chore()],
            holder=worker_id,
            on_problem=on_problem,
            uniform=random.uniform,
            look_s=FIGURES_LOOK_S,
            first_look_s=FIGURES_FIRST_LOOK_S,
        )
        self._sharing: asyncio.Server | None = None
        self._task_threads = StoreThreads(self.database)
        self.tasks = TaskKeeper(self._task_threads, worker_id, wait_s=settings.wait_ms / 1000)
        self._trader = Trader(self.database, worker_id)
        refusals = Refusals()
        self._dealer = Dealer(
            self._trader, time.monotonic, deadline_s=settings.wait_ms / 1000, on_refused=refusals
        )
        self.ledger = Ledger(self._dealer, time.monotonic)
        self.usual = UsualWatch(self.database)
        self.judged = MeasuredWatch(self.database)
        self.efforts = EffortWatch(self.database)
        self.budgets = BudgetWatch(
            self.database,
            self.ledger.keep_to,
            clock_ms=unix_ms,
            on_problem=on_problem,
            beside=self._look_beside,
            refusals=refusals,
        )

    def _chores(self, settings: StoreSettings, answers: AnswerStore) -> list[Chore]:
        """What one process does for all, now and then."""
        return [
            *self.retention.chores(),
            content_retention(self._content_database, self._content_days),
            forgetting(self.database),
            accounts_retention(self.database),
            *forgetting_tasks(self.database, settings.keep_tasks_days),
            answers_upkeep(answers),
            usual_upkeep(self.database),
            judged_upkeep(self.database),
            self.learning.chore(),
        ]

    def _look_beside(self) -> None:
        """Take over what was learnt since. Blocks. Raises `StoreError`."""
        self.usual.look()
        self.judged.look()
        self.efforts.look()

    def _content_days(self) -> int:
        """Content is never kept for longer than its record."""
        return days_kept(self.keeper.settings.days, self._keep_days)

    def conditions(self) -> dict[str, str | None]:
        """Each part that can be in trouble while requests are still answered, with its trouble or `None`."""
        return {
            "store": self.store.status().problem,
            "journal": self.journal.problem,
            "limits": self._dealer.problem,
            "tasks": self.tasks.problem,
        }

    def chore_failures(self) -> int:
        """Upkeep that failed, for metrics."""
        return self.housekeeping.failures + self._figures.failures

    async def start(self, once: Once) -> None:
        """Begin to lease limits and to share calls in flight."""
        await self._dealer.start()
        self._sharing = await share(once, self.journal.home)
        self.budgets.start()
        self.housekeeping.start()
        self._figures.start()

    async def aclose(self) -> int:
        """Give back what is leased, write what waits, close; the number of records that nothing holds."""
        if self._sharing is not None:
            self._sharing.close()
        await self._dealer.aclose()
        await self.tasks.aclose(CLOSE_TASKS_S)
        return await asyncio.to_thread(self._close)

    def _close(self) -> int:
        self.budgets.close()
        self.housekeeping.close()
        self._figures.close()
        self.spending.close()
        self.shelves.close()
        if unwritten := self.keeper.close():
            self._on_problem(
                f"content: of {unwritten} requests nothing is kept: the store did not take it in time"
            )
        self._content_database.close()
        self._task_threads.close()
        lost = self.store.close(CLOSE_S)
        self.claims.close()
        self._upkeep.close()
        self._trader.close()
        if self.journal.close() and not lost:
            try:
                self.database.write(lambda t: forget_worker(t, self._worker_id, spent=False))
            except StoreError as problem:
                self._on_problem(f"the slices of this process are freed by the next one: {problem}")
        self.database.close()
        return lost
