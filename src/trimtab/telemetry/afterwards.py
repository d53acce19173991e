"""Work on finished requests that nobody waits for, done by one thread: access lines and spans.

What it is not: a place for anything that must not be lost. When more comes in than the thread can do, the newest is
dropped and counted. Invariant: `put` never waits, never raises and never grows without bound.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

LIMIT = 4096
"""Items that may wait; a finished request holds about 3 KB, so this is 12 MB at the very most."""

LINGER_S = 0.05
"""How long the thread lets items gather: woken for each one, it would take the interpreter from the event loop 2,000
times a second at 2,000 requests/s, and so it is 20 times."""

_log = logging.getLogger("trimtab.telemetry")


class Afterwards(Generic[T]):
    """A bounded queue and the daemon thread that empties it; the thread starts with the first item."""

    def __init__(self, work: Callable[[T], None], dropped: Callable[[], None], limit: int = LIMIT) -> None:
        self._work = work
        self._dropped = dropped
        self._limit = limit
        self._queue: SimpleQueue[T | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._failed = False

    def put(self, item: T) -> None:
        """Take an item. Cost: under a microsecond. Called by one thread."""
        if self._queue.qsize() >= self._limit or self._closing.is_set():
            self._dropped()
            return
        self._queue.put(item)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="trimtab-afterwards", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Do what waits, for at most `timeout_s`; blocks. Items that come later are dropped. Idempotent."""
        self._closing.set()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            self._do(item)
            self._closing.wait(LINGER_S)

    def _do(self, item: T) -> None:
        waiting = self._queue.qsize()
        self._one(item)
        for _ in range(waiting):
            following = self._queue.get()
            if following is None:
                self._queue.put(None)
                return
            self._one(following)

    def _one(self, item: T) -> None:
        try:
            self._work(item)
        except Exception:
            if not self._failed:  # once: it may be wrong with every request
                self._failed = True
                _log.exception("a finished request could not be shown in the access log or the traces")
