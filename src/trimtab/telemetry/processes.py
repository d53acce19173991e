"""Metrics of the serving processes themselves: which configuration is in force, reloads, workers and their restarts.

What it is not: the data path; that is `metrics`. Fails open like all telemetry.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter

import trimtab.telemetry.names as names
from trimtab.telemetry.metrics import LabelledReading, Readings


class ConfigMetrics:
    """Which configuration a serving process works by."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._versions: Readings = {}
        registry.register(LabelledReading(names.CONFIG_INFO, lambda: self._versions))

    def in_force(self, version: str, catalogue: str) -> None:
        """Say which versions requests use from now on."""
        self._versions = {(version, catalogue): 1.0}


class ReloadMetrics:
    """Counts reloads: in the parent of the workers, or in the single process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        what = names.CONFIG_RELOADS
        self._reloads = Counter(what.name, what.help, what.labels, registry=registry)
        for result in ("applied", "refused"):
            self._reloads.labels(result)

    def applied(self) -> None:
        """A new version is in force."""
        self._reloads.labels("applied").inc()

    def refused(self) -> None:
        """The old version stays."""
        self._reloads.labels("refused").inc()


class WorkerMetrics:
    """What the parent of several workers says of them."""

    def __init__(self, registry: CollectorRegistry, states: Callable[[], Mapping[str, int]]) -> None:
        registry.register(
            LabelledReading(names.WORKERS, lambda: {(state,): float(n) for state, n in states().items()})
        )
        registry.register(LabelledReading(names.WORKERS_MISSING, lambda: {(): float(self.missing)}))
        self.missing = 0
        """Running workers that did not answer the scrape at hand."""
        what = names.WORKER_RESTARTS
        self._restarts = Counter(what.name, what.help, registry=registry)

    def restarted(self) -> None:
        """Count a worker that had to be started again."""
        self._restarts.inc()
