"""The tables and examples of docs/effort.md are what happens."""

import re

import pytest
from effort_bench import EffortBench
from effort_table import PAGE, TABLES, written


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_page_is_made_from_what_is_done(name: str) -> None:
    assert written(name) == TABLES[name](), (
        "PYTHONPATH=src:tests/support python tests/support/effort_table.py writes it"
    )


def test_the_example_of_what_one_sees_is_what_one_sees() -> None:
    job = EffortBench().job("claude-opus-4-6", {"x-trimtab-effort": "xhigh"})
    text = re.sub(r"\s+", " ", PAGE.read_text())
    assert f"`x-trimtab-adaptations: {', '.join(job.adaptations)}`" in text
    assert f"`x-trimtab-arm: {job.plan.arm}`" in text
    assert f"`{job.plan.reasons[-1]}`" in text
