"""Metrics of several processes read as those of one server."""

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, disable_created_metrics

from trimtab.telemetry import Metrics, names
from trimtab.telemetry.exposition import Family, Sum, exposition, families, totals
from trimtab.telemetry.processes import ConfigMetrics, ReloadMetrics, WorkerMetrics


def worker(requests: int, *, version: str = "v1", writable: bool = True) -> Metrics:
    disable_created_metrics()
    metrics = Metrics()
    ConfigMetrics(metrics.registry).in_force(version, "c")
    metrics.watch(names.IN_FLIGHT, lambda: 2)
    metrics.watch(names.STORE_WRITABLE, lambda: writable)
    for _ in range(requests):
        metrics.request("messages", "m", "p", "ok", False, True, 0.2)
    return metrics


def added(parts: list[list[Family]]) -> list[Family]:
    return Sum(parts).families()


def value(text: bytes, name: str) -> float:
    return float(
        next(line.rpartition(" ")[2] for line in text.decode().splitlines() if line.startswith(name))
    )


def test_one_process_alone_reads_as_it_did() -> None:
    metrics = worker(3)
    assert exposition(families(metrics.registry)) == metrics.render()


def test_counters_histograms_and_gauges_add_up_and_each_metric_is_described_once() -> None:
    parts = [families(worker(n).registry) for n in (1, 4)]
    text = exposition(added(parts))
    assert value(text, "trimtab_requests_total{") == 5
    assert value(text, "trimtab_request_seconds_count{") == 5
    assert value(text, 'trimtab_request_seconds_bucket{endpoint="messages",le="0.25"') == 5
    assert value(text, "trimtab_in_flight_requests ") == 4
    assert text.count(b"# HELP trimtab_requests_total") == 1


def test_an_information_is_not_added_up_and_two_versions_both_show() -> None:
    same = exposition(added([families(worker(0).registry)] * 3))
    assert value(same, "trimtab_config_info{") == 1
    mixed = exposition(added([families(worker(0).registry), families(worker(0, version="v2").registry)]))
    assert mixed.count(b"trimtab_config_info{") == 2


def test_the_store_is_writable_when_it_is_for_everyone() -> None:
    parts = [families(worker(0).registry), families(worker(0, writable=False).registry)]
    assert value(exposition(added(parts)), "trimtab_store_writable ") == 0


def test_what_stays_of_a_dead_process_are_its_counts() -> None:
    left = totals(families(worker(3).registry))
    text = exposition(added([left, families(worker(1).registry)]))
    assert value(text, "trimtab_requests_total{") == 4
    assert value(text, "trimtab_in_flight_requests ") == 2
    assert text.count(b"trimtab_config_info{") == 1


SECONDS = st.lists(st.lists(st.floats(0, 1e6), max_size=6), min_size=1, max_size=5)


def observed(seconds: list[float]) -> list[Family]:
    metrics = worker(0)
    for each in seconds:
        metrics.request("messages", "m", "p", "ok", False, True, each)
    return families(metrics.registry)


@settings(max_examples=30)
@given(SECONDS, st.data())
def test_no_counter_falls_by_a_rounding_when_a_process_dies_or_the_order_changes(
    seconds: list[list[float]], data: st.DataObject
) -> None:
    parts = [observed(each) for each in seconds]
    order = data.draw(st.permutations(parts))
    departed = Sum()
    for count, part in enumerate(order):
        departed.add(totals(part))
        total = departed.copy()
        for living in order[count + 1 :]:
            total.add(totals(living))
        assert sorted(total.families(), key=repr) == sorted(
            Sum(totals(each) for each in parts).families(), key=repr
        )


def test_the_parent_tells_of_its_workers_and_reloads() -> None:
    registry = CollectorRegistry()
    workers = WorkerMetrics(registry, lambda: {"running": 2, "starting": 1})
    reloads = ReloadMetrics(registry)
    workers.restarted()
    workers.missing = 1
    reloads.applied()
    text = exposition(families(registry))
    for line in (
        'trimtab_workers{state="running"} 2.0',
        'trimtab_workers{state="starting"} 1.0',
        "trimtab_workers_missing 1.0",
        "trimtab_worker_restarts_total 1.0",
        'trimtab_config_reloads_total{result="applied"} 1.0',
        'trimtab_config_reloads_total{result="refused"} 0.0',
    ):
        assert line in text.decode()
