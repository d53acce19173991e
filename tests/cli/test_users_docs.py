"""What the page on users tells people to type works, and its configuration loads."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec

from trimtab.gateway import ServerSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "users.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    script = (
        'set -e\ntrimtab() { "$PYTHON" -m trimtab "$@"; }\n'
        "PASSWORD='correct horse battery' PASSWORD2='another horse battery'\n" + block("sh")
    )
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env={"PYTHON": sys.executable, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for said in ("bob is a viewer now", "bob is an operator now", "bob is removed", "console_users.password"):
        assert said in done.stdout


def test_the_configuration_behind_a_proxy_is_one() -> None:
    found = msgspec.convert(tomllib.loads(block("toml"))["server"], ServerSettings)
    assert found.require_keys
    assert found.allowed_origins == ("https://trimtab.example",)
