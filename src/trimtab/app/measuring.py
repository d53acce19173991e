"""What came of judged attempts: worked out by one process for all and published, and known to each that serves.

What it is not: the figures (`store.figures.judged`), or what they are used for (`verification.measured`). Invariant: a
version is published only where a figure has changed enough to matter, and only so many versions are kept.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from trimtab.app.housekeeping import Chore, Turn
from trimtab.app.learnt import Watch, have_moved, newest
from trimtab.store import Database
from trimtab.store.artefacts import ArtefactStore
from trimtab.store.figures.judged import JudgedArm, joined, judged_arms, place_of
from trimtab.verification.measured import FORMAT, KINDS, Measured, Published, read_published

EVERY_S = 300.0
"""What is measured decides what a cascade does, and a new installation knows nothing: it learns within minutes. A
process that does upkeep looks every ten minutes or so."""

CHANGED_POINTS = 2
"""A share of failures has changed when it differs by more than so many percentage points."""

MEANS = ("judged", "cost_nanousd", "checks_nanousd", "checks_ms", "ms", "most_ms")

VERSIONS_KEPT = 200
"""Of each side; with ten figures 0.5 MB."""


def judged_upkeep(database: Database) -> Chore:
    """The chore that works the figures out, of real and of simulated requests."""

    def work(turn: Turn) -> bool:
        work_out(database)
        return True

    return Chore("judged attempts", work, every_s=EVERY_S)


def work_out(database: Database) -> list[bool]:
    """Look at the newest judged attempts, and publish what has changed; the sides where anything has, `True` for
    simulated. Blocks. Raises `StoreError`."""
    artefacts = ArtefactStore(database)
    found, now_ms = database.read(lambda view: (judged_arms(view), view.now_ms()))
    changed = []
    for simulated, arms in found.items():
        known = newest(artefacts, KINDS[simulated], read_published)
        earlier = () if known is None else known[1].arms
        now = joined(arms, earlier, now_ms)
        if _differ(earlier, now):
            artefacts.publish(KINDS[simulated], msgspec.json.encode(Published(FORMAT, tuple(now))))
            artefacts.keep_newest(KINDS[simulated], VERSIONS_KEPT)
            changed.append(simulated)
    return changed


def _differ(known: Sequence[JudgedArm], found: Sequence[JudgedArm]) -> bool:
    before = {place_of(one): one for one in known}
    if before.keys() != {place_of(one) for one in found}:
        return True
    return any(_differs(before[place_of(one)], one) for one in found)


def _differs(was: JudgedArm, now: JudgedArm) -> bool:
    return have_moved(was, now, MEANS) or any(
        100 * abs(getattr(was, kind) / was.judged - getattr(now, kind) / now.judged) > CHANGED_POINTS
        for kind in ("escalated", "unsure")
    )


class MeasuredWatch:
    """Keeps what one process knows of judged attempts up to date."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.measured = Measured()
        self._watch = Watch(database, KINDS, read_published, self._take, monotonic)
        self.look = self._watch.look
        """Called over and over by a thread that has another use. Blocks. Raises `StoreError`."""

    def _take(self, published: Published, simulated: bool) -> None:
        self.measured.now_is(published.arms, simulated=simulated)
