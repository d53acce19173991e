"""The uvicorn server of one process: binds first, sweeps deadlines, and drains on SIGTERM."""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
import uvicorn.server

from trimtab.errors import ConfigError
from trimtab.gateway.application import Gateway
from trimtab.gateway.protocol import LimitedProtocol, NewId, limited
from trimtab.gateway.settings import Listen, ServerSettings
from trimtab.gateway.state import ServingState

KEEP_ALIVE_S = 75
"""Longer than the idle limit of client pools (httpx: 5 s, Go: 90 s less a margin), so that clients close first."""


def bind(listen: Listen, where: str, remedy: str) -> socket.socket:
    """A listening socket. Raises `ConfigError` when the address cannot be had; `remedy` says how to choose another."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        bound = socket.create_server((listen.host, listen.port), family=family, backlog=2048)
    except OSError as problem:
        reason = os.strerror(problem.errno) if problem.errno else str(problem)
        other = "take a port from 1024 on" if problem.errno == errno.EACCES else "stop the other process"
        raise ConfigError(
            where, f"'{listen.host}:{listen.port}': cannot listen here: {reason}; {other}, or {remedy}"
        ) from None
    bound.setblocking(False)
    return bound


CUT_S = 5.0
"""How long answers that are cut at the end may take to say so to their clients."""


class GatewayServer(uvicorn.Server):
    """Serves until told to stop; the first SIGTERM, SIGINT or SIGHUP drains, the second stops at once."""

    def __init__(
        self, gateway: Gateway, settings: ServerSettings, state: ServingState, new_id: NewId
    ) -> None:
        super().__init__(
            uvicorn.Config(
                gateway,
                http=limited(settings, new_id),
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
        self._settings = settings
        self._state = state
        self._drain_until: float | None = None

    async def run_on(
        self, bound: socket.socket, *, ready: Callable[[], None], draining: Callable[[int], None]
    ) -> int:
        """Serve on a bound socket until stopped; returns how many answers were cut, each settled and recorded.

        `draining` is told how many answers are still in flight when the first signal comes.
        """
        self._ready, self._draining = ready, draining
        # The application reports its own failures; what uvicorn adds are duplicates with tracebacks.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await self.serve(sockets=[bound])
        return await self._cut()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGTERM, SIGINT and SIGHUP from the start until everything is settled and stored, then ignore them.

        uvicorn takes the first two only while it serves and then restores what was before: without this, one more
        Ctrl-C at the very end would kill the process with records unwritten. For the main thread of a process whose
        work ends with the serving.
        """
        ours = (*uvicorn.server.HANDLED_SIGNALS, signal.SIGHUP)
        for sig in ours:
            signal.signal(sig, self.handle_exit)
        try:
            yield
        finally:
            for sig in ours:
                signal.signal(sig, signal.SIG_IGN)

    async def _cut(self) -> int:
        """End what outlived the draining, and wait until it has settled."""
        cut = self._state.in_flight
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_S)
        for connection in list(self.server_state.connections):
            if isinstance(connection, LimitedProtocol):
                connection.transport.close()
        return cut

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._state.draining:
            self.should_exit = self.force_exit = True
            return
        self._state.draining = True
        if self._state.in_flight:
            self._draining(self._state.in_flight)

    async def on_tick(self, counter: int) -> bool:
        if await super().on_tick(counter):
            return True
        now = asyncio.get_running_loop().time()
        if counter % 10 == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedProtocol):
                    connection.sweep(now)
        if not self._state.draining:
            return False
        if self._drain_until is None:
            self._drain_until = now + self._settings.drain_s
        return self._state.in_flight == 0 or now > self._drain_until
