"""Runs a server from start to clean end: in this process, or as the supervisor of several."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from trimtab.app.assemble import assemble, build, open_records
from trimtab.app.callers import Callers
from trimtab.app.platforms import one_of_each, open_providers
from trimtab.app.process import allow_files, rest_collector, run_loop
from trimtab.app.reloading import Reloads
from trimtab.app.settings import Settings, placed_at
from trimtab.app.supervisor import Ending, Supervisor
from trimtab.catalogue import Catalogue
from trimtab.config import fail, read_file
from trimtab.errors import ConfigError
from trimtab.gateway import Listen, bind, held_signals
from trimtab.providers import Provider
from trimtab.providers.simulator import Simulator, SimulatorSettings, simulator_asgi
from trimtab.providers.simulator.faces import BASE_PATHS, FACES, FaceOptions, Front
from trimtab.providers.simulator.faces.face import RsaKey
from trimtab.providers.simulator.faces.issuers.rsa import read_public_key
from trimtab.providers.simulator.issued import LIFE_S, Issued
from trimtab.store import hold_instance
from trimtab.telemetry import LogOutput
from trimtab.telemetry.processes import ReloadMetrics

BIND_PATIENCE_S = 3.0
"""How long an address in use is waited for: the workers of a server that was killed let go of it within milliseconds,
those of a busy one a little later."""

Ready = Callable[[Settings, Mapping[str, Provider], Listen], None]
"""Told what is served, and the address as bound."""


def serve(
    settings: Settings,
    *,
    ready: Ready,
    draining: Callable[[int], None],
    on_problem: Callable[[str], None],
    logs: LogOutput | None = None,
) -> Ending:
    """Serve until SIGTERM or Ctrl-C, in this process or in workers; blocks. SIGHUP or a changed file reloads.

    `ready` is called once connections are taken, everywhere. `draining` is told how many answers are still in flight
    when a stop begins, if there are any. `logs` is the log of this process. Raises `ConfigError`, `StoreError`.
    """
    with settings.document.placing():
        lock = hold_instance(settings.store)
    try:
        allow_files(settings.server)
        bound = bind(
            settings.listen,
            "--listen or server.listen",
            "choose another address with --listen HOST:PORT",
            patience_s=BIND_PATIENCE_S,
        )
        with bound:
            if settings.listen.port == 0:
                settings = placed_at(settings, _address(bound))
            lock.note(settings.listen.advice)
            if settings.server.workers > 1:
                return _supervise(settings, bound, ready, draining, on_problem)
            return _serve_here(settings, bound, ready, draining, on_problem, logs)
    finally:
        lock.release()


def _serve_here(
    settings: Settings,
    bound: socket.socket,
    ready: Ready,
    draining: Callable[[int], None],
    on_problem: Callable[[str], None],
    logs: LogOutput | None,
) -> Ending:
    application = assemble(settings, on_problem, logs=logs)
    listen = _address(bound)

    async def apply(new: Settings) -> str:
        edition = await asyncio.to_thread(build, new, application.parts)
        allow_files(new.server)
        application.put_in_force(edition)
        return ""

    async def run() -> Ending:
        reloading = asyncio.create_task(reloads.run())
        cut = 0
        try:
            await application.start()
            rest_collector()
            cut = await application.server.run_on(
                bound,
                ready=lambda: ready(settings, one_of_each(application.providers), listen),
                draining=lambda count: draining(count) if count else None,
            )
        finally:
            reloading.cancel()
            lost = await application.aclose()
        return Ending(cut, lost)

    reloads = Reloads(settings, apply, report=on_problem, metrics=ReloadMetrics(application.metrics.registry))
    with application.server.signals(hangup=reloads.ask):
        return run_loop(run())


def _supervise(
    settings: Settings,
    bound: socket.socket,
    ready: Ready,
    draining: Callable[[int], None],
    on_problem: Callable[[str], None],
) -> Ending:
    # What the workers would each find out is found out once, and the store is migrated before they open it.
    providers = open_providers(settings)
    Callers(settings).close()
    open_records(settings, None).close(timeout_s=5)
    listen = _address(bound)
    supervisor = Supervisor(
        settings,
        bound,
        ready=lambda: ready(settings, one_of_each(providers), listen),
        draining=draining,
        report=on_problem,
    )
    with held_signals(supervisor.on_signal):
        return run_loop(supervisor.run())


def _address(bound: socket.socket) -> Listen:
    host, port = bound.getsockname()[:2]
    return Listen(host, port)


def serve_simulator(
    settings: SimulatorSettings,
    listen: Listen,
    ready: Callable[[Listen, str], None],
    *,
    platform: str | None = None,
    region: str | None = None,
    aws_key: str | None = None,
    models: Iterable[str] = (),
    token_life_s: int = LIFE_S,
    google_key: Path | None = None,
) -> None:
    """Serve the simulator on a port until stopped, with the faces of all platforms or of one; blocks. `ready` gets the
    address, and what stands behind it in the platform's base URL. `aws_key` is `ID:SECRET`, `models` are `NAME=ID`,
    `token_life_s` is how long credentials are good that it gives out, `google_key` a file with the public key that
    service accounts must have. Raises `ConfigError`."""
    catalogue = Catalogue.load()
    only = next((name for name in FACES if name == platform), None)
    if platform is not None and only is None:
        fail("--platform", platform, f"must be one of {', '.join(FACES)}")
    options = FaceOptions(
        region,
        _pair(aws_key, ":", "--aws-key") if aws_key else None,
        issued=Issued(settings.seed, token_life_s),
        google_key=_public_key(google_key) if google_key is not None else None,
    )
    named = dict(_pair(model, "=", "--model") for model in models)
    simulator = Simulator(settings, catalogue)
    try:
        front = Front(simulator, catalogue, msgspec.structs.replace(options, models=named), only=only)
    except ValueError as problem:
        raise ConfigError("--model", str(problem)) from None
    bound = bind(listen, "--port", "choose another port with --port")
    host, port = bound.getsockname()[:2]
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = _SimulatorServer(
        uvicorn.Config(
            simulator_asgi(front),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        ),
        lambda: ready(Listen(host, port), BASE_PATHS.get(only or "", "")),
    )
    run_loop(server.serve(sockets=[bound]))


def _public_key(path: Path) -> RsaKey:
    try:
        return read_public_key(read_file(path, "check --google-key"))
    except ValueError as problem:
        raise ConfigError(
            "--google-key", f"{str(path)!r}: {problem}; make one with openssl rsa -in KEY.pem -pubout"
        ) from None


def _pair(text: str, between: str, option: str) -> tuple[str, str]:
    name, _, value = text.partition(between)
    if not name or not value:
        # The value may be a secret, and is not shown.
        raise ConfigError(option, f"must be two parts with {between!r} between them")
    return name, value


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
