"""Metrics: names and labels that dashboards rely on."""

from trimtab.telemetry import Metrics, names


def test_the_exposition_has_every_metric_with_closed_labels() -> None:
    metrics = Metrics()
    metrics.request("messages", "m", "p", "ok", False, True, 0.2)
    metrics.attempt("m", "p", "reported", 1_500_000_000, False, 0.1)
    metrics.attempt("m", "p", "unbilled", 0, False, None)
    metrics.tokens("m", "input", 5, True)
    metrics.tokens("m", "input", None, True)
    metrics.upstream_error("p", "no_answer")
    metrics.watch(names.HELD_USD, lambda: 2.5)
    metrics.watch(names.RECORDS_DROPPED, lambda: 3)
    text = metrics.render().decode()
    for line in (
        'trimtab_requests_total{endpoint="messages",model="m",platform="p",result="ok",simulated="false"} 1.0',
        'trimtab_cost_usd_total{model="m",platform="p",simulated="false",source="reported"} 1.5',
        'trimtab_tokens_total{kind="input",model="m",simulated="true"} 5.0',
        'trimtab_upstream_errors_total{kind="no_answer",platform="p"} 1.0',
        'trimtab_request_seconds_count{endpoint="messages",stream="true"} 1.0',
        "trimtab_first_content_seconds_count 1.0",
        "trimtab_held_usd 2.5",
        "trimtab_records_dropped_total 3.0",
    ):
        assert line in text, text
    assert 'source="unbilled"' not in text


def test_two_registries_do_not_share() -> None:
    Metrics().request("messages", "m", "p", "ok", False, False, 1)
    assert 'endpoint="messages"' not in Metrics().render().decode()
