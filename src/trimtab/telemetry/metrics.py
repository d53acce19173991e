"""Prometheus metrics of the data path. No label takes values that a caller can invent."""

from collections.abc import Callable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

import trimtab.telemetry.names as names
from trimtab.telemetry.names import Instrument

EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"
"""The content type of what `render` gives."""

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
        self._requests = _Children(self._counter(names.REQUESTS))
        self._tokens = _Children(self._counter(names.TOKENS))
        self._cost = _Children(self._counter(names.COST_USD))
        self._duration = _Children(self._histogram(names.REQUEST_SECONDS))
        self._first_content = self._histogram(names.FIRST_CONTENT_SECONDS)
        self._upstream_errors = _Children(self._counter(names.UPSTREAM_ERRORS))
        self._limits_refused = _Children(self._counter(names.LIMITS_REFUSED))
        self._telemetry_dropped = self._counter(names.TELEMETRY_DROPPED)
        self.invalid_streams = self._counter(names.INVALID_STREAMS)

    def _counter(self, what: Instrument) -> Counter:
        return Counter(what.name, what.help, what.labels, registry=self.registry)

    def _histogram(self, what: Instrument) -> Histogram:
        return Histogram(what.name, what.help, what.labels, buckets=_SECONDS, registry=self.registry)

    def watch(self, what: Instrument, read: Callable[[], float]) -> None:
        """Add a gauge, or a counter without labels, whose value is read at each scrape."""
        self.registry.register(_Reading(what, read))

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

    def limit_refused(self, limit: str) -> None:
        """Count a request that a limit of its key refused; `limit` is one of a closed set."""
        self._limits_refused[limit,].inc()

    def telemetry_dropped(self) -> None:
        """Count a finished request that neither the access log nor the traces will show."""
        self._telemetry_dropped.inc()

    def render(self) -> bytes:
        """The exposition text (Prometheus text format 0.0.4)."""
        return generate_latest(self.registry)


class _Reading(Collector):
    def __init__(self, what: Instrument, read: Callable[[], float]) -> None:
        self._what, self._read = what, read

    def collect(self) -> list[Metric]:
        what, value = self._what, self._read()
        if what.kind == "counter":
            return [CounterMetricFamily(what.name, what.help, value=value)]
        return [GaugeMetricFamily(what.name, what.help, value=value)]


def _flag(value: bool) -> str:
    return "true" if value else "false"
