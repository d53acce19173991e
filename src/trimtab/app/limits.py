"""Runs exchanges of limit slices in a thread of their own, for one serving process."""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from trimtab.store import Database, Transaction
from trimtab.store.limits import Slice, Trade, free_lost_permits, join, trade

JOIN_EVERY_S = 1.0
"""At most this often a transaction also says that the process is alive."""

FREE_EVERY_S = 5.0


class Trader:
    """Implements `budgets.Exchange` over the database."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trimtab-limits")
        self._joined = 0.0
        self._freed = 0.0

    async def __call__(self, trades: Sequence[Trade]) -> list[Slice]:
        """One transaction for all of them. Raises `StoreError`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.exchange, trades)

    def exchange(self, trades: Sequence[Trade]) -> list[Slice]:
        """The same, blocking."""
        now = time.monotonic()
        joins = now - self._joined >= JOIN_EVERY_S
        frees = now - self._freed >= FREE_EVERY_S
        money = any(one.money_kept is not None for one in trades)

        def work(transaction: Transaction) -> list[Slice]:
            if joins:
                join(transaction, self._worker, socket.gethostname(), os.getpid())
            if frees:
                free_lost_permits(transaction)
            return trade(transaction, self._worker, trades)

        got = self._database.write(work, durable=money)
        self._joined = now if joins else self._joined
        self._freed = now if frees else self._freed
        return got

    def close(self) -> None:
        """Wait for what is under way, then end the thread."""
        self._thread.shutdown()
