"""What is measured and what belongs to the project: the upstream, nginx, and Trimtab with everything on.

A target has a door for each upstream (plain and TLS) that it can reach. Every target is pinned to the first core, the
upstream to the second.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bodies import MODEL
from building import HERE, Programs, Unavailable
from measuring import on_core
from trimtab.admin import Actor, NewKey
from trimtab.app import opened_key_door
from trimtab.records import Limits
from trimtab.store import StoreSettings, Totals, open_store

READY_S = 30.0
STOP_S = 60.0
INPUT_TOKENS, JSON_TOKENS = 162, 54
"""What the upstream's usage says: see messages.h; a stream of n deltas has 3 n + 2 tokens of output."""
INPUT_NANOUSD, OUTPUT_NANOUSD = 3_000, 15_000
"""Prices a token of the model that the benchmark asks for (src/trimtab/catalogue/models.yaml)."""

THREE = Limits(concurrency=10_000, requests_per_minute=10_000_000, total_nanousd=10**15)
"""None of them is ever reached."""


@dataclass(frozen=True)
class Door:
    """Where a target takes requests for one upstream."""

    port: int
    pid: int
    """Of the root of its processes; 0: not measured."""
    headers: dict[str, str] = field(default_factory=dict)
    model: str = MODEL


@dataclass
class Target:
    """Something that forwards requests, and runs."""

    name: str
    doors: dict[str, Door]
    """By upstream: `plain`, `tls`."""
    stop: Callable[[], list[str]]
    """Ends it; says what is wrong with what it left behind."""
    exact: bool = True
    """Whether the bytes of its answers must be the upstream's."""
    streams: bool = True
    """Whether it answers requests for streams."""
    sent: dict[str, list[int]] = field(default_factory=dict)
    """By upstream: answers, their tokens of output, and refusals so far. What it wrote down must agree."""

    def count(self, kind: str, answers: int, deltas: int | None, refused: int) -> None:
        """So many answers more: of JSON, or streams of so many deltas."""
        sums = self.sent.setdefault(kind, [0, 0, 0])
        sums[0] += answers
        sums[1] += answers * (JSON_TOKENS if deltas is None else 3 * deltas + 2)
        sums[2] += refused


class Upstream:
    """The fake platform, plain or with TLS."""

    def __init__(self, programs: Programs, kind: str, folder: Path) -> None:
        self.kind = kind
        self.certificate = folder / "certificate.pem"
        with on_core(1):
            self.process = subprocess.Popen(
                [str(programs.upstream), *(["--tls", str(self.certificate)] if kind == "tls" else [])],
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def set(self, latency_us: int, deltas: int, gap_us: int) -> None:
        """How it answers from now on."""
        self._ask(f"?latency_us={latency_us}&deltas={deltas}&gap_us={gap_us}")

    def answered(self) -> int:
        """Messages requests that it answered to the end."""
        return int(self._ask("")["answered"])

    def _ask(self, query: str) -> dict[str, Any]:
        context = None
        if self.kind == "tls":
            context = ssl.create_default_context(cafile=str(self.certificate))
        scheme = "https" if self.kind == "tls" else "http"
        with urllib.request.urlopen(
            f"{scheme}://127.0.0.1:{self.port}/settings{query}", context=context, timeout=10
        ) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[Any], log: Path, give_up_s: float = READY_S) -> None:
    """Wait until something listens there. Raises `Unavailable` with the end of the log."""
    give_up = time.monotonic() + give_up_s
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > give_up:
            end_group(process)
            raise Unavailable(f"did not start: {log.read_text(errors='replace')[-400:].strip()!r}")
        time.sleep(0.1)


def launch(command: list[str], folder: Path, log: Path, environment: dict[str, str]) -> subprocess.Popen[Any]:
    """Start a target on the first core, as the head of a process group."""
    with on_core(0), log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def end_group(process: subprocess.Popen[Any]) -> None:
    """End a target and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def base_environment(folder: Path) -> dict[str, str]:
    """Nothing of the caller's that could change what is measured."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(folder)}


def direct(upstreams: dict[str, Upstream]) -> Target:
    """The upstream itself, without TLS, which the load generator does not speak."""
    return Target("direct", {"plain": Door(upstreams["plain"].port, 0)}, list)


def nginx(folder: Path, upstreams: dict[str, Upstream]) -> Target:
    """nginx with the committed configuration. Raises `Unavailable`."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise Unavailable("nginx is missing (Debian package: nginx)")
    ports = {kind: free_port() for kind in ("plain", "tls")}
    tls = upstreams.get("tls")
    text = (HERE / "nginx.conf").read_text()
    if tls is None:  # the second server is the last block of the file
        text = re.sub(
            r"    server \{\n        listen 127\.0\.0\.1:TLS_PORT.*?\n    \}\n", "", text, flags=re.DOTALL
        )
    for word, value in {
        "FOLDER": str(folder),
        "PLAIN_UPSTREAM": str(upstreams["plain"].port),
        "TLS_UPSTREAM": str(tls.port if tls else 1),
        "PLAIN_PORT": str(ports["plain"]),
        "TLS_PORT": str(ports["tls"]),
        "CERTIFICATE": str(tls.certificate) if tls else "",
    }.items():
        text = text.replace(word, value)
    config = folder / "nginx.conf"
    config.write_text(text)
    log = folder / "start.log"
    process = launch([program, "-c", str(config), "-p", str(folder)], folder, log, base_environment(folder))
    wait_for_port(ports["plain"], process, log)

    def stop() -> list[str]:
        end_group(process)
        return []

    return Target("nginx", {kind: Door(ports[kind], process.pid) for kind in upstreams}, stop)


def trimtab(
    name: str,
    folder: Path,
    upstreams: dict[str, Upstream],
    new_store: Callable[[], str],
    *,
    keys: bool,
    limits: Limits = THREE,
    more: Callable[[Upstream], str] = lambda upstream: "",
    source: Path | None = None,
) -> Target:
    """`trimtab serve`, one worker, with records and metrics; with `keys` also a key with these limits.

    `more` is added to its configuration; `source` is the folder of another version of it.
    """
    stops: list[Callable[[], list[str]]] = []
    doors: dict[str, Door] = {}
    target = Target(name, doors, lambda: [problem for stop in stops for problem in stop()])
    for kind, upstream in upstreams.items():
        site = folder / kind
        site.mkdir()
        door, stop = _trimtab(
            site,
            upstream,
            new_store(),
            target,
            keys=keys,
            limits=limits,
            more=more(upstream),
            source=source,
        )
        doors[kind] = door
        stops.append(stop)
    return target


def _trimtab(
    folder: Path,
    upstream: Upstream,
    store_url: str,
    target: Target,
    *,
    keys: bool,
    limits: Limits,
    more: str,
    source: Path | None,
) -> tuple[Door, Callable[[], list[str]]]:
    (folder / "platform.key").write_text("sk-bench")
    tls = upstream.kind == "tls"
    config = folder / "trimtab.toml"
    config.write_text(
        f"""version = 1
[server]
listen = "127.0.0.1:0"
require_keys = {"true" if keys else "false"}
[store]
url = "{store_url or f"sqlite:///{folder}/trimtab.db"}"
journal = "{folder}/journal"
[platforms.claude]
kind = "anthropic"
api_key = "file:{folder}/platform.key"
base_url = "{"https" if tls else "http"}://127.0.0.1:{upstream.port}"
{f'ca_file = "{upstream.certificate}"' if tls else ""}
{more}
"""
    )
    settings = StoreSettings(
        url=store_url or f"sqlite:///{folder}/trimtab.db", journal=str(folder / "journal")
    )
    headers: dict[str, str] = {}
    key_id = ""
    environment = base_environment(folder)
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    if keys and source is not None:  # by its own program: this one's store is too new for it
        made = subprocess.run(
            [sys.executable, "-m", "trimtab", "keys", "add", "bench", "--config", str(config), "--quiet",
             "--concurrency", "10000", "--rpm", "10000000", "--usd", "1000000"],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Unavailable(f"no key could be made: {made.stderr[-400:]!r}")
        headers["x-api-key"] = made.stdout.strip()
    elif keys:
        with opened_key_door(config, create=True) as door:
            new = door.admin.add(Actor("benchmark"), NewKey(name="bench", team="bench", limits=limits))
        headers["x-api-key"] = new.secret.reveal()
        key_id = new.key.id if limits.total_nanousd is not None else ""
    log = folder / "trimtab.log"
    process = launch(
        [sys.executable, "-m", "trimtab", "serve", "--config", str(config)],
        folder,
        log,
        environment,
    )
    give_up = time.monotonic() + READY_S
    while not (found := re.search(r"serves http://127\.0\.0\.1:(\d+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > give_up:
            end_group(process)
            raise Unavailable(f"trimtab did not start: {log.read_text()[-400:]!r}")
        time.sleep(0.05)

    def stop() -> list[str]:
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            end_group(process)
            return [f"{target.name}: did not stop within {STOP_S:.0f} s"]
        problems = [f"{target.name}: ended with {status}"] if status else []
        sums = target.sent.get(upstream.kind, [0, 0, 0])
        return problems + _unrecorded(target.name, settings, config, key_id, sums)

    return Door(int(found[1]), process.pid, headers), stop


def _unrecorded(name: str, settings: StoreSettings, config: Path, key_id: str, sums: list[int]) -> list[str]:
    """What the store of a stopped Trimtab has that differs from what it was asked."""
    store = open_store(settings, clock_ms=lambda: time.time_ns() // 1_000_000, on_problem=None)
    totals: Totals = store.totals(0)
    store.close(10)
    requests, output, refused = sums
    cost = requests * INPUT_TOKENS * INPUT_NANOUSD + output * OUTPUT_NANOUSD
    pairs: dict[str, tuple[int, int]] = {
        "records": (totals.requests, requests + refused),
        "attempts": (totals.attempts, requests),
        "input tokens": (totals.tokens.input, requests * INPUT_TOKENS),
        "output tokens": (totals.tokens.output, output),
        "cost in nano-dollars": (totals.cost_nanousd, cost),
    }
    if key_id:
        with opened_key_door(config) as door:
            money = door.admin.show(Actor("benchmark"), key_id).money
        assert money is not msgspec.UNSET
        pairs["spend of the key"] = (money.spent_nanousd, cost)
    return [f"{name}: {what}: {is_} instead of {due}" for what, (is_, due) in pairs.items() if is_ != due]


def one_budget(_: Upstream) -> str:
    """A budget of the key's team, which is never reached."""
    return '[budgets.team]\nteam = "bench"\nusd_per_month = 1_000_000\n'


def budgeted(_: Upstream) -> str:
    """Budgets of everybody whom the key belongs to, none of which is ever reached."""
    return """
[budgets.team]
team = "bench"
usd_per_month = 1_000_000
tokens_per_day = 100_000_000_000
requests_per_minute = 10_000_000
[budgets.everybody]
organisation = "default"
usd_total = 10_000_000
"""


def two_more(upstream: Upstream) -> str:
    """Two further entries of the same platform, so that there is something to choose."""
    return "".join(
        f"""
[platforms.{name}]
kind = "anthropic"
api_key = "file:platform.key"
base_url = "http://127.0.0.1:{upstream.port}"
"""
        for name in ("second", "third")
    )


@contextlib.contextmanager
def at_revision(revision: str, root: Path, folder: Path) -> Iterator[Path]:
    """The sources as they were at a revision, until the end. Raises `Unavailable`."""
    place = folder / "before"
    made = subprocess.run(
        ["git", "worktree", "add", "--detach", str(place), revision],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Unavailable(f"--against {revision}: {made.stderr.strip()[-200:]}")
    try:
        version = Path("src/trimtab/_version.py")  # made when it is installed
        shutil.copy(root / version, place / version)
        yield place / "src"
    finally:
        subprocess.run(
            ["git", "worktree", "remove", "--force", str(place)], cwd=root, capture_output=True, check=False
        )
