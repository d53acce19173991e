"""What a real collector receives, and that a missing, failing or stuck one costs nobody anything."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from telemetry_collector import Collector, attributes, collecting

from trimtab.telemetry import Metrics, names
from trimtab.telemetry.otlp import OtlpTracer, open_otlp
from trimtab.telemetry.tracing import Span, TraceParent, span_id_of, trace_id_of

CALLER = TraceParent(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True)
NOW_NS = 1_790_000_000_000_000_000


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


def opened(url: str, metrics: Metrics | None = None, worker: str = "") -> OtlpTracer:
    return open_otlp(url, "telemetry.otlp_endpoint", metrics or Metrics(), version="1.2.3", worker=worker)


def spans(request: str, parent: TraceParent | None = None, failed: bool = False) -> tuple[Span, Span]:
    trace_id = trace_id_of(request, parent)
    server = Span(
        name="POST /v1/messages",
        kind="server",
        trace_id=trace_id,
        span_id=span_id_of(request),
        parent=parent,
        remote=True,
        start_ns=NOW_NS,
        end_ns=NOW_NS + 2_000_000,
        attributes={names.SPAN_REQUEST: request, names.HTTP_STATUS: 200, names.SPAN_SIMULATED: True},
        failed=failed,
    )
    client = Span(
        name="chat m",
        kind="client",
        trace_id=trace_id,
        span_id=span_id_of(request, 0),
        parent=TraceParent(trace_id, server.span_id, True),
        start_ns=NOW_NS + 1_000_000,
        end_ns=NOW_NS + 2_000_000,
        attributes={names.GENAI_FINISH_REASONS: ("end_turn",), names.SPAN_COST_USD: 0.5},
    )
    return server, client


def test_spans_arrive_as_they_were_told(collector: Collector) -> None:
    tracer = opened(collector.url + "/", worker="w1")
    tracer.export(spans("r1", CALLER, failed=True))
    collector.wait_for(lambda: len(collector.spans) == 2)
    tracer.close(timeout_s=5)
    by_name = {span.name: span for span in collector.spans}
    server, client = by_name["POST /v1/messages"], by_name["chat m"]
    assert server.trace_id.hex() == client.trace_id.hex() == f"{CALLER.trace_id:032x}"
    assert server.parent_span_id.hex() == f"{CALLER.span_id:016x}"
    assert server.span_id.hex() == f"{span_id_of('r1'):016x}"
    assert client.parent_span_id == server.span_id
    assert client.span_id.hex() == f"{span_id_of('r1', 0):016x}"
    assert (server.kind, client.kind) == (2, 3), "SERVER and CLIENT"
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (NOW_NS, NOW_NS + 2_000_000)
    assert (server.status.code, client.status.code) == (2, 0), "ERROR and unset"
    assert attributes(server) == {
        names.SPAN_REQUEST: "r1",
        names.HTTP_STATUS: 200,
        names.SPAN_SIMULATED: True,
    }
    assert attributes(client) == {names.GENAI_FINISH_REASONS: ("end_turn",), names.SPAN_COST_USD: 0.5}
    assert collector.resource["service.name"] == "trimtab"
    assert collector.resource["service.version"] == "1.2.3"
    assert collector.resource["trimtab.worker"] == "w1"


def test_a_request_without_parent_is_a_trace_of_its_own(collector: Collector) -> None:
    tracer = opened(collector.url)
    tracer.export(spans("r2"))
    tracer.close(timeout_s=5)  # sends what is left
    assert {span.trace_id.hex() for span in collector.spans} == {f"{trace_id_of('r2', None):032x}"}
    assert not next(span for span in collector.spans if span.kind == 2).parent_span_id


def test_a_caller_who_does_not_sample_gets_no_spans(collector: Collector) -> None:
    tracer = opened(collector.url)
    quiet = TraceParent(CALLER.trace_id, CALLER.span_id, False)
    assert not tracer.sampled(quiet.trace_id, quiet)
    assert tracer.sampled(CALLER.trace_id, CALLER)
    tracer.export(spans("r1", quiet))
    tracer.export(spans("r2"))
    tracer.close(timeout_s=5)
    assert {attributes(span).get(names.SPAN_REQUEST) for span in collector.spans if span.kind == 2} == {"r2"}


def test_the_variables_of_the_sdk_work(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our-gateway")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    tracer = opened(collector.url)
    tracer.export(spans("r1"))
    tracer.close(timeout_s=5)
    assert all(headers["authorization"] == "Bearer abc" for headers in collector.headers)
    assert collector.resource["service.name"] == "our-gateway"
    assert collector.resource["deployment.environment"] == "test"


def test_the_sampler_of_the_sdk_is_obeyed(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    tracer = opened(collector.url)
    chosen = sum(tracer.sampled(trace_id_of(f"r{n}", None), None) for n in range(1000))
    tracer.close(timeout_s=5)
    assert 400 < chosen < 600


def test_metrics_arrive_with_their_kinds_labels_and_values(collector: Collector) -> None:
    metrics = Metrics()
    metrics.request("messages", "m", "p", "ok", False, True, 0.2)
    metrics.request("messages", "m", "p", "ok", False, True, 700.0)
    metrics.attempt("m", "p", "reported", 1_500_000_000, False, None)
    metrics.watch(names.STORE_WRITABLE, lambda: 1)
    metrics.watch(names.RECORDS_DROPPED, lambda: 3)
    tracer = opened(collector.url, metrics)
    collector.wait_for(lambda: "trimtab_store_writable" in collector.metrics)
    tracer.close(timeout_s=5)
    requests = collector.metrics["trimtab_requests"]
    assert requests.sum.is_monotonic
    assert requests.sum.aggregation_temporality == 2, "cumulative"
    (point,) = requests.sum.data_points
    assert point.as_double == 2
    assert attributes(point) == {
        "endpoint": "messages",
        "model": "m",
        "platform": "p",
        "result": "ok",
        "simulated": "false",
    }
    assert collector.metrics["trimtab_cost_usd"].unit == "{USD}"
    assert collector.metrics["trimtab_records_dropped"].sum.data_points[0].as_double == 3
    assert collector.metrics["trimtab_store_writable"].gauge.data_points[0].as_double == 1
    seconds = collector.metrics["trimtab_request_seconds"]
    assert seconds.unit == "s"
    (histogram,) = seconds.histogram.data_points
    assert histogram.count == 2
    assert histogram.sum == pytest.approx(700.2)
    assert len(histogram.bucket_counts) == len(histogram.explicit_bounds) + 1
    assert sum(histogram.bucket_counts) == 2
    assert histogram.bucket_counts[list(histogram.explicit_bounds).index(0.25)] == 1
    assert histogram.bucket_counts[-1] == 1
    assert not histogram.HasField("min")


def test_a_failing_collector_is_reported_once_and_so_is_its_return(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400
    with caplog.at_level(logging.WARNING):
        tracer = opened(collector.url)
        for number in range(5):
            tracer.export(spans(f"r{number}"))
            time.sleep(0.05)
        collector.status = 200
        tracer.export(spans("back"))
        collector.wait_for(lambda: len(collector.spans) >= 2 and collector.metrics)
        tracer.close(timeout_s=5)
    told = [record.getMessage() for record in caplog.records]
    assert sorted(line.split(" http")[0] for line in told) == [
        "metrics do not reach",
        "metrics reach",
        "traces do not reach",
        "traces reach",
    ], told


@pytest.mark.parametrize("how", ["nobody listens", "never answers"])
def test_closing_takes_no_longer_than_it_may(how: str, collector: Collector) -> None:
    if how == "nobody listens":
        with socket.create_server(("127.0.0.1", 0)) as probe:
            url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    else:
        url = collector.url
        collector.hang.clear()
    tracer = opened(url)
    for number in range(10):
        tracer.export(spans(f"r{number}"))
    began = time.monotonic()
    tracer.close(timeout_s=1)
    tracer.close(timeout_s=1)
    took = time.monotonic() - began
    collector.hang.set()
    assert took < 5, "far from the 10 s that the exporter would wait, however slow this machine"


def test_overload_drops_spans_and_memory_stays_bounded(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "50")
    collector.hang.clear()
    tracer = opened(collector.url)
    for number in range(2000):
        tracer.export(spans(f"r{number}"))
    collector.hang.set()
    tracer.close(timeout_s=5)
    assert 0 < len(collector.spans) <= 400


NOT_INSTALLED = """
import sys
sys.modules["opentelemetry"] = None
from trimtab.errors import ConfigError
from trimtab.telemetry import Metrics
from trimtab.telemetry.otlp import open_otlp
try:
    open_otlp("http://127.0.0.1:4318", "trimtab.toml: telemetry.otlp_endpoint", Metrics(), version="1")
except ConfigError as problem:
    print(problem)
"""


def test_without_the_extra_one_line_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOT_INSTALLED], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'trimtab[otel]'" in done.stdout
    assert done.stdout.startswith("trimtab.toml: telemetry.otlp_endpoint: 'http://127.0.0.1:4318'")
    assert done.stdout.count("\n") == 1


def test_nothing_of_the_extra_is_imported_unless_asked() -> None:
    code = "import sys, trimtab.cli, trimtab.app; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
