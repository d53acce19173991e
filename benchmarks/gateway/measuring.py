"""What a process tree used, and what the load generator saw.

Processor time is user and system time of a process with all its threads and children, in nanoseconds: of the clock
that clock_getcpuclockid(3) names (/proc/PID/stat counts in steps of 10 ms).
What it is not: a judge of the figures.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SCHED = 2
"""With the complement of a process id above it the id of that process's clock: see clock_getcpuclockid(3)."""
_REST_PART = 0.03
"""A tree that uses less of a core than this is at rest."""
_AT_REST_S = 0.3
_PROBE_S = 0.1
REFUSED_PART = 0.05
"""A visit in which more answers are not 200 has no figure. Fewer are told, and what they took is charged to the rest:
on a machine that has other work Trimtab's store does not always answer within the 50 ms that a request with limits
waits for it."""
LIMIT_S = 25.0
"""So long after the end of a visit answers may come; what has none then is counted as unfinished."""


class Times(msgspec.Struct, frozen=True):
    """Percentiles in microseconds; 0 where nothing was measured."""

    n: int
    p50: int = 0
    p90: int = 0
    p99: int = 0


class Seen(msgspec.Struct, frozen=True):
    """What `load.c` prints. See there."""

    begun: int
    completed: int
    refused: int
    different: int
    broken: int
    unfinished: int
    not_begun: int
    seconds: float
    connections: int
    first_refusal: str
    latency: Times
    first_byte: Times
    transit: Times

    def faults(self, *, may_differ: bool = False) -> str:
        """Why there is no figure, in words; empty when the answers were whole, 200 (see `REFUSED_PART`) and byte for
        byte the upstream's.
        """
        found = {
            "refused": self.refused if self.refused > self.begun * REFUSED_PART else 0,
            "different": 0 if may_differ else self.different,
            "broken": self.broken,
            "unfinished": self.unfinished,
            "not begun": self.not_begun,
        }
        words = ", ".join(f"{count} {name}" for name, count in found.items() if count)
        return f"{words} {self.first_refusal}".strip() if words else ""


@dataclass(frozen=True)
class Load:
    """How a server is asked."""

    request: Path
    """Head and body."""
    stream: bool
    deltas: int
    loop: str
    """`closed` or `open`."""
    amount: float
    """Connections of a closed loop; requests a second of an open one."""
    seconds: float
    seed: int = 1


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes that are started within stay on this core, where the machine has more than one."""
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    if len(cores) < 2:
        yield
        return
    os.sched_setaffinity(0, {cores[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_load(program: Path, port: int, load: Load) -> Seen:
    """One visit; blocks until it is over."""
    with on_core(1):
        done = subprocess.run(
            [
                str(program),
                str(port),
                str(load.request),
                "stream" if load.stream else "json",
                str(load.deltas),
                load.loop,
                str(load.amount),
                str(load.seconds),
                str(LIMIT_S),
                str(load.seed),
            ],
            stdout=subprocess.PIPE,
            check=True,
            timeout=load.seconds + 2 * LIMIT_S,
        )
    return msgspec.json.decode(done.stdout, type=Seen)


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    found, i = [root], 0
    while i < len(found):
        for tasks in Path(f"/proc/{found[i]}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, tasks.read_text().split())
        i += 1
    return found


def cpu_s(root: int) -> float:
    """User and system time that the tree has used since it began."""
    used = 0.0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            used += time.clock_gettime((~pid << 3) | _SCHED)
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            # cutime and cstime, of children that ended: fields 16 and 17 of proc(5).
            used += sum(map(int, fields[13:15])) * _TICK_S
    return used


def pss_mib(root: int) -> float:
    """Proportional memory of the tree, in MiB."""
    kib = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib / 1024


def wait_for_rest(root: int, give_up_s: float) -> float:
    """Wait until the tree has finished what a visit left behind (records to write); its processor time then."""
    give_up = time.monotonic() + give_up_s
    used = cpu_s(root)
    still_since = time.monotonic()
    while time.monotonic() - still_since < _AT_REST_S and time.monotonic() < give_up:
        time.sleep(_PROBE_S)
        now = cpu_s(root)
        if now - used > _REST_PART * _PROBE_S:
            still_since = time.monotonic()
        used = now
    return used
