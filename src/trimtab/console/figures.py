"""The console's questions, answered from the store.

What it is not: a place that a request waits for, the login, or the drawing of pages.
Invariants: every method blocks and is to be called in a thread (`Asking` keeps few of them busy); every method takes a
scope and tells nothing outside of it; real and simulated traffic are never added.
"""

from collections.abc import Callable

from trimtab.console.answers import Live, Overview, RequestPage, Story
from trimtab.console.questions import BILLED, EVERYTHING, LIMIT, TOP, Dimension, Filter, Scope, Window
from trimtab.records import Purpose
from trimtab.store import Database, Store


class Figures:
    """One for each serving process; safe to use from any thread."""

    def __init__(
        self, database: Database, store: Store, *, clock_ms: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._store = store
        self._clock_ms = clock_ms
        self._monotonic = monotonic

    def overview(
        self, window: Window, by: Dimension | None = None, *, top: int = TOP, scope: Scope = EVERYTHING
    ) -> Overview:
        """Figures over time, split by one dimension. Blocks. Raises `StoreError`, `RequestError`."""
        raise NotImplementedError

    def requests(
        self, wanted: Filter, cursor: str | None = None, limit: int = LIMIT, *, scope: Scope = EVERYTHING
    ) -> RequestPage:
        """A page of the list, the newest first; `cursor` is the `next` of the page before.

        Blocks. Raises `StoreError`, `RequestError` for a cursor that is none.
        """
        raise NotImplementedError

    def story(self, request_id: str, *, scope: Scope = EVERYTHING) -> Story | None:
        """One request; `None` where there is no such record in this scope. Blocks. Raises `StoreError`."""
        raise NotImplementedError

    def config(self, version: str) -> str | None:
        """What a configuration version said, secrets as references; `None`: not kept. Blocks. Raises `StoreError`."""
        raise NotImplementedError

    def live(
        self, *, simulated: bool = False, purposes: tuple[Purpose, ...] = BILLED, scope: Scope = EVERYTHING
    ) -> Live:
        """The last minute and the newest requests; at most a second old, asked of the store once for all who look.

        Blocks. Raises `StoreError`.
        """
        raise NotImplementedError
