"""What recording costs: `put`, the writer's speed, and what 2,000 records a second do to the event loop.

    python benchmarks/store_writer.py [--smoke]

Figures that are compared come from one run, in alternating slices, because machines are noisy. Everything is on a
new file in a temporary directory; TMPDIR picks the disk.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop

from trimtab.catalogue import Arm
from trimtab.messages import CacheCreation, Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import Store, StoreSettings, open_store

RECORDS_PER_S = 2_000
TICK_S = 0.005


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def outcomes(seed: int) -> Iterator[Outcome]:
    """Typical records without end: one attempt, streamed, cached."""
    bits = random.Random(seed).getrandbits
    for n in itertools.count():
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
            request_bytes=bits(14),
            response_bytes=bits(13),
            total_ms=2105.5,
            config_version=f"{n % 3:016x}",
            catalogue_version="2026-11-20",
        )


def fresh(directory: Path, name: str, queue_max: int = 1_000_000) -> Store:
    settings = StoreSettings(url=f"sqlite:///{directory / name}", queue_max=queue_max)
    return open_store(settings, clock_ms=clock_ms, on_problem=print)


def measure_put(directory: Path, count: int) -> None:
    store = fresh(directory, "put.db")
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


def measure_writer(directory: Path, count: int, *, busy: bool) -> None:
    """Drain a full queue, with this thread waiting or spinning (the worst event loop there can be)."""
    name = "busy.db" if busy else "idle.db"
    store = fresh(directory, name)
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
        f"{(directory / name).stat().st_size / count:.0f} bytes a record on disk"
    )


async def lag_slice(made: Iterator[Outcome], store: Store | None, seconds: float) -> list[float]:
    """Milliseconds by which each tick is late, while records are made and, with a store, put."""
    late = []
    ends = time.perf_counter() + seconds
    per_tick = int(RECORDS_PER_S * TICK_S)
    while (now := time.perf_counter()) < ends:
        for record in itertools.islice(made, per_tick):
            if store is not None:
                store.put(record)
        due = now + TICK_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late.append((time.perf_counter() - due) * 1000)
    return late


async def measure_lag(directory: Path, slices: int, seconds: float) -> None:
    store = fresh(directory, "lag.db")
    made = outcomes(3)
    late: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * slices):
        recording = number % 2 == 1
        late[recording] += await lag_slice(made, store if recording else None, seconds)
    status = store.status()
    left = await asyncio.to_thread(store.close, 30)
    for recording, values in late.items():
        values.sort()
        print(
            f"loop lag, {'recording' if recording else 'without  '}   p50 {values[len(values) // 2]:.3f} ms, "
            f"p99 {values[len(values) * 99 // 100]:.3f} ms, max {values[-1]:.1f} ms"
        )
    print(
        f"{RECORDS_PER_S} records/s while recording: {status.written} written before closing, "
        f"{status.dropped} dropped, {left} left after it"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds, figures of no value")
    smoke = parser.parse_args().smoke
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        measure_put(directory, 2_000 if smoke else 50_000)
        measure_writer(directory, 1_000 if smoke else 40_000, busy=False)
        measure_writer(directory, 500 if smoke else 5_000, busy=True)
        uvloop.run(measure_lag(directory, 2 if smoke else 5, 0.3 if smoke else 2.0))


if __name__ == "__main__":
    main()
