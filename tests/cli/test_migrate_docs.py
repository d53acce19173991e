"""The transcript of docs/migrate.md is what the command prints; its names and its picture are those of the program."""

import os
import re
from pathlib import Path

import pytest
from migration_cases import CASES, entry
from typer.testing import CliRunner

from trimtab.cli.migrate import command
from trimtab.migration.judging import SILENT

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migrate.md"
PICTURE = PAGE.parent / "images" / "migrate.svg"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def transcript() -> str:
    """Run the first command of the page on its example, in the folder that is current."""
    Path("requests.jsonl").write_text(blocks("json")[0], encoding="utf-8")
    words = blocks("sh")[0].split()
    assert words[:2] == ["trimtab", "migrate"]
    return CliRunner().invoke(command, words[2:]).stdout


def picture() -> str:
    """The picture of the page: all cases of the move from Opus 4.6 to 4.7."""
    Path("cases.jsonl").write_text(
        "\n".join(entry(name, "claude-opus-4-6") for name in CASES), encoding="utf-8"
    )
    CliRunner().invoke(command, ["claude-opus-4-6", "claude-opus-4-7", "cases.jsonl", "--picture", "p.svg"])
    return Path("p.svg").read_text(encoding="utf-8")


def without_days(svg: str) -> str:
    return re.sub(r"\d{4}-\d{2}-\d{2}", "DAY", svg)


def test_the_transcript_is_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert blocks("text")[0] == transcript(), "python tests/cli/test_migrate_docs.py writes it"


def test_the_report_fits_a_terminal_of_80_columns() -> None:
    assert [line for line in blocks("text")[0].splitlines() if len(line) > 80] == []


def test_the_picture_is_what_the_command_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert without_days(PICTURE.read_text(encoding="utf-8")) == without_days(picture())


def test_every_silent_change_has_its_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in SILENT)


if __name__ == "__main__":
    os.chdir("/tmp")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        re.sub(r"```text\n.*?```", lambda _: f"```text\n{transcript()}```", text, count=1, flags=re.DOTALL)
    )
    PICTURE.write_text(picture(), encoding="utf-8")
