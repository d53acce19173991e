"""Work that goes on once a client has its answer: judging it for the record.

What it is not: the judging. One per process; it outlives a change of configuration. Invariant: what was begun is ended
before the process stops, or recorded without its verdict.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

MOST = 1000
"""Answers that are judged or wait for it at the same time; of more than these nothing is judged, and the record says
so. Each may hold its bytes."""

_log = logging.getLogger("trimtab.engine")


class Afterwards:
    """The tasks of one process."""

    def __init__(self, most: int = MOST) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._most = most

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def full(self) -> bool:
        """Whether nothing more may be begun."""
        return len(self._tasks) >= self._most

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it go on by itself. It must not raise."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            _log.error("judging an answer afterwards", exc_info=problem)

    async def aclose(self, most_s: float) -> None:
        """Wait so long for what was begun, then end it; each still records its request."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=most_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
