"""`trimtab serve` with several processes, and new configurations while it serves, as operators and clients see them."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

SERVE = [sys.executable, "-m", "trimtab", "serve"]
ASK = json.dumps(
    {"model": "trimtab/default", "max_tokens": 8, "messages": [{"role": "user", "content": "?"}]}
)
ASK_STREAM = ASK[:-1] + ', "stream": true}'
HEADERS = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
ANSWER = json.dumps(
    {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": "."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 2, "output_tokens": 1},
    }
).encode()
BEGIN = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":2}}}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Site:
    """A server of several processes, on a port that it may hand over to the next one."""

    def __init__(self, folder: Path, upstream: str, workers: int = 3, port: int = 0) -> None:
        self.folder, self.workers, self.port = folder, workers, port
        self.config = folder / "trimtab.toml"
        self.upstream = upstream
        self.write("first")

    def text(self, mark: str, tier: str = "claude-sonnet-4-6") -> str:
        return (
            f'version = 1  # {mark}\n[store]\nurl = "sqlite:///{self.folder}/t.db"\n[server]\nworkers = {self.workers}\n'
            f'[tiers]\ndefault = "{tier}"\n[platforms.stub]\nkind = "anthropic"\napi_key = "env:KEY"\n'
            f'base_url = "{self.upstream}"\n'
        )

    def write(self, mark: str, tier: str = "claude-sonnet-4-6") -> str:
        """As editors and deployments do it: a new file over the old one. Gives the version."""
        content = self.text(mark, tier)
        beside = self.config.with_suffix(".new")
        beside.write_text(content)
        os.replace(beside, self.config)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def start(self) -> "Site":
        self.log = self.folder / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*SERVE, "--config", str(self.config), "--listen", f"127.0.0.1:{self.port}"],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "KEY": "sk-1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.port = int(self.said(r"serves http://127.0.0.1:(\d+)")[0])
        return self

    def said(self, pattern: str, times: int = 1) -> list[str]:
        """Wait for lines of the log; what the pattern found in each."""
        give_up = time.monotonic() + 60
        while True:
            found = re.findall(pattern, self.log.read_text())
            if len(found) >= times:
                return found
            if time.monotonic() > give_up:
                pytest.fail(f"the server did not say {pattern!r}:\n{self.log.read_text()}")
            time.sleep(0.01)

    def pids(self) -> list[int]:
        """The workers that run now."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return sorted(found)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self) -> http.client.HTTPResponse:
        connection = self.connect()
        connection.request("POST", "/v1/messages", ASK, {**HEADERS, "connection": "close"})
        answer = connection.getresponse()
        answer.read()
        return answer

    def stream(self) -> http.client.HTTPResponse:
        """A stream that has begun."""
        connection = self.connect()
        connection.request("POST", "/v1/messages", ASK_STREAM, {**HEADERS, "connection": "close"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read(len(BEGIN)) == BEGIN
        return answer

    def get(self, path: str) -> bytes:
        connection = self.connect()
        connection.request("GET", path, headers={"connection": "close"})
        return connection.getresponse().read()

    def metrics(self) -> dict[str, float]:
        lines = self.get("/metrics").decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
        }

    def answered(self) -> float:
        """Requests in the metrics of all workers."""
        return sum(
            value for name, value in self.metrics().items() if name.startswith("trimtab_requests_total")
        )

    def recorded(self) -> Counter[str]:
        with contextlib.closing(apsw.Connection(str(self.folder / "t.db"))) as store:
            return Counter(row[0] for row in store.execute("SELECT result FROM requests"))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def eventually(what: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < give_up, "waited 15 s"
        time.sleep(0.02)
    return found


@pytest.fixture
def go_on(upstream: Any) -> Iterator[threading.Event]:
    """The platform answers at once; its streams begin at once and end when this is set."""
    event = threading.Event()

    def answer(request: Any) -> Iterable[bytes]:
        if b'"stream": true' not in request.body:
            yield (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(ANSWER), ANSWER)
            )
            return
        yield SSE + chunk(BEGIN)
        while not event.wait(0.2):
            yield chunk(PING)
        yield chunk(END) + b"0\r\n\r\n"

    upstream.answer = answer
    yield event
    event.set()


@pytest.fixture
def site(tmp_path: Path, upstream: Any, go_on: threading.Event) -> Iterator[Callable[..., Site]]:
    """`site(workers=3)` starts a server; whatever the test leaves running is stopped."""
    sites: list[Site] = []

    def start(**how: Any) -> Site:
        sites.append(Site(tmp_path, upstream.url, **how))
        return sites[-1].start()

    yield start
    go_on.set()
    for each in sites:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
            try:
                each.process.wait(60)
            except subprocess.TimeoutExpired:
                for pid in each.pids():
                    os.kill(pid, signal.SIGKILL)
                each.process.kill()
                each.process.wait()
                pytest.fail(f"the server did not stop:\n{each.log.read_text()}")
        assert "Traceback" not in each.log.read_text(), each.log.read_text()


class Load:
    """Clients that keep asking over kept connections. A failure is an answer that is not 200, or none."""

    def __init__(self, site: Site, clients: int = 4) -> None:
        self.site = site
        self.ended = threading.Event()
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self.work) for _ in range(clients)]

    def work(self) -> None:
        connection = self.site.connect()
        while not self.ended.is_set():
            try:
                connection.request("POST", "/v1/messages", ASK, HEADERS)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as problem:
                self.failures.append(repr(problem))
                connection.close()
                continue
            if answer.status != 200 or body != ANSWER:
                self.failures.append(f"{answer.status} {body[:200]!r}")
            self.answers[answer.headers["x-trimtab-arm"] or ""] += 1
        connection.close()

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("workers", [1, 3])
def test_reloads_under_load_fail_no_request_and_change_new_ones(
    site: Callable[..., Site], go_on: threading.Event, workers: int
) -> None:
    s = site(workers=workers)
    streams = [s.stream() for _ in range(4)]
    with Load(s) as load:
        for number in range(20):
            tier = ("claude-opus-4-7", "claude-sonnet-4-6")[number % 2]
            version = s.write(f"number {number}", tier)
            s.process.send_signal(signal.SIGHUP)
            s.said(f"configuration version {version} is in force")
            answer = s.ask()  # what is in force is in force everywhere
            assert answer.headers["x-trimtab-arm"] == tier
            assert json.loads(s.get("/readyz"))["config"] == version
    go_on.set()
    for stream in streams:
        rest = stream.read()
        assert rest.endswith(END), "a stream keeps the configuration and the connection that it began with"
        assert rest.removesuffix(END).replace(PING, b"") == b""
    assert load.failures == []
    assert set(load.answers) == {"claude-opus-4-7", "claude-sonnet-4-6"}
    asked = sum(load.answers.values()) + len(streams) + 20
    assert eventually(lambda: s.answered() == asked)
    measured = s.metrics()
    assert measured['trimtab_config_reloads_total{result="applied"}'] == 20
    info = [name for name in measured if name.startswith("trimtab_config_info")]
    assert len(info) == 1
    assert f'version="{version}"' in info[0]
    assert measured[info[0]] == 1
    assert s.stop() == 0
    assert s.recorded() == {"ok": asked}


def test_a_changed_file_is_noticed_and_a_bad_one_changes_nothing_anywhere(site: Callable[..., Site]) -> None:
    s = site(workers=2)
    good = s.write("better", "claude-opus-4-7")  # and no signal
    s.said(f"configuration version {good} is in force on 2 workers")
    s.config.write_text("[tiers]\ndefault = 'claude-opus-4-7@hihg'\n")  # into the file itself
    (said,) = s.said(r"trimtab: (new configuration refused: .*)")
    assert "trimtab.toml: tiers.default: 'claude-opus-4-7@hihg'" in said
    assert f"version {good} stays in force" in said
    s.workers = 4
    s.write("more workers")
    s.process.send_signal(signal.SIGHUP)
    said = s.said(r"trimtab: (new configuration refused: .*)", 2)[-1]
    assert "server.workers" in said
    assert "restart" in said
    assert {s.ask().headers["x-trimtab-arm"] for _ in range(6)} == {"claude-opus-4-7"}
    measured = s.metrics()
    assert measured['trimtab_config_reloads_total{result="refused"}'] == 2
    assert measured['trimtab_config_reloads_total{result="applied"}'] == 1


def test_a_killed_worker_is_replaced_and_its_counts_stay(site: Callable[..., Site]) -> None:
    s = site(workers=2)
    for _ in range(10):
        assert s.ask().status == 200
    assert eventually(lambda: s.answered() == 10)
    assert eventually(lambda: s.recorded()["ok"] == 10)
    before = s.pids()
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    s.said(rf"worker \d \(pid {before[0]}\) was killed by SIGKILL; starting another in 0.1 s")
    for _ in range(5):
        assert s.ask().status == 200
    eventually(lambda: s.metrics()['trimtab_workers{state="running"}'] == 2)
    after = s.pids()
    assert before[1] in after
    assert before[0] not in after
    assert eventually(lambda: s.answered() == 15)
    measured = s.metrics()
    assert measured["trimtab_worker_restarts_total"] == 1
    assert measured["trimtab_workers_missing"] == 0
    assert s.stop() == 0
    assert s.recorded()["ok"] == 15


def test_a_crash_loop_backs_off(site: Callable[..., Site]) -> None:
    s = site(workers=2)
    lasting = s.pids()[1]
    for number in range(4):
        (victim,) = eventually(lambda: [pid for pid in s.pids() if pid != lasting])
        os.kill(victim, signal.SIGKILL)
        waits = s.said(r"was killed by SIGKILL; starting another in ([0-9.]+) s", number + 1)
        assert s.ask().status == 200, "the other worker serves on"
    assert waits == ["0.1", "0.2", "0.4", "0.8"]


def test_a_worker_that_hangs_is_replaced_at_a_reload_and_loses_nothing(
    site: Callable[..., Site], go_on: threading.Event
) -> None:
    s = site(workers=2)
    streams = [s.stream() for _ in range(6)]
    hung = s.pids()[0]
    with Load(s) as load:
        eventually(lambda: sum(load.answers.values()) > 20)
        replace_hung(s, hung)
        before = sum(load.answers.values())
        eventually(lambda: sum(load.answers.values()) > before + 20)
    assert load.failures == []
    go_on.set()
    for stream in streams:
        assert stream.read().endswith(END)
    eventually(lambda: hung not in s.pids())


def replace_hung(s: Site, hung: int) -> None:
    os.kill(hung, signal.SIGSTOP)
    try:
        version = s.write("new", "claude-opus-4-7")
        s.process.send_signal(signal.SIGHUP)
        (pid,) = s.said(r"worker \d \(pid (\d+)\) has not taken configuration version \w+ within 2 s")
        assert int(pid) == hung
        s.said(f"configuration version {version} is in force on 1 workers")
        eventually(lambda: s.metrics()['trimtab_workers{state="running"}'] == 2)
        assert {s.ask().headers["x-trimtab-arm"] for _ in range(6)} == {"claude-opus-4-7"}
    finally:
        os.kill(hung, signal.SIGCONT)


def test_a_worker_that_is_told_to_end_is_replaced_and_fails_no_request(site: Callable[..., Site]) -> None:
    s = site(workers=2)
    first = s.pids()
    with Load(s) as load:
        for pid in first:
            eventually(lambda: sum(load.answers.values()) > 20)
            os.kill(pid, signal.SIGTERM)
            eventually(lambda pid=pid: pid not in s.pids() and len(s.pids()) == 2)
            load.answers.clear()
    assert load.failures == []


def test_workers_of_a_killed_supervisor_finish_and_the_next_server_takes_over(
    site: Callable[..., Site], go_on: threading.Event
) -> None:
    s = site(workers=2)
    streams = [s.stream() for _ in range(6)]
    orphans = s.pids()
    s.process.kill()
    s.process.wait()
    following = site(workers=2, port=s.port)  # same address, same store
    assert not set(following.pids()) & set(orphans)
    assert {following.ask().status for _ in range(6)} == {200}
    go_on.set()
    for stream in streams:
        assert stream.read().endswith(END)

    def gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in orphans)

    eventually(gone)
    assert following.stop() == 0
    assert following.recorded() == {"ok": 12}


def test_a_second_server_on_the_same_store_is_refused(site: Callable[..., Site]) -> None:
    s = site(workers=1)
    second = subprocess.run(
        [*SERVE, "--config", str(s.config), "--listen", "127.0.0.1:0"],
        env={"PATH": os.environ["PATH"], "KEY": "sk-1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    (line,) = (second.stdout + second.stderr).splitlines()
    assert f"{s.folder}/t.db" in line
    assert f"pid {s.process.pid}" in line
    assert s.ask().status == 200


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C of a terminal", "twice"])
def test_a_stop_drains_all_workers_and_keeps_every_record(
    site: Callable[..., Site], go_on: threading.Event, how: str
) -> None:
    s = site(workers=2)
    streams = [s.stream() for _ in range(6)]
    if how == "Ctrl-C of a terminal":  # which every process of the group gets
        os.killpg(s.process.pid, signal.SIGINT)
    else:
        s.process.send_signal(signal.SIGTERM)
    s.said("finishing 6 answers in flight")
    if how == "twice":
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(60) == 0
        s.said("cut 6 answers in flight; recorded as cancelled")
    else:
        go_on.set()
    for stream in streams:
        assert stream.read().endswith(END) == (how != "twice")
    assert s.process.wait(60) == 0
    assert s.recorded() == {"cancelled" if how == "twice" else "ok": 6}
    assert s.log.read_text().endswith("stopped\n")
