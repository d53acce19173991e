"""Durable jobs: journalled steps and one-step jobs a second, on both engines, beside DBOS on the same ones.

Every commit is flushed to the disk. The two take turns in one run, each in a process of its own, on a fresh database
each time; medians and their ratio are the result. Steps do no work. DBOS 3 is used as it is shipped, from an
environment of its own (`.venv-bench-dbos`, made here if it is missing), with its queue looked at 20 times a second.

Then what one claim costs beside a long queue.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from trimtab.jobs import (
    JobBoard,
    JobContext,
    JobExchange,
    JobId,
    JobSettings,
    JobTables,
    NewJob,
    Worker,
)
from trimtab.records import new_request_id
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.jobs import Wish

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

# The tests' server, from beside this folder.
from postgres_server import PostgresServer, available  # noqa: E402

AT_ONCE = 16
MEASURES = {
    "sequential": "steps/s, one job",
    "together": f"steps/s, {AT_ONCE} jobs at once",
    "jobs": "one-step jobs/s",
}
DBOS_HOME = ROOT / ".venv-bench-dbos"
Counts = tuple[int, int, int]


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def opened(url: str) -> tuple[Database, JobBoard]:
    bits = random.Random().getrandbits
    database = open_database(StoreSettings(url=url), clock_ms=clock_ms)
    return database, JobBoard(JobTables(database), lambda: JobId(new_request_id(clock_ms(), bits)))


async def measure(url: str, counts: Counts) -> dict[str, float]:
    """Ours, with the settings as shipped."""
    sequential, each, jobs = counts
    database, board = opened(url)
    took: list[float] = []

    async def nothing() -> int:
        return 1

    async def chain(context: JobContext) -> None:
        steps = context.read(int)
        started = time.perf_counter()
        for _ in range(steps):
            await context.step("step", nothing)
        took.append(time.perf_counter() - started)

    worker = Worker(
        JobExchange(database, "bench", 6_000),
        {"chain": chain},
        JobSettings(concurrency=AT_ONCE),
        tick=lambda: None,
        jitter=random.random,
        on_problem=print,
    )
    running = asyncio.create_task(worker.run())

    async def run(count: int, steps: int) -> float:
        """Seconds from storing the first to the end of the last, as the store has it."""
        before = board.counts().get(("default", "done"), 0)
        started = time.perf_counter()
        for _ in range(count):
            await asyncio.to_thread(board.enqueue, NewJob(kind="chain", input=str(steps).encode()))
        while await asyncio.to_thread(board.counts) != {("default", "done"): before + count}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return time.perf_counter() - started

    await run(1, 5)
    took.clear()
    await run(1, sequential)
    alone_s = took[0]
    together_s = await run(AT_ONCE, each)
    queued_s = await run(jobs, 1)
    worker.stop()
    await running
    database.close()
    return {
        "sequential": sequential / alone_s,
        "together": AT_ONCE * each / together_s,
        "jobs": jobs / queued_s,
    }


def run_ours(url: str, counts: Counts) -> dict[str, float]:
    return _result([sys.executable, str(Path(__file__)), "--one", url, *map(str, counts)])


def run_dbos(url: str, counts: Counts) -> dict[str, float]:
    program = ROOT / "benchmarks" / "programs" / "dbos_steps.py"
    return _result([str(DBOS_HOME / "bin" / "python"), str(program), url, *map(str, counts)])


def _result(command: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=folder, timeout=900)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def dbos_is_there() -> bool:
    """Make the environment if it is missing; one line if that cannot be done."""
    ready = DBOS_HOME / ".ready"
    if ready.exists():
        return True
    try:
        print("making an environment with DBOS (under a minute)", flush=True)
        venv.create(DBOS_HOME, with_pip=True, clear=True)
        lock = ROOT / "requirements" / "bench-dbos.txt"
        pip = [
            str(DBOS_HOME / "bin" / "python"),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "-qq",
        ]
        subprocess.run(
            [*pip, "install", "--require-hashes", "-r", str(lock)],
            check=True,
            capture_output=True,
            timeout=600,
        )
    except (subprocess.SubprocessError, OSError) as problem:
        print(f"DBOS is left out: its environment cannot be made ({problem})")
        return False
    ready.touch()
    return True


def compare(
    engine: str, ours_url: Callable[[], str], dbos_url: Callable[[], str], counts: Counts, rounds: int
) -> None:
    """Both in turn, on fresh databases; medians and their ratio."""
    with_dbos = dbos_is_there()
    found: dict[str, dict[str, list[float]]] = {"ours": {}, "DBOS": {}}
    for _ in range(rounds):
        for name, result in (
            ("ours", run_ours(ours_url(), counts)),
            ("DBOS", run_dbos(dbos_url(), counts) if with_dbos else {}),
        ):
            for measure_name, value in result.items():
                found[name].setdefault(measure_name, []).append(value)
    for key, text in MEASURES.items():
        ours = found["ours"][key]
        line = f"{engine:<11} {text:<27} ours {_spread(ours)}"
        if with_dbos:
            theirs = found["DBOS"][key]
            line += (
                f"   DBOS {_spread(theirs)}   ratio {statistics.median(ours) / statistics.median(theirs):.1f}"
            )
        print(line, flush=True)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):6,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def measure_claims(engine: str, url: str, queued: int, owners: int) -> None:
    """A claim of one job, and its end, beside a long queue."""
    database, board = opened(url)
    for start in range(0, queued, 1_000):
        board.enqueue_many(
            [
                NewJob(kind="chain", owner=f"o{n % owners}", priority=n % 3)
                for n in range(start, min(queued, start + 1_000))
            ]
        )
    exchange = JobExchange(database, "bench", 6_000)
    wish = Wish(("default",), frozenset({"chain"}), 1)
    took = []
    for _ in range(60):
        started = time.perf_counter()
        assert exchange.anything_due(("default",))
        exchange.exchange([], [], wish)
        took.append((time.perf_counter() - started) * 1_000)
    database.close()
    took.sort()
    print(
        f"{engine:<11} claim of one of {queued:,} queued jobs of {owners:,} owners: median {took[30]:.1f} ms, "
        f"worst {took[-1]:.1f} ms",
        flush=True,
    )


def places(stack: ExitStack, folder: Path) -> Iterator[tuple[str, Callable[[], str], Callable[[], str]]]:
    """Engine, and fresh URLs for ours and for DBOS."""
    number = iter(range(10_000))

    def file() -> str:
        return f"sqlite:///{folder}/bench{next(number)}.db"

    yield "sqlite", file, file
    if not available():
        print("PostgreSQL is left out: it is not installed here")
        return
    server = PostgresServer(durable=True)
    stack.callback(server.remove)

    def for_dbos() -> str:
        url: str = server.new_database()
        return url.replace("postgresql://", "postgresql+psycopg://")

    yield "postgresql", server.new_database, for_dbos


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="some seconds, figures of no value")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given: Any = parser.parse_args()
    if given.one:
        url, *rest = given.one
        sequential, each, jobs = map(int, rest)
        print(json.dumps(uvloop.run(measure(url, (sequential, each, jobs)))))
        return
    counts, rounds, queued = ((20, 3, 20), 1, 1_000) if given.smoke else ((400, 40, 200), 5, 100_000)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for engine, ours_url, dbos_url in places(stack, folder):
            compare(engine, ours_url, dbos_url, counts, rounds)
            for owners in (1, 100) if given.smoke else (1, 100, 1_000):
                measure_claims(engine, ours_url(), queued, owners)


if __name__ == "__main__":
    main()
