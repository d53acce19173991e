"""Real servers for real clients: each runs in a process of its own, on a free port, with its own files."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_upstream import Upstream

ROOT = Path(__file__).resolve().parent.parent.parent
READY_S = 20.0
STOP_S = 15.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.e2e)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """No proxies, no keys, nobody's settings: only what a program needs to start."""
    known = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
    kept = {name: os.environ[name] for name in known if name in os.environ}
    return {**kept, "HOME": str(home), **extra}


class Server:
    """A `trimtab serve` that this test started, and stops by its own process id."""

    def __init__(
        self,
        folder: Path,
        config: str,
        environment: dict[str, str],
        host: str = "127.0.0.1",
        before: Callable[[Path], None] = lambda config: None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.store = folder / "trimtab.db"
        path = folder / "trimtab.toml"
        path.write_text(f'version = 1\n[store]\nurl = "sqlite:///{self.store}"\nwait_ms = 5000\n{config}')
        self.config = path
        before(path)
        command = [sys.executable, "-m", "trimtab", "serve", "--listen", f"{host}:{self.port}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--config", str(path)],
                cwd=folder,
                env=clean_environment(folder, **environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + READY_S
        while time.monotonic() < give_up:
            if self.process.poll() is not None:
                pytest.fail(f"the server ended with {self.process.returncode}:\n{self.log.read_text()}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=60) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        pytest.fail(f"the server was not ready after {READY_S} s:\n{self.log.read_text()}")

    def record(self, request_id: str) -> dict[str, Any]:
        """The record of a request, waiting for the writer: records reach the store in batches."""
        give_up = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(
                    f"{self.url}/trimtab/v1/requests/{request_id}", timeout=60
                ) as answer:
                    record: dict[str, Any] = json.load(answer)
                    return record
            except urllib.error.HTTPError as problem:
                if problem.code != 404 or time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Ask, wait, then insist. A server that has to be killed is a failure."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the server did not stop within {STOP_S} s of SIGTERM:\n{self.log.read_text()}")


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """`serve(config, **environment)` starts a server that lives until the module's tests are done.

    `host` is where it listens, `before` is called with its configuration file before it starts.
    """
    servers: list[Server] = []

    def start(
        config: str = "",
        *,
        host: str = "127.0.0.1",
        before: Callable[[Path], None] = lambda config: None,
        **environment: str,
    ) -> Server:
        server = Server(tmp_path_factory.mktemp("server"), config, environment, host, before)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()
    for server in servers:
        assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """A stand-in platform. Set its `answer` before each use."""
    stub = Upstream(lambda _: [b"HTTP/1.1 500 Unset\r\ncontent-length: 0\r\n\r\n"])
    yield stub
    stub.close()
