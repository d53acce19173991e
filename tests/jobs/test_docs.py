"""The handler that the documentation shows works."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from trimtab.jobs import JobSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "jobs.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def test_the_example_runs(url: str) -> None:
    namespace: dict[str, Any] = {}
    exec(compile(block("python"), "docs/jobs.md", "exec"), namespace)
    assert msgspec.json.decode(namespace["main"](url)) == {"sent": 15, "status": 202}


def test_the_example_runs_as_the_page_says_and_again(tmp_path: Path) -> None:
    (tmp_path / "tides.py").write_text(block("python"))
    expected = re.search(r"\$ \.venv/bin/python tides\.py\n(.*)\n", PAGE)
    assert expected
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "tides.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == expected.group(1) + "\n"
    assert (tmp_path / "tides.db").exists()


def test_the_settings_are_all_there_with_their_defaults() -> None:
    shown = msgspec.toml.decode(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL).group(1))["jobs"]  # type: ignore[union-attr]
    assert msgspec.convert(shown, JobSettings) == JobSettings()
    assert set(shown) == set(JobSettings.__struct_fields__)
