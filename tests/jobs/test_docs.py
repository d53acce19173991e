"""The handler that the documentation shows works."""

import re
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


def test_the_settings_are_all_there_with_their_defaults() -> None:
    shown = msgspec.toml.decode(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL).group(1))["jobs"]  # type: ignore[union-attr]
    assert msgspec.convert(shown, JobSettings) == JobSettings()
    assert set(shown) == set(JobSettings.__struct_fields__)
