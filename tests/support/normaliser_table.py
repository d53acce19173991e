"""The table of rules in docs/normaliser.md, made from the rules.

python tests/support/normaliser_table.py   # writes it into the page
"""

from pathlib import Path

from trimtab.normaliser import Normaliser, NormaliserSettings, shipped_rules

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "normaliser.md"
START, END = "<!-- rules -->\n", "<!-- end of rules -->\n"


def table() -> str:
    """All rules, in the order in which they are applied."""
    lines = ["| rule | what it is about | what `adapt` does |", "|---|---|---|"]
    for rule in Normaliser(NormaliserSettings(), shipped_rules()).rules:
        silent = " *(silent)*" if rule.kind == "silent" else ""
        unsure = " One source only." if rule.unverified else ""
        lines.append(f"| `{rule.id}` | {rule.about}{silent}{unsure} | {rule.does} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """What the page has between the marks."""
    return PAGE.read_text().partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(before + START + table() + END + rest.partition(END)[2])
