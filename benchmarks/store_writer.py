"""What recording costs: `put`, the writer's speed, and what 2,000 records a second do to the event loop.

    python benchmarks/store_writer.py [--smoke]

On SQLite, and on PostgreSQL where its server is installed. Figures that are compared come from one run, in alternating
slices, because machines are noisy. Everything is new and in a temporary directory; TMPDIR picks the disk. The
PostgreSQL server is our own on the same machine, durable (fsync and synchronous_commit on), and shares its cores.
"""

import argparse
import asyncio
import importlib
import itertools
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg
import uvloop

from trimtab.catalogue import Arm
from trimtab.messages import CacheCreation, Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import Store, StoreSettings, open_store

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
postgres_server = importlib.import_module("postgres_server")

RECORDS_PER_S = 2_000
TICK_S = 0.005


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def outcomes(seed: int) -> Iterator[Outcome]:
    """Typical records without end: one attempt, streamed, cached."""
    bits = random.Random(seed).getrandbits
    for n in itertools.count():
        key = bits(7)
        usage = Usage(
            input_tokens=bits(12),
            output_tokens=bits(11),
            cache_creation_input_tokens=bits(10),
            cache_read_input_tokens=bits(14),
            cache_creation=CacheCreation(bits(10), 0),
            service_tier="standard",
        )
        attempt = Attempt(
            platform="claude",
            model="claude-sonnet-4-6",
            result="ok",
            status=200,
            provider_request_id=f"req_{bits(96):024x}",
            response_model="claude-sonnet-4-6",
            stop_reason="end_turn",
            usage=usage,
            reserved_nanousd=bits(30),
            cost_nanousd=bits(28),
            cost_source="reported",
            head_ms=301.25,
            first_content_ms=345.5,
            total_ms=2100.125,
        )
        yield Outcome(
            id=new_request_id(clock_ms(), bits),
            at_ms=clock_ms(),
            purpose="live",
            surface="messages",
            endpoint="messages",
            requested_model="trimtab/auto",
            session=f"{bits(128):032x}",
            result="ok",
            status=200,
            stream=True,
            plan=Plan(
                Arm("claude-sonnet-4-6", "medium"), "claude", "default", ("route auto: cheapest rung",)
            ),
            attempts=(attempt,),
            cost_nanousd=attempt.cost_nanousd,
            tags=("team:a",),
            key=f"k{key}",
            team=f"team {key % 8}",
            organisation="o",
            request_bytes=bits(14),
            response_bytes=bits(13),
            total_ms=2105.5,
            config_version=f"{n % 3:016x}",
            catalogue_version="2026-11-20",
        )


def fresh(url: str) -> Store:
    settings = StoreSettings(url=url, queue_max=1_000_000)
    return open_store(settings, clock_ms=clock_ms, on_problem=print)


def measure_put(url: str, count: int) -> None:
    store = fresh(url)
    made = list(itertools.islice(outcomes(1), count))
    encoder = msgspec.json.Encoder()
    costs = []
    for record in made:
        started = time.perf_counter_ns()
        store.put(record)
        costs.append(time.perf_counter_ns() - started)
    size = statistics.fmean(len(encoder.encode(record)) for record in made)
    waiting = store.status().queued
    store.close(60)
    costs.sort()
    print(
        f"put()               median {costs[len(costs) // 2] / 1000:.2f} us, "
        f"p99 {costs[len(costs) * 99 // 100] / 1000:.1f} us, while the writer runs; {waiting} were waiting at the end; "
        f"a record is {size:.0f} bytes of JSON"
    )


def measure_writer(url: str, count: int, *, busy: bool) -> None:
    """Drain a full queue, with this thread waiting or spinning (the worst event loop there can be)."""
    store = fresh(url)
    for record in itertools.islice(outcomes(2), count):
        store.put(record)
    before, started = store.status().written, time.perf_counter()
    closer = threading.Thread(target=store.close, args=(120,))
    closer.start()
    while busy and closer.is_alive():
        pass
    closer.join()
    took = time.perf_counter() - started
    print(
        f"writer, {'loop saturated' if busy else 'loop at rest  '}  {(count - before) / took:,.0f} records/s; "
        f"{size_of(url) / count:.0f} bytes a record on disk"
    )


def size_of(url: str) -> int:
    """Bytes of tables and indexes, without the write-ahead log."""
    if url.startswith("sqlite"):
        return Path(url.removeprefix("sqlite:///")).stat().st_size
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert found is not None
    return int(found[0])


async def lag_slice(made: Iterator[Outcome], store: Store | None, seconds: float) -> list[float]:
    """Milliseconds by which each tick is late, while records are made and, with a store, put."""
    late = []
    began = time.perf_counter()
    done = 0
    while (now := time.perf_counter()) < began + seconds:
        owed = int((now - began + TICK_S) * RECORDS_PER_S) - done
        for record in itertools.islice(made, owed):
            if store is not None:
                store.put(record)
        done += owed
        due = now + TICK_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late.append((time.perf_counter() - due) * 1000)
    return late


def writer_cpu_s() -> float:
    """What the thread of the store that is open has used."""
    (writer,) = (thread for thread in threading.enumerate() if thread.name == "trimtab-store")
    assert writer.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(writer.ident))


def p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


def wait_until_written(store: Store) -> None:
    while store.status().queued:
        time.sleep(0.01)


async def measure_lag(url: str, pairs: int, seconds: float) -> None:
    """Slices in turn, without and with recording. The p99 that a machine's other work makes comes and goes, so what
    recording adds is the median over neighbouring slices."""
    store = fresh(url)
    made = outcomes(3)
    late: dict[bool, list[list[float]]] = {False: [], True: []}
    used = writer_cpu_s()
    for number in range(2 * pairs):
        recording = number % 2 == 1
        late[recording].append(await lag_slice(made, store if recording else None, seconds))
        await asyncio.to_thread(wait_until_written, store)
    status = store.status()
    used = writer_cpu_s() - used
    left = await asyncio.to_thread(store.close, 30)
    for recording, slices in late.items():
        values = [value for each in slices for value in each]
        print(
            f"loop lag, {'recording' if recording else 'without  '}   p50 {statistics.median(values):.3f} ms, "
            f"p99 {p99(values):.3f} ms, max {max(values):.1f} ms"
        )
    added = [p99(after) - p99(before) for before, after in zip(late[False], late[True], strict=True)]
    print(f"loop lag, added      p99 {statistics.median(added):.3f} ms, median of {pairs} pairs (bar: 2)")
    print(
        f"{status.written / pairs / seconds:,.0f} records/s while recording, {used / status.written * 1e6:.1f} us of "
        f"the writer's processor time for each; {status.dropped} dropped, {left} left after closing"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds, figures of no value")
    smoke = parser.parse_args().smoke
    with tempfile.TemporaryDirectory() as name:
        numbers = itertools.count()
        measure("SQLite", lambda: f"sqlite:///{name}/{next(numbers)}.db", smoke=smoke)
    if postgres_server.available():
        with postgres_server.running(durable=True) as server:
            measure("PostgreSQL", server.new_database, smoke=smoke)
    else:
        print("PostgreSQL is not installed here (apt-get install postgresql)")


def measure(engine: str, new_url: Callable[[], str], *, smoke: bool) -> None:
    """Everything, each on an empty store of its own."""
    print(f"-- {engine}")
    measure_put(new_url(), 2_000 if smoke else 50_000)
    measure_writer(new_url(), 1_000 if smoke else 40_000, busy=False)
    measure_writer(new_url(), 500 if smoke else 5_000, busy=True)
    uvloop.run(measure_lag(new_url(), 2 if smoke else 20, 0.3 if smoke else 1.0))


if __name__ == "__main__":
    main()
