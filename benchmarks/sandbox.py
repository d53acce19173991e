"""What the sandbox costs: starting a run, ending it, and what is left of it.

    python benchmarks/sandbox.py [--smoke]

- Start: wall time of `Sandbox.run` for a command, less that of the same command started bare (`subprocess`, pipes
  read); the two in turn, so that what else the machine does meets both (bar: 50 ms).
- Cancel: from `task.cancel()` until the call has ended, which is when no process of the run is left (bar: 100 ms). It
  is tried on one that sleeps, on 30 that count for ever, and on one that holds 400 MiB.
- Memory: how far four processes that fill theirs as fast as they can get beyond the limit before they are ended.
- The event loop: the longest time that it stood still while runs began and ended, beside the same without any.
- 100 runs of every ending: processes, descriptors, threads, mounts and memory before and after.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from trimtab.errors import SandboxUnavailable
from trimtab.sandbox import Limits, Run, Sandbox, SandboxSettings

MIB = 1024 * 1024

COMMANDS = {"/bin/true": ("/bin/true",), "python3 -c pass": ("python3", "-c", "pass")}

ROOMY = Limits(wall_s=60.0, cpu_s=60.0)

HELD = {
    "asleep": "print(flush=True); import time; time.sleep(1000)",
    "30 processes that count": (
        "import os\nfor _ in range(29):\n if os.fork() == 0: break\nelse: print(flush=True)\nwhile True: pass"
    ),
    "400 MiB held": "held = b'x' * (400 * 2**20); open('there', 'w'); import time; time.sleep(1000)",
}

ENDINGS = (
    Run(argv=("/bin/true",)),
    Run(argv=("python3", "-c", "open('kept', 'w').write('x')"), keep=("kept",), limits=ROOMY),
    Run(argv=("/bin/sh", "-c", "kill -SEGV $$")),
    Run(argv=("/bin/sh", "-c", "sleep 1000 & sleep 1000 & exit 3")),
    Run(argv=("/bin/sh", "-c", "sleep 1000; true"), limits=Limits(wall_s=0.05)),
    Run(argv=("/bin/sh", "-c", "while :; do echo flood; done"), limits=Limits(output_bytes=10_000)),
    Run(argv=("/bin/sh", "-c", "head -c 9000000 /dev/zero > full"), limits=Limits(folder_bytes=MIB)),
    Run(argv=("no-such-program",)),
)


def quantiles(values: list[float]) -> str:
    """Median, 99th of a hundred, and the most, in milliseconds."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"median {statistics.median(ordered):6.1f}   p99 {p99:6.1f}   most {ordered[-1]:6.1f} ms   ({len(ordered)})"


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


def bare_ms(argv: tuple[str, ...]) -> float:
    """The same command without a sandbox."""
    began = time.perf_counter()
    subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, env={"PATH": "/usr/bin:/bin"}, check=True
    )
    return (time.perf_counter() - began) * 1000


async def start(rounds: int) -> None:
    """Each command in the sandbox and bare, in turn."""
    sandbox = Sandbox()
    for name, argv in COMMANDS.items():
        inside: list[float] = []
        bare: list[float] = []
        for _ in range(rounds):
            inside.append(await timed(lambda argv=argv: sandbox.run(Run(argv=argv, limits=ROOMY))))  # type: ignore[misc]
            bare.append(bare_ms(argv))
        print(f"start, {name}")
        print(f"  in the sandbox  {quantiles(inside)}")
        print(f"  bare            {quantiles(bare)}")
        print(
            f"  difference      {quantiles([one - other for one, other in zip(inside, bare, strict=True)])}"
        )


async def cancel(rounds: int) -> None:
    """Cancelled while it does what it does."""
    sandbox = Sandbox()
    limits = Limits(wall_s=60.0, cpu_s=60.0, memory_bytes=512 * MIB)
    for name, program in HELD.items():
        took: list[float] = []
        for _ in range(rounds):
            running = asyncio.create_task(sandbox.run(Run(argv=("python3", "-c", program), limits=limits)))
            await asyncio.sleep(0.4)
            began = time.perf_counter()
            running.cancel()
            try:
                await running
                raise SystemExit(f"{name}: it had ended before")
            except asyncio.CancelledError:
                took.append((time.perf_counter() - began) * 1000)
        print(f"cancel, {name:24}{quantiles(took)}")


async def memory(rounds: int) -> None:
    """What is taken beyond the limit, for the sum is only looked at from time to time."""
    limit = 200 * MIB
    program = (
        "import os, time\nos.fork(); os.fork()\nheld = []\nwhile True:\n"
        " try: held.append(bytearray(2**20)); held[-1][::4096] = b'x' * 256\n except MemoryError: time.sleep(1)"
    )
    over: list[float] = []
    for _ in range(rounds):
        ran = await Sandbox().run(
            Run(argv=("python3", "-c", program), limits=Limits(memory_bytes=limit, wall_s=60.0, cpu_s=60.0))
        )
        if ran.ended != "memory":
            raise SystemExit(f"the run that takes memory ended {ran.ended}: {ran.stderr[-300:]!r}")
        over.append((ran.peak_bytes - limit) / MIB)
    print(f"memory beyond 200 MiB: median {statistics.median(over):.0f}, most {max(over):.0f} MiB ({rounds})")


async def stood_still(work: Awaitable[object]) -> float:
    """The longest time in milliseconds that the event loop had for nobody."""
    longest, ends = 0.0, asyncio.ensure_future(work)
    last = time.perf_counter()
    while not ends.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1000


async def event_loop(runs: int) -> None:
    """Runs one after another, and as much waiting."""
    sandbox = Sandbox()

    async def many() -> None:
        for _ in range(runs):
            await sandbox.run(Run(argv=("/bin/true",)))

    began = time.perf_counter()
    with_runs = [await stood_still(many())]
    took = time.perf_counter() - began
    without = [await stood_still(asyncio.sleep(took))]
    print(
        f"the event loop stood still at most {with_runs[0]:.1f} ms over {runs} runs, {without[0]:.1f} ms without any"
    )


def owned(mark: str) -> dict[str, int]:
    """What this process has, and what has its mark."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    marked = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            marked += mark.encode() in Path(f"/proc/{name}/cmdline").read_bytes() and int(name) != os.getpid()
        except OSError:
            continue
    return {
        "processes": marked,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "temporary files": len(os.listdir("/tmp")),
        "resident KiB": int(status["VmRSS"].split()[0]),
    }


async def nothing_left(runs: int) -> None:
    """All endings in turn, four at once."""
    mark = f"sandbox-benchmark-{os.getpid()}"
    sandbox = Sandbox(SandboxSettings(concurrent=4))

    async def some(count: int) -> None:
        marked = [msgspec.structs.replace(one, argv=(*one.argv, mark)) for one in ENDINGS]
        ran = await asyncio.gather(*(sandbox.run(marked[at % len(marked)]) for at in range(count)))
        endings.update(one.ended for one in ran)

    endings: set[str] = set()
    await some(len(ENDINGS))
    before = owned(mark)
    await some(runs)
    after = owned(mark)
    print(f"{runs} runs that ended {', '.join(sorted(endings))}: before and after")
    for name, count in before.items():
        print(f"  {name:16} {count:>8,} {after[name]:>8,}")


def version() -> str:
    """Of bubblewrap."""
    return subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()


async def everything(smoke: bool) -> None:
    """All of it."""
    try:
        await Sandbox().check()
    except SandboxUnavailable as error:
        print(f"skipped: {error}")
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Linux {platform.release()}, "
        f"Python {sys.version.split()[0]}, {version()}, user {os.geteuid()}"
    )
    await start(10 if smoke else 300)
    await cancel(2 if smoke else 30)
    await memory(2 if smoke else 20)
    await event_loop(10 if smoke else 200)
    await nothing_left(16 if smoke else 100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few rounds, not to be judged")
    asyncio.run(everything(parser.parse_args().smoke))
