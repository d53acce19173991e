"""One worker as its supervisor sees it: started, spoken to, listened to, seen off.

What it is not: a decision; when to start, replace or stop is the supervisor's. Invariant: a worker is a fresh
interpreter in a session of its own, so that no signal of a terminal reaches it, and it inherits two descriptors only.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Literal

from trimtab.app.channel import (
    Acknowledged,
    Channel,
    Drain,
    Draining,
    Ended,
    Expose,
    Measured,
    Prepared,
    Refused,
    Scrape,
    ToSupervisor,
    ToWorker,
)
from trimtab.telemetry.exposition import Family

SILENT_S = 30.0
"""A worker that has closed its end and does not exit is killed after so long."""

State = Literal["starting", "running", "leaving"]


class WorkerProcess:
    """One process. `attend` must run as long as it lives."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        self.pid = process.pid
        self.state: State = "starting"
        self.since: float | None = None
        """When it began to serve, in loop time."""
        self.turn = 0
        """The configuration that it works by."""
        self.latest: list[Family] = []
        """Its last known metrics."""
        self.problem: str | None = None
        """Why it could not start, if it said so."""
        self.ended: Ended | None = None
        """Its last word."""
        self.status: int | None = None
        """Its exit status, once it is gone."""
        self.let_go = asyncio.Event()
        """It is gone, or another takes its place."""
        self.in_flight: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._process = process
        self._channel = channel
        self._turns: dict[int, asyncio.Future[Prepared | Acknowledged | Refused]] = {}
        self._scrapes: dict[int, asyncio.Future[list[Family]]] = {}
        self._scrape = 0

    @classmethod
    async def start(cls, number: int, bound: socket.socket) -> "WorkerProcess":
        """Start an interpreter. Raises `OSError` when the system has no room for one."""
        ours, theirs = socket.socketpair()
        with theirs:
            passed = (bound.fileno(), theirs.fileno())
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # no module comes from the working folder
                    "-m",
                    "trimtab.app.worker",
                    *(str(descriptor) for descriptor in passed),
                    str(number),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=passed,
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        return cls(number, process, await Channel.open(ours, ToSupervisor))

    @property
    def name(self) -> str:
        """For lines to the operator."""
        return f"worker {self.number} (pid {self.pid})"

    def send(self, message: ToWorker) -> None:
        """Never waits; says nothing to a worker that is gone."""
        self._channel.send(message)

    def leave(self) -> None:
        """Let go of the listening socket, finish what is in flight and end; another takes its place."""
        self.state = "leaving"
        self.send(Drain(alone=True))
        self.let_go.set()

    def served_s(self) -> float:
        """How long it has served."""
        return 0.0 if self.since is None else asyncio.get_running_loop().time() - self.since

    def kill(self) -> None:
        """End it by SIGKILL, if it still runs."""
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                pass

    def how_it_ended(self) -> str:
        """For a line to the operator."""
        if self.problem is not None:
            return f"cannot start: {self.problem}"
        status = self.status or 0
        if status < 0:
            return f"was killed by {_signal_name(-status)}"
        return f"ended with status {status}"

    async def attend(
        self, on_acknowledged: Callable[["WorkerProcess"], None], on_expose: Callable[[int], None]
    ) -> None:
        """Listen until it is gone, whatever happens; then `status` is set."""
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, Acknowledged | Prepared | Refused):
                self._answered(message, on_acknowledged)
            elif isinstance(message, Draining):
                self.state = "leaving"
                self.let_go.set()
                if not self.in_flight.done():
                    self.in_flight.set_result(message.in_flight)
            elif isinstance(message, Measured):
                self.latest = message.families
                waiting = self._scrapes.get(message.ask)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.families)
            elif isinstance(message, Expose):
                on_expose(message.ask)
            elif isinstance(message, Ended):
                self.ended, self.latest = message, message.families
        try:
            async with asyncio.timeout(SILENT_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        self.status = await self._process.wait()
        await self._channel.aclose()
        left: list[asyncio.Future[Any]] = [*self._turns.values(), *self._scrapes.values(), self.in_flight]
        for future in left:
            future.cancel()
        self.let_go.set()

    def _answered(
        self, message: Acknowledged | Prepared | Refused, on_acknowledged: Callable[["WorkerProcess"], None]
    ) -> None:
        if isinstance(message, Acknowledged):
            self.turn = message.turn
        waiting = self._turns.pop(message.turn, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        if self.state != "starting":
            return
        if isinstance(message, Refused):
            self.problem = message.problem
        elif isinstance(message, Acknowledged):
            self.state, self.since = "running", asyncio.get_running_loop().time()
            on_acknowledged(self)

    async def answer(
        self, message: ToWorker, turn: int, until: float
    ) -> Prepared | Acknowledged | Refused | None:
        """Send a message about a turn and wait for what comes back, `None` if nothing does until then (loop time)."""
        waiting: asyncio.Future[Prepared | Acknowledged | Refused] = (
            asyncio.get_running_loop().create_future()
        )
        self._turns[turn] = waiting
        self.send(message)
        try:
            async with asyncio.timeout_at(until):
                return await waiting
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if waiting.cancelled() and self.status is not None:
                return None  # it is gone
            raise
        finally:
            if self._turns.get(turn) is waiting:
                del self._turns[turn]

    async def measure(self, until: float) -> bool:
        """Bring `latest` up to date; whether it did so in time (loop time)."""
        self._scrape += 1
        ask = self._scrape
        waiting = self._scrapes[ask] = asyncio.get_running_loop().create_future()
        self.send(Scrape(ask))
        try:
            async with asyncio.timeout_at(until):
                await waiting
            return True
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if waiting.cancelled() and self.status is not None:
                return False
            raise
        finally:
            del self._scrapes[ask]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
