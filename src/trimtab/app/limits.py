"""Runs exchanges of limit slices in a thread of their own, for one serving process.

Invariant: a process takes permits away only from processes that it has itself seen silent for long enough, by its own
clock that never jumps, while the database answered: after an outage all have been silent, and the wall clock may be
set; the calls of those who live may still be under way.
"""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from trimtab.errors import StoreError
from trimtab.store import Database, Transaction
from trimtab.store.limits import PERMIT_LOST_MS, Slice, Trade, free_permits, join, last_words, trade

JOIN_EVERY_S = 1.0
"""At most this often a transaction also says that the process is alive."""

FREE_EVERY_S = 5.0

SILENT_S = PERMIT_LOST_MS / 1000
"""A process that says nothing for so long has lost its permits; it stops using them earlier itself."""


class Trader:
    """Implements `budgets.Exchange` over the database."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trimtab-limits")
        self._joined = 0.0
        self._free_next = time.monotonic() + FREE_EVERY_S
        self._heard: dict[str, tuple[int, float]] = {}
        """Of each process: its last word, and since when we know of no later one."""

    async def __call__(self, trades: Sequence[Trade]) -> list[Slice]:
        """One transaction for all of them. Raises `StoreError`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.exchange, trades)

    def exchange(self, trades: Sequence[Trade]) -> list[Slice]:
        """The same, blocking."""
        now = time.monotonic()
        joins = now - self._joined >= JOIN_EVERY_S
        frees = now >= self._free_next
        amounts = any(one.amount_kept is not None for one in trades)

        def work(transaction: Transaction) -> list[Slice]:
            if joins:
                join(transaction, self._worker, socket.gethostname(), os.getpid())
            if frees:
                free_permits(transaction, self._silent(last_words(transaction), now))
            return trade(transaction, self._worker, trades)

        try:
            got = self._database.write(work, durable=amounts)
        except StoreError:
            self._heard.clear()
            raise
        self._joined = now if joins else self._joined
        self._free_next = now + FREE_EVERY_S if frees else self._free_next
        return got

    def _silent(self, words: dict[str, int], now: float) -> list[str]:
        """Processes that have said nothing new for `SILENT_S` of ours."""
        self._heard = {
            worker: known
            if (known := self._heard.get(worker)) is not None and known[0] == word
            else (word, now)
            for worker, word in words.items()
        }
        return [
            worker
            for worker, (_, since) in self._heard.items()
            if worker != self._worker and now - since >= SILENT_S
        ]

    def close(self) -> None:
        """Wait for what is under way, then end the thread."""
        self._thread.shutdown()
