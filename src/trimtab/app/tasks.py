"""What tasks need of a serving process: threads that ask the store for their budgets, the deletion of old ones, and
which platforms take the vendor's own budget."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from trimtab.app.housekeeping import Chore, Turn
from trimtab.catalogue import Catalogue
from trimtab.engine.task_body import BETA
from trimtab.errors import StoreError
from trimtab.store import Database, Transaction
from trimtab.store.tasks import delete_idle

T = TypeVar("T")

DELETE_ROWS = 100
"""Tasks in one transaction, with some hundred events each: milliseconds."""

DAY_MS = 86_400_000


class StoreThreads:
    """Implements the `Threads` of `TaskKeeper`. Two of them: one may wait for the file while the other has it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="trimtab-tasks")

    def submit(self, work: Callable[[Transaction], T], *, durable: bool) -> "Future[T]":
        """See `Threads.submit`. Raises `StoreError` when the server is stopping."""
        try:
            return self._threads.submit(lambda: self._database.write(work, durable=durable))
        except RuntimeError:
            raise StoreError("the server is stopping") from None

    def close(self) -> None:
        """Wait for what is under way, then end the threads."""
        self._threads.shutdown(wait=True)


def forgetting_tasks(database: Database, keep_days: int) -> list[Chore]:
    """The chore that deletes tasks to which nothing happened for so many days; none where they are kept for ever."""
    if not keep_days:
        return []

    def work(turn: Turn) -> bool:
        def some(transaction: Transaction) -> int:
            return delete_idle(transaction, transaction.now_ms() - keep_days * DAY_MS, DELETE_ROWS)

        while database.write(some, durable=False) == DELETE_ROWS:
            if turn.rest(0.05):
                return False
        return True

    return [Chore("tasks", work)]


def without_task_budget(catalogue: Catalogue) -> frozenset[str]:
    """Platforms that take no `task_budget` of the vendor's: it, or its beta, is not among what they know."""
    return frozenset(
        name
        for name, profile in catalogue.platforms.items()
        if "output_config.task_budget" in profile.no_fields
        or (profile.betas is not None and BETA not in profile.betas)
    )
