"""What calls usually come to: worked out by one process for all and published, and known to each that serves.

What it is not: the figures (`store.figures.usual`), or what they are used for (`budgets.expected`). Invariant: a
version is published only where a figure has changed enough to matter, so that an artefact is not added every hour.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from trimtab.app.housekeeping import Chore, Turn
from trimtab.app.learnt import Watch, have_moved, newest
from trimtab.budgets.expected import FORMAT, KINDS, Expectations, Published, read_published
from trimtab.store import Database
from trimtab.store.artefacts import ArtefactStore
from trimtab.store.figures.usual import UsualCall, usual_calls, with_earlier

FIGURES = ("output_tokens", "input_permille", "cost_nanousd")


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
    found, now_ms = database.read(lambda view: (usual_calls(view), view.now_ms()))
    changed = []
    for simulated, calls in found.items():
        known = newest(artefacts, KINDS[simulated], read_published)
        earlier = () if known is None else known[1].calls
        now = with_earlier(calls, earlier, now_ms)
        if _differ(earlier, now):
            artefacts.publish(KINDS[simulated], msgspec.json.encode(Published(FORMAT, tuple(now))))
            changed.append(simulated)
    return changed


def _differ(known: Sequence[UsualCall], found: Sequence[UsualCall]) -> bool:
    before = {(one.model, one.effort, one.task_class): one for one in known}
    if before.keys() != {(one.model, one.effort, one.task_class) for one in found}:
        return True
    return any(have_moved(before[one.model, one.effort, one.task_class], one, FIGURES) for one in found)


class UsualWatch:
    """Keeps one process's expectations up to date."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.expectations = Expectations()
        self._watch = Watch(database, KINDS, read_published, self._take, monotonic)
        self.look = self._watch.look
        """Called over and over by a thread that has another use. Blocks. Raises `StoreError`."""

    def _take(self, published: Published, simulated: bool) -> None:
        self.expectations.now_is(published.calls, simulated=simulated)
