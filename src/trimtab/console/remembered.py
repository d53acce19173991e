"""Answers that are given again for a moment, so that many who look at the same page cost as much as one.

What it is not: a cache for long. Invariants: of those who ask the same at once, one asks the store and the others wait
for its answer; a failure is everybody's who waited for it, and nobody's afterwards.
"""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_MOST = 256
"""Different questions whose answers are kept."""


class Remembered(Generic[T]):
    """Answers by their questions. Safe to use from any thread."""

    def __init__(self, monotonic: Callable[[], float], kept_s: float) -> None:
        self._monotonic = monotonic
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._answers: dict[Hashable, tuple[float, Future[T]]] = {}

    def get(self, question: Hashable, ask: Callable[[], T], kept_s: float | None = None) -> T:
        """The answer, asked for now where there is none that is new enough. Blocks. Raises what `ask` raises."""
        most_s = self._kept_s if kept_s is None else kept_s
        with self._lock:
            now = self._monotonic()
            known = self._answers.get(question)
            if known is not None and (not known[1].done() or now - known[0] < most_s):
                future = known[1]
                mine = False
            else:
                if len(self._answers) >= KEPT_MOST:
                    self._answers = {
                        key: entry for key, entry in self._answers.items() if not entry[1].done()
                    }
                future = Future()
                self._answers[question] = (now, future)
                mine = True
        if not mine:
            return future.result()
        try:
            future.set_result(ask())
        except BaseException as problem:
            with self._lock:
                self._answers.pop(question, None)
            future.set_exception(problem)
        else:
            with self._lock:
                self._answers[question] = (self._monotonic(), future)
        return future.result()
