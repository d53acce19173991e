"""A server as a service manager and a log collector see it: ready, JSON to the last line, stopped."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECRET = "a-very-secret-platform-key"
CONFIG = """version = 1
[store]
url = "sqlite:///{folder}/t.db"
[telemetry]
log_format = "json"
access_log = true
[platforms.sim]
kind = "simulator"
latency_scale = 0.0
[platforms.claude]
kind = "anthropic"
api_key = "env:PLATFORM_KEY"
base_url = "http://127.0.0.1:9"
"""
ASK = json.dumps(
    {
        "model": "trimtab/default",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
    }
).encode()


@contextmanager
def manager() -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket; its path is short, as such addresses must be."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taken:
        path = f"{folder}/n"
        taken.bind(path)
        taken.settimeout(30)
        yield taken, path


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_says_when_it_is_ready_and_logs_only_json(tmp_path: Path, workers: int) -> None:
    config = tmp_path / "trimtab.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    with (
        manager() as (told, address),
        (tmp_path / "out").open("wb") as out,
        (tmp_path / "err").open("wb") as err,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab", "serve", "--config", str(config), "--listen", "127.0.0.1:0",
             "--workers", str(workers)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NOTIFY_SOCKET": address, "PLATFORM_KEY": SECRET},
            stdout=out,
            stderr=err,
        )  # fmt: skip
        try:
            assert told.recv(100) == b"READY=1"
            first = (tmp_path / "out").read_text().splitlines()[0]
            connection = http.client.HTTPConnection("127.0.0.1", int(first.rpartition(":")[2]), timeout=60)
            headers = {"anthropic-version": "2023-06-01", "content-type": "application/json"}
            connection.request("POST", "/v1/messages", ASK, headers)
            answer = connection.getresponse()
            answer.read()
            request = answer.headers["x-trimtab-request"]
            assert answer.status == 200
            connection.request("GET", "/readyz")
            assert json.loads(connection.getresponse().read())["store"] == "ok"
            connection.close()
            config.write_text(CONFIG.format(folder=tmp_path) + "\n[oops\n")
            process.send_signal(signal.SIGHUP)  # a refused reload is a line as well
            while "refused" not in (tmp_path / "err").read_text() and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(60)
    assert status == 0
    lines = [json.loads(line) for line in (tmp_path / "err").read_text().splitlines()]
    (access,) = [line for line in lines if line["logger"] == "trimtab.access"]
    assert access["request"] == request
    assert access["status"] == 200
    assert ("worker" in access) == (workers > 1)
    assert any("oops" in line["message"] or "TOML" in line["message"] for line in lines)
    assert SECRET not in (tmp_path / "err").read_text()
