"""How long the console's questions take of a store of a million records.

    python benchmarks/console.py [--smoke] [--only sqlite|postgresql]

Fills a store of each engine with 1e6 records (--smoke: 5e3) of the same kind as benchmarks/rollups.py does, spread over
the 30 days up to now; lets the background work out its figures (the time is printed: it is what an upgrade costs
once); then asks what the pages ask, through `Figures`, nothing remembered:
overviews of every window by every dimension, lists with every filter alone and in pairs, also filters that nothing
matches, stories, and what is live. The bar is 200 ms for each.
"""

import argparse
import importlib
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import psycopg

from trimtab.console.figures import Figures
from trimtab.console.questions import DIMENSIONS, SPANS_MS, Filter, Scope, window
from trimtab.store import Database, StoreSettings, open_database, open_store
from trimtab.store.figures import CHORE, fold_what_is_due
from trimtab.store.housekeeping import Retention, claim, put_down

rollups: Any = importlib.import_module("rollups")
postgres_server = rollups.postgres_server

BAR_MS = 200.0
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

NOBODY_HAS = "nobody"

FILTERS: dict[str, dict[str, object]] = {
    "arm": {"arm": "claude-opus-4-6"},
    "arm, none such": {"arm": NOBODY_HAS},
    "tier": {"tier": "escalation"},
    "platform": {"platform": "vertex"},
    "platform, none such": {"platform": NOBODY_HAS},
    "key": {"key": "k95"},
    "key, none such": {"key": NOBODY_HAS},
    "team": {"team": "t3"},
    "team, none such": {"team": NOBODY_HAS},
    "organisation, none such": {"organisation": NOBODY_HAS},
    "session": {"session": "s100"},
    "session, none such": {"session": NOBODY_HAS},
    "failed": {"result": "failed"},
    "cancelled": {"result": "cancelled"},
    "unknown": {"result": "unknown"},
    "status": {"status": 529},
    "error": {"error": "overloaded"},
    "slow": {"slower_ms": 1e9},
    "dear": {"cost_nanousd": 10**12},
    "simulated": {"simulated": True},
    "purposes": {"purposes": ("eval",)},
    "last day": {"from_ms": -DAY_MS},
    "a day long ago": {"from_ms": -20 * DAY_MS, "to_ms": -19 * DAY_MS},
}


def filters(now_ms: int) -> dict[str, Filter]:
    """Each alone, and in pairs."""
    made = {"nothing": Filter()}
    for names in [*((name,) for name in FILTERS), *itertools.combinations(FILTERS, 2)]:
        fields: dict[str, object] = {}
        for name in names:
            fields.update(FILTERS[name])
        for moment in ("from_ms", "to_ms"):
            if moment in fields:
                fields[moment] = now_ms + int(str(fields[moment]))
        made[" and ".join(names)] = msgspec.convert(fields, Filter)
    return made


class Took(NamedTuple):
    """Milliseconds."""

    name: str
    median: float
    worst: float
    processor: float
    """Median of this thread's own time; what a busy machine adds is not in it, nor what PostgreSQL's processes do."""


def measure(name: str, ask: Callable[[], object], rounds: int) -> Took:
    took, used = [], []
    for _ in range(rounds):
        began, began_thread = time.perf_counter(), time.thread_time()
        ask()
        used.append((time.thread_time() - began_thread) * 1000)
        took.append((time.perf_counter() - began) * 1000)
    return Took(name, statistics.median(took), max(took), statistics.median(used))


def report(title: str, found: list[Took], worst: int) -> bool:
    found.sort(key=lambda one: -one.median)
    over = [one for one in found if one.median > BAR_MS]
    medians = sorted(one.median for one in found)
    processor, single = max(one.processor for one in found), max(one.worst for one in found)
    print(
        f"{title}: {len(found)} questions; median {statistics.median(medians):.1f} ms, slowest {medians[-1]:.1f} ms "
        f"({processor:.1f} ms of processor time), worst single {single:.1f} ms; {len(over)} over the bar"
    )
    for one in found[:worst]:
        print(
            f"    {one.name:50} {one.median:8.1f} ms, processor {one.processor:7.1f} ms, worst {one.worst:8.1f} ms"
        )
    return not over


def filled(url: str, count: int | None) -> Database:
    """A store with so many records of the last 30 days (`None`: as it is), and their figures worked out."""
    database = open_database(StoreSettings(url=url), clock_ms=lambda: time.time_ns() // 1_000_000)
    if count is not None:
        began = time.perf_counter()
        now_ms = database.read(lambda view: view.now_ms())
        rollups.START_MS = (now_ms // HOUR_MS - 30 * 24) * HOUR_MS  # its own days end long ago
        rollups.fill(database, count)
        if database.words.engine == "postgresql":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # as autovacuum does in time
        print(f"{count:,} records filled in {time.perf_counter() - began:.0f} s")
    for round_of in ("figures worked out", "a round with nothing to do"):
        began, used = time.perf_counter(), time.process_time()
        assert database.write(lambda t: claim(t, CHORE, "me", lease_ms=60_000, every_ms=0))
        assert fold_what_is_due(database, Retention(0, 0), holder="me", rest=lambda seconds: False)
        took_s, used_s = time.perf_counter() - began, time.process_time() - used
        print(f"{round_of}: {took_s:.3f} s, {used_s:.3f} s of processor time in this process")
    database.write(lambda t: put_down(t, CHORE, "me", done=True))
    return database


def ask_all(engine: str, url: str, count: int, rounds: int) -> bool:
    settings = StoreSettings(url=url)
    print(f"-- {engine}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    database = filled(url, count)
    now_ms = database.read(lambda view: view.now_ms())
    store = open_store(settings, clock_ms=lambda: now_ms, on_problem=print)

    def figures() -> Figures:
        """A new one has nothing remembered."""
        return Figures(database, store, clock_ms=lambda: now_ms, monotonic=time.monotonic)

    good = True
    scopes = {"": Scope(), ", a team": Scope("o", "t3"), ", an organisation": Scope("o")}
    found = [
        measure(
            f"{span} by {by}{whose}",
            lambda span=span, by=by, scope=scope: figures().overview(  # type: ignore[misc]
                window(span, now_ms), by, scope=scope
            ),
            rounds,
        )
        for span in SPANS_MS
        for by in (None, *DIMENSIONS)
        for whose, scope in scopes.items()
    ]
    good &= report("overviews", found, 5)
    found = [
        measure(name, lambda wanted=wanted: figures().requests(wanted), rounds)  # type: ignore[misc]
        for name, wanted in filters(now_ms).items()
    ]
    good &= report("lists", found, 5)
    page = figures().requests(Filter())
    story = page.rows[20].id
    detail = database.read(
        lambda view: view.row("SELECT count(*) FROM requests WHERE id = ? AND detail <> ''", (story,))
    )
    found = [measure("live", lambda: figures().live(), rounds)]
    if detail != (0,):
        found.append(measure("a story", lambda: figures().story(story), rounds))
    good &= report("live", found, 2)
    cursor, pages = None, 0
    wanted = Filter(arm=NOBODY_HAS)
    began = time.perf_counter()
    while True:
        answer = figures().requests(wanted, cursor)
        pages, cursor = pages + 1, answer.next
        if cursor is None:
            break
    print(
        f"a search through everything for what is not there: {pages} pages, {time.perf_counter() - began:.1f} s"
    )
    store.close(10)
    database.close()
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="five thousand records, one round")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one engine instead of both")
    asked = parser.parse_args()
    count, rounds = (5_000, 1) if asked.smoke else (1_000_000, 5)
    good = True
    if asked.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            good &= ask_all("SQLite", f"sqlite:///{folder}/console.db", count, rounds)
    if asked.only != "sqlite" and postgres_server.available():
        with postgres_server.running(durable=True) as server:
            good &= ask_all("PostgreSQL", server.new_database(), count, rounds)
    elif asked.only != "sqlite":
        print("PostgreSQL is not installed here (apt-get install postgresql)")
    if not good and not asked.smoke:
        sys.exit(f"over the bar of {BAR_MS:.0f} ms")


if __name__ == "__main__":
    main()
