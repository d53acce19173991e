"""Tables as a person meets them: at every width, and with names that somebody hostile chose."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from trimtab.cli.tables import Rows, card, console
from trimtab.errors import visible

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "\u202etxt.exe",
    "\u2066a\u2069\u200b",
    "two\nlines  spent $0",
    "\r$0 spent",
    "[bold red]:bomb:[/]",
    "\x9b31m\x7f",
    "n" * 10_000,
    "\ud800",
    "",
)


def drawn(
    what: object, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    console().print(what)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def budgets() -> Rows:
    rows = Rows(
        ("name", "of"),
        ("limit", "renews"),
        "held",
        "forecast",
        wraps={"of": 12, "forecast": 14},
        right=("held",),
    )
    rows.add("team-a", "team a", "$500 a month", "2026-12-01", "", "no data: no use before this day")
    rows.add("team-b", "team b", "$20 a day", "2026-11-23", "", "$12.40 at its end")
    return rows


def test_columns_stand_side_by_side_then_below_each_other_then_each_row_has_lines_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drawn(budgets(), 90, monkeypatch, capsys) == [
        "name    of      limit         renews      forecast",
        "─" * 73,
        "team-a  team a  $500 a month  2026-12-01  no data: no use before this day",
        "team-b  team b  $20 a day     2026-11-23  $12.40 at its end",
    ]
    assert drawn(budgets(), 44, monkeypatch, capsys) == [
        "name      limit         forecast",
        "  of      renews",
        "─" * 44,
        "team-a    $500 a month  no data: no use",
        "  team a  2026-12-01    before this day",
        "team-b    $20 a day     $12.40 at its end",
        "  team b  2026-11-23",
    ]
    assert drawn(budgets(), 30, monkeypatch, capsys)[:5] == [
        "team-a",
        "  of        team a",
        "  limit     $500 a month",
        "  renews    2026-12-01",
        "  forecast  no data: no use",
    ]


def test_a_pipe_has_120_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = Rows("id", "says", wraps={"says": 20})
    rows.add("key_1", "many words " * 40)
    console().print(rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[2].startswith("key_1  many words")


@given(
    st.lists(st.tuples(*[st.text(max_size=40)] * 4), min_size=1, max_size=3),
    st.integers(20, 130),
)
def test_no_line_is_wider_than_the_terminal_but_one_that_begins_a_row_and_nothing_is_lost(
    cells: list[tuple[str, ...]], width: int
) -> None:
    rows = Rows(("a", "b"), ("c", "d"), wraps={"b": 8, "d": 8}, right=("c",))
    for row in cells:
        rows.add(*row)
    out = console()
    out.width = width
    with out.capture() as caught:
        out.print(rows)
    said = caught.get()
    firsts = {next((visible(cell) for cell in row if cell), "") for row in cells}
    for line in said.splitlines():
        assert line.isprintable()
        assert cell_len(line.rstrip()) <= width or line.rstrip() in firsts
    assert not Counter(visible("".join(map("".join, cells))).replace(" ", "")) - Counter(said)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_commands_no_terminal_forges_no_line_and_stays_short(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Rows(("id", "name"), "spent")
    rows.add("key_1", name, "$3")
    rows.add("key_2", "plain", "$4")
    shown = drawn(rows, width, monkeypatch, capsys)
    told = drawn(card([("id", "key_1"), ("name", name[:90])]), width, monkeypatch, capsys)
    for line in (*shown, *told):
        assert line.isprintable()
        assert cell_len(line) <= width or line.startswith("key_")
        assert not line.startswith(("lines", "$0"))
    assert len(shown) < 30
    assert not name.startswith("[bold") or "[bold red]:bomb:[/]" in "".join(shown)
