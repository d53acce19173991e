"""What the page on budgets tells people to type works, its configuration loads, and its check of signatures is right."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from trimtab.app import load_settings
from trimtab.budgets.webhooks import signature

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "budgets.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    script = 'set -e\ntrimtab() { "$PYTHON" -m trimtab "$@"; }\n' + block("sh")
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env={"PYTHON": sys.executable, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "250",
             "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for said in (
        "budget team-b of team team-b: $450.50 a month, 600 requests a minute",
        "2,000,000 tokens a day, soft",
        "from 70 % on",
        "a request is counted now on:",
        "None refuses: nothing of any limit is spent yet.",
        "now $450.50 a month",
        "budget bob-tokens is removed",
        "2026-10: no records",
        "budgets.remove",
    ):
        assert said in done.stdout, said


def test_the_configuration_means_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "trimtab.toml").write_text(block("toml"))
    found = load_settings(tmp_path / "trimtab.toml").budgets
    assert {name: one.whose(name) for name, one in found.items()} == {
        "team-a": ("team", "team-a"), "ann": ("user", "ann"), "each-key": ("key", "*"), "night": ("tag", "night"),
    }  # fmt: skip
    assert found["night"].soft


def test_the_check_of_signatures_takes_ours_and_no_other() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    genuine = names["genuine"]
    header = signature("quiet", 1_795_000_123, b'{"a":1}')
    assert genuine("quiet", header, b'{"a":1}')
    assert not genuine("quiet", header, b'{"a":2}')
    assert not genuine("loud", header, b'{"a":1}')
