"""What one process works out for all, publishes as versions, and each that serves takes over: the parts that are alike.

What it is not: any figure. Invariants: no request waits for any of this; what was once known stays so however long the
store is away; what a newer program published is left alone.
"""

import time
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from trimtab.store import Database
from trimtab.store.artefacts import ArtefactStore

T = TypeVar("T")

LOOK_S = 60.0
"""Between two looks for a newer version; two questions of 0.1 ms."""


CHANGED_PART = 10
"""A figure has changed when it differs by more than a tenth."""

RENEW_MS = 7 * 86_400_000
"""Figures that stay as they are are published again after so long, so that they do not become old."""


class Dated(Protocol):
    """Figures of one kind of call."""

    @property
    def at_ms(self) -> int:
        """When they were worked out."""
        ...


def have_moved(was: Dated, now: Dated, figures: Iterable[str]) -> bool:
    """Whether these of their figures differ enough to be published anew, or have become old."""
    if now.at_ms - was.at_ms > RENEW_MS:
        return True
    for figure in figures:
        old, new = getattr(was, figure), getattr(now, figure)
        if CHANGED_PART * abs(new - old) > old:
            return True
    return False


def newest(
    artefacts: ArtefactStore, kind: str, read: Callable[[bytes], T | None], *, but: str = ""
) -> tuple[str, T] | None:
    """The newest version and what is in it; `None` where it is `but`, there is none, or `read` cannot read it. Blocks.
    Raises `StoreError`."""
    last = next(iter(artefacts.versions(kind, 1)), None)
    if last is None or last.version == but:
        return None
    content = artefacts.content(kind, last.version)
    found = None if content is None else read(content)
    return None if found is None else (last.version, found)


class Watch(Generic[T]):
    """Keeps what one process knows up to date. `look` is called over and over by a thread that has another use."""

    def __init__(
        self,
        database: Database,
        kinds: dict[bool, str],
        read: Callable[[bytes], T | None],
        take: Callable[[T, bool], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kinds` of artefacts, real (`False`) and simulated; `take` is told of each new version, and of which side."""
        self._artefacts = ArtefactStore(database)
        self._kinds = kinds
        self._read = read
        self._take = take
        self._monotonic = monotonic
        self._looked = float("-inf")
        self._versions = dict.fromkeys(kinds, "")

    def look(self) -> None:
        """Take over newer versions, where it is time to ask for them. Blocks. Raises `StoreError`."""
        now = self._monotonic()
        if now - self._looked < LOOK_S:
            return
        for simulated, kind in self._kinds.items():
            found = newest(self._artefacts, kind, self._read, but=self._versions[simulated])
            if found is not None:
                self._versions[simulated], content = found
                self._take(content, simulated)
        self._looked = now
