"""Jobs while their workers are killed and frozen and their database goes away: all end right, nothing happens twice.

In short by default. The whole form, with 40 jobs of 20 steps and a freeze of 60 seconds: TRIMTAB_CHAOS=full.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from jobs_harness import Bench, open_engine
from postgres_server import available, running

from trimtab.errors import StoreError

PROGRAM = Path(__file__).with_name("jobs_worker.py")
WORKERS = 6
TAKEOVER_S = 10.0


class Form(msgspec.Struct, frozen=True):
    jobs: int
    steps: int
    step_s: float
    frozen_s: float
    outage_s: float


FULL = Form(jobs=40, steps=20, step_s=4.0, frozen_s=60.0, outage_s=8.0)
SHORT = Form(jobs=12, steps=6, step_s=2.0, frozen_s=12.0, outage_s=3.0)
FORM = FULL if os.environ.get("TRIMTAB_CHAOS") == "full" else SHORT


class Line(msgspec.Struct, frozen=True):
    """A line of the log of side effects."""

    at: float
    worker: str
    what: str
    job: str
    step: str
    epoch: int


class Place:
    """A database that can be taken away."""

    def __init__(self, url: str, away: Callable[[float], None], in_the_way: Callable[[], bool]) -> None:
        self.url = url
        self.away = away
        """Make it unusable for some seconds."""
        self.in_the_way = in_the_way
        """Whether a process that is stopped now keeps all others from writing."""


@contextlib.contextmanager
def sqlite_place(folder: Path) -> Iterator[Place]:
    path = folder / "jobs.db"

    def locked() -> bool:
        connection = apsw.Connection(str(path))
        try:
            connection.set_busy_timeout(300)
            connection.execute("BEGIN IMMEDIATE; ROLLBACK")
        except apsw.BusyError:
            return True
        finally:
            connection.close()
        return False

    def away(seconds: float) -> None:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(10_000)
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        connection.close()

    yield Place(f"sqlite:///{path}", away, locked)


@contextlib.contextmanager
def postgres_place() -> Iterator[Place]:
    if not available():
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")

    with running(durable=True) as server:

        def away(seconds: float) -> None:
            server.stop("immediate")
            time.sleep(seconds)
            server.start()

        # A stopped process's transaction is ended by the server.
        yield Place(server.new_database(), away, lambda: False)


class Scene:
    """Six workers, their log and their database."""

    def __init__(self, place: Place, folder: Path, stack: contextlib.ExitStack) -> None:
        self.place = place
        self.log = folder / "log"
        self.errors = folder / "errors"
        self.database = open_engine(place.url)
        stack.callback(self.database.close)
        self.bench = Bench(self.database)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for n in range(WORKERS):
            with self.errors.open("ab") as errors:
                process = subprocess.Popen(
                    [sys.executable, PROGRAM, place.url, f"w{n}", str(self.log)], stderr=errors
                )
            self.processes[f"w{n}"] = process
            stack.callback(self._end, process)
        self.until(lambda: sum(line.what == "ready" for line in self.lines()) == WORKERS)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    def lines(self) -> list[Line]:
        found = []
        if not self.log.exists():
            return found
        for text in self.log.read_text().splitlines():
            at, worker, what, job, step, epoch, *_ = text.split(" ")
            found.append(Line(float(at), worker, what, job, step, int(epoch)))
        return found

    def held(self) -> dict[str, list[tuple[str, int]]]:
        """Jobs and epochs by the worker that holds them."""
        found: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for job in self.bench.board.newest(1_000, state="running"):
            found[job.worker or ""].append((job.id, job.epoch))
        return found

    def busy_worker(self, besides: set[str]) -> str:
        """One that holds jobs and still works."""
        self.until(lambda: any(name not in besides for name in self.held()))
        return max(
            (name for name in self.held() if name not in besides), key=lambda name: len(self.held()[name])
        )

    def freeze(self, name: str) -> None:
        """Not while it holds the database: on SQLite all would have to wait for it, see docs/jobs.md."""
        for _ in range(200):
            self.processes[name].send_signal(signal.SIGSTOP)
            if not self.place.in_the_way():
                return
            self.processes[name].send_signal(signal.SIGCONT)
            time.sleep(0.02)
        raise AssertionError("it was never outside a transaction")

    def takeover_s(self, since: float, held: list[tuple[str, int]]) -> float:
        """Until the last of these jobs that had not ended ran with another worker."""

        def taken() -> dict[str, float]:
            return {
                job: line.at
                for job, epoch in held
                for line in reversed(self.lines())
                if line.what == "run" and line.job == job and line.epoch > epoch
            }

        self.until(lambda: len(taken()) == len(held))
        return max(taken().values(), default=since) - since

    def until(self, so: Callable[[], bool], within_s: float = 240) -> None:
        deadline = time.monotonic() + within_s
        while not self.quietly(so):
            assert time.monotonic() < deadline, f"it never came true; {self.errors.read_text()[-2_000:]}"
            time.sleep(0.05)

    @staticmethod
    def quietly(so: Callable[[], Any]) -> Any:
        try:
            return so()
        except StoreError:
            return False


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_all_jobs_end_right_whatever_happens_to_their_workers(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(sqlite_place(tmp_path) if engine == "sqlite" else postgres_place())
        scene = Scene(place, tmp_path, stack)
        started = time.time()
        content = msgspec.json.encode((FORM.steps, FORM.step_s))
        jobs = []
        for n in range(FORM.jobs):
            jobs.append(scene.bench.enqueue("chain", input=content, owner=f"o{n % 3}", max_attempts=1))
            time.sleep(0.1)  # so that not the first worker takes all

        # Frozen for as long as all that follows, and for at least the time it is to be.
        frozen = scene.busy_worker(set())
        before = scene.held()[frozen]
        scene.freeze(frozen)
        froze = time.time()
        before = [(job, epoch) for job, epoch in scene.held()[frozen] if (job, epoch) in before] or before
        takeovers = [scene.takeover_s(froze, before)]
        interrupted = len(before)

        gone = {frozen}
        for _ in range(2):
            name = scene.busy_worker(gone)
            held = scene.held()[name]
            scene.processes[name].kill()
            killed = time.time()
            gone.add(name)
            interrupted += len(held)
            takeovers.append(scene.takeover_s(killed, held))

        place.away(FORM.outage_s)
        back = time.time()
        time.sleep(max(0.0, froze + FORM.frozen_s - time.time()))
        thawed = time.time()
        scene.processes[frozen].send_signal(signal.SIGCONT)

        def all_done() -> bool:
            return all(scene.bench.state(job) in ("done", "failed", "cancelled") for job in jobs)

        scene.until(all_done)
        ended = time.time()
        # The zombie is alive, has said that it stopped, and is of use again.
        scene.until(lambda: any(line.worker == frozen and line.at > thawed for line in scene.lines()))
        for name, process in scene.processes.items():
            if name not in gone or name == frozen:
                process.terminate()
        for name, process in scene.processes.items():
            process.wait(30)
            assert process.returncode == (-signal.SIGKILL if name in gone - {frozen} else 0)

        lines = scene.lines()
        found = [scene.bench.job(job) for job in jobs]
        assert [job.state for job in found] == ["done"] * FORM.jobs
        assert {job.result for job in found} == {str(sum(range(FORM.steps))).encode()}

        begun = twice = 0
        first_epoch = dict(before)
        for job in jobs:
            steps = scene.bench.board.steps(job)
            assert [step.name for step in steps] == [f"s{n}" for n in range(FORM.steps)]
            epochs = [step.epoch for step in steps]
            assert epochs == sorted(epochs), (
                "whoever lost the job recorded something after its next holder had"
            )
            for step in steps:
                bodies = [
                    line.epoch
                    for line in lines
                    if (line.what, line.job, line.step) == ("begin", job, step.name)
                ]
                begun += len(bodies)
                twice += len(bodies) - 1
                assert max(bodies) == step.epoch, "a finished step was run again"
                assert bodies.count(step.epoch) == 1
                if job in first_epoch and step.at_ms / 1000 > froze + TAKEOVER_S:
                    assert step.epoch > first_epoch[job], "the zombie recorded something"
        assert twice <= interrupted + FORM.jobs, "workers that were well, and had a database, lost jobs"
        assert max(takeovers) <= TAKEOVER_S
        zombies = [
            line for line in lines if line.worker == frozen and line.what == "stopped" and line.at >= thawed
        ]
        assert zombies, "the zombie was to find out that it had lost its jobs"
        assert {(line.job, line.epoch) for line in zombies} <= {
            (line.job, line.epoch) for line in lines if line.worker == frozen and line.what == "run"
        }
        with capsys.disabled():
            print(
                f"\n{engine}: {FORM.jobs} jobs x {FORM.steps} steps in {ended - started:.0f} s; frozen "
                f"{thawed - froze:.0f} s with {len(before)} jobs; takeovers "
                f"{', '.join(f'{seconds:.1f}' for seconds in takeovers)} s; {begun} bodies begun for "
                f"{FORM.jobs * FORM.steps} steps ({twice} interrupted); all done {ended - back:.0f} s after the outage"
            )
