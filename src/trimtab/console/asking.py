"""Threads for questions to the store: few, and few who wait for them.

What it is not: a place for anything that a request to a model needs. Invariant: however many ask, at most
`waiting_most` wait; who comes then is told to come back, so that a slow store costs neither memory nor requests.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from trimtab.errors import Unavailable

T = TypeVar("T")

WAITING_MOST = 32
"""Of two threads that need 0.1 s each at the most, the last of these waits less than two seconds."""

RETRY_S = 2


class Asking:
    """Belongs to one event loop."""

    def __init__(self, threads: Executor, waiting_most: int = WAITING_MOST) -> None:
        self._threads = threads
        self._waiting_most = waiting_most
        self._asked = 0

    async def ask(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread. Raises `Unavailable` where too many wait, and what `work` raises."""
        if self._asked >= self._waiting_most:
            raise Unavailable("too many questions to the store are waiting; try again", RETRY_S)
        self._asked += 1
        asked = asyncio.get_running_loop().run_in_executor(self._threads, work)
        asked.add_done_callback(self._done)  # also where the one who asked has gone away meanwhile
        return await asked

    def _done(self, asked: "asyncio.Future[T]") -> None:
        self._asked -= 1
        if not asked.cancelled():
            asked.exception()
