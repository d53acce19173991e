"""The server of one process: binds first, takes connections, sweeps deadlines, and drains on SIGTERM.

What it is not: the supervisor of several processes; that is `app.supervisor`.
"""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType

from trimtab.errors import ConfigError
from trimtab.gateway.application import Gateway
from trimtab.gateway.connection import Clients, Connection, NewId
from trimtab.gateway.settings import Listen
from trimtab.gateway.state import ServingState

BACKLOG = 2048
"""Connections that may wait to be taken."""

TICK_S = 0.1
"""How often the server looks whether it is to end."""

SWEEP_TICKS = 10
"""Ticks between two sweeps of the deadlines: a second."""

BIND_PAUSE_S = 0.05
"""Between two tries for an address in use."""


def bind(listen: Listen, where: str, remedy: str, *, patience_s: float = 0.0) -> socket.socket:
    """A listening socket. Blocks up to `patience_s` while the address is in use.

    Raises `ConfigError` when the address cannot be had; `remedy` says how to choose another.
    """
    give_up = time.monotonic() + patience_s
    while True:
        try:
            return _listening(listen)
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE and time.monotonic() < give_up:
                time.sleep(BIND_PAUSE_S)
                continue
            reason = os.strerror(problem.errno) if problem.errno else str(problem)
            other = "take a port from 1024 on" if problem.errno == errno.EACCES else "stop the other process"
            raise ConfigError(
                where, f"'{listen.host}:{listen.port}': cannot listen here: {reason}; {other}, or {remedy}"
            ) from None


def _listening(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    both = listen.host == "::" and socket.has_dualstack_ipv6()  # all addresses there are, of both kinds
    bound = socket.create_server(
        (listen.host, listen.port), family=family, backlog=BACKLOG, dualstack_ipv6=both
    )
    bound.setblocking(False)
    return bound


LAST_BYTES_S = 2.0
"""How long connections have for what is written on them, when all answers are complete."""

CUT_S = 5.0
"""How long answers that are cut at the end may take to say so to their clients."""

TELL_S = 0.2
"""How long those who hear a call that several may hear have for its last words, before they are cut too."""


LINGER_S = 2.0
"""How long a process that leaves waits, after its last answer, for the next request on open connections: closing one at
the moment in which its client writes to it would cost that request."""


class GatewayServer:
    """Serves until told to stop: the first word of it drains, the second stops at once."""

    def __init__(self, gateway: Gateway, state: ServingState, new_id: NewId) -> None:
        self._clients = Clients(state, gateway, new_id)
        self._state = state
        self._at_once = False
        self._drain_until: float | None = None
        self._linger_until = 0.0
        self._listening: asyncio.Server | None = None
        self._bound: socket.socket | None = None
        self._draining: Callable[[int], None] = lambda in_flight: None

    @property
    def answered(self) -> int:
        """How many answers were sent whole."""
        return self._clients.answered

    async def run_on(
        self, bound: socket.socket, *, ready: Callable[[], None], draining: Callable[[int], None]
    ) -> int:
        """Serve on a bound socket until stopped; returns how many answers were cut, each settled and recorded.

        `draining` is told how many answers are still in flight when they are to be finished.
        """
        self._bound, self._draining = bound, draining
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: Connection(self._clients), sock=bound, backlog=BACKLOG
        )
        ready()
        ticks = 0
        while not await self._over(loop.time()):
            await asyncio.sleep(TICK_S)
            ticks += 1
            if ticks % SWEEP_TICKS == 0:
                now = loop.time()
                for connection in list(self._clients.connections):
                    connection.sweep(now)
        self._stop_listening()
        await self._wind_up()
        return await self._cut()

    async def _wind_up(self) -> None:
        """Let connections end that have nothing more to do."""
        for connection in list(self._clients.connections):
            connection.wind_up()
        give_up_at = asyncio.get_running_loop().time() + LAST_BYTES_S
        while (self._clients.connections or self._clients.left) and not self._at_once:
            if asyncio.get_running_loop().time() > give_up_at:
                return
            await asyncio.sleep(TICK_S)

    @contextlib.contextmanager
    def signals(self, hangup: Callable[[], None]) -> Iterator[None]:
        """Take SIGTERM, SIGINT and SIGHUP from the start until everything is settled and stored, then ignore them.

        The first two stop the server, SIGHUP calls `hangup`. For the main thread of a process whose work ends with
        the serving: one more Ctrl-C at the very end must not kill it with records unwritten.
        """

        def on_signal(sig: int, frame: FrameType | None) -> None:
            if sig == signal.SIGHUP:
                hangup()
            else:
                self.stop()

        with held_signals(on_signal):
            yield

    async def _cut(self) -> int:
        """End what outlived the draining, and wait until it has settled."""
        cut = self._state.in_flight
        await self._cut_calls()
        tasks = [*self._clients.tasks(), *self._state.relays]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_S)
        for connection in list(self._clients.connections):
            connection.close()
        return cut

    async def _cut_calls(self) -> None:
        """End the calls that several may hear, while those are still there to be told."""
        calls = list(self._state.calls.values())
        for call in calls:
            call.cancel()
        if not calls:
            return
        await asyncio.wait(calls, timeout=CUT_S)
        if hearing := [*self._clients.tasks(), *self._state.relays]:
            await asyncio.wait(hearing, timeout=TELL_S)

    def stop(self) -> None:
        """The first call finishes what is in flight and refuses the rest; the second cuts at once. Never waits."""
        if self._state.draining:
            self.cut_off()
        else:
            self.drain()

    def drain(self) -> None:
        """Finish what is in flight, refuse the rest, then end. Idempotent; never waits."""
        if self._state.draining:
            return
        self._state.draining = True
        self._draining(self._state.in_flight)

    def cut_off(self) -> None:
        """End now; what is in flight is cut, settled and recorded. Idempotent; never waits."""
        self._state.draining = True
        self._at_once = True

    def leave(self) -> None:
        """Let go of the listening socket, answer what open connections bring, then end. Idempotent; never waits.

        For a process whose siblings, or successors, take the new connections.
        """
        if self._state.draining or self._state.leaving:
            return
        self._state.leaving = True
        self._linger_until = asyncio.get_running_loop().time() + LINGER_S
        self._stop_listening()
        self._draining(self._state.in_flight)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
        if self._bound is not None:
            self._bound.close()

    async def _over(self, now: float) -> bool:
        """Whether the serving ends."""
        if self._at_once:
            return True
        state = self._state
        if not state.draining:
            if state.busy:
                self._linger_until = now + LINGER_S
            lingering = self._clients.connections and now < self._linger_until
            if not state.leaving or lingering:
                return False
        if self._drain_until is None:
            self._drain_until = now + state.limits.drain_s
        if state.busy and now > self._drain_until:
            await self._cut_calls()
            return True
        return not state.busy


STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def held_signals(on_signal: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP go to `on_signal` within, and are ignored afterwards. Main thread only."""
    ours = (*STOP_SIGNALS, signal.SIGHUP)
    for sig in ours:
        signal.signal(sig, on_signal)
    try:
        yield
    finally:
        for sig in ours:
            signal.signal(sig, signal.SIG_IGN)
