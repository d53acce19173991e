"""The parent of several workers: binds once, hands out one configuration, replaces who dies, adds up what they say.

What it is not: on the way of a request; workers accept from the one socket by themselves, and a crashed worker loses
its own connections only. Invariants: all workers work by the same configuration bytes, or are replaced; a configuration
that one worker cannot build is put in force by none; counters that were shown never fall because a worker died; the
parent ends after its last worker.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, disable_created_metrics

from trimtab.app.channel import Acknowledged, Commit, Configure, CutOff, Drain, Exposed, Prepared, Refused
from trimtab.app.reloading import Reloads
from trimtab.app.settings import Settings
from trimtab.app.worker_process import WorkerProcess
from trimtab.errors import ConfigError
from trimtab.telemetry.exposition import Sum, exposition, families, totals
from trimtab.telemetry.processes import ReloadMetrics, WorkerMetrics

ACKNOWLEDGE_S = 2.0
"""From a new configuration to the last worker that works by it (DESIGN.md, storage and scale)."""

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 10.0
HEALTHY_S = 30.0
"""A worker that served for so long was well; if it dies, the next one starts without a longer wait."""

SCRAPE_S = 1.0
"""How long workers have to answer a scrape."""

COUNT_S = 1.0
"""How long workers have to say what is in flight when a stop begins."""

GRACE_S = 45.0
"""Over the draining time: what a worker may take to cut, settle and store. Then it is killed."""


class Ending(msgspec.Struct, frozen=True):
    """How serving ended; both are normally 0."""

    cut: int
    """Answers that were cut off by a second signal or the end of the draining time; all are recorded."""
    lost: int
    """Records that could not be kept."""


class Supervisor:
    """All workers of one server. Belongs to one event loop; `run` once."""

    def __init__(
        self,
        settings: Settings,
        bound: socket.socket,
        *,
        ready: Callable[[], None],
        draining: Callable[[int], None],
        report: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._bound = bound
        self._ready = ready
        self._draining = draining
        self._report = report
        self._turn = 1
        """Which configuration is in force; counts up."""
        self._turning = asyncio.Lock()
        self._workers: set[WorkerProcess] = set()
        self._departed = Sum()
        """Totals of workers that are gone."""
        self._cut = self._lost = 0
        self._failure: Exception | None = None
        self._stop, self._cut_off, self._all_serve = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._served: set[int] = set()
        """Numbers of workers that have served at all."""
        self._attending: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early: list[int] = []
        """Signals that came before there was a loop."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # as in every worker
        self._registry = CollectorRegistry()
        self._metrics = WorkerMetrics(self._registry, self._states)
        self._reloads = Reloads(settings, self._apply, report=report, metrics=ReloadMetrics(self._registry))

    def on_signal(self, sig: int, frame: FrameType | None) -> None:
        """SIGHUP reloads, any other signal stops, a second one cuts. For `signal.signal`."""
        if sig == signal.SIGHUP:
            self._reloads.ask()
        elif self._loop is None:
            self._early.append(sig)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped)

    def _stopped(self) -> None:
        (self._cut_off if self._stop.is_set() else self._stop).set()

    async def run(self) -> Ending:
        """Serve until told to stop. Raises `ConfigError` when a worker cannot start with the first configuration."""
        self._loop = asyncio.get_running_loop()
        for _ in self._early:
            self._stopped()
        numbers = range(1, self._settings.server.workers + 1)
        keeping = [asyncio.create_task(self._keep(number)) for number in numbers]
        self._spawn(self._begin())
        await self._stop.wait()
        self._bound.close()
        self._spawn(self._see_off())
        await asyncio.gather(*keeping)
        while self._attending:
            await asyncio.wait(self._attending)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        return Ending(self._cut, self._lost)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, problem: Exception) -> None:
        self._failure = self._failure or problem
        self._stop.set()

    async def _begin(self) -> None:
        await self._all_serve.wait()
        if self._stop.is_set():
            return
        try:
            self._ready()
            await self._reloads.run()
        except Exception as problem:
            self._fail(problem)

    async def _see_off(self) -> None:
        """Let them finish, then cut, then kill. Cancelled when all are gone."""
        counts = [worker.in_flight for worker in self._workers if worker.state == "running"]
        for worker in self._workers:
            worker.send(Drain(alone=False))
        if counts:
            told, _ = await asyncio.wait(counts, timeout=COUNT_S)
            in_flight = sum(count.result() for count in told if not count.cancelled())
            if in_flight:
                self._draining(in_flight)
        try:
            async with asyncio.timeout(self._settings.server.drain_s + GRACE_S):
                await self._cut_off.wait()
            for worker in self._workers:
                worker.send(CutOff())
            await asyncio.sleep(GRACE_S)
        except TimeoutError:
            pass
        for worker in self._workers:
            self._report(f"{worker.name} does not end; it is killed")
            worker.kill()

    # Keeping workers alive

    async def _keep(self, number: int) -> None:
        """See that there is a worker of this number until the stop."""
        backoff_s = FIRST_BACKOFF_S
        while not self._stop.is_set():
            try:
                worker = await WorkerProcess.start(number, self._bound)
            except OSError as problem:
                self._report(f"worker {number} cannot be started: {problem}; next try in {backoff_s:g} s")
            else:
                self._take_on(worker)
                await worker.let_go.wait()
                if self._stop.is_set():
                    return
                if worker.problem is not None and not self._all_serve.is_set():
                    self._fail(ConfigError("", worker.problem))
                    return
                self._metrics.restarted()
                if worker.status is None:
                    continue  # it finishes what is in flight; another takes its place now
                if worker.served_s() >= HEALTHY_S:
                    backoff_s = FIRST_BACKOFF_S
                self._report(f"{worker.name} {worker.how_it_ended()}; starting another in {backoff_s:g} s")
            try:
                async with asyncio.timeout(backoff_s):
                    await self._stop.wait()
            except TimeoutError:
                pass
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    def _take_on(self, worker: WorkerProcess) -> None:
        self._workers.add(worker)
        task = asyncio.create_task(self._attend(worker))
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)
        worker.send(Configure(self._turn, self._settings.origin, self._settings.held))
        if self._stop.is_set():
            worker.send(Drain(alone=False))

    async def _attend(self, worker: WorkerProcess) -> None:
        def exposes(ask: int) -> None:
            self._spawn(self._expose(worker, ask))

        await worker.attend(self._serves, exposes)
        self._workers.discard(worker)
        self._departed.add(totals(worker.latest))
        if worker.ended is not None:
            self._cut += worker.ended.cut
            self._lost += worker.ended.lost

    def _serves(self, worker: WorkerProcess) -> None:
        self._served.add(worker.number)
        if len(self._served) == self._settings.server.workers:
            self._all_serve.set()
        if worker.turn != self._turn:  # a reload passed by while it started
            self._spawn(self._catch_up(worker))

    def _states(self) -> dict[str, int]:
        found = {"running": 0, "starting": 0, "leaving": 0}
        for worker in self._workers:
            found[worker.state] += 1
        return found

    # Configuration

    async def _apply(self, new: Settings) -> str:
        """Have every worker build it; if all that answer can, put it in force. Raises `ConfigError`."""
        async with self._turning:
            loop = asyncio.get_running_loop()
            began = loop.time()
            turn = self._turn + 1
            asked = [worker for worker in self._workers if worker.state == "running"]
            if not asked:
                raise ConfigError("", "no worker is running that could build it; try again")
            configure = Configure(turn, new.origin, new.held)
            until = began + ACKNOWLEDGE_S
            answers = await asyncio.gather(*(worker.answer(configure, turn, until) for worker in asked))
            for answer in answers:
                if isinstance(answer, Refused):
                    raise ConfigError("", answer.problem)
            built = [
                worker for worker, answer in zip(asked, answers, strict=True) if isinstance(answer, Prepared)
            ]
            if not built:
                raise ConfigError("", f"no worker has built it within {ACKNOWLEDGE_S:g} s; try again")
            self._turn, self._settings = turn, new
            until = loop.time() + ACKNOWLEDGE_S
            done = await asyncio.gather(*(worker.answer(Commit(turn), turn, until) for worker in built))
            count = sum(isinstance(answer, Acknowledged) for answer in done)
            took_ms = (loop.time() - began) * 1000
            for worker in asked:
                if worker.turn != turn and worker.status is None:
                    self._replace(worker)
            return f" on {count} workers after {took_ms:.0f} ms"

    async def _catch_up(self, worker: WorkerProcess) -> None:
        async with self._turning:
            turn, settings = self._turn, self._settings
            until = asyncio.get_running_loop().time() + ACKNOWLEDGE_S
            if worker.turn == turn or worker.state != "running":
                return
            configure = Configure(turn, settings.origin, settings.held)
            if isinstance(await worker.answer(configure, turn, until), Prepared):
                await worker.answer(Commit(turn), turn, until)
            if worker.turn != turn and worker.status is None:
                self._replace(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        """Start another in its place; this one finishes what is in flight, as far as it still can."""
        version = self._settings.document.version
        self._report(
            f"{worker.name} has not taken configuration version {version} within {ACKNOWLEDGE_S:g} s; "
            "another takes its place"
        )
        worker.leave()

        async def kill_later() -> None:
            await asyncio.sleep(self._settings.server.drain_s + GRACE_S)
            worker.kill()

        self._spawn(kill_later())

    # Metrics

    async def _expose(self, asker: WorkerProcess, ask: int) -> None:
        """The sum over all workers, living and gone, for a client of one of them."""
        until = asyncio.get_running_loop().time() + SCRAPE_S
        asked = [worker for worker in self._workers if worker.state != "starting"]
        answers = await asyncio.gather(*(worker.measure(until) for worker in asked))
        total = self._departed.copy()
        missing = 0
        for worker, answered in zip(asked, answers, strict=True):
            if worker not in self._workers:
                continue  # gone meanwhile, so its totals are with the departed
            total.add(worker.latest if answered else totals(worker.latest))
            missing += not answered
        self._metrics.missing = missing
        total.add(families(self._registry))
        asker.send(Exposed(ask, exposition(total.families())))
