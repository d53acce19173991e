"""Prometheus metrics of the data path. No label takes values that a caller can invent."""

from collections.abc import Callable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

M = TypeVar("M", bound=MetricWrapperBase)


class _Children(dict[tuple[str, ...], M]):
    """Label tuple -> child of one metric: `labels()` validates and locks, which costs more than the increment."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> M:
        child = self[labels] = self._metric.labels(*labels)
        return child


class Metrics:
    """One registry with all metrics. Built in `app`; every label value comes from configuration or a closed set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _Children(
            Counter(
                "trimtab_requests",
                "Requests answered, by what served them.",
                ("endpoint", "model", "platform", "result", "simulated"),
                registry=self.registry,
            )
        )
        self._tokens = _Children(
            Counter(
                "trimtab_tokens",
                "Tokens as the platforms reported them.",
                ("model", "kind", "simulated"),
                registry=self.registry,
            )
        )
        self._cost = _Children(
            Counter(
                "trimtab_cost_usd",
                "Cost of all attempts in US dollars, estimates included.",
                ("model", "platform", "source", "simulated"),
                registry=self.registry,
            )
        )
        self._duration = _Children(
            Histogram(
                "trimtab_request_seconds",
                "From the arrival of a request to the end of its answer.",
                ("endpoint", "stream"),
                buckets=_SECONDS,
                registry=self.registry,
            )
        )
        self._first_content = Histogram(
            "trimtab_first_content_seconds",
            "From sending upstream to the first content event of a stream.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._upstream_errors = _Children(
            Counter(
                "trimtab_upstream_errors",
                "Attempts that ended without a proper answer, by what broke.",
                ("platform", "kind"),
                registry=self.registry,
            )
        )
        self.invalid_streams = Counter(
            "trimtab_invalid_streams",
            "Upstream streams that broke the event rules (counted in debug mode only).",
            registry=self.registry,
        )

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each scrape."""
        self.registry.register(_Reading(name, description, read))

    def request(
        self,
        endpoint: str,
        model: str,
        platform: str,
        result: str,
        simulated: bool,
        stream: bool,
        seconds: float,
    ) -> None:
        """Count one answered request."""
        self._requests[endpoint, model, platform, result, _flag(simulated)].inc()
        self._duration[endpoint, _flag(stream)].observe(seconds)

    def attempt(
        self,
        model: str,
        platform: str,
        source: str,
        cost_nanousd: int,
        simulated: bool,
        first_content_s: float | None,
    ) -> None:
        """Count one attempt's money and speed."""
        if cost_nanousd:
            self._cost[model, platform, source, _flag(simulated)].inc(cost_nanousd / 1e9)
        if first_content_s is not None:
            self._first_content.observe(first_content_s)

    def tokens(self, model: str, kind: str, count: int | None, simulated: bool) -> None:
        """Count tokens of one kind (`input`, `output`, `cache_read`, `cache_write`)."""
        if count:
            self._tokens[model, kind, _flag(simulated)].inc(count)

    def upstream_error(self, platform: str, kind: str) -> None:
        """Count an attempt that got no proper answer."""
        self._upstream_errors[platform, kind].inc()

    def render(self) -> bytes:
        """The exposition text (Prometheus text format 0.0.4)."""
        return generate_latest(self.registry)


class _Reading(Collector):
    def __init__(self, name: str, description: str, read: Callable[[], float]) -> None:
        self._name, self._description, self._read = name, description, read

    def collect(self) -> list[Metric]:
        return [GaugeMetricFamily(self._name, self._description, value=self._read())]


def _flag(value: bool) -> str:
    return "true" if value else "false"
