"""Programs that use an official SDK as its users do, each run in the environment of one version of it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
E2E = ROOT / "tests" / "e2e" / "programs"
"""Where `client`, which all programs share, is."""
VERSIONS = ("0.125", "1.17", "2.11")


def python_of(version: str) -> Path:
    """The interpreter that has this version; the test is skipped where it was not set up."""
    python = ROOT / f".venv-sdk-{version}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no environment for anthropic {version}: make .venv-sdk-{version}/.ready")
    return python


def run_program(
    python: Path, program: Path, url: str, home: Path, log: Path, *arguments: str
) -> dict[str, Any]:
    """What the program printed. A failure shows what it said, and the end of the server's log."""
    done = subprocess.run(
        [str(python), "-W", "error::ResourceWarning", str(program), url, *arguments],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(E2E),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n--- server ---\n{log.read_text()[-4000:]}"
    result: dict[str, Any] = json.loads(done.stdout)
    assert python.parent.parent.name == f".venv-sdk-{'.'.join(result['anthropic'].split('.')[:2])}"
    return result
