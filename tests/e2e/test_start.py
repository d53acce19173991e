"""How it starts, idles and stops, as an operator sees it."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apsw
import pytest
from waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
TRIMTAB = [sys.executable, "-m", "trimtab"]
QUESTION = json.dumps(
    {
        "model": "trimtab/default",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
    }
).encode()


HEADERS = {"content-type": "application/json", "anthropic-version": "2023-06-01"}


def post(port: int, body: bytes = QUESTION) -> http.client.HTTPResponse:
    """One request on a connection of its own, which is closed when the answer has been read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/messages", body, {**HEADERS, "connection": "close"})
    return connection.getresponse()


def run(
    arguments: list[str], folder: Path, *, typed: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRIMTAB, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_request_after_a_cold_start_is_answered(serve: Callable[..., Any]) -> None:
    with post(serve().port) as answer:
        assert answer.status == 200
        assert answer.headers["x-trimtab-simulated"] == "true"


def test_commands_beside_a_server_name_the_address_that_it_was_given(serve: Callable[..., Any]) -> None:
    server = serve()
    source = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    made = run(["keys", "add", "ci"], server.folder, **source)
    assert f"ANTHROPIC_BASE_URL={server.url} " in made.stdout, made
    log_in = f"Log in: {server.url}/console\n"
    words = ["users", "add", "ann", "--password-stdin"]
    assert log_in in run(words, server.folder, typed="correct horse battery\n", **source).stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_pages_and_commands_name_the_port_that_port_0_came_to(tmp_path: Path, workers: str) -> None:
    source = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    running = subprocess.Popen(
        [*TRIMTAB, "serve", "--listen", "127.0.0.1:0", "--workers", workers],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **source},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        url = running.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}/console", timeout=60) as answer:
            assert f"curl -s {url}/v1/messages" in answer.read().decode()
        assert f"ANTHROPIC_BASE_URL={url} " in run(["keys", "add", "ci"], tmp_path, **source).stdout
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    (tmp_path / "trimtab.toml").write_text('version = 1\n[server]\nlisten = "127.0.0.1:4321"\n')
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:4321 " in run(["keys", "add", "b"], tmp_path, **source).stdout


def up_to_date(target: str) -> bool:
    """Whether `make` would have nothing to do; it asks before it does anything."""
    return (
        bool(shutil.which("make"))
        and subprocess.run(["make", "-q", target], cwd=ROOT, check=False).returncode == 0
    )


@pytest.mark.skipif(not up_to_date(".venv/.runtime"), reason="set-up is not done here: make set-up")
def test_make_run_answers_and_does_no_set_up_twice(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "trimtab.toml"
    config.write_text(f'version = 1\n[store]\nurl = "sqlite:///{tmp_path}/trimtab.db"\n')
    began = time.monotonic()
    running = subprocess.Popen(
        ["make", "run", f"ARGS=--listen 127.0.0.1:{port} --config '{config}'"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a group of its own, so that stopping it stops make and what make runs
    )
    status = None
    try:
        while status is None and time.monotonic() < began + 20:
            try:
                with post(port) as answer:
                    status = answer.status
            except ConnectionRefusedError:
                time.sleep(0.02)
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
    assert status == 200, said
    assert "set-up:" not in said, "a second run does no set-up"


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """What the operator is told: one line, no traceback."""
    assert result.returncode not in (0, -signal.SIGKILL)
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    assert "Traceback" not in "\n".join(said)
    assert len(said) == 1, said
    return said[0]


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in one_line(run(["serve", "--listen", f"127.0.0.1:{port}"], tmp_path))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("version = 1\n[tiers]\nescalation = 'claude-opus-4-7@hihg'\n", "tiers.escalation"),
        ("version = 1\n[tires]\ndefault = 'claude-sonnet-4-6'\n", "tires"),
        ("version = 2\n", "version"),
        ("version = 1\n[platforms.claude]\nkind = 'anthropic'\napi_key = 'env:NO_SUCH_KEY'\n", "NO_SUCH_KEY"),
        ("version = 1\n[platforms.claude]\nkind = 'anthropic'\napi_key = 'sk-ant-literal'\n", "env:"),
        ("version = 1\n[store]\nurl = 'sqlite:////proc/no/trimtab.db'\n", "/proc/no"),
        ("version = [\n", "trimtab.toml"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_line(config: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "trimtab.toml"
    path.write_text(config)
    line = one_line(run(["serve", "--listen", "127.0.0.1:0", "--config", str(path)], tmp_path))
    if "listen" not in config:
        assert says in line
    assert "sk-ant-literal" not in line


def test_listening_where_others_can_reach_it_needs_a_key(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("version = 1\n[server]\nlisten = '0.0.0.0:0'\n")
    line = one_line(run(["serve", "--config", str(path)], tmp_path))
    assert re.search(r"'0\.0\.0\.0:[1-9]\d*': other machines can reach this address", line)
    assert line.endswith(f"trimtab keys add NAME --config {path}")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_banner_says_what_can_be_used(tmp_path: Path, workers: str) -> None:
    (tmp_path / "trimtab.toml").write_text('version = 1\n[server]\nlisten = "0.0.0.0:0"\n')
    made = run(["keys", "add", "first"], tmp_path)
    assert "ANTHROPIC_BASE_URL=http://HOST:PORT ANTHROPIC_API_KEY=tt-" in made.stdout
    process = subprocess.Popen(
        [*TRIMTAB, "serve", "--workers", workers],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        banner = [process.stdout.readline()]
        while banner[-1] and "what a request cost" not in banner[-1]:
            banner.append(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    text = "".join(banner)
    port = banner[0].strip().rpartition(":")[2]
    assert f"ANTHROPIC_BASE_URL=http://HOST:{port} " in text
    assert f"  reload    kill -HUP {process.pid}\n" in text
    assert "keys add NAME" not in text, "there is a key"


def test_a_stream_in_flight_outlives_sigterm_and_new_requests_are_told_to_come_back(
    serve: Callable[..., Any], upstream: Any
) -> None:
    go_on = threading.Event()
    event = b'event: ping\ndata: {"type": "ping"}\n\n'
    end = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def answer(_: Any) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        yield b"%x\r\n%b\r\n" % (len(event), event)
        go_on.wait(60)
        yield b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end)

    upstream.answer = answer
    server = serve(
        f'[platforms.stub]\nkind = "anthropic"\napi_key = "env:KEY"\nbase_url = "{upstream.url}"\n',
        KEY="sk-1",
    )
    kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    streaming = post(server.port, QUESTION[:-1] + b', "stream": true}')
    assert streaming.read(len(event)) == event
    server.process.send_signal(signal.SIGTERM)
    until(lambda: "1 answer in flight, then stopping" in server.log.read_text(), server.log.read_text)
    try:
        kept.request("POST", "/v1/messages", QUESTION, HEADERS)
        refused = kept.getresponse()
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 0
        assert json.loads(refused.read())["type"] == "error"
    except (ConnectionError, http.client.HTTPException):
        pass  # an idle connection may be closed instead: the client's next attempt goes to another instance
    kept.close()
    go_on.set()
    assert streaming.read() == end
    assert server.process.wait(60) == 0


def test_more_and_more_signals_lose_no_record(serve: Callable[..., Any], upstream: Any) -> None:
    def answer(_: Any) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        for _ in range(100):
            time.sleep(0.1)
            yield b"1\r\n\n\r\n"

    upstream.answer = answer
    server = serve(
        f'[platforms.stub]\nkind = "anthropic"\napi_key = "env:KEY"\nbase_url = "{upstream.url}"\n',
        KEY="sk-1",
    )
    streams = [post(server.port, QUESTION[:-1] + b', "stream": true}') for _ in range(5)]
    for number in range(12):
        server.process.send_signal((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[number % 3])
        time.sleep(0.02 * (number % 4))
    assert server.process.wait(60) == 0
    for stream in streams:
        stream.close()
    rows = apsw.Connection(str(server.store)).execute("SELECT result, count(*) FROM requests GROUP BY 1")
    assert list(rows) == [("cancelled", 5)]
