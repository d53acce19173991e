"""Names that dashboards, alerts and log filters rely on: all in one file, all documented, none invented elsewhere."""

import asyncio
import re
from pathlib import Path

import pytest
from serving_harness import ASK, run, site

from trimtab.telemetry import names

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
SOURCE = sorted((ROOT / "src" / "trimtab").rglob("*.py"))


def row(metric: names.Instrument) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.help} |"


def test_every_metric_has_its_row_in_the_documentation() -> None:
    documented = [line for line in PAGE.splitlines() if line.startswith("| `trimtab_")]
    expected = [row(metric) for metric in names.METRICS]
    assert documented == expected, "docs/operations.md, table of metrics: should be\n" + "\n".join(expected)


def test_every_metric_of_the_file_is_listed() -> None:
    defined = [value for value in vars(names).values() if isinstance(value, names.Instrument)]
    assert sorted(metric.name for metric in defined) == sorted(metric.name for metric in names.METRICS)
    assert len({metric.exposed for metric in names.METRICS}) == len(names.METRICS)


@pytest.mark.parametrize("field", [*names.LOG_FIELDS, *names.ACCESS_FIELDS])
def test_every_field_of_a_log_line_is_documented(field: str) -> None:
    assert f"`{field}`" in PAGE


def test_no_metric_or_attribute_is_named_elsewhere() -> None:
    ours = re.compile(r'"(trimtab_(?!worker)[a-z_]+|gen_ai\.[a-z_.]+)"')
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCE
        if path.name != "names.py" or path.parent.name != "telemetry"
        for name in ours.findall(path.read_text())
        if name != "trimtab_request"  # the context variable of the log
    }
    assert not found, "write the name in telemetry/names.py and take it from there"


def test_a_serving_process_exposes_only_metrics_of_the_file_with_its_labels(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            assert (await s.post(ASK))[0] == 200
            assert (await s.post({**ASK, "stream": True}))[0] == 200
            await asyncio.sleep(0)
            known = {metric.name: metric for metric in names.METRICS}
            for family in s.application.metrics.registry.collect():
                metric = known[family.name]
                assert family.type == metric.kind
                assert family.documentation == metric.help
                for sample in family.samples:
                    assert set(sample.labels) - {"le"} == set(metric.labels)

    run(work)
