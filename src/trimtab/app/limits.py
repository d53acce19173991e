"""Runs exchanges of limit slices in a thread of their own, for one serving process.

Invariant: a process takes permits away from silent ones only after the database has answered it long enough for all
that live to have spoken: after an outage everybody has been silent, and their calls may still be under way.
"""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from trimtab.errors import StoreError
from trimtab.store import Database, Transaction
from trimtab.store.limits import Slice, Trade, free_lost_permits, join, trade

JOIN_EVERY_S = 1.0
"""At most this often a transaction also says that the process is alive."""

FREE_EVERY_S = 5.0

HEARD_S = 15.0
"""After its start and after each failure a process waits so long before it takes permits from silent ones: longer than
the others need to notice that the database answers again (2 s, and 5 s for a try that has to wait for a lock)."""


class Trader:
    """Implements `budgets.Exchange` over the database."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trimtab-limits")
        self._joined = 0.0
        self._free_next = time.monotonic() + HEARD_S

    async def __call__(self, trades: Sequence[Trade]) -> list[Slice]:
        """One transaction for all of them. Raises `StoreError`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.exchange, trades)

    def exchange(self, trades: Sequence[Trade]) -> list[Slice]:
        """The same, blocking."""
        now = time.monotonic()
        joins = now - self._joined >= JOIN_EVERY_S
        frees = now >= self._free_next
        money = any(one.money_kept is not None for one in trades)

        def work(transaction: Transaction) -> list[Slice]:
            if joins:
                join(transaction, self._worker, socket.gethostname(), os.getpid())
            if frees:
                free_lost_permits(transaction)
            return trade(transaction, self._worker, trades)

        try:
            got = self._database.write(work, durable=money)
        except StoreError:
            self._free_next = time.monotonic() + HEARD_S
            raise
        self._joined = now if joins else self._joined
        self._free_next = now + FREE_EVERY_S if frees else self._free_next
        return got

    def close(self) -> None:
        """Wait for what is under way, then end the thread."""
        self._thread.shutdown()
