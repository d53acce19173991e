"""The built wheel, in a clean environment, does what the repository does."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    [wheel] = out.glob("*.whl")
    assert list(out.glob("*.tar.gz")), "the source archive is built too"
    return wheel


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment, in a path with a space, from the runtime lock and the wheel alone."""
    home = tmp_path_factory.mktemp("clean environment")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    pip = [home / "venv/bin/python", "-m", "pip", "--no-input", "-qq", "install"]
    run(*pip, "--require-hashes", "-r", ROOT / "requirements/runtime.txt", cwd=home)
    run(*pip, "--no-deps", wheel, cwd=home)
    return home


def trimtab(home: Path, *arguments: str) -> str:
    return run(home / "venv/bin/trimtab", *arguments, cwd=home)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Data files too: what works from the repository works installed."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("trimtab/")}
    package = ROOT / "src" / "trimtab"
    expected = {
        path.relative_to(ROOT / "src").as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected - held == set()
    for ending in (".yaml", ".sql", ".html", ".css", ".js", ".LICENSE.txt"):
        assert any(name.endswith(ending) for name in held), ending
    assert "trimtab/py.typed" in held


def test_the_lock_satisfies_what_the_wheel_asks_for(home: Path) -> None:
    run(home / "venv/bin/python", "-m", "pip", "check", cwd=home)


def test_it_brings_nothing_that_the_lock_does_not_name(home: Path) -> None:
    listed = json.loads(run(home / "venv/bin/python", "-m", "pip", "list", "--format", "json", cwd=home))
    lock = (ROOT / "requirements/runtime.txt").read_text()
    names = {each["name"].lower().replace("_", "-") for each in listed} - {"pip", "setuptools", "trimtab"}
    assert {name for name in names if f"{name}==" not in lock} == set()


def test_the_licence_travels_with_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [licence] = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_it_says_the_version_that_its_name_has(home: Path, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert trimtab(home, "--version").split() == ["trimtab", version]


def test_help_names_the_commands(home: Path) -> None:
    said = trimtab(home, "--help")
    for command in ("serve", "simulate", "models", "doctor"):
        assert command in said


def test_models_are_listed(home: Path) -> None:
    assert "claude-sonnet-4-6" in json.dumps(json.loads(trimtab(home, "models", "--json")))


def test_it_serves_one_answer(home: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [str(home / "venv/bin/trimtab"), "serve", "--listen", f"127.0.0.1:{port}"],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    body = {
        "model": "trimtab/auto",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
    }
    try:
        give_up = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request(
                    "POST",
                    "/v1/messages",
                    json.dumps(body),
                    {"content-type": "application/json", "anthropic-version": "2023-06-01"},
                )
                answer = connection.getresponse()
                assert answer.status == 200
                assert json.load(answer)["type"] == "message"
                break
            except ConnectionRefusedError:
                assert server.poll() is None, (home / "server.log").read_text()
                assert time.monotonic() < give_up, (home / "server.log").read_text()
                time.sleep(0.05)
            finally:
                connection.close()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0, (home / "server.log").read_text()


def test_the_locks_answer_to_pyproject() -> None:
    """Every dependency of `pyproject.toml` is in the lock: `make lock` was run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements/runtime.txt").read_text().lower()
    for dependency in project["dependencies"]:
        name = dependency.split(">")[0].split("=")[0].split("[")[0].strip().lower().replace("_", "-")
        assert f"\n{name}==" in f"\n{lock}", f"run make lock: {dependency} is not in requirements/runtime.txt"


def test_the_locks_name_hashes_and_nothing_else() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text()
        pinned = text.count("==")
        assert pinned > 0
        assert text.count("--hash=sha256:") >= pinned, f"{lock.name}: a package without a hash"
        assert "://" not in text, f"{lock.name}: an address"
