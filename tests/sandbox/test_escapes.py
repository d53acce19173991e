"""Every way out of the sandbox that we could think of, made by whoever runs the tests, and as root by an ordinary user too."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import escapes
import pytest
from sandboxes import need_sandbox

ORDINARY = 61_234
"""A user that nobody is."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of all attempts, by name."""
    need_sandbox()
    return asyncio.run(escapes.all_made(tmp_path_factory.mktemp("machine")))


@pytest.fixture(scope="module")
def by_an_ordinary_user(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of all attempts, by name."""
    need_sandbox()
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("whoever runs the tests is an ordinary user already")
    become = [setpriv, f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--inh-caps=-all"]
    program = [sys.executable, "-P", "-c", "import trimtab.sandbox"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    if subprocess.run([*become, *program], capture_output=True, env=environment, check=False).returncode:
        pytest.skip("an ordinary user may not read the folder of these tests")
    folder = Path("/tmp") / f"trimtab-escapes-{os.getpid()}"
    folder.mkdir()
    try:
        shutil.chown(folder, ORDINARY, ORDINARY)
        done = subprocess.run(
            [*become, sys.executable, "-P", str(Path(escapes.__file__)), str(folder)],
            capture_output=True,
            env=environment,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", escapes.ATTEMPTS)
def test_it_is_held(made: dict[str, str], name: str) -> None:
    assert made[name] == ""


@pytest.mark.parametrize("name", escapes.ATTEMPTS)
def test_it_is_held_where_an_ordinary_user_runs_it(by_an_ordinary_user: dict[str, str], name: str) -> None:
    assert by_an_ordinary_user[name] == ""


def test_the_attempts_do_get_out_where_nothing_holds_them(tmp_path: Path) -> None:
    """Those that do no harm."""
    names = (
        "read a file of the machine",
        "find a secret in an environment",
        "see the machine's processes",
        "find devices",
        "become root",
        "connect to the machine",
        "talk to the machine over local sockets",
        "hide memory that is shared",
        "hide memory in the kernel",
        "have the machine's handler of crashes read it",
    )
    for name, said in escapes.made_bare(tmp_path, *names).items():
        assert "ESCAPED" in said, name
