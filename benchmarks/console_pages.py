"""How long the console's pages take over a million records, and what an open page costs requests to models.

    python benchmarks/console_pages.py [--smoke] [--store FILE]

One `trimtab serve` process on a SQLite store of 1e6 records (--smoke: 5e3), filled and worked out as in
benchmarks/console.py; --store keeps that file, or uses it where it is there already.

First each page, and each page's JSON, is asked for over one kept connection, each time for other purposes, so that no
answer is a remembered one: wall-clock time to the last byte (bar: 200 ms, by the median of five), the server's
processor time (mean; the kernel counts in steps of 10 ms), and size (bar: 300 KB). Where other work keeps the machine's
cores busy, the processor time is judged instead.

Then eight connections send requests to the simulated platform without a pause, in slices of some seconds: in every
other slice the first page is asked for every two seconds, as an open page does. Told are, for each request, the
processor time of the thread that answers requests, and of the whole process, pages included, with and without; the
ratio of the medians; and how far slices of the same kind are apart: the noise that the ratio is to be read against.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
from drive import Site  # noqa: E402 - it is beside the tests

from console import filled  # noqa: E402 - it is beside this file

BAR_MS = 200.0
BAR_BYTES = 300_000
CONNECTIONS = 8
POLL_S = 2.0
PURPOSES = ("live", "live,task", "live,eval", "live,judge", "live,audit")
"""Other questions, the same records: all of them are live."""
TICKS = os.sysconf("SC_CLK_TCK")
ASK = json.dumps(
    {"model": "trimtab/auto", "max_tokens": 64, "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
).encode()
MESSAGE = (
    b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nanthropic-version: 2023-06-01\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ASK), ASK)
)

OVERVIEWS = [
    f"simulated=false&window={window}&by={by}"
    for window in ("hour", "day", "week", "month")
    for by in ("arm", "key", "team")
]
LISTS = [
    f"simulated=false{more}"
    for more in (
        "",
        "&arm=claude-3-5-haiku-20241022",
        "&result=failed",
        "&key=k95",
        "&error=overloaded",
        "&slower_ms=100000000",
    )
]


class Client:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        return int(head.split()[1]), await self._reader.readexactly(length)

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        return await self.send(b"GET %b HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" % path.encode())


def quiet() -> bool:
    """Whether wall-clock time says anything of the server: no more wants to run than can."""
    return os.getloadavg()[0] <= (os.cpu_count() or 1) + 1


def processor_s(pid: int, thread: int | None = None) -> float:
    """Of a process, or of one of its threads; that of the event loop has the number of the process."""
    place = "" if thread is None else f"/task/{thread}"
    fields = Path(f"/proc/{pid}{place}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def pages(port: int, pid: int, rounds: int) -> bool:
    """Every page."""
    client = await Client.open(port)
    status, body = await client.send(MESSAGE)
    assert status == 200, body
    await asyncio.sleep(1)  # until it is recorded: the only record with all its details
    status, listed = await client.get("/trimtab/v1/requests?simulated=true")
    story = json.loads(listed)["rows"][0]["id"]
    asked = [
        *(f"/console{kind}?{query}" for kind in ("", "/overview.json") for query in OVERVIEWS),
        *(f"/console/requests{kind}?{query}" for kind in ("", ".json") for query in LISTS),
        *(f"/console/requests/{story}{kind}" for kind in ("", ".json")),
        "/trimtab/v1/live?simulated=false",
        *(f"/trimtab/v1/overview?{query}" for query in OVERVIEWS),
    ]
    good = True
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'page':64} {'median':>9} {'worst':>9} {'processor':>9} {'bytes':>9}")
    for path in asked:
        took, size, status = [], 0, 200
        used = 0.0
        for n in range(rounds):
            more = f"&purposes={PURPOSES[n]}" if "simulated" in path else ""
            began, before = time.perf_counter(), processor_s(pid)
            status, body = await client.get(path + more)
            took.append((time.perf_counter() - began) * 1000)
            used += processor_s(pid) - before
            size = len(body)
        assert status == 200, (path, status, body[:300])
        judged = statistics.median(took) if quiet() else used / rounds * 1000
        over = judged > BAR_MS or size > BAR_BYTES
        good &= not over
        print(
            f"{path:64} {statistics.median(took):6.1f} ms {max(took):6.1f} ms {used / rounds * 1000:6.0f} ms {size:9,}"
            f"{'  OVER' if over else ''}"
        )
    return good


class Slice(NamedTuple):
    polled: bool
    requests: int
    processor_us: float
    loop_us: float
    p50_ms: float


async def slices(port: int, pid: int, count: int, seconds: float) -> list[Slice]:
    """Load without a pause, with and without a poll in turn."""
    clients = [await Client.open(port) for _ in range(CONNECTIONS)]
    poller = await Client.open(port)
    found = []

    async def load(client: Client, until: float, took: list[float]) -> None:
        while (now := time.perf_counter()) < until:
            status, body = await client.send(MESSAGE)
            assert status == 200, body
            took.append(time.perf_counter() - now)

    async def poll(until: float) -> None:
        while time.perf_counter() < until:
            status, body = await poller.get("/console?window=week&by=key")
            assert status == 200, body
            await asyncio.sleep(POLL_S)

    for n in range(count + 1):
        polled = n % 2 == 0
        until = time.perf_counter() + seconds
        took: list[float] = []
        used, loop = processor_s(pid), processor_s(pid, pid)
        polling = asyncio.create_task(poll(until)) if polled else None
        await asyncio.gather(*(load(client, until, took) for client in clients))
        used, loop = processor_s(pid) - used, processor_s(pid, pid) - loop
        if polling is not None:
            await polling
        if n:  # the first one warms up
            found.append(
                Slice(
                    polled,
                    len(took),
                    used / len(took) * 1e6,
                    loop / len(took) * 1e6,
                    statistics.median(took) * 1000,
                )
            )
    return found


def report(found: list[Slice]) -> None:
    for title, of in (
        ("processor time of the event loop for a request, us", 3),
        ("processor time of the process for a request, that of the page included, us", 2),
        ("p50 of a request, ms", 4),
    ):
        kinds = {polled: [one[of] for one in found if one.polled == polled] for polled in (False, True)}
        without, with_page = (statistics.median(kinds[polled]) for polled in (False, True))
        print(
            f"{title}: without a page {without:.2f} ({min(kinds[False]):.2f} to {max(kinds[False]):.2f}), "
            f"with one {with_page:.2f} ({min(kinds[True]):.2f} to {max(kinds[True]):.2f}), "
            f"ratio {with_page / without:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="five thousand records, few and short slices")
    parser.add_argument("--store", type=Path, help="a file to keep the store in, or to take it from")
    asked = parser.parse_args()
    count, rounds, turns, seconds = (5_000, 1, 2, 1.0) if asked.smoke else (1_000_000, 5, 20, 6.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = asked.store.absolute() if asked.store else folder / "console.db"
        there = file.exists()
        filled(f"sqlite:///{file}", None if there else count)
        site = Site(folder, None, f"sqlite:///{file}", 1)
        try:
            site.start()
            good = asyncio.run(pages(site.port, site.process.pid, rounds))
            report(asyncio.run(slices(site.port, site.process.pid, turns, seconds)))
        finally:
            site.destroy()
    if not good and not asked.smoke:
        sys.exit(f"over the bar of {BAR_MS:.0f} ms or {BAR_BYTES:,} bytes")


if __name__ == "__main__":
    main()
