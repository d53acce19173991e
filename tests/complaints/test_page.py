"""docs/complaints.md and the suite say the same."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ASKED = {1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 29, 30}
"""The complaints that concern what there is by now."""


def documented() -> dict[int, set[str]]:
    """The tests that the page names, by complaint."""
    page = (ROOT / "docs" / "complaints.md").read_text()
    rows = re.findall(r"^\| (\d+) \|[^|]+\| ([^|]+) \|$", page, re.MULTILINE)
    return {int(number): set(re.findall(r"`(test_\w+)`", tests)) for number, tests in rows}


def written() -> dict[int, set[str]]:
    """The tests that there are, by the complaints that their docstrings name."""
    found = defaultdict(set)
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if path != Path(__file__) and isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                said = re.match(
                    r"Complaints? ([\d, and]+), .*\(.+#\d+.*\)", ast.get_docstring(node) or "", re.DOTALL
                )
                assert said, f"{node.name}: its docstring names its complaint and where it was reported"
                for number in re.findall(r"\d+", said[1]):
                    found[int(number)].add(node.name)
    return found


def test_every_complaint_on_the_page_has_its_tests_and_every_test_is_on_the_page() -> None:
    assert documented() == written()
    assert set(written()) == ASKED


def test_the_other_evidence_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "complaints.md").read_text()
    for path in re.findall(r"`((?:benchmarks|tests)/[\w/.]+)`", page):
        assert (ROOT / path).exists(), path
