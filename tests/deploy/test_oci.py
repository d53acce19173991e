"""The container recipe, checked by its structure: no builder of images runs here, and no linter of them is used."""

import json
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from trimtab.gateway import Listen, ServerSettings

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "oci"


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), continued lines joined."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines if line.strip()]


ALL = instructions()
LAST_STAGE = ALL[max(number for number, (name, _) in enumerate(ALL) if name == "FROM") :]


def of(name: str, stage: list[tuple[str, str]] = ALL) -> list[str]:
    return [arguments for found, arguments in stage if found == name]


def test_only_instructions_that_every_builder_knows() -> None:
    known = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL",
             "HEALTHCHECK", "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {name for name, _ in ALL} <= known, "ADD, SHELL and the like are not wanted"


def test_the_base_is_slim_and_pinned_to_one_release() -> None:
    assert ALL[0][0] == "ARG"
    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-bookworm", ALL[0][1])
    assert len(of("FROM")) == 2
    assert all(stage.split()[0] == "${BASE}" for stage in of("FROM"))


def test_every_package_is_installed_by_hash_or_from_the_wheel_just_built() -> None:
    installs = [
        part for run in of("RUN") for part in run.split("&&") if re.search(r"\bpip (install|wheel)\b", part)
    ]
    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or ("--no-index" in install and "--no-deps" in install), install
    assert not any(word in run for run in of("RUN") for word in ("curl", "wget", "apt-get", "git clone"))


def test_the_locks_that_it_names_hold_hashes() -> None:
    for lock in ("runtime.txt", "build.txt"):
        text = (ROOT / "requirements" / lock).read_text()
        pins = re.findall(r"^\S+==\S+", text, re.MULTILINE)
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)
    assert of("ARG")[1] == "LOCK=requirements/runtime.txt"


def test_what_it_copies_is_there_and_reaches_the_builder() -> None:
    ignore = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore, "nothing goes to the builder but what is named"
    for copy in of("COPY"):
        if copy.startswith("--from="):
            continue
        for source in copy.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignore, source


def test_the_program_runs_as_a_user_of_its_own() -> None:
    assert of("USER", LAST_STAGE) == ["10001:10001"]
    after = [name for name, _ in LAST_STAGE[LAST_STAGE.index(("USER", "10001:10001")) :]]
    assert "RUN" not in after
    assert "COPY" not in after, "it cannot change its own program"
    assert json.loads(of("VOLUME", LAST_STAGE)[0]) == ["/var/lib/trimtab"]
    assert of("WORKDIR", LAST_STAGE) == ["/var/lib/trimtab"], "where the default store is"


def test_no_secret_is_baked_in() -> None:
    assert not any(
        re.search(r"KEY|TOKEN|SECRET|PASSWORD", words) for words in (*of("ENV"), *of("ARG"), *of("LABEL"))
    )


def test_signals_reach_the_program_and_its_command_exists() -> None:
    assert json.loads(of("ENTRYPOINT", LAST_STAGE)[0]) == ["/opt/trimtab/bin/trimtab"], "no shell in between"
    assert of("STOPSIGNAL", LAST_STAGE) == ["SIGTERM"]
    command, *options = json.loads(of("CMD", LAST_STAGE)[0])
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", command, "--help"], capture_output=True, text=True, check=True
    )
    for name, value in zip(options[::2], options[1::2], strict=True):
        assert name in done.stdout
        if name == "--listen":
            assert int(value.rpartition(":")[2]) == Listen.parse(ServerSettings().listen, "").port
            assert of("EXPOSE", LAST_STAGE) == [value.rpartition(":")[2]]


def health_check(port: int) -> int:
    """Run the recipe's own check, on another port and with this Python."""
    arguments = json.loads(of("HEALTHCHECK", LAST_STAGE)[0].partition("CMD ")[2])
    assert arguments[:2] == ["/opt/trimtab/bin/python", "-c"]
    assert "'/healthz'" in arguments[2], "alive, not ready"
    code = arguments[2].replace("8787", str(port))
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    ).returncode


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (500, False)])
def test_the_health_check_tells_well_from_unwell(status: int, healthy: bool) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert (health_check(server.server_address[1]) == 0) == healthy
        thread.join()
    assert asked == ["/healthz"]


def test_the_health_check_fails_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert health_check(port) != 0
