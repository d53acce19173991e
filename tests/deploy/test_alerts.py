"""The exemplary alerts ask for metrics that exist, say what to do, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.telemetry import names

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
EXPOSED = {
    name
    for metric in names.METRICS
    for name in (
        (f"{metric.name}_bucket", f"{metric.name}_sum", f"{metric.name}_count")
        if metric.kind == "histogram"
        else (metric.exposed,)
    )
}


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric of ours in a query, with the labels that it is filtered by."""
    found = re.findall(r"\b(trimtab_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))) for name, labels in found]


def grouped(expression: str) -> set[str]:
    return {
        label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(",")
    }


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_uses_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    used = selectors(rule["expr"])
    assert used or rule["alert"] == "TrimtabDown"
    by_name = {metric.exposed: metric for metric in names.METRICS}
    known: set[str] = {"instance"}
    for name, labels in used:
        assert name in EXPOSED, f"{name} is not in telemetry/names.py"
        known |= set(by_name[name].labels)
        assert labels <= set(by_name[name].labels), name
    assert grouped(rule["expr"]) <= known
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        assert label in known


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket", "info")
    assert rule["alert"].startswith("Trimtab")
    assert len(rule["annotations"]["summary"]) > 20
    assert len(rule["annotations"]["action"]) > 60
    assert f"`{rule['alert']}`" in (ROOT / "docs" / "operations.md").read_text()


def test_counters_are_asked_for_their_growth_and_gauges_for_their_value() -> None:
    kinds = {metric.exposed: metric.kind for metric in names.METRICS}
    for rule in RULES:
        for name, _ in selectors(rule["expr"]):
            grows = re.search(rf"(rate|increase)\({name}\b", rule["expr"]) is not None
            assert grows == (kinds[name] == "counter"), f"{rule['alert']}: {name}"


def test_metrics_that_queries_name_in_alerts_and_documentation_exist() -> None:
    for page in (FOLDER / "alerts.yaml", FOLDER / "alerts.test.yaml", ROOT / "docs" / "operations.md"):
        for name in re.findall(r"\btrimtab_[a-z_]+\b", page.read_text()):
            assert name in EXPOSED | {metric.name for metric in names.METRICS}, f"{page.name}: {name}"


def test_every_alert_is_in_the_tests_of_promtool() -> None:
    tested = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())
    silent = {case["alertname"] for case in tested["tests"][0]["alert_rule_test"]}
    assert silent == {rule["alert"] for rule in RULES}
    firing = tested["tests"][1]["promql_expr_test"][0]["exp_samples"][0]["value"]
    assert firing == len(RULES)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian: prometheus) is not installed")
def test_promtool_takes_the_rules_and_sees_them_fire() -> None:
    for arguments in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(
            ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
