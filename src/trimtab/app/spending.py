"""What was spent at platform entries that have a commitment: read from the store now and then, known at once.

What it is not: the arithmetic of a commitment (`routing.commitments`), or a place that a request waits for. Invariants:
asking never waits; while the store is away the last known figures stand; where nothing is committed no thread runs.
"""

import datetime
import threading
from collections.abc import Callable, Mapping

from trimtab.app.settings import Settings
from trimtab.errors import StoreError
from trimtab.providers.simulator import SimulatorSettings
from trimtab.routing import Commitment, Spent
from trimtab.store import Database
from trimtab.store.figures.platforms import SpendingWanted, spending

REFRESH_S = 60.0
"""A commitment runs for months; what is spent in a minute changes no decision. Reading takes 50 ms for a year of ten
entries, models and keys."""


def spending_wanted(settings: Settings) -> dict[str, SpendingWanted]:
    """Entries with a commitment, and since when their spending counts; a simulator's is that of simulated calls."""
    wanted = {}
    for name, entry in settings.platforms.items():
        if entry.commitment is not None:
            begins = datetime.datetime.combine(entry.commitment.starts, datetime.time(), datetime.UTC)
            wanted[name] = SpendingWanted(
                int(begins.timestamp()) * 1000, isinstance(entry, SimulatorSettings)
            )
    return wanted


def commitments(settings: Settings) -> dict[str, Commitment]:
    """What the owners of entries promised to spend, by the name of the entry."""
    return {
        name: Commitment(promised.nanousd, promised.starts, promised.until)
        for name, entry in settings.platforms.items()
        if (promised := entry.commitment) is not None
    }


class PlatformSpending:
    """One for each serving process. Answers from any thread."""

    def __init__(
        self,
        database: Database,
        *,
        clock_ms: Callable[[], int],
        on_problem: Callable[[str], None],
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._on_problem = on_problem
        self._refresh_s = refresh_s
        self._wanted: Mapping[str, SpendingWanted] = {}
        self._found: Mapping[str, Spent] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._failing = False
        self._thread: threading.Thread | None = None

    def __call__(self, entry: str) -> Spent | None:
        """What is known; `None` where nothing is, or the entry has no commitment."""
        return self._found.get(entry)

    def watch(self, wanted: Mapping[str, SpendingWanted]) -> None:
        """Keep the spending of these entries known from now on; what is not among them is forgotten. Never waits."""
        if wanted == self._wanted:
            return
        same = {name for name, one in wanted.items() if self._wanted.get(name) == one}
        self._found = {name: spent for name, spent in self._found.items() if name in same}
        self._wanted = dict(wanted)
        if wanted and self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name="trimtab-spending", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop. Blocks for one question to the store at the most, unless it is stuck. Idempotent."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def refresh(self) -> None:
        """Read now. Blocks; never raises."""
        wanted = self._wanted
        try:
            read = spending(self._database, wanted, self._clock_ms()) if wanted else {}
        except Exception as problem:  # the thread must outlive every surprise
            # A store that is away says so itself.
            if not isinstance(problem, StoreError) and not self._failing:
                self._failing = True
                self._on_problem(f"spending on commitments: {type(problem).__name__}: {problem}; tried again")
            return
        self._failing = False
        if wanted is self._wanted:
            self._found = {
                name: Spent(one.nanousd, one.lately_nanousd, one.lately_days) for name, one in read.items()
            }

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self.refresh()
            self._wake.wait(self._refresh_s)
