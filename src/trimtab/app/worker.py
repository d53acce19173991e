"""One worker of a supervisor: a whole serving process that listens on an inherited socket and obeys its parent.

What it is not: a second way to serve; everything but the signals and the metrics is as in a single process.
Invariants: it works by the configuration bytes that the parent sent, and says which version that is; when the parent
is gone it stops listening at once, finishes what is in flight and ends.

Run as `python -m trimtab.app.worker LISTENER CHANNEL NUMBER`, by the supervisor only.
"""

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path

from trimtab.app.assemble import Edition, assemble, build
from trimtab.app.channel import (
    Acknowledged,
    Channel,
    Commit,
    Configure,
    CutOff,
    Drain,
    Draining,
    Ended,
    Expose,
    Exposed,
    Measured,
    Prepared,
    Refused,
    Scrape,
    ToWorker,
)
from trimtab.app.process import allow_files, rest_collector, run_loop
from trimtab.app.settings import Settings, load_settings
from trimtab.app.telemetry import start_logging
from trimtab.errors import TrimtabError, Unavailable
from trimtab.telemetry.exposition import Family, families, totals

EXPOSITION_S = 3.0
"""The supervisor gives its workers less than that to answer a scrape."""

MEASURE_S = 1.0
"""How often changed metrics go to the supervisor: a crash loses the counts of that time, in metrics only."""

_log = logging.getLogger("trimtab.app")


class Worker:
    """The life of one worker. `serve` runs it."""

    def __init__(self, channel: Channel, bound: socket.socket, number: int) -> None:
        self._number = number
        self._channel = channel
        self._bound = bound
        self._asks = 0
        self._expositions: dict[int, asyncio.Future[bytes]] = {}
        self._orphaned = False
        self._prepared: tuple[int, Edition] | None = None

    async def serve(self) -> int:
        """Serve until the parent, or a SIGTERM, says otherwise; the exit status."""
        first = await self._channel.receive()
        if not isinstance(first, Configure):
            return 0  # the parent is gone before it said anything
        try:
            settings = _settings(first)
            allow_files(settings.server)
            name = str(self._number)
            logs = start_logging(settings, sys.stderr, worker=name)
            self._application = application = assemble(
                settings, _warn, self._exposition, worker=name, logs=logs
            )
        except TrimtabError as problem:
            self._channel.send(Refused(first.turn, str(problem)))
            await self._channel.aclose()
            return 1
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: self._drain(alone=True))
        tasks = [asyncio.create_task(self._measure())]
        cut = 0

        def ready() -> None:
            self._acknowledge(first.turn, application.settings)
            tasks.append(asyncio.create_task(self._obey()))

        try:
            await application.start()
            rest_collector()
            cut = await application.server.run_on(
                self._bound,
                ready=ready,
                draining=lambda in_flight: self._channel.send(Draining(in_flight)),
            )
        finally:
            lost = await application.aclose()
            self._channel.send(Ended(cut, lost, families(application.metrics.registry)))
            for task in tasks:
                task.cancel()
            await self._channel.aclose()
        return 0

    # What the parent says

    async def _obey(self) -> None:
        try:
            await self._listen()
        except Exception:
            _log.exception("listening to the supervisor")
        self._orphan()

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, Configure):
                await self._prepare(message)
            elif isinstance(message, Commit):
                self._commit(message.turn)
            elif isinstance(message, Drain):
                self._drain(alone=message.alone)
            elif isinstance(message, CutOff):
                self._application.server.cut_off()
            elif isinstance(message, Scrape):
                self._channel.send(Measured(message.ask, self._families()))
            elif isinstance(message, Exposed):
                waiting = self._expositions.pop(message.ask, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.text)

    async def _prepare(self, message: Configure) -> None:
        """Build the new edition beside the old one, in a thread, so that requests in flight are not held up."""

        def work() -> Edition:
            return build(_settings(message), self._application.parts)

        try:
            edition = await asyncio.to_thread(work)
        except TrimtabError as problem:
            self._channel.send(Refused(message.turn, str(problem)))
            return
        except Exception:
            _log.exception("building a new configuration")
            self._channel.send(Refused(message.turn, "internal error; the log has it"))
            return
        self._prepared = (message.turn, edition)
        self._channel.send(Prepared(message.turn))

    def _commit(self, turn: int) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared[0] != turn:
            return  # it was refused here; the supervisor knows
        edition = prepared[1]
        allow_files(edition.settings.server)
        self._application.put_in_force(edition)
        self._acknowledge(turn, edition.settings)

    def _acknowledge(self, turn: int, settings: Settings) -> None:
        self._channel.send(Acknowledged(turn, settings.document.version, self._application.worker_id))

    def _drain(self, *, alone: bool) -> None:
        if alone:
            self._application.server.leave()
        else:
            self._application.server.drain()

    def _orphan(self) -> None:
        """The parent is gone, which nothing but a crash or a kill explains. Its successor needs the address."""
        self._orphaned = True
        in_flight = self._application.parts.state.in_flight
        self._drain(alone=True)
        _warn(f"the supervisor is gone; finishing {in_flight} in flight, then ending")
        for waiting in self._expositions.values():
            if not waiting.done():
                waiting.set_exception(_unavailable())

    # Metrics

    def _families(self) -> list[Family]:
        return families(self._application.metrics.registry)

    async def _exposition(self) -> bytes:
        """The metrics of all workers, by way of the parent."""
        if self._orphaned:
            raise _unavailable()
        self._asks += 1
        ask = self._asks
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._expositions[ask] = waiting
        self._channel.send(Expose(ask))
        try:
            async with asyncio.timeout(EXPOSITION_S):
                return await waiting
        except TimeoutError:
            raise _unavailable() from None
        finally:
            self._expositions.pop(ask, None)

    async def _measure(self) -> None:
        server, answered = self._application.server, 0
        while True:
            await asyncio.sleep(MEASURE_S)
            if server.answered != answered:
                answered = server.answered
                self._channel.send(Measured(0, totals(self._families())))


def _settings(message: Configure) -> Settings:
    origin = message.origin
    return load_settings(
        Path(origin.path) if origin.path is not None else None,
        listen=origin.listen,
        workers=origin.workers,
        held=message.held,
    )


def _unavailable() -> Unavailable:
    return Unavailable("the supervisor does not answer, so the metrics of all workers cannot be had now", 1)


def _warn(text: str) -> None:
    _log.warning("%s", text)


def main() -> None:
    """Serve on descriptors that the supervisor passed on."""
    listener, channel, number = (int(argument) for argument in sys.argv[1:])
    # The terminal's Ctrl-C and hang-up are the supervisor's to act on, who then tells each worker once.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    logging.basicConfig(
        level=logging.WARNING,
        format=f"trimtab: worker {number}: %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    bound, end = socket.socket(fileno=listener), socket.socket(fileno=channel)
    for taken in (bound, end):
        taken.set_inheritable(False)
        taken.setblocking(False)

    async def serve() -> int:
        return await Worker(await Channel.open(end, ToWorker), bound, number).serve()

    sys.exit(run_loop(serve()))


if __name__ == "__main__":
    main()
