"""Builds and runs `trimtab worker`, and the board of jobs for commands.

What it is not: the work on jobs (`jobs`), or a serving process's worker (`worker`).
Invariant: on the way out every job is finished, handed back, or left to its lease, and the process ends.
"""

import asyncio
import contextlib
import random
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

import msgspec

from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.app.process import run_loop
from trimtab.app.settings import Settings
from trimtab.jobs import (
    Handler,
    JobBoard,
    JobContext,
    JobExchange,
    JobId,
    JobSettings,
    JobTables,
    NewJob,
    Worker,
    check_jobs,
)
from trimtab.records import new_request_id
from trimtab.store import Database

SWEEP = "jobs.sweep"
"""The kind, and the schedule, of the job that deletes finished jobs when their time has come."""

KINDS = (SWEEP,)
"""What `trimtab worker` can do; other kinds need a worker of their owner's."""

SWEEP_RULE = "17 * * * *"
SWEEP_REST_S = 0.05
"""Between two transactions, so that others get in between."""

DAY_MS = 86_400_000


class Working(msgspec.Struct, frozen=True):
    """A worker that has begun, for whoever tells of it."""

    name: str
    settings: JobSettings
    kinds: tuple[str, ...]


@contextlib.contextmanager
def opened_board(settings: Settings, *, create: bool = False) -> Iterator[JobBoard]:
    """The board of jobs, for one command, whose store it may `create`; also beside running workers.

    Raises `ConfigError`, `StoreError`.
    """
    with contextlib.closing(open_named(settings.store, settings.document, create=create)) as database:
        yield _board(database)


def work(
    settings: Settings,
    *,
    concurrency: int | None = None,
    queues: Sequence[str] = (),
    ready: Callable[[Working], None],
    stopping: Callable[[int], None],
    on_problem: Callable[[str], None],
) -> int:
    """Work on jobs until SIGTERM, SIGHUP or Ctrl-C; blocks. How many jobs were handed back.

    `concurrency` and `queues` are the command line's and win. `stopping` is told how many jobs run. Raises
    `ConfigError` and `StoreError` if the store does not answer at the start; later it is waited for.
    """
    jobs = _overridden(settings.jobs, concurrency, queues)
    with contextlib.closing(open_named(settings.store, settings.document, create=True)) as database:
        board = _board(database)
        handlers = job_handlers(board, jobs)
        board.put_schedule(SWEEP, SWEEP_RULE, NewJob(kind=SWEEP, queue=jobs.queues[0]), missed="once")
        name = f"{socket.gethostname()}.{secrets.token_hex(6)}"

        async def run() -> int:
            worker = Worker(
                JobExchange(database, name, round(jobs.lease_s * 1000)),
                handlers,
                jobs,
                tick=lambda: _tick(board),
                jitter=random.Random().random,  # noqa: S311 - spreads load
                on_problem=on_problem,
            )
            loop = asyncio.get_running_loop()

            def stop() -> None:
                stopping(worker.running)
                worker.stop()

            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.add_signal_handler(signum, stop)
            ready(Working(name, jobs, tuple(sorted(handlers))))
            return await worker.run()

        return run_loop(run())


def job_handlers(board: JobBoard, settings: JobSettings) -> dict[str, Handler]:
    """All kinds of jobs that this version can do."""

    async def sweep(context: JobContext) -> dict[str, int]:
        """Delete what finished longer ago than it is kept; repeating it does no harm, so it has no steps."""
        before_ms = context.job.run_at_ms - round(settings.keep_days * DAY_MS)
        deleted = 0
        while found := await asyncio.to_thread(board.sweep, before_ms):
            deleted += found
            await asyncio.sleep(SWEEP_REST_S)
        return {"deleted": deleted}

    return {SWEEP: sweep}


def _tick(board: JobBoard) -> None:
    board.fire_due()


def _board(database: Database) -> JobBoard:
    bits = random.Random().getrandbits  # noqa: S311 - ids are names, not secrets
    return JobBoard(JobTables(database), lambda: JobId(new_request_id(unix_ms(), bits)))


def _overridden(settings: JobSettings, concurrency: int | None, queues: Sequence[str]) -> JobSettings:
    if concurrency is not None:
        settings = msgspec.structs.replace(settings, concurrency=concurrency)
    if queues:
        settings = msgspec.structs.replace(settings, queues=tuple(queues))
        check_jobs(settings, lambda _: "--queue")
    return settings
