"""What calls usually come to: worked out by one process for all and published, and known to each that serves.

What it is not: the figures (`store.figures.usual`), or what they are used for (`budgets.expected`). Invariants: no
request waits for any of this; what was once known stays so however long the store is away; a version is published only
where a figure has changed enough to matter, so that an artefact is not added every hour.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from trimtab.app.housekeeping import Chore, Turn
from trimtab.budgets.expected import FORMAT, KINDS, Expectations, Published, read_published
from trimtab.store import Database
from trimtab.store.artefacts import ArtefactStore
from trimtab.store.figures.usual import UsualCall, usual_calls, with_earlier

LOOK_S = 60.0
"""Between two looks for a newer version; two questions of 0.1 ms."""

CHANGED_PART = 10
"""A figure has changed when it differs by more than a tenth."""

FIGURES = ("output_tokens", "input_permille", "cost_nanousd")

RENEW_MS = 7 * 86_400_000
"""Figures that stay as they are are published again after so long, so that they do not become old."""


def usual_upkeep(database: Database) -> Chore:
    """The chore that works the figures out, of real and of simulated calls."""

    def work(turn: Turn) -> bool:
        work_out(database)
        return True

    return Chore("usual calls", work)


def work_out(database: Database) -> list[bool]:
    """Look at the newest calls, and publish what has changed; the sides where anything has, `True` for simulated.
    Blocks. Raises `StoreError`."""
    artefacts = ArtefactStore(database)
    newest, now_ms = database.read(lambda view: (usual_calls(view), view.now_ms()))
    changed = []
    for simulated, calls in newest.items():
        known = published(artefacts, simulated=simulated)
        earlier = () if known is None else known[1].calls
        found = with_earlier(calls, earlier, now_ms)
        if _differ(earlier, found):
            artefacts.publish(KINDS[simulated], msgspec.json.encode(Published(FORMAT, tuple(found))))
            changed.append(simulated)
    return changed


def published(artefacts: ArtefactStore, *, simulated: bool, but: str = "") -> tuple[str, Published] | None:
    """The newest version and what is in it; `None` where it is `but`, there is none, or a newer program wrote it.
    Blocks. Raises `StoreError`."""
    newest = next(iter(artefacts.versions(KINDS[simulated], 1)), None)
    if newest is None or newest.version == but:
        return None
    content = artefacts.content(KINDS[simulated], newest.version)
    read = None if content is None else read_published(content)
    return None if read is None else (newest.version, read)


def _differ(known: Sequence[UsualCall], found: Sequence[UsualCall]) -> bool:
    before = {(one.model, one.effort, one.task_class): one for one in known}
    if before.keys() != {(one.model, one.effort, one.task_class) for one in found}:
        return True
    for one in found:
        was = before[one.model, one.effort, one.task_class]
        if one.at_ms - was.at_ms > RENEW_MS:
            return True
        for figure in FIGURES:
            old, new = getattr(was, figure), getattr(one, figure)
            if CHANGED_PART * abs(new - old) > old:
                return True
    return False


class UsualWatch:
    """Keeps one process's expectations up to date. `look` is called over and over by a thread that has another use."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._artefacts = ArtefactStore(database)
        self._monotonic = monotonic
        self._looked = float("-inf")
        self._versions = {False: "", True: ""}
        self.expectations = Expectations()

    def look(self) -> None:
        """Take over newer versions, where it is time to ask for them. Blocks. Raises `StoreError`."""
        now = self._monotonic()
        if now - self._looked < LOOK_S:
            return
        for simulated in (False, True):
            found = published(self._artefacts, simulated=simulated, but=self._versions[simulated])
            if found is not None:
                self._versions[simulated], read = found
                self.expectations.now_is(read.calls, simulated=simulated)
        self._looked = now
