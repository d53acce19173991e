"""Real servers for real clients: each runs in a process of its own, on a free port, with its own files."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

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
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
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
        path.write_text(f'version = 1\n[store]\nurl = "sqlite:///{self.store}"\n{config}')
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
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        pytest.fail(f"the server was not ready after {READY_S} s:\n{self.log.read_text()}")

    def record(self, request_id: str) -> dict[str, Any]:
        """The record of a request, waiting for the writer: records reach the store in batches."""
        give_up = time.monotonic() + 5
        while True:
            try:
                with urllib.request.urlopen(
                    f"{self.url}/trimtab/v1/requests/{request_id}", timeout=5
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


@dataclass
class Received:
    """One request as it came over the wire."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in order."""
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def names(self) -> set[bytes]:
        return {key for key, _ in self.headers}


Answer = Callable[[Received], Iterable[bytes]]


@dataclass
class Upstream:
    """A platform made of a bare socket: it keeps what it gets, and sends exactly the pieces it is told to.

    An answer's pieces are whole HTTP, head included. Each piece is sent by itself. A `hold` in between lets a test
    decide when the next one goes.
    """

    answer: Answer
    received: list[Received] = field(default_factory=list)
    closed_at: list[float] = field(default_factory=list)
    """When the other side closed a connection before the answer was out, by `time.monotonic`."""
    pause_s: float = 0.0005
    """Between pieces, so that they arrive apart."""

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            try:
                while (request := self._read(reader)) is not None:
                    self.received.append(request)
                    for piece in self.answer(request):
                        if not piece:
                            return  # an empty piece: cut the connection here
                        connection.sendall(piece)
                        time.sleep(self.pause_s)
            except (ConnectionError, OSError):
                self.closed_at.append(time.monotonic())

    @staticmethod
    def _read(reader: Any) -> Received | None:
        line = reader.readline()
        if not line:
            return None
        target = line.split(b" ")[1]
        headers: list[tuple[bytes, bytes]] = []
        while (line := reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            headers.append((name.lower(), value.strip()))
        named = dict(headers)
        if b"chunked" in named.get(b"transfer-encoding", b""):
            body = b""
            while size := int(reader.readline().split(b";")[0], 16):
                body += reader.read(size)
                reader.readline()
            reader.readline()
        else:
            body = reader.read(int(named.get(b"content-length", b"0")))
        return Received(target, headers, body)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """A stand-in platform. Set its `answer` before each use."""
    stub = Upstream(lambda _: [b"HTTP/1.1 500 Unset\r\ncontent-length: 0\r\n\r\n"])
    yield stub
    stub.close()
