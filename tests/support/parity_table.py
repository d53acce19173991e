"""The table of cases in docs/parity.md, made from the cases.

python tests/support/parity_table.py   # writes it into the page
"""

from pathlib import Path

from trimtab.evals.parity import Case, shipped_cases

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "parity.md"
START, END = "<!-- cases -->\n", "<!-- end of cases -->\n"


def table() -> str:
    """A row for each case."""
    lines = ["| case | what is asked | compared at once |", "|---|---|---|"]
    lines += [f"| `{case.name}` | {case.about} | {_fixed(case)} |" for case in shipped_cases()]
    return "\n".join(lines) + "\n"


def _fixed(case: Case) -> str:
    return ", ".join(case.fixed) or "-"


def page_with(made: str) -> str:
    """The page with this table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    return before + START + made + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with(table()), encoding="utf-8")
