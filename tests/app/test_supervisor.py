"""The supervisor where the command line cannot take it: workers that cannot start, and what it hears of dead ones."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.app import Settings, load_settings
from trimtab.app.assemble import open_records
from trimtab.app.process import run_loop
from trimtab.app.settings import Held
from trimtab.app.supervisor import Ending, Supervisor
from trimtab.errors import ConfigError


class Site:
    """A supervisor in this process, with real workers."""

    def __init__(self, folder: Path) -> None:
        file = folder / "trimtab.toml"
        file.write_text(
            f'version = 1\n[server]\nworkers = 2\n[store]\nurl = "sqlite:///{folder}/t.db"\n'
            '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n'
        )
        self.settings: Settings = load_settings(file, listen="127.0.0.1:0")
        open_records(self.settings, None).close(timeout_s=5)  # as `serve` does before it starts workers
        self.bound = socket.create_server(("127.0.0.1", 0))
        self.bound.setblocking(False)
        self.lines: list[str] = []
        self.ready = asyncio.Event()

    def supervisor(self, settings: Settings | None = None, **others: Any) -> Supervisor:
        given: dict[str, Any] = {
            "ready": self.ready.set,
            "draining": lambda count: None,
            "report": self.lines.append,
        }
        return Supervisor(settings or self.settings, self.bound, **{**given, **others})

    async def begin(self, supervisor: Supervisor) -> asyncio.Task[Ending]:
        """Run it until its workers serve."""
        running = asyncio.create_task(supervisor.run())
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            ready.cancel()
            await running
        return running

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def within() -> None:
            async with asyncio.timeout(60):
                await work()

        try:
            run_loop(within())
        finally:
            self.bound.close()


def pids() -> list[int]:
    """Children of this process that are workers."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z" and b"trimtab.app.worker" in words:
            found.append(int(place.name))
    return sorted(found)


def test_a_worker_that_cannot_start_for_its_configuration_ends_everything_with_its_line(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    broken = msgspec.structs.replace(site.settings, held=Held(b"[tiers]\ndefault = 'nothing'\n", None))

    async def work() -> None:
        with pytest.raises(ConfigError, match=r"trimtab\.toml: tiers\.default: 'nothing'"):
            await site.supervisor(broken).run()
        assert not site.ready.is_set()

    site.run(work)
    assert pids() == []


def test_a_banner_that_cannot_be_written_stops_the_workers(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def ready() -> None:
        raise BrokenPipeError

    async def work() -> None:
        with pytest.raises(BrokenPipeError):
            await site.supervisor(ready=ready).run()

    site.run(work)
    assert pids() == []


def test_a_stop_while_workers_start_waits_for_them_and_says_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def work() -> None:
        supervisor = site.supervisor()
        supervisor.on_signal(signal.SIGTERM, None)  # before there is a loop of its own
        assert await supervisor.run() == Ending(cut=0, lost=0)
        assert not site.ready.is_set()

    site.run(work)
    assert pids() == []
    assert site.lines == []
