"""Writes the table of content classes into docs/catalogue.md from the data."""

from pathlib import Path

from trimtab.catalogue.token_tables import ABOUT, DENSITY, FITS

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "catalogue.md"
START, END = "<!-- classes -->\n", "<!-- end of classes -->\n"
HEAD = (
    "| class | what it is | characters per token, v3 and v4.7 | error of an estimate |\n|---|---|---|---|\n"
)


def table() -> str:
    """The table as it should be."""
    rows = []
    for name, about in ABOUT.items():
        per_token, ratio = DENSITY[name]
        error = max(FITS[name].error_v3, FITS[name].error_v47)
        rows.append(
            f"| `{name}` | {about} | {per_token:.2f}, {per_token / ratio:.2f} | {error:.0%} |\n".replace(
                "%", " %"
            )
        )
    return HEAD + "".join(rows)


def written() -> str:
    """The table as it stands there."""
    return PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    PAGE.write_text(before + START + table() + END + rest.partition(END)[2], encoding="utf-8")
