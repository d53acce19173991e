"""What is printed is read by people and programs, never obeyed by a terminal."""

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.cli.tables import Rows, console
from trimtab.cli.term import print_json, say, warn
from trimtab.errors import printable, visible
from trimtab.telemetry.logs import _one_line

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = "\x1b[31m \x9b2J \u202eevil\u2066 \u200b \x07\x7f\x85\u2028"
ESCAPED = r"\x1b[31m \x9b2J \u202eevil\u2066 \u200b \x07\x7f\x85\u2028"


@given(TEXTS)
def test_visible_text_is_printable_and_says_which_character_it_was(text: str) -> None:
    said = visible(text)
    assert said.isprintable()
    assert said == text or not text.isprintable()
    if "\\" not in text:
        assert said.encode("ascii", "backslashreplace").decode("unicode_escape") == text


def test_commands_tables_and_log_lines_spell_it_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    warn(HOSTILE)
    table = Rows("one")
    table.add(HOSTILE)
    console().print(table)
    out, problem = capsys.readouterr()
    lines = [line.strip() for line in out.splitlines()]
    assert [lines[0], lines[-1] or lines[-2]] == [ESCAPED, ESCAPED]
    assert problem == f"trimtab: {ESCAPED}\n"
    assert _one_line(HOSTILE) == printable(HOSTILE) == ESCAPED


def test_a_narrow_terminal_shows_it_in_lines_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = Rows("one", "two")
    table.add(HOSTILE, HOSTILE)
    console().print(table)
    console().print(HOSTILE)
    said = capsys.readouterr().out
    assert all(line.isprintable() for line in said.splitlines())
    assert "evil" in said


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=6))
def test_json_reads_the_same_and_holds_nothing_that_a_terminal_obeys(value: object) -> None:

    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_json(value)
    said = out.getvalue()
    assert all(line.isprintable() for line in said.split("\n"))
    assert json.loads(said) == value
