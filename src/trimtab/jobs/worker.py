"""Takes jobs, runs their handlers, and says how they ended.

What it is not: the thread that talks to the store (`committing`), or a process (package `app`).
Invariants: no more than `concurrency` handlers run; a handler whose lease has run out by our own clock is stopped;
on the way out every job is finished or handed back, unless the store does not answer: then its lease runs out.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from trimtab.errors import JobFailed, LeaseLost, StoreError, UnknownOutcome, shortened
from trimtab.jobs.committing import Committer, Lease
from trimtab.jobs.context import JobContext, Run
from trimtab.jobs.seam import Exchange
from trimtab.jobs.settings import JobSettings
from trimtab.store.jobs import Claimed, Ended, Job, JobState, Wish

Handler = Callable[[JobContext], Awaitable[Any]]
"""Returns the job's result: bytes as they are, anything else as JSON."""

POLL_MIN_S, POLL_MAX_S = 0.05, 1.0
"""Between looks for jobs; grows while there are none. A look that finds nothing due is one read."""

BACKOFF_MAX_MS = 900_000
"""The wait before another attempt doubles up to this, or up to the job's own first wait if that is longer."""

STOPPING_S = 5.0
"""How long handlers may take to unwind once they are cancelled."""

ERROR_MAX = 2_000

_log = logging.getLogger("trimtab.jobs")


class Worker:
    """One process's worker; used from one event loop."""

    def __init__(
        self,
        exchange: Exchange,
        handlers: Mapping[str, Handler],
        settings: JobSettings,
        *,
        tick: Callable[[], None],
        jitter: Callable[[], float],
        on_problem: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tick` runs about every second in a thread, for schedules; `jitter` gives numbers from 0 to 1."""
        self._handlers = dict(handlers)
        self._settings = settings
        self._tick = tick
        self._jitter = jitter
        self._monotonic = monotonic
        self._committer = Committer(
            exchange, lease_s=settings.lease_s, on_problem=on_problem, monotonic=monotonic
        )
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._at_once = asyncio.Event()

    @property
    def running(self) -> int:
        """Handlers that run now."""
        return len(self._runs)

    def stop(self) -> None:
        """Take no more jobs and end within the grace time; a second call ends the grace."""
        if self._stopping:
            self._at_once.set()
        self._stopping = True
        self._wake.set()

    async def run(self) -> int:
        """Work until stopped; how many jobs were handed back."""
        self._committer.start()
        beside = [asyncio.create_task(self._watch_leases()), asyncio.create_task(self._keep_ticking())]
        try:
            await self._take_jobs()
            return await self._wind_up()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._committer.aclose()

    async def _take_jobs(self) -> None:
        poll_s = POLL_MIN_S
        while not self._stopping:
            self._wake.clear()
            free = self._settings.concurrency - len(self._runs)
            taken = await self._claim(free) if free and self._handlers else 0
            poll_s = POLL_MIN_S if taken else min(POLL_MAX_S, poll_s * 1.5)
            if taken == free and free:
                continue  # the places are filled: the next turn waits for one
            try:
                async with asyncio.timeout(poll_s if free else None):
                    await self._wake.wait()
                poll_s = POLL_MIN_S
            except TimeoutError:
                pass

    async def _claim(self, most: int) -> int:
        wish = Wish(self._settings.queues, frozenset(self._handlers), most)
        try:
            claimed = await self._committer.claim(wish)
        except StoreError:
            return 0  # the committer has said so
        for job, lease in claimed:
            run = Run(lease, self._committer)
            task = asyncio.create_task(self._supervise(job, run))
            self._runs[task] = run
            task.add_done_callback(self._ended)
        return len(claimed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._runs[task]
        self._wake.set()
        if not task.cancelled() and (problem := task.exception()) is not None:
            _log.error("a job could not be seen to its end", exc_info=problem)

    async def _supervise(self, claimed: Claimed, run: Run) -> None:
        """Run a handler to whatever end, and record the end."""
        job, lease = claimed.job, run.lease
        context = JobContext(claimed, run)
        handler = self._handlers[job.kind]
        run.task = asyncio.ensure_future(_call(handler, context))
        if job.wanted is not None:
            run.stop(job.wanted)
        try:
            await asyncio.wait([run.task])
            end = self._end_of(job, run, run.task)
            if end is not None:
                # Raises nothing: a lease that is lost by now needs no end from us.
                await self._committer.submit(end, lease)
        finally:
            self._committer.forget(lease)

    def _end_of(self, job: Job, run: Run, task: "asyncio.Task[Any]") -> Ended | None:
        held = run.lease.held
        if run.reason in ("lost", "waiting"):
            if not task.cancelled():
                task.exception()  # seen
            return None
        problem: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        if problem is None:
            value = task.result()
            try:
                result = value if isinstance(value, bytes) else msgspec.json.encode(value)
            except (TypeError, ValueError, OverflowError) as refused:
                problem = JobFailed(f"the handler of {job.kind!r} returned what JSON cannot hold: {refused}")
            else:
                return Ended(held, "done", result, attempts=job.attempts)
        if run.reason is not None:
            state: JobState = (
                "cancelled" if run.reason == "cancel" else "paused" if run.reason == "pause" else "ready"
            )
            return Ended(held, state, attempts=job.attempts)
        if isinstance(problem, LeaseLost):
            return None
        if not isinstance(problem, JobFailed | UnknownOutcome):
            _log.warning("job %s (%s), attempt %d", job.id, job.kind, job.attempts + 1, exc_info=problem)
        return self._failed(job, run.lease, problem)

    def _failed(self, job: Job, lease: Lease, problem: BaseException) -> Ended:
        attempts = job.attempts + 1
        said = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
        error = shortened(_storable(said), ERROR_MAX)
        if attempts >= job.max_attempts or isinstance(problem, JobFailed | UnknownOutcome):
            return Ended(lease.held, "failed", error=error, attempts=attempts)
        whole = min(max(BACKOFF_MAX_MS, job.backoff_ms), job.backoff_ms * 2 ** min(attempts - 1, 30))
        # Between half and all of it, so that jobs that failed together do not come back together.
        delay_ms = round(whole * (0.5 + self._jitter() / 2))
        return Ended(lease.held, "ready", error=error, attempts=attempts, delay_ms=delay_ms)

    async def _watch_leases(self) -> None:
        """Stop handlers whose lease has run out, also when the thread that renews waits for the store."""
        while True:
            await asyncio.sleep(self._settings.lease_s / 12)
            now = self._monotonic()
            for run in self._runs.values():
                if run.lease.until <= now:
                    run.stop("lost")

    async def _keep_ticking(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._tick)
            except StoreError:
                pass  # the committer has said so
            except Exception:
                _log.exception("schedules could not be looked at")
            await asyncio.sleep(POLL_MAX_S)

    async def _wind_up(self) -> int:
        """Let handlers finish within the grace time, then hand their jobs back."""
        cut = asyncio.create_task(self._at_once.wait())
        deadline = self._monotonic() + self._settings.grace_s
        while self._runs and not self._at_once.is_set() and (left := deadline - self._monotonic()) > 0:
            await asyncio.wait([*self._runs, cut], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        back = [run for run in self._runs.values() if run.reason is None]
        for run in back:
            run.stop("hand back")
        if self._runs:
            await asyncio.wait(list(self._runs), timeout=STOPPING_S)
        return len(back)


async def _call(handler: Handler, context: JobContext) -> Any:
    return await handler(context)


def _storable(text: str) -> str:
    """Without what PostgreSQL cannot hold in a text."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
