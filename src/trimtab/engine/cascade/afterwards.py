"""Work that goes on once a client has its answer: judging it for the record.

What it is not: the judging. One per process; it outlives a change of configuration. Invariant: what was begun is ended
before the process stops, or recorded without its verdict; what it works with is not closed before.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

MOST = 1000
"""Answers that are judged or wait for it at the same time; of more than these nothing is judged, and the record says
so."""

MOST_BYTES = 256 * 1024 * 1024
"""Of answers that are judged or wait for it at the same time, together: 1,000 of the longest would be 16 GiB."""

_log = logging.getLogger("trimtab.engine")


class Afterwards:
    """The tasks of one process."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._tasks: dict[asyncio.Task[None], int] = {}
        """With the bytes of each answer."""
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def takes(self, size: int) -> bool:
        """Whether judging an answer of so many bytes may be begun; the first one may in any case."""
        if not self._tasks:
            return True
        return len(self._tasks) < self._most and self._bytes + size <= self._most_bytes

    def begin(self, work: Coroutine[Any, Any, None], size: int) -> None:
        """Let it go on by itself, for an answer of so many bytes. It must not raise."""
        task = asyncio.create_task(work)
        self._tasks[task] = size
        self._bytes += size
        task.add_done_callback(self._over)

    async def begun_so_far(self) -> None:
        """Wait until all that is under way now has ended."""
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def _over(self, task: asyncio.Task[None]) -> None:
        self._bytes -= self._tasks.pop(task)
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
