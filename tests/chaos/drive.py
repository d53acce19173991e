"""What chaos is made with: a real server that may be killed, a platform that counts, callers that write down all.

What it is not: a judge (each test and benchmark says what must hold).
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trimtab.admin import Actor, NewKey
from trimtab.app import opened_key_door
from trimtab.records import Limits
from trimtab.store import Database, StoreSettings, Transaction, open_database

READY_S = 30.0
TRIMTAB = [sys.executable, "-m", "trimtab"]
UPSTREAM = Path(__file__).with_name("upstream.py")


@dataclass(frozen=True)
class Event:
    """A line of the platform's log."""

    came: bool
    name: str
    key: str
    at: float
    open: int
    """Calls of this key that are open from now on."""
    how: str


class Platform:
    """`upstream.py` in a process that this one ends."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "platform.log"
        self.log.touch()
        self._process = subprocess.Popen(
            [sys.executable, str(UPSTREAM), str(self.log)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def events(self) -> list[Event]:
        """All that was written down so far."""
        found = []
        for line in self.log.read_text().splitlines():
            sign, name, key, at, open_now, *how = line.split(" ")
            found.append(Event(sign == "+", name, key, float(at), int(open_now), how[0] if how else ""))
        return found

    def calls(self) -> dict[str, list[str]]:
        """The names of the calls that came, by key."""
        found: dict[str, list[str]] = defaultdict(list)
        for event in self.events():
            if event.came:
                found[event.key].append(event.name)
        return found


class Addressed(Protocol):
    """What a site needs to know of a platform."""

    url: str


@dataclass
class Site:
    """One server, which may be started again on the same address and store."""

    folder: Path
    platform: "Addressed | None"
    """`None`: the simulator."""
    store_url: str
    workers: int
    store_options: str = ""
    server_options: str = ""
    options: str = ""
    """Further sections."""
    port: int = 0
    journals: Path = Path("journal")
    """Under the folder."""
    process: subprocess.Popen[bytes] = field(init=False)
    log: Path = field(init=False)
    logs: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journals = self.folder / self.journals
        self.config = self.folder / "trimtab.toml"
        secret = self.folder / "platform.key"
        secret.write_text("sk-1")
        self.config.write_text(
            f'version = 1\n[store]\nurl = "{self.store_url}"\njournal = "{self.journals}"\n{self.store_options}'
            f"[server]\nworkers = {self.workers}\ndrain_s = 10\n{self.server_options}"
            + self.sections(secret)
            + self.options
        )

    def sections(self, secret: Path) -> str:
        """The platforms of the configuration; `secret` is the file with their key."""
        if self.platform is None:
            return '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n'
        return f'[platforms.counted]\nkind = "anthropic"\napi_key = "file:{secret}"\nbase_url = "{self.platform.url}"\n'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings(url=self.store_url, journal=str(self.journals))

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {**kept, "HOME": str(self.folder)}

    def key(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        rpm: int | None = None,
        usd: float | None = None,
        team: str | None = None,
    ) -> "Key":
        """A new key, through the door that `trimtab keys add` goes through."""
        limits = Limits(
            concurrency=concurrency,
            requests_per_minute=rpm,
            total_nanousd=None if usd is None else round(usd * 1e9),
        )
        with opened_key_door(self.config, create=True) as door:
            made = door.admin.add(Actor("chaos"), NewKey(name=name, team=team, limits=limits))
        return Key(name, made.key.id, made.secret.reveal())

    def launch(self) -> None:
        """Start it, and do not wait until it serves."""
        self.log = self.folder / f"server-{len(self.logs)}.log"
        self.logs.append(self.log)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*TRIMTAB, "serve", "--config", str(self.config), "--listen", f"127.0.0.1:{self.port}"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> "Site":
        """Start it, and wait until it serves."""
        self.launch()
        self.port = int(self.said(r"serves http://127.0.0.1:(\d+)")[0])
        return self

    def said(self, pattern: str) -> list[str]:
        """Wait for a line of the log; what the pattern found."""

        def look() -> list[str]:
            ended = self.process.poll()
            found = re.findall(pattern, self.log.read_text(errors="replace"))
            assert found or ended is None, f"the server ended ({ended}):\n{self.log.read_text()}"
            return found

        found: list[str] = eventually(look, READY_S, lambda: f"{pattern!r} in:\n{self.log.read_text()}")
        return found

    def children(self) -> list[int]:
        """Processes that the server started and that run."""
        return children_of(self.process.pid)

    def serving(self) -> list[int]:
        """The processes that answer requests."""
        return self.children() if self.workers > 1 else [self.process.pid]

    def stop(self) -> int:
        """End it in order; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def destroy(self) -> None:
        """End whatever still runs."""
        if not self.logs:
            return
        for pid in [*self.children(), *self.strays()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def strays(self) -> list[int]:
        """Workers of this site, whoever their parent was."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if b"trimtab.app.worker" in command and os.readlink(entry / "cwd") == str(self.folder):
                    found.append(int(entry.name))
        return found

    def tracebacks(self) -> list[str]:
        return [path.read_text(errors="replace") for path in self.logs if b"Traceback" in path.read_bytes()]

    def live_journals(self) -> set[str]:
        if not self.journals.is_dir():
            return set()
        return {entry.name for entry in self.journals.iterdir() if entry.is_dir()}


@dataclass(frozen=True)
class Key:
    name: str
    id: str
    secret: str


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def rss_mib(pids: list[int]) -> float:
    """Resident memory of processes together, MiB."""
    pages = 0
    for pid in pids:
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def eventually(look: Callable[[], Any], within_s: float = 30.0, told: Callable[[], str] = lambda: "") -> Any:
    """What `look` gives, once that is true."""
    give_up = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < give_up, f"waited {within_s:g} s for {told() or look}"
        time.sleep(0.02)
    return found


@contextmanager
def opened(site: Site) -> Iterator[Database]:
    database = open_database(site.settings, clock_ms=lambda: time.time_ns() // 1_000_000)
    try:
        yield database
    finally:
        database.close()


@dataclass(frozen=True)
class Record:
    """What the store says of a request."""

    id: str
    name: str
    """The caller's name for it, as the platform saw it."""
    result: str
    status: int
    key: str
    cost: int
    attempts: int


@dataclass(frozen=True)
class Books:
    """What the store says of everything."""

    records: list[Record]
    spent: dict[str, int]
    """By key id."""
    workers: set[str]
    leases: list[tuple[str, str, int]]
    """key, worker, outstanding."""
    permits: list[tuple[str, str, int]]
    dropped: int
    """Records of which only totals are kept."""


def books(site: Site) -> Books:
    """Read all of it."""

    def work(tx: Transaction) -> Books:
        return Books(
            records=[
                Record(
                    str(id),
                    str(session).rpartition(":")[2],
                    str(result),
                    int(status),
                    str(key),
                    int(cost),
                    int(n),
                )
                for id, session, result, status, key, cost, n in tx.rows(
                    "SELECT id, session, result, status, key_id, cost_nanousd, attempt_count FROM requests"
                )
            ],
            spent={
                str(key): int(spent)
                for key, spent in tx.rows("SELECT key_id, spent_nanousd FROM key_spend WHERE simulated = 0")
            },
            workers={str(row[0]) for row in tx.rows("SELECT id FROM workers")},
            leases=[
                (str(k), str(w), int(n))
                for k, w, n in tx.rows("SELECT key_id, worker, outstanding_nanousd FROM key_leases")
            ],
            permits=[
                (str(k), str(w), int(n))
                for k, w, n in tx.rows("SELECT key_id, worker, permits FROM key_permits")
            ],
            dropped=sum(int(row[0]) for row in tx.rows("SELECT requests FROM record_gaps")),
        )

    with opened(site) as database:
        return database.read(work)


def settled(site: Site, within_s: float = 60.0) -> None:
    """Wait until the server stands with as many workers as it should, and what the dead left is accounted for."""
    state: dict[str, Any] = {}

    def look() -> bool:
        journals = site.live_journals()
        serving = site.serving()

        def rows(tx: Transaction) -> set[str]:
            tables = ("workers", "key_leases", "key_permits")
            columns = ("id", "worker", "worker")
            return {
                str(row[0])
                for table, column in zip(tables, columns, strict=True)
                for row in tx.rows(f"SELECT DISTINCT {column} FROM {table}")
            }

        with opened(site) as database:
            holders = database.read(rows)
        state.update(journals=journals, holders=holders, serving=serving, strays=site.strays())
        return len(serving) == site.workers == len(journals) and holders <= journals

    eventually(look, within_s, lambda: f"the dead to be accounted for; now: {state}\n{site.log.read_text()}")


class Sampler:
    """Calls something every so often in a thread, and keeps what it gave."""

    def __init__(self, look: Callable[[], float], every_s: float) -> None:
        self.seen: list[tuple[float, float]] = []
        self._look, self._every_s = look, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.seen.append((time.monotonic(), self._look()))
