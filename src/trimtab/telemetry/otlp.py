"""The adapter to OpenTelemetry: spans and metrics go to a collector by OTLP over HTTP, in the background.

What it is not: needed. It is the one file that imports the extra `otel`, inside functions; everything else speaks of
our own `Span`. Invariants: nothing here waits for the network but threads of its own; queues are bounded and drop;
`close` returns in time whatever the collector does. The SDK's environment variables (headers, certificates, sampler,
resource, batch sizes, intervals) work as its documentation says.
"""
# ruff: noqa: PLC0415 - imports of the optional extra are inside functions

import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.core import Metric as Family

import trimtab.telemetry.names as names
from trimtab.errors import ConfigError
from trimtab.telemetry.metrics import Metrics
from trimtab.telemetry.tracing import Span, TraceParent

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span as OtelSpan

SCOPE = "trimtab"

INTERVAL_MS = 60_000
"""Between two exports of the metrics, unless OTEL_METRIC_EXPORT_INTERVAL says otherwise. The SDK's own default."""

GRACE_S = 0.3
"""Of the time that `close` has, what is kept for breaking off."""

_NOISY = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")
"""They log every failed batch; `_Watch` says when it begins and when it is over."""

_log = logging.getLogger("trimtab.telemetry")


def open_otlp(endpoint: str, where: str, metrics: Metrics, *, version: str, worker: str = "") -> "OtlpTracer":
    """Start exporting to a collector's base address. Sends nothing yet, so it does not fail where none listens.

    Raises `ConfigError` (at `where`) when the extra is not installed.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http.metric_exporter
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as problem:
        raise ConfigError(
            where,
            f"{endpoint!r}: traces need an optional part ({problem.name} is missing); install it with "
            "pip install 'trimtab[otel]', in a clone .venv/bin/pip install --require-hashes -r "
            "requirements/extras.txt, or remove this setting",
        ) from None
    return OtlpTracer(endpoint.rstrip("/"), metrics, _resource(version, worker))


def _resource(version: str, worker: str) -> "Resource":
    """What all of it is about; the operator's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    from opentelemetry.sdk.resources import Resource

    theirs = Resource.create()
    ours = {
        names.SERVICE_NAME: "trimtab",
        names.SERVICE_VERSION: version,
        names.SERVICE_INSTANCE: f"{os.uname().nodename}-{os.getpid()}",
    }
    if worker:
        ours[names.WORKER] = worker
    for name in list(ours):
        if name in theirs.attributes and not str(theirs.attributes[name]).startswith("unknown_service"):
            del ours[name]
    return theirs.merge(Resource(ours))


class _Ids:
    """Gives the SDK the ids that we have chosen. Used by one thread."""

    trace = 0
    span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span

    def is_trace_id_random(self) -> bool:
        return True  # they are hashes


class _Watch:
    """An exporter that tells the operator when the collector begins to fail and when it is back: a line each."""

    def __init__(self, exporter: Any, what: str, endpoint: str) -> None:
        self._exporter = exporter
        self._what = what
        self._endpoint = endpoint
        self._failing = False

    def export(self, batch: Any) -> Any:
        try:
            result = self._exporter.export(batch)
            well = result.name == "SUCCESS"
        except Exception:
            self._saw(False)
            raise
        self._saw(well)
        return result

    def _saw(self, well: bool) -> None:
        if well == self._failing:
            self._failing = not well
            if well:
                _log.warning("%s reach %s again", self._what, self._endpoint)
            else:
                _log.warning("%s do not reach %s and are dropped; requests go on", self._what, self._endpoint)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


class OtlpTracer:
    """Implements `Tracer`, and exports the metrics beside it."""

    def __init__(self, endpoint: str, metrics: Metrics, resource: "Resource") -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=resource,
            id_generator=self._ids,  # type: ignore[arg-type]  # its base class lives in the extra
            shutdown_on_exit=False,
        )
        self._spans = _Watch(OTLPSpanExporter(f"{endpoint}/v1/traces"), "traces", endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._spans))  # type: ignore[arg-type]  # as above
        self._tracer = self._provider.get_tracer(SCOPE)
        self._registry = metrics.registry
        self._resource = resource
        self._metrics = _Watch(OTLPMetricExporter(f"{endpoint}/v1/metrics"), "metrics", endpoint)
        self._started_ns = time.time_ns()
        self._closing = threading.Event()
        self._closed = False
        self._metrics_thread = threading.Thread(target=self._send_metrics, name="trimtab-otlp", daemon=True)
        self._metrics_thread.start()

    def sampled(self, trace_id: int, parent: TraceParent | None) -> bool:
        """See `Tracer.sampled`: as the SDK's sampler decides."""
        from opentelemetry.trace import SpanKind

        context = None if parent is None else _context(parent)
        result = self._provider.sampler.should_sample(context, trace_id, "POST", SpanKind.SERVER)
        return bool(result.decision.is_sampled())  # type: ignore[no-untyped-call]

    def export(self, spans: Sequence[Span]) -> None:
        """See `Tracer.export`. Called by one thread."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        made: dict[int, OtelSpan] = {}
        for span in spans:
            context = None
            if span.parent is not None:
                local = made.get(span.parent.span_id)
                context = _context(span.parent) if local is None else set_span_in_context(local)
            self._ids.trace, self._ids.span = span.trace_id, span.span_id
            made[span.span_id] = told = self._tracer.start_span(
                span.name,
                context,
                SpanKind.SERVER if span.kind == "server" else SpanKind.CLIENT,
                span.attributes,
                start_time=span.start_ns,
            )
            if span.failed:
                told.set_status(Status(StatusCode.ERROR))
            told.end(span.end_ns)

    def close(self, timeout_s: float) -> None:
        """See `Tracer.close`."""
        if self._closed:
            return
        self._closed = True
        until = time.monotonic() + timeout_s - GRACE_S
        self._closing.set()
        spans = threading.Thread(target=self._provider.shutdown, name="trimtab-otlp-close", daemon=True)
        spans.start()
        for thread in (spans, self._metrics_thread):
            thread.join(max(0.0, until - time.monotonic()))
        if spans.is_alive() or self._metrics_thread.is_alive():
            _log.warning("the collector of traces and metrics does not answer; the last of them are dropped")
            for exporter in (self._spans, self._metrics):
                # In a thread: its session may be waiting in the very call that is to be broken off.
                threading.Thread(target=exporter.shutdown, daemon=True).start()

    def _send_metrics(self) -> None:
        from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        last = False
        while not last:
            last = self._closing.wait(_interval_s())
            try:
                found = list(converted(self._registry.collect(), self._started_ns, time.time_ns()))
                scope = ScopeMetrics(InstrumentationScope(SCOPE), found, "")
                self._metrics.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))
            except Exception:
                _log.debug("metrics were not exported", exc_info=True)


def _context(parent: TraceParent) -> Any:
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return set_span_in_context(
        NonRecordingSpan(SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags))
    )


def _interval_s() -> float:
    given = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    return (int(given) if given.isascii() and given.isdecimal() and int(given) else INTERVAL_MS) / 1000


def converted(families: Iterable[Family], started_ns: int, now_ns: int) -> Iterable["Metric"]:
    """Our metrics as OpenTelemetry's, cumulative since the process started."""
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum

    for family in families:
        if family.type == "histogram":
            yield _histogram(family, started_ns, now_ns)
            continue
        points = [
            NumberDataPoint(dict(sample.labels), started_ns, now_ns, float(sample.value))
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
        data = (
            Gauge(points) if family.type == "gauge" else Sum(points, AggregationTemporality.CUMULATIVE, True)
        )
        yield Metric(family.name, family.documentation, _unit(family.name), data)


def _histogram(family: Family, started_ns: int, now_ns: int) -> "Metric":
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Histogram,
        HistogramDataPoint,
        Metric,
    )

    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, int]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), int(sample.value)))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    points = []
    for labels, counted in buckets.items():
        counted.sort()
        upto = [count for _, count in counted]
        each = [upto[0], *(after - before for before, after in itertools.pairwise(upto))]
        points.append(
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=started_ns,
                time_unix_nano=now_ns,
                count=upto[-1],
                sum=sums.get(labels, 0.0),
                bucket_counts=each,
                explicit_bounds=[bound for bound, _ in counted if math.isfinite(bound)],
                min=None,  # type: ignore[arg-type]  # not known, and absent from what is sent
                max=None,  # type: ignore[arg-type]
            )
        )
    data = Histogram(points, AggregationTemporality.CUMULATIVE)
    return Metric(family.name, family.documentation, _unit(family.name), data)


def _unit(name: str) -> str:
    if name.endswith("_seconds"):
        return "s"
    return "{USD}" if name.endswith("_usd") else "1"
