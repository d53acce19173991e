"""Runs a server process from start to clean end."""

import asyncio
import logging
import resource
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvicorn
import uvloop

from trimtab.app.assemble import Application, assemble
from trimtab.app.settings import Settings
from trimtab.catalogue import Catalogue
from trimtab.gateway import Listen, bind
from trimtab.providers.simulator import Simulator, SimulatorSettings, simulator_asgi

T = TypeVar("T")


class Ending(msgspec.Struct, frozen=True):
    """How serving ended; both are normally 0."""

    cut: int
    """Answers that were cut off by a second signal or the end of the draining time; all are recorded."""
    lost: int
    """Records that could not be kept."""


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a fresh uvloop loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def serve(
    settings: Settings,
    *,
    ready: Callable[[Application, Listen], None],
    draining: Callable[[int], None],
    on_problem: Callable[[str], None],
) -> Ending:
    """Serve until SIGTERM or Ctrl-C; blocks.

    `ready` is called once connections are taken, with the address as bound. Raises `ConfigError`, `StoreError`.
    """
    _allow_files(2 * settings.server.max_connections + 200)
    bound = bind(
        settings.listen, "--listen or server.listen", "choose another address with --listen HOST:PORT"
    )
    try:
        application = assemble(settings, on_problem)
    except BaseException:
        bound.close()
        raise
    host, port = bound.getsockname()[:2]

    async def run() -> Ending:
        cut = 0
        try:
            cut = await application.server.run_on(
                bound,
                ready=lambda: ready(application, Listen(host, port)),
                draining=lambda count: draining(count) if count else None,
            )
        finally:
            lost = await application.aclose()
        return Ending(cut, lost)

    with application.server.signals(hangup=lambda: None):
        return run_loop(run())


def _allow_files(wanted: int) -> None:
    """Raise the soft limit on open files, as far as the system allows: a request may need two sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def serve_simulator(settings: SimulatorSettings, listen: Listen, ready: Callable[[Listen], None]) -> None:
    """Serve the simulator on a port until stopped; blocks. Raises `ConfigError`."""
    simulator = Simulator(settings, Catalogue.load())
    bound = bind(listen, "--port", "choose another port with --port")
    host, port = bound.getsockname()[:2]
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = _SimulatorServer(
        uvicorn.Config(
            simulator_asgi(simulator),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        ),
        lambda: ready(Listen(host, port)),
    )
    run_loop(server.serve(sockets=[bound]))


class _SimulatorServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.should_exit = True
        self.force_exit = sig == signal.SIGINT


def simulator_settings(path: Path | None, **values: Any) -> SimulatorSettings:
    """Simulator settings from command-line values, those left out at their defaults."""
    given = {name: value for name, value in values.items() if value is not None}
    return SimulatorSettings(script=str(path) if path is not None else None, **given)
