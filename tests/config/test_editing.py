"""A value is changed where it stands; comments, order and every other byte stay; the diff applies."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.config.editing import unified, with_value
from trimtab.errors import ConfigError

FILE = """# ours
version = 1

[tiers]   # roles
default = "claude-sonnet-4-6"

[scenarios]
coding = "high"   # why: 2026-10
triage = {effort = "low", note = "a, b # c"}
# the end of scenarios

[routes.review]
match = {tags = ["review"]}
tier = "escalation"
"""


@pytest.mark.parametrize(
    ("table", "key", "old", "new"),
    [
        (("scenarios", "coding"), "effort", 'coding = "high"   # why', 'coding = "low"   # why'),
        (("scenarios", "triage"), "effort", '{effort = "low", note', '{effort = "low", note'),
        (
            ("scenarios", "agent"),
            "effort",
            "# the end of scenarios\n",
            '# the end of scenarios\nagent = "low"\n',
        ),
        (("routes", "review"), "effort", "[routes.review]\n", '[routes.review]\neffort = "low"\n'),
        (("routes", "review"), "tier", 'tier = "escalation"', 'tier = "low"'),
    ],
)
def test_one_value_changes_and_nothing_else(table: tuple[str, ...], key: str, old: str, new: str) -> None:
    assert with_value(FILE, table, key, "low") == FILE.replace(old, new)
    carriage = FILE.replace("\n", "\r\n")
    assert with_value(carriage, table, key, "low") == carriage.replace(
        old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    )


def test_what_is_not_there_is_written_at_the_end_and_short_forms_become_long_ones() -> None:
    assert with_value("", ("scenarios", "coding"), "effort", "low") == '[scenarios]\ncoding = "low"\n'
    phases = {"analysis": 30, "report": 70}
    made = with_value(FILE, ("scenarios", "coding"), "phases", phases)
    assert 'coding = {effort = "high", phases = {analysis = 30, report = 70}}   # why' in made
    made = with_value("a = 1", ("scenarios", "x"), "phases", phases, beside='effort = "max"')
    assert tomllib.loads(made)["scenarios"]["x"] == {"effort": "max", "phases": phases}
    made = with_value(made, ("scenarios", "x"), "phases", {"report": 100})
    assert tomllib.loads(made)["scenarios"]["x"]["phases"] == {"report": 100}


@pytest.mark.parametrize(
    "text",
    [
        'scenarios = {coding = "high"}\n',
        'scenarios.coding = "high"\n',
        '[scenarios]\n"cod\\u0069ng" = "high"\n',
        '[scenarios]\ncoding = """\nhigh"""\n',
        "[scenarios\n",
    ],
)
def test_what_cannot_be_changed_for_sure_is_left_to_a_person(text: str) -> None:
    with pytest.raises(ConfigError, match=r'scenarios\.coding\.effort: .*set it to "low" by hand'):
        with_value(text, ("scenarios", "coding"), "effort", "low")


VALUES = st.sampled_from(['"high"', "'high'", '{effort = "max"}', '{note = "]", effort = "max" }'])
LINES = st.lists(
    st.sampled_from(
        ["", "# c", "[scenarios]", "[tiers]", 'default = "x"', "n = [1,", "2]", "[scenarios.coding]"]
    )
    | VALUES.map(lambda value: f"coding = {value} # why")
    | VALUES.map(lambda value: f"effort = {value}"),
    max_size=8,
)


@given(LINES, st.booleans())
def test_whatever_a_file_looks_like_it_says_the_same_but_for_the_one_value(
    lines: list[str], ended: bool
) -> None:
    text = "\n".join(lines) + ("\n" if ended else "")
    try:
        made = with_value(text, ("scenarios", "coding"), "effort", "low")
    except ConfigError:
        return
    wanted = tomllib.loads(text)
    section = wanted.setdefault("scenarios", {})
    if isinstance(section.get("coding"), dict):
        section["coding"]["effort"] = "low"
    else:
        section["coding"] = "low"
    assert tomllib.loads(made) == wanted


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.parametrize("text", ["", "version = 1", FILE, FILE.rstrip("\n"), FILE.replace("\n", "\r\n")])
def test_the_diff_makes_the_new_file_of_the_old_one(tmp_path: Path, text: str) -> None:
    new = with_value(text, ("scenarios", "quick"), "effort", "low")
    if text:
        (tmp_path / "trimtab.toml").write_bytes(text.encode())
    (tmp_path / "x.diff").write_bytes(unified("trimtab.toml", text, new).encode())
    done = subprocess.run(
        ["patch", "-p0", "--binary", "-i", "x.diff"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "trimtab.toml").read_bytes() == new.encode()
