"""Jobs on a real database, for tests: hands that hold leases by themselves, and workers on an event loop."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop

from trimtab.jobs import Handler, JobBoard, JobExchange, JobId, JobSettings, JobTables, NewJob, Worker
from trimtab.records import new_request_id
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.jobs import Claimed, Ended, Entry, Held, Recorded, Taken, Wish

ENGINES = ("sqlite", "postgresql")
LEASE_MS = 60_000


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


def open_engine(url: str) -> Database:
    return open_database(StoreSettings(url=url), clock_ms=unix_ms)


def engine_url(engine: str, tmp_path: Path, postgres_url: Callable[[], str]) -> str:
    return f"sqlite:///{tmp_path}/jobs.db" if engine == "sqlite" else postgres_url()


def id_source(seed: int | None = None) -> Callable[[], JobId]:
    bits = random.Random(seed).getrandbits
    # A counter in place of the clock: ids made within one millisecond sort by time too.
    counter = itertools.count(unix_ms())
    return lambda: JobId(new_request_id(next(counter), bits))


class Hand:
    """A worker without handlers: whoever tests says what it does, and when."""

    def __init__(self, database: Database, name: str = "hand", lease_ms: int = LEASE_MS) -> None:
        self.exchange = JobExchange(database, name, lease_ms)

    def claim(self, most: int = 1, kinds: tuple[str, ...] = ("k",), queue: str = "default") -> list[Claimed]:
        wish = Wish((queue,), frozenset(kinds), most)
        return self.exchange.exchange([], [], wish).claimed

    def say(self, *entries: Entry) -> list[Taken]:
        return self.exchange.exchange(entries, [], None).taken

    def record(self, held: Held, name: str, n: int = 1, result: bytes = b"1") -> bool:
        return self.say(Recorded(held, name, n, result))[0].held

    def end(self, held: Held, state: Any = "done", **rest: Any) -> bool:
        return self.say(Ended(held, state, **rest))[0].held

    def renew(self, *held: Held) -> dict[JobId, Any]:
        return self.exchange.exchange([], held, None).renewed


def held(claimed: Claimed) -> Held:
    return Held(claimed.job.id, claimed.job.epoch)


def expire(database: Database, job: str) -> None:
    """As if the lease of a job had run out."""
    database.write(
        lambda transaction: transaction.change(
            "UPDATE jobs SET due_ms = 1 WHERE id = ? AND state = 'running'", (job,)
        )
    )


class Bench:
    """A database with its board, and workers in this process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tables = JobTables(database)
        self.board = JobBoard(self.tables, id_source())
        self.problems: list[str] = []

    def enqueue(self, kind: str = "k", **rest: Any) -> JobId:
        return self.board.enqueue(NewJob(kind=kind, **rest))

    def state(self, job: str) -> str:
        found = self.board.find(job)
        assert found is not None
        return found.state

    def job(self, job: str) -> Any:
        found = self.board.find(job)
        assert found is not None
        return found

    def worker(self, handlers: Mapping[str, Handler], name: str = "w", **settings: Any) -> Worker:
        whole = JobSettings(**{"lease_s": 6, "grace_s": 5, **settings})
        return Worker(
            JobExchange(self.database, name, round(whole.lease_s * 1000)),
            handlers,
            whole,
            tick=self.board.fire_due,  # type: ignore[arg-type]
            jitter=lambda: 1.0,
            on_problem=self.problems.append,
        )

    def work(
        self,
        handlers: Mapping[str, Handler],
        until: Callable[[], bool],
        *,
        within_s: float = 30,
        **settings: Any,
    ) -> int:
        """Run a worker until something is so; how many jobs it handed back."""

        async def run() -> int:
            worker = self.worker(handlers, **settings)
            task = asyncio.create_task(worker.run())
            try:
                await eventually(until, within_s)
            finally:
                worker.stop()
                worker.stop()
                back = await task
            return back

        return run_async(run())

    def finished(self, *jobs: str) -> Callable[[], bool]:
        return lambda: all(self.state(job) in ("done", "failed", "cancelled") for job in jobs)


async def eventually(so: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(so):
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


def run_async(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
