"""Prometheus metrics of the data path. No label takes values that a caller can invent."""

from bisect import bisect_left
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

import trimtab.telemetry.names as names
from trimtab.telemetry.names import Instrument

EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"
"""The content type of what `render` gives."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


def _shown(bound: float) -> str:
    """A bucket's bound as the exposition writes it."""
    return "+Inf" if bound == float("inf") else repr(float(bound))


Labels = tuple[str, ...]
"""Values in the order of an instrument's labels."""

Readings = Mapping[Labels, float]
"""Values by the values of their labels."""


class Counts(Collector):
    """A counter: a number for each set of labels. One thread counts, any may read.

    The library's own locks and checks at each step: 2 us, against 0.2 us here, eight times a request.
    """

    def __init__(self, what: Instrument) -> None:
        self._what = what
        self._values: dict[Labels, float] = {} if what.labels else {(): 0.0}

    def add(self, labels: Labels = (), amount: float = 1.0) -> None:
        """Count."""
        values = self._values
        values[labels] = values.get(labels, 0.0) + amount

    def collect(self) -> list[Metric]:
        """For the registry."""
        what = self._what
        family = CounterMetricFamily(what.name, what.help, labels=what.labels)
        for labels, value in list(self._values.items()):
            family.add_metric(labels, value)
        return [family]


class Times(Collector):
    """A histogram of seconds for each set of labels. One thread observes, any may read."""

    def __init__(self, what: Instrument) -> None:
        self._what = what
        self._series: dict[Labels, list[float]] = {} if what.labels else {(): self._empty()}
        """By bucket, those over the last bound behind them, and last the sum."""

    @staticmethod
    def _empty() -> list[float]:
        return [0.0] * (len(_SECONDS) + 2)

    def observe(self, labels: Labels, seconds: float) -> None:
        """Count one time."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = self._empty()
        series[bisect_left(_SECONDS, seconds)] += 1
        series[-1] += seconds

    def collect(self) -> list[Metric]:
        """For the registry."""
        what = self._what
        family = HistogramMetricFamily(what.name, what.help, labels=what.labels)
        for labels, series in list(self._series.items()):
            total = 0.0
            buckets = []
            for bound, count in zip((*_SECONDS, float("inf")), series, strict=False):
                total += count
                buckets.append((_shown(bound), total))
            family.add_metric(labels, buckets, series[-1])
        return [family]


class Metrics:
    """One registry with all metrics. Built in `app`; every label value comes from configuration or a closed set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter(names.REQUESTS)
        self._tokens = self._counter(names.TOKENS)
        self._cost = self._counter(names.COST_USD)
        self._attempts = self._counter(names.ATTEMPTS)
        self._duration = self._histogram(names.REQUEST_SECONDS)
        self._first_content = self._histogram(names.FIRST_CONTENT_SECONDS)
        self._upstream_errors = self._counter(names.UPSTREAM_ERRORS)
        self._limits_refused = self._counter(names.LIMITS_REFUSED)
        self._telemetry_dropped = self._counter(names.TELEMETRY_DROPPED)
        self._invalid_streams = self._counter(names.INVALID_STREAMS)
        self._judged = self._counter(names.JUDGED)
        self._steps = self._counter(names.STEPS)
        self._escalations = self._counter(names.ESCALATIONS)
        self._verdicts = self._counter(names.VERDICTS)
        self._held_back = self._histogram(names.HELD_BACK_SECONDS)
        self._check_seconds = self._histogram(names.CHECK_SECONDS)
        self._checks_cost = self._counter(names.CHECKS_USD)
        self._sandbox_runs = self._counter(names.SANDBOX_RUNS)

    def _counter(self, what: Instrument) -> Counts:
        counts = Counts(what)
        self.registry.register(counts)
        return counts

    def _histogram(self, what: Instrument) -> Times:
        times = Times(what)
        self.registry.register(times)
        return times

    def watch(self, what: Instrument, read: Callable[[], float]) -> None:
        """Add a gauge, or a counter without labels, whose value is read at each scrape."""
        self.registry.register(_Reading(what, read))

    def watch_each(self, what: Instrument, read: Callable[[], Readings]) -> None:
        """Add a gauge or a counter with labels, whose values are read at each scrape."""
        self.registry.register(LabelledReading(what, read))

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
        self._requests.add((endpoint, model, platform, result, _flag(simulated)))
        self._duration.observe((endpoint, _flag(stream)), seconds)

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
            self._cost.add((model, platform, source, _flag(simulated)), cost_nanousd / 1e9)
        if first_content_s is not None:
            self._first_content.observe((), first_content_s)

    def call(self, model: str, platform: str, account: str, ending: str, simulated: bool) -> None:
        """Count one call to a platform; `ending` is one of a closed set."""
        self._attempts.add((model, platform, account, ending, _flag(simulated)))

    def tokens(self, model: str, kind: str, count: int | None, simulated: bool) -> None:
        """Count tokens of one kind (`input`, `output`, `cache_read`, `cache_write`)."""
        if count:
            self._tokens.add((model, kind, _flag(simulated)), count)

    def upstream_error(self, platform: str, kind: str) -> None:
        """Count an attempt that got no proper answer."""
        self._upstream_errors.add((platform, kind))

    def limit_refused(self, limit: str) -> None:
        """Count a request that a limit of its key refused; `limit` is one of a closed set."""
        self._limits_refused.add((limit,))

    def judged(self, says: str, simulated: bool) -> None:
        """Count a request with judged answers; `says` is one of a closed set, of the answer that was given."""
        self._judged.add((says, _flag(simulated)))

    def step(self, model: str, step: int, says: str, simulated: bool) -> None:
        """Count a step of such a request, from 1."""
        self._steps.add((model, str(step), says, _flag(simulated)))

    def escalation(self, because: str, simulated: bool) -> None:
        """Count a further step, by what the one before came to."""
        self._escalations.add((because, _flag(simulated)))

    def verdict(self, verifier: str, says: str, seconds: float, cost_nanousd: int, simulated: bool) -> None:
        """Count what one verifier, by its configured name, said of an answer, its time and its money."""
        self._verdicts.add((verifier, says, _flag(simulated)))
        self._check_seconds.observe((verifier,), seconds)
        if cost_nanousd:
            self._checks_cost.add((verifier, _flag(simulated)), cost_nanousd / 1e9)

    def held_back(self, stream: bool, seconds: float) -> None:
        """Count how long an answer was held back that was judged before it went out."""
        self._held_back.observe((_flag(stream),), seconds)

    def sandbox_run(self, ended: str) -> None:
        """Count a run of code; `ended` is one of a closed set."""
        self._sandbox_runs.add((ended,))

    def invalid_stream(self) -> None:
        """Count a stream that broke the event rules (debug mode)."""
        self._invalid_streams.add()

    def telemetry_dropped(self) -> None:
        """Count a finished request that neither the access log nor the traces will show."""
        self._telemetry_dropped.add()

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


class LabelledReading(Collector):
    """A gauge, or a counter, with labels, whose values are read when somebody asks."""

    def __init__(self, what: Instrument, read: Callable[[], Readings]) -> None:
        self._what, self._read = what, read

    def collect(self) -> list[Metric]:
        """For the registry."""
        what = self._what
        kind = CounterMetricFamily if what.kind == "counter" else GaugeMetricFamily
        family = kind(what.name, what.help, labels=what.labels)
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        return [family]


def _flag(value: bool) -> str:
    return "true" if value else "false"
