"""`trimtab worker` as people run it, and what `trimtab jobs` says: in this process, for a start takes half a second."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from jobs_harness import Bench, Hand, expire, held

from trimtab.app.working import DAY_MS, SWEEP, job_handlers
from trimtab.cli import main
from trimtab.jobs import JobId, JobSettings
from trimtab.store.jobs import Begun, Ended


class Shell:
    def __init__(
        self, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", os.environ.get("COLUMNS", "80"))
        (folder / "trimtab.toml").write_text(
            f'version = 1\n[store]\nurl = "{url}"\n[jobs]\nlease_s = 1\nconcurrency = 4\n'
        )
        self.processes: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, status: int = 0) -> str:
        """What it says, on standard error where it fails."""
        said, told = self.say(*arguments, status=status)
        return said if status == 0 else told

    def say(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        """Standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["trimtab", *arguments])
        ended = None
        try:
            main()
        except SystemExit as end:
            ended = end.code
        said, told = self._capsys.readouterr()
        assert (ended or 0) == status, told
        return said, told

    def worker(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab", "worker", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert " works on jobs as " in line, line + process.stdout.read()
        return process


MakeShell = Callable[[str], Shell]


@pytest.fixture
def shell_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[MakeShell]:
    made: list[Shell] = []

    def make(url: str) -> Shell:
        made.append(Shell(tmp_path, url, monkeypatch, capsys))
        return made[-1]

    yield make
    for process in (one for shell in made for one in shell.processes):
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def shell(shell_on: MakeShell, url: str) -> Shell:
    return shell_on(url)


def test_a_job_goes_through_a_worker_and_every_command_shows_it(shell: Shell, bench: Bench) -> None:
    assert shell.run("jobs", "list").strip().endswith("no jobs")
    job = shell.run("jobs", "add", "jobs.sweep", "--owner", "ops", "--key", "once").strip()
    assert shell.run("jobs", "add", "jobs.sweep", "--key", "once").strip() == job
    worker = shell.worker()
    deadline = time.monotonic() + 60
    while bench.state(job) != "done":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker.send_signal(signal.SIGTERM)
    assert worker.stdout is not None
    output = worker.stdout.read()
    assert worker.wait(60) == 0
    assert "kinds     jobs.sweep" in output
    assert "at a time 4 jobs" in output
    assert output.endswith("stopped\n")
    assert f"{job}" in shell.run("jobs", "list", "--state", "done", "--kind", "jobs.sweep")
    shown = shell.run("jobs", "show", job)
    assert '{"deleted":0}' in shown
    (listed,) = json.loads(shell.run("jobs", "list", "--json"))
    assert (listed["id"], listed["state"], listed["result"]) == (job, "done", {"deleted": 0})
    assert "jobs.sweep: 17 * * * *" in shell.run("jobs", "schedules")
    assert "paused" in shell.run("jobs", "schedules", "--pause", "jobs.sweep")
    assert json.loads(shell.run("jobs", "schedules", "--json"))[0]["paused"] is True


def test_people_stop_answer_retry_and_fork_jobs(shell: Shell, bench: Bench) -> None:
    hand = Hand(bench.database)
    a, b = bench.enqueue(), bench.enqueue()
    assert shell.run("jobs", "pause", a, b) == f"{a} paused\n{b} paused\n"
    assert shell.run("jobs", "resume", b) == f"{b} ready\n"
    assert shell.run("jobs", "cancel", a) == f"{a} cancelled\n"
    holder = held(hand.claim()[0])
    assert shell.run("jobs", "cancel", b) == f"{b} is told to stop\n"
    assert "running, to cancel" in shell.run("jobs", "list")
    hand.record(holder, "first")
    hand.say(Begun(holder, "pay", 2), Ended(holder, "failed", error="UnknownOutcome: pay"))
    assert "begun, result unknown" in shell.run("jobs", "show", b)
    assert "is not JSON" in shell.run("jobs", "retry", b, "--outcome", "pay=yes", status=1)
    assert shell.run("jobs", "retry", b, "--outcome", 'pay={"id":7}') == f"{b} ready\n"
    assert bench.board.steps(b)[1].result == b'{"id":7}'
    fork = shell.run("jobs", "fork", b, "--before", "pay").strip()
    assert [step.name for step in bench.board.steps(fork)] == ["first"]
    assert shell.run("jobs", "signal", fork, "approve", '{"by":"ann"}') == f"{fork} ready\n"
    shown = json.loads(shell.run("jobs", "show", b, "--json"))
    assert [step["name"] for step in shown["steps"]] == ["first", "pay"]


def test_a_worker_stops_although_the_store_is_held_by_another(tmp_path: Path, shell_on: MakeShell) -> None:
    shell = shell_on(f"sqlite:///{tmp_path}/jobs.db")
    worker = shell.worker()
    other = apsw.Connection(str(tmp_path / "jobs.db"))
    other.set_busy_timeout(10_000)
    other.execute("BEGIN EXCLUSIVE")
    worker.send_signal(signal.SIGTERM)
    worker.send_signal(signal.SIGINT)
    assert worker.stdout is not None
    assert worker.stdout.read().endswith("stopped\n")
    assert worker.wait(60) == 0
    other.close()


def test_limits_are_set_shown_and_removed(shell: Shell, bench: Bench) -> None:
    assert "no limits" in shell.run("jobs", "limits")
    shell.run("jobs", "limit", "owner", "*", "3")
    assert shell.run("jobs", "limits") == "owner *: 3\n"
    shell.run("jobs", "limit", "owner", "*", "none")
    assert "no limit" in shell.run("jobs", "limit", "owner", "*", "none", status=1)
    assert bench.board.limits() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "x"), "there is no job 'x'"),
        (("cancel", "x"), "there is no job 'x'"),
        (("list", "--state", "lost"), "write one of ready"),
        (("add", "k", "{"), "is not JSON"),
        (("add", "k", "[" * 50_000), "INPUT: is nested too deeply"),
        (("retry", "x", "--outcome", "a=" + "[" * 50_000), "--outcome a: is nested too deeply"),
        (("add", ""), "a name has 1 to 200"),
        (("limit", "team", "x", "1"), "write queue, kind or owner"),
        (("limit", "queue", "x", "-"), "write a number"),
        (("schedules", "--pause", "x"), "no schedule 'x'"),
        (("retry", "x", "--outcome", "a"), "write STEP=JSON"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, shell_on: MakeShell, arguments: tuple[str, ...], said: str
) -> None:
    shell = shell_on(f"sqlite:///{tmp_path}/jobs.db")
    shell.run("jobs", "add", "some")
    problem = shell.run("jobs", *arguments, status=1)
    assert said in problem
    assert problem.count("\n") == 1


def test_nothing_that_a_job_says_is_obeyed_by_the_terminal(shell: Shell, bench: Bench) -> None:
    hand = Hand(bench.database)
    job = bench.enqueue("[/x] [bold]kind")
    deep = bench.enqueue("deep")
    bench.database.write(
        lambda tx: tx.change("UPDATE jobs SET input = ? WHERE id = ?", (b"[" * 50_000 + b"]" * 50_000, deep))
    )
    holder = held(hand.claim(1, kinds=("[/x] [bold]kind",))[0])
    hand.record(holder, "[/step]\x1b[31m")
    hand.say(Ended(holder, "failed", error="[/red] \x1b]0;title\x07 \x9b2J\nsecond"))
    for said in (shell.run("jobs", "list"), shell.run("jobs", "show", job), shell.run("jobs", "show", deep)):
        assert all(line.isprintable() for line in said.splitlines())
    listed, shown = shell.run("jobs", "list"), shell.run("jobs", "show", job)
    assert "[/x] [bold]kind" in listed
    # However wide the terminal is.
    assert r"[/red] \x1b]0;title\x07 \x9b2J second" in " ".join(listed.split())
    assert r"[/step]\x1b[31m" in shown
    as_json = shell.run("jobs", "show", job, "--json")
    assert all(line.isprintable() for line in as_json.splitlines())
    assert json.loads(as_json)["error"] == "[/red] \x1b]0;title\x07 \x9b2J\nsecond"
    assert json.loads(shell.run("jobs", "show", deep, "--json"))["input"].startswith("[[[")


def test_a_job_that_no_worker_here_knows_is_pointed_out(tmp_path: Path, shell_on: MakeShell) -> None:
    shell = shell_on(f"sqlite:///{tmp_path}/jobs.db")
    for kind, told in (("publish", "does not know the kind 'publish' (it knows jobs.sweep)"), (SWEEP, "")):
        warning = shell.say("jobs", "add", kind)[1]
        assert told in warning
        assert bool(warning) == bool(told)
    assert shell.run("jobs", "list").splitlines()[-1] == "queue default: 2 ready"
    assert shell.run("jobs", "list", "--kind", "x") == "no job is like that\nqueue default: 2 ready\n"


def test_a_narrow_terminal_shows_whole_ids(
    tmp_path: Path, shell_on: MakeShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = shell_on(f"sqlite:///{tmp_path}/jobs.db")
    monkeypatch.setenv("COLUMNS", "60")
    job = shell.run("jobs", "add", "publish").strip()
    listed = shell.run("jobs", "list").splitlines()
    assert job in [line.strip() for line in listed]
    assert "publish" in " ".join(listed)
    assert all(len(line) <= 60 for line in listed)


def test_a_worker_that_cannot_start_says_why_in_one_line(tmp_path: Path, shell_on: MakeShell) -> None:
    shell = shell_on(f"sqlite:///{tmp_path}/nowhere/jobs.db")
    assert "create it, or change store.url" in shell.run("worker", status=1)
    assert "--queue: 'a\\nb'" in shell.run("worker", "--queue", "a\nb", status=1)
    (tmp_path / "trimtab.toml").write_text('version = 1\n[jobs]\nqueues = ["a", "a"]\n')
    assert "names a queue twice" in shell.run("worker", status=1)


def test_old_jobs_are_swept_and_younger_ones_stay(bench: Bench) -> None:
    old, young = bench.enqueue(), bench.enqueue()
    hand = Hand(bench.database)
    for one in hand.claim(2):
        hand.record(held(one), "s")
        hand.end(held(one))
    bench.database.write(
        lambda tx: tx.change("UPDATE jobs SET finished_ms = finished_ms - ? WHERE id = ?", (3 * DAY_MS, old))
    )
    sweep = bench.enqueue(SWEEP)
    bench.work(job_handlers(bench.board, JobSettings(keep_days=2)), bench.finished(sweep))
    assert bench.job(sweep).result == b'{"deleted":1}'
    assert bench.board.find(old) is None
    assert bench.state(young) == "done"


def test_a_job_of_a_worker_that_was_killed_is_taken_over_by_the_next(shell: Shell, bench: Bench) -> None:
    dead = Hand(bench.database, "dead")
    job: JobId = bench.enqueue("jobs.sweep")
    dead.claim(1, kinds=("jobs.sweep",))
    expire(bench.database, job)
    shell.worker()
    deadline = time.monotonic() + 60
    while bench.state(job) != "done":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert bench.job(job).epoch == 2
