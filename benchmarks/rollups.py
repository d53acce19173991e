"""Whether a console's questions take the same time of a small store and of one a hundred times as large.

    python benchmarks/rollups.py [--smoke] [--only sqlite|postgresql]

Makes two stores for each engine, of 1e5 and of 1e7 records (--smoke: 1e4 and 1e5), spread over the same 30 days, so
that the large one has a hundred times as many records in each hour: the harder case, because a store that is merely
older has no more rows for a span of time than a young one. The records are drawn at random by SQL, half a million at a
time: 4 models, 6 tiers and efforts, 3 platforms, 4 results, 100 keys of 10 teams, all skewed, log-normal times. Each
set goes into `requests` (with an empty `detail`, no `attempts`) and is grouped into the roll-up tables by SQL, as the
migration does it; the writer's own way is in store_writer.py. Then the questions are asked through
`trimtab.store.records.usage` and `Store.totals`, small and large in turn, warm, and the medians are compared. The bar
is twice the time.

TMPDIR picks the disk; 1e7 records take 4 GB on SQLite and as much on PostgreSQL, and some minutes each to make.
"""

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg

from trimtab.store import Database, Store, StoreSettings, Transaction, open_database, open_store
from trimtab.store.records.rollups import (
    BUCKET_MOST,
    KEY_SPEND,
    LATENCY_BY_HOUR,
    LATENCY_BY_MODEL,
    SLOTS,
    USAGE_BY_HOUR,
    USAGE_BY_KEY,
    USAGE_BY_TEAM,
    RollUp,
)
from trimtab.store.records.usage import Span, times, usage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
postgres_server = importlib.import_module("postgres_server")

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAYS = 30
START_MS = 20_000 * DAY_MS
END_MS = START_MS + DAYS * DAY_MS
CHUNK = 500_000

DRAWS = 11
UNIFORM = {
    "sqlite": "((random() & 9007199254740991) / 9007199254740992.0)",
    "postgresql": "random()",
}
NUMBERS = {
    "sqlite": "(WITH RECURSIVE c (n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM c WHERE n < {1} - 1) SELECT n FROM c)",
    "postgresql": "(SELECT generate_series({0}::bigint, {1}::bigint - 1) AS n)",
}

# From one set of draws to records. Sums of four draws are near enough to a normal distribution.
MADE = """
INSERT INTO made SELECT n, at_ms, at_ms - at_ms % 3600000, model, effort, tier, platform, result, 'k' || key_n,
    't' || (key_n % 10), cost, tokens, total_ms, first_ms,
    CASE WHEN total_ms <= 1 THEN 0 WHEN total_ms >= 16000000 THEN {most} ELSE
        CAST(floor(ln(total_ms) * 11.541560327111707) AS BIGINT) END,
    CASE WHEN first_ms <= 1 THEN 0 ELSE CAST(floor(ln(first_ms) * 11.541560327111707) AS BIGINT) END
FROM (
    SELECT n, {start} + CAST(n * ({span} / {count}.0) AS BIGINT) AS at_ms,
        CASE WHEN u1 < .6 THEN 'claude-sonnet-4-6' WHEN u1 < .85 THEN 'claude-haiku-4-5'
            WHEN u1 < .97 THEN 'claude-opus-4-7' ELSE 'claude-opus-4-6' END AS model,
        CASE WHEN u2 < .7 THEN '' WHEN u2 < .9 THEN 'medium' ELSE 'high' END AS effort,
        CASE WHEN u2 < .7 THEN 'default' WHEN u2 < .8 THEN '' WHEN u2 < .95 THEN 'fast' ELSE 'escalation' END AS tier,
        CASE WHEN u3 < .8 THEN 'claude' WHEN u3 < .95 THEN 'bedrock' ELSE 'vertex' END AS platform,
        CASE WHEN u4 < .95 THEN 'ok' WHEN u4 < .98 THEN 'error' WHEN u4 < .99 THEN 'cancelled' ELSE 'truncated' END
            AS result,
        CAST(floor(100 * u5 * u5) AS BIGINT) AS key_n,
        CAST(floor(u6 * 100000000) AS BIGINT) AS cost, CAST(floor(u6 * 10000) AS BIGINT) AS tokens,
        exp(8 + 1.7 * (u7 + u8 + u9 + u10 - 2)) AS total_ms,
        exp(6.5 + 0.9 * (u7 + u8 + u9 + u11 - 2)) AS first_ms
    FROM draws
) AS drawn
"""
USED = "cost, tokens, 0, 0, 0, tokens / 10, 0"
SUMS = "count(*), count(*), sum(cost), sum(tokens), 0, 0, 0, sum(tokens / 10), 0"


def fill(database: Database, count: int) -> None:
    """Draw so many records and roll them up, in sets."""
    engine = database.words.engine
    draws = ", ".join(f"{UNIFORM[engine]} AS u{n}" for n in range(1, DRAWS + 1))

    def work(transaction: Transaction, first: int) -> None:
        change = transaction.change
        if engine == "postgresql":
            change("SET LOCAL statement_timeout = 0")  # half a million records in a statement take a while
        change(
            "CREATE TEMPORARY TABLE IF NOT EXISTS draws (n BIGINT, "
            + ", ".join(f"u{n} DOUBLE PRECISION" for n in range(1, DRAWS + 1))
            + ")"
        )
        change(
            "CREATE TEMPORARY TABLE IF NOT EXISTS made (n BIGINT, at_ms BIGINT, hour_ms BIGINT, model TEXT, "
            "effort TEXT, tier TEXT, platform TEXT, result TEXT, key_id TEXT, team_id TEXT, cost BIGINT, "
            "tokens BIGINT, total_ms DOUBLE PRECISION, first_ms DOUBLE PRECISION, total_bucket BIGINT, "
            "first_bucket BIGINT)"
        )
        change("DELETE FROM draws")
        change("DELETE FROM made")
        numbers = NUMBERS[engine].format(first, min(first + CHUNK, count))
        change(f"INSERT INTO draws SELECT n, {draws} FROM {numbers} AS numbers")
        change(MADE.format(most=BUCKET_MOST, start=START_MS, span=DAYS * DAY_MS, count=count))
        change(
            "INSERT INTO requests SELECT 'r' || (1000000000 + n), at_ms, 'live', 'messages', 'messages', model, model, "
            f"effort, tier, platform, 's' || (n / 5), result, 200, NULL, 1, 0, 1, {USED}, total_ms, first_ms, 1000, "
            "1000, 'c', '2026-11', NULL, '', key_id, team_id, 'o', '', '', '', '' FROM made ORDER BY n"
        )
        for rollup, keys, sums in (
            (
                USAGE_BY_HOUR,
                "hour_ms, 0, 'live', model, effort, tier, platform, result",
                f"{SUMS}, sum(total_ms)",
            ),
            (USAGE_BY_KEY, "hour_ms, 0, 'live', 'o', team_id, key_id, model", SUMS),
            (USAGE_BY_TEAM, "hour_ms, 0, 'live', 'o', team_id, model", SUMS),
            (KEY_SPEND, "key_id, 0", "sum(cost)"),
        ):
            roll_up(transaction, rollup, keys, sums, "made")
        for kind in ("total", "first"):
            name = "total" if kind == "total" else "first_content"
            slots = ", ".join(
                f"sum(CASE WHEN {kind}_bucket % 8 = {n} THEN 1 ELSE 0 END)" for n in range(len(SLOTS))
            )
            keys = f"hour_ms, 0, 'live', model, tier, platform, '{name}', {kind}_bucket / 8"
            roll_up(transaction, LATENCY_BY_HOUR, keys, slots, "made WHERE result IN ('ok', 'truncated')")
            keys = f"hour_ms, 0, 'live', model, '{name}', {kind}_bucket / 8"
            roll_up(transaction, LATENCY_BY_MODEL, keys, slots, "made WHERE result IN ('ok', 'truncated')")

    for first in range(0, count, CHUNK):
        database.write(partial(work, first=first), durable=False)


def roll_up(transaction: Transaction, rollup: RollUp, keys: str, sums: str, source: str) -> None:
    where = "" if "WHERE" in source else " WHERE true"
    groups = ", ".join(str(n) for n in range(1, len(rollup.keys) + 1))
    transaction.change(
        f"INSERT INTO {rollup.table} ({', '.join(rollup.columns)}) SELECT {keys}, {sums} FROM {source}{where} "
        f"GROUP BY {groups} ORDER BY {groups}{rollup.upsert(transaction.words.least)}"
    )


DAY = Span(END_MS - DAY_MS, END_MS)
WEEK = Span(END_MS - 7 * DAY_MS, END_MS)
MONTH = Span(START_MS, END_MS)

Question = Callable[[Database], object]

QUESTIONS: dict[str, Question] = {
    "24 h by hour and model": lambda d: usage(d, DAY, ("hour", "model")),
    "7 d by team": lambda d: usage(d, WEEK, ("organisation", "team")),
    "30 d by model": lambda d: usage(d, MONTH, ("model",)),
    "p50, p95, p99 by model, 24 h": lambda d: times(d, DAY, ("model",)),
    "p50, p95, p99 by model, 7 d": lambda d: times(d, WEEK, ("model",)),
    "24 h by model, tier, platform, result": lambda d: usage(d, DAY, ("model", "tier", "platform", "result")),
    "24 h by key": lambda d: usage(d, DAY, ("key",)),
    "p50, p95, p99 by model, tier, platform, 24 h": lambda d: times(d, DAY, ("model", "tier", "platform")),
}


def rows_of(database: Database, table: str) -> int:
    row = database.read(lambda view: view.row(f"SELECT count(*) FROM {table}"))
    return int(row[0]) if row else 0


def ask(question: Question, database: Database) -> Callable[[], object]:
    return lambda: question(database)


def total(store: Store, since_ms: int) -> Callable[[], object]:
    return lambda: store.totals(since_ms)


def compare(engine: str, urls: list[str], counts: list[int], rounds: int) -> None:
    settings = [StoreSettings(url=url) for url in urls]
    databases = [open_database(each, clock_ms=lambda: END_MS) for each in settings]
    stores = [open_store(each, clock_ms=lambda: END_MS, on_problem=print) for each in settings]
    print(f"-- {engine}")
    for url, database, count in zip(urls, databases, counts, strict=True):
        began = time.perf_counter()
        fill(database, count)
        if engine == "PostgreSQL":
            with psycopg.connect(url, autocommit=True) as connection:  # as autovacuum does in time
                connection.execute("VACUUM ANALYZE")
        took = time.perf_counter() - began
        tables = (USAGE_BY_HOUR, USAGE_BY_KEY, USAGE_BY_TEAM, LATENCY_BY_HOUR, LATENCY_BY_MODEL)
        rows = ", ".join(f"{rollup.table} {rows_of(database, rollup.table):,}" for rollup in tables)
        print(f"{count:,} records made in {took:.0f} s; rows of roll-ups: {rows}")
    asked = {
        name: [ask(question, database) for database in databases] for name, question in QUESTIONS.items()
    }
    asked["totals of 30 d"] = [total(store, START_MS) for store in stores]
    asked["totals since the middle of an hour"] = [total(store, START_MS + HOUR_MS // 2) for store in stores]
    print(f"{'question':46} {counts[0]:>12,} {counts[1]:>12,}   ratio")
    for name, ways in asked.items():
        took_ms: list[list[float]] = [[], []]
        for way in ways:
            way()
        for _ in range(rounds):
            for n, way in enumerate(ways):
                began = time.perf_counter()
                way()
                took_ms[n].append((time.perf_counter() - began) * 1000)
        small, large = (statistics.median(each) for each in took_ms)
        print(f"{name:46} {small:9.2f} ms {large:9.2f} ms   {large / small:.2f}")
    for store in stores:
        store.close(10)
    for database in databases:
        database.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="ten thousand and a hundred thousand records")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one engine instead of both")
    asked = parser.parse_args()
    smoke, only = asked.smoke, asked.only
    counts, rounds = ([10_000, 100_000], 5) if smoke else ([100_000, 10_000_000], 31)
    if only != "postgresql":
        with tempfile.TemporaryDirectory() as name:
            compare("SQLite", [f"sqlite:///{name}/{count}.db" for count in counts], counts, rounds)
    if only != "sqlite" and postgres_server.available():
        with postgres_server.running(durable=True) as server:
            compare("PostgreSQL", [server.new_database() for _ in counts], counts, rounds)
    elif only != "sqlite":
        print("PostgreSQL is not installed here (apt-get install postgresql)")


if __name__ == "__main__":
    main()
