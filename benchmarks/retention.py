"""What deleting old records does to the event loop, to the writer and to exchanges of slices beside it.

    python benchmarks/retention.py [--smoke]

One process records 1,000 requests a second; in every other slice of time it also deletes old records, of which there
are 200,000 at the start. On SQLite, and on PostgreSQL where its server is installed (our own, durable, on the same
cores). Compare the two lines of one run; machines are noisy. TMPDIR picks the disk.
"""

import argparse
import asyncio
import importlib
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop

from store_writer import clock_ms, outcomes
from trimtab.records import Outcome
from trimtab.store import Database, Store, StoreSettings, Transaction, open_database, open_store
from trimtab.store.housekeeping import LEASE_MS, Retention, claim, delete_old
from trimtab.store.housekeeping.retention import CHORE, DAY_MS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
postgres_server = importlib.import_module("postgres_server")

RECORDS_PER_S = 1_000
TICK_S = 0.005
EXCHANGE_EVERY_S = 0.05
HOLDER = "benchmark"


class Figures:
    """Milliseconds, of one kind of slice."""

    def __init__(self) -> None:
        self.late: list[float] = []
        """By which ticks of the event loop were late."""
        self.committed: list[float] = []
        """From `put` to the commit, as seen at the ticks."""
        self.exchanged: list[float] = []
        """A small transaction as an exchange of slices makes it."""
        self.deleted = 0
        self.seconds = 0.0


def old_records(settings: StoreSettings, count: int) -> None:
    began = time.perf_counter()
    store = open_store(settings, clock_ms=clock_ms, on_problem=print)
    now = clock_ms()
    for n, record in enumerate(itertools.islice(outcomes(4), count)):
        store.put(msgspec.structs.replace(record, at_ms=now - 200 * DAY_MS + n * 50))
        while store.status().queued > 20_000:
            time.sleep(0.01)
    assert store.close(120) == 0
    print(f"  {count:,} old records made in {time.perf_counter() - began:.1f} s")


def exchanging(database: Database, stop: threading.Event, took: list[float]) -> None:
    def work(transaction: Transaction) -> None:
        transaction.change(
            "INSERT INTO limit_locks (key_id) VALUES ('k') "
            "ON CONFLICT (key_id) DO UPDATE SET key_id = excluded.key_id"
        )

    while not stop.wait(EXCHANGE_EVERY_S):
        began = time.perf_counter()
        database.write(work, durable=False)
        took.append((time.perf_counter() - began) * 1000)


def deleting(database: Database, stop: threading.Event, figures: Figures) -> None:
    database.write(lambda transaction: claim(transaction, CHORE, HOLDER, lease_ms=LEASE_MS, every_ms=0))
    figures.deleted += delete_old(database, Retention(100, 0), holder=HOLDER, rest=stop.wait).records


async def record_for(seconds: float, made: Iterator[Outcome], store: Store, figures: Figures) -> None:
    per_tick = int(RECORDS_PER_S * TICK_S)
    base = store.status().written + store.status().queued
    waiting: list[tuple[int, float]] = []
    put = 0
    ends = time.perf_counter() + seconds
    while (now := time.perf_counter()) < ends:
        for record in itertools.islice(made, per_tick):
            store.put(record)
        put += per_tick
        waiting.append((base + put, now))
        due = now + TICK_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        seen = time.perf_counter()
        figures.late.append((seen - due) * 1000)
        written = store.status().written
        while waiting and waiting[0][0] <= written:
            figures.committed.append((seen - waiting.pop(0)[1]) * 1000)


async def measure(settings: StoreSettings, slices: int, seconds: float) -> None:
    database = open_database(settings, clock_ms=clock_ms)
    store = open_store(settings, clock_ms=clock_ms, on_problem=print)
    made = outcomes(5)
    both = {False: Figures(), True: Figures()}
    await record_for(0.2, made, store, Figures())
    for number in range(2 * slices):
        figures = both[number % 2 == 1]
        stop = threading.Event()
        threads = [threading.Thread(target=exchanging, args=(database, stop, figures.exchanged))]
        if number % 2 == 1:
            threads.append(threading.Thread(target=deleting, args=(database, stop, figures)))
        for thread in threads:
            thread.start()
        await record_for(seconds, made, store, figures)
        stop.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        figures.seconds += seconds
    await asyncio.to_thread(store.close, 60)
    database.close()
    for with_it, figures in both.items():
        speed = f"; {figures.deleted / figures.seconds:,.0f} records/s deleted" if with_it else ""
        print(
            f"  {'while deleting' if with_it else 'without it    '}  loop lag {_spread(figures.late)}; "
            f"put to commit {_spread(figures.committed)}; exchange {_spread(figures.exchanged)}{speed}"
        )


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    values = sorted(values)
    return f"p50 {values[len(values) // 2]:.1f} p99 {values[len(values) * 99 // 100]:.1f} max {values[-1]:.1f} ms"


def run(url: str, smoke: bool) -> None:
    settings = StoreSettings(url=url, batch_ms=10)
    old_records(settings, 3_000 if smoke else 200_000)
    uvloop.run(measure(settings, 1 if smoke else 4, 0.3 if smoke else 6.0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds, figures of no value")
    smoke = parser.parse_args().smoke
    with tempfile.TemporaryDirectory() as folder:
        print("SQLite")
        run(f"sqlite:///{folder}/retention.db", smoke)
    if postgres_server.available():
        print("PostgreSQL")
        with postgres_server.running(durable=True) as server:
            run(server.new_database(), smoke)
    else:
        print("PostgreSQL is not installed here (apt-get install postgresql)")


if __name__ == "__main__":
    main()
