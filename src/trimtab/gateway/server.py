"""The uvicorn server of one process: binds first, sweeps deadlines, and drains on SIGTERM.

What it is not: the supervisor of several processes; that is `app.supervisor`.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from trimtab.errors import ConfigError
from trimtab.gateway.application import Gateway
from trimtab.gateway.protocol import LimitedProtocol, NewId, limited
from trimtab.gateway.settings import Listen
from trimtab.gateway.state import ServingState

KEEP_ALIVE_S = 75
"""Longer than the idle limit of client pools (httpx: 5 s, Go: 90 s less a margin), so that clients close first."""


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
    bound = socket.create_server((listen.host, listen.port), family=family, backlog=2048, dualstack_ipv6=both)
    bound.setblocking(False)
    return bound


CUT_S = 5.0
"""How long answers that are cut at the end may take to say so to their clients."""

TELL_S = 0.2
"""How long those who hear a call that several may hear have for its last words, before they are cut too."""


LINGER_S = 2.0
"""How long a process that leaves waits, after its last answer, for the next request on open connections: closing one at
the moment in which its client writes to it would cost that request."""


class GatewayServer(uvicorn.Server):
    """Serves until told to stop: the first word of it drains, the second stops at once."""

    def __init__(self, gateway: Gateway, state: ServingState, new_id: NewId) -> None:
        super().__init__(
            uvicorn.Config(
                gateway,
                http=limited(state, new_id),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=2,
            )
        )
        self._state = state
        self._drain_until: float | None = None
        self._linger_until = 0.0
        self._bound: socket.socket | None = None
        self._ready: Callable[[], None] = lambda: None
        self._draining: Callable[[int], None] = lambda in_flight: None

    async def run_on(
        self, bound: socket.socket, *, ready: Callable[[], None], draining: Callable[[int], None]
    ) -> int:
        """Serve on a bound socket until stopped; returns how many answers were cut, each settled and recorded.

        `draining` is told how many answers are still in flight when they are to be finished.
        """
        self._bound, self._ready, self._draining = bound, ready, draining
        # The application reports its own failures; what uvicorn adds are duplicates with tracebacks.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await self.serve(sockets=[bound])
        return await self._cut()

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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would take signals by itself while it serves; whoever starts the process decides that here."""
        yield

    async def _cut(self) -> int:
        """End what outlived the draining, and wait until it has settled."""
        cut = self._state.in_flight
        await self._cut_calls()
        tasks = [*self.server_state.tasks, *self._state.relays]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_S)
        for connection in list(self.server_state.connections):
            if isinstance(connection, LimitedProtocol):
                connection.transport.close()
        return cut

    async def _cut_calls(self) -> None:
        """End the calls that several may hear, while those are still there to be told."""
        calls = list(self._state.calls.values())
        for call in calls:
            call.cancel()
        if not calls:
            return
        await asyncio.wait(calls, timeout=CUT_S)
        if hearing := [*self.server_state.tasks, *self._state.relays]:
            await asyncio.wait(hearing, timeout=TELL_S)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

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
        self.should_exit = self.force_exit = True

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
        for server in getattr(self, "servers", ()):
            server.close()
        if self._bound is not None:
            self._bound.close()

    async def on_tick(self, counter: int) -> bool:
        if await super().on_tick(counter):
            return True
        now = asyncio.get_running_loop().time()
        if counter % 10 == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedProtocol):
                    connection.sweep(now)
        state = self._state
        if not state.draining:
            if state.busy:
                self._linger_until = now + LINGER_S
            lingering = self.server_state.connections and now < self._linger_until
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
