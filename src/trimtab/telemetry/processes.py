"""Metrics of the serving processes themselves: which configuration is in force, reloads, workers and their restarts.

What it is not: the data path; that is `metrics`. Fails open like all telemetry.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class ConfigMetrics:
    """What one serving process says of its configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._labels: dict[str, str] = {}
        registry.register(
            Labelled(
                "trimtab_config_info",
                "The versions in force; the value is always 1.",
                ("version", "catalogue"),
                lambda: {tuple(self._labels.values()): 1.0} if self._labels else {},
            )
        )

    def in_force(self, version: str, catalogue: str) -> None:
        """Say which versions requests use from now on."""
        self._labels = {"version": version, "catalogue": catalogue}


class ReloadMetrics:
    """Counts reloads. One for a server: of its single process, or of the parent of its workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reloads = Counter(
            "trimtab_config_reloads",
            "Configurations read while serving, by result: applied, or refused and the old one stayed.",
            ("result",),
            registry=registry,
        )
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

    def __init__(
        self, registry: CollectorRegistry, states: Callable[[], Mapping[tuple[str, ...], float]]
    ) -> None:
        registry.register(
            Labelled("trimtab_workers", "Worker processes by what they are doing.", ("state",), states)
        )
        self.missing = 0
        """Running workers that did not answer the scrape at hand."""
        registry.register(
            Labelled(
                "trimtab_workers_missing",
                "Running workers whose metrics of this moment are missing here; their last counters are in.",
                (),
                lambda: {(): float(self.missing)},
            )
        )
        self.restarts = Counter(
            "trimtab_worker_restarts",
            "Worker processes that ended unasked, or gave no answer, and were started again.",
            registry=registry,
        )


class Labelled(Collector):
    """A gauge whose samples are read at each scrape, by the values of its labels."""

    def __init__(
        self,
        name: str,
        description: str,
        labels: tuple[str, ...],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        self._name, self._description, self._labels, self._read = name, description, labels, read

    def collect(self) -> list[Metric]:
        family = GaugeMetricFamily(self._name, self._description, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        return [family]
