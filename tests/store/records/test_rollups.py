"""Sums kept by the hour and by key are those of the records, whatever crashes happen in between."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from record_sums import ACCOUNTS, check, outcome, table

from trimtab.catalogue import Arm
from trimtab.errors import StoreError
from trimtab.records import Outcome, Plan
from trimtab.store import Database, Row, StoreSettings, open_database
from trimtab.store.engines import PostgresDatabase, Readers
from trimtab.store.engines.postgres import connect as connect_postgres
from trimtab.store.engines.postgres import migrate as migrate_postgres
from trimtab.store.opening import postgres_url, sqlite_path
from trimtab.store.records import PostgresRecords, RecordEngine, RecordStore, SQLiteRecords, rows
from trimtab.store.records.backlog import Backlog, ConfigVersion, Entry, Gap, Replay
from trimtab.store.records.rollups import (
    BILLED,
    KEY_SPEND,
    LATENCY_BY_HOUR,
    LATENCY_BY_MODEL,
    USAGE_BY_HOUR,
    Adding,
    RollUp,
    bucket_of,
    middle_ms,
)
from trimtab.store.records.rows import HOUR_MS, SUMMED
from trimtab.store.schema import migrate as migrate_sqlite
from trimtab.store.steps import load_steps

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., RecordStore]
OpenDatabase = Callable[[str], Database]
Eventually = Callable[..., None]


def engine_at(url: str) -> tuple[RecordEngine, Readers | PostgresDatabase]:
    settings = StoreSettings(url=url)
    if url.startswith("postgresql"):
        whole = postgres_url(settings)
        return PostgresRecords(whole, clock_ms=lambda: 1), PostgresDatabase(whole, lambda: 1)
    path = sqlite_path(url)
    readers = Readers(path, lambda: 1)
    return SQLiteRecords(path, clock_ms=lambda: 1, on_reopen=readers.renew), readers


class Crashing:
    """An engine whose connection dies after so many calls, then after so many more, also right after a commit."""

    def __init__(self, engine: RecordEngine, lives: Sequence[int]) -> None:
        self._engine = engine
        self._deaths = [death for calls in lives for death in (*[False] * calls, True)]
        self.place = engine.place

    def _lives(self) -> None:
        if self._deaths and self._deaths.pop(0):
            self._engine.close()
            raise StoreError("store: the connection died")

    def begin(self) -> bool:
        self._lives()
        return self._engine.begin()

    def add_records(
        self, entries: Sequence[Entry], adding: Adding, *, behind: bool, replayed: bool
    ) -> list[Entry]:
        new = self._engine.add_records(entries, adding, behind=behind, replayed=replayed)
        self._lives()
        return new

    def add_gaps(self, writer: str, serial: int, gaps: Sequence[Gap]) -> Sequence[Gap]:
        new = self._engine.add_gaps(writer, serial, gaps)
        self._lives()
        return new

    def add_configs(self, configs: Sequence[ConfigVersion]) -> None:
        self._engine.add_configs(configs)

    def add_sums(self, rollup: RollUp, made: Sequence[rows.Row]) -> None:
        self._engine.add_sums(rollup, made)
        self._lives()

    def lower_leases(self, worker: str, spent: Sequence[tuple[str, int, int]]) -> None:
        self._engine.lower_leases(worker, spent)
        self._lives()

    def commit(self) -> None:
        self._lives()
        self._engine.commit()
        self._lives()  # it stands, but nobody heard so

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


lives = st.lists(st.integers(0, 25), max_size=12)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@hypothesis_settings(max_examples=8)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 60), calls=lives, queue_max=st.integers(1, 70))
def test_sums_are_those_of_the_records_however_often_the_connection_dies(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    seed: int,
    count: int,
    calls: list[int],
    queue_max: int,
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('crash')}/t.db"
    else:
        url = request.getfixturevalue("postgres_server").new_database()
    draw = random.Random(seed)
    made = [outcome(n, draw) for n in range(count)]
    settings = StoreSettings(url=url, queue_max=queue_max, batch_ms=1, batch_max=7)
    database = open_database(settings, clock_ms=lambda: 1)
    grant(database, "w", 10**18, ACCOUNTS)
    engine, reader = engine_at(url)
    store = RecordStore(
        Crashing(engine, calls), reader, settings, clock_ms=lambda: 1, on_problem=None, worker="w"
    )
    own: Counter[tuple[str, bool]] = Counter()
    drawn: Counter[tuple[str, bool]] = Counter()
    for record in made:
        recovered = draw.random() < 0.2
        store.put(record, recovered)
        if not recovered and record.purpose in BILLED and record.key:
            own[(record.key, record.simulated)] += record.cost_nanousd
        for one in record.draws:
            drawn[(one.account, record.simulated)] += one.amount
            own[(one.account, record.simulated)] += one.amount if one.leased and not recovered else 0
    assert store.close(30) == 0
    check(database)
    total = database.read(lambda view: view.row("SELECT sum(requests), sum(cost_nanousd) FROM usage_by_hour"))
    assert total is not None
    assert (total[0] or 0, total[1] or 0) == (count, sum(record.cost_nanousd for record in made))
    left = {row[:2]: row[2] for row in leases(database)}
    assert left == {
        (account, flag): 10**18 - own[(account, bool(flag))]
        for account in ("k1", "k2", "k3", *ACCOUNTS)
        for flag in (0, 1)
    }
    spent = {row[:2]: row[2] for row in table(database, KEY_SPEND) if row[0] in ACCOUNTS}
    assert spent == +drawn  # those of dropped records too
    database.close()


def grant(database: Database, worker: str, nanousd: int, more: Sequence[str] = ()) -> None:
    statement = (
        "INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) "
        "VALUES (?, ?, ?, ?, ?)"
    )
    granted = [
        (account, flag, worker, nanousd, nanousd) for account in ("k1", "k2", "k3", *more) for flag in (0, 1)
    ]
    database.write(lambda transaction: transaction.change_many(statement, granted))


def leases(database: Database, worker: str = "w") -> list[Row]:
    statement = "SELECT key_id, simulated, outstanding_nanousd FROM key_leases WHERE worker = ?"
    return database.read(lambda view: view.rows(statement, (worker,)))


def test_a_lease_is_lowered_by_what_its_own_process_spent_and_by_nothing_else(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    database = database_at(url)
    grant(database, "w", 1000)
    grant(database, "other", 1000)
    store = open_at(url, worker="w")
    store.put(make_outcome(1, leased=True, key="k1", cost_nanousd=100))
    store.put(make_outcome(1, leased=True, key="k1", cost_nanousd=100))  # again
    store.put(make_outcome(2, leased=True, key="k1", cost_nanousd=20), recovered=True)
    store.put(make_outcome(3, leased=True, key="k1", cost_nanousd=3, purpose="eval"))
    store.put(make_outcome(4, leased=True, key="k1", cost_nanousd=7, simulated=True))
    store.put(
        make_outcome(5, leased=True, key="k2", cost_nanousd=5, status=None)
    )  # refused, so its money is in a gap
    store.put(make_outcome(6, leased=True, key="without a lease", cost_nanousd=5))
    store.put(make_outcome(7, key="k1", cost_nanousd=11))  # while the key had no limit
    assert store.close(10) == 0
    again = open_at(url, worker="w")
    again.put(make_outcome(1, leased=True, key="k1", cost_nanousd=100))
    assert again.close(10) == 0
    assert sorted(leases(database)) == [
        ("k1", 0, 900),
        ("k1", 1, 993),
        ("k2", 0, 995),
        ("k2", 1, 1000),
        ("k3", 0, 1000),
        ("k3", 1, 1000),
        ("without a lease", 0, -5),  # spent before anything was granted on this side
    ]
    assert {row[2] for row in leases(database, "other")} == {1000}
    assert table(database, KEY_SPEND) == [
        ("k1", 0, 131),
        ("k1", 1, 7),
        ("k2", 0, 5),
        ("without a lease", 0, 5),
    ]
    check(database)


def test_checks_that_a_key_pays_for_count_as_its_spending_and_others_do_not(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    database = database_at(url)
    grant(database, "w", 1000)
    store = open_at(url, worker="w")
    paid: dict[str, object] = {"leased": True, "key": "k3", "parent": "r"}
    store.put(make_outcome(1, purpose="judge", cost_nanousd=40, **paid))
    store.put(make_outcome(2, purpose="audit", cost_nanousd=2, **paid), recovered=True)
    store.put(make_outcome(3, purpose="judge", cost_nanousd=6, status=None, **paid))  # so it is in a gap
    store.put(make_outcome(4, purpose="judge", cost_nanousd=9, key="k3", parent="r"))
    store.put(make_outcome(5, cost_nanousd=100, leased=True, key="k3"))
    assert store.close(10) == 0
    assert table(database, KEY_SPEND) == [("k3", 0, 148)]
    assert ("k3", 0, 1000 - 146) in leases(database)


def test_totals_stay_right_when_old_records_are_deleted(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    store = open_at(url)
    start = 100 * HOUR_MS
    for n in range(40):
        store.put(make_outcome(n, at_ms=start + n * HOUR_MS // 10, cost_nanousd=1))
    assert store.close(10) == 0
    store = open_at(url)
    expected = [(0, 40), (start, 40), (start + 1, 39), (start + HOUR_MS, 30), (start + 4 * HOUR_MS, 0)]
    assert [(since, store.totals(since).requests) for since, _ in expected] == expected
    database_at(url).write(
        lambda transaction: transaction.change("DELETE FROM requests WHERE at_ms < ?", (start + HOUR_MS,))
    )
    assert store.totals(0).requests == store.totals(0).cost_nanousd == 40
    assert store.totals(start + HOUR_MS + 1).requests == 29


def test_records_of_earlier_schemas_are_rolled_up_as_new_ones_are(
    empty_url: str, open_at: OpenStore, database_at: OpenDatabase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draw = random.Random(5)
    made = [
        msgspec.structs.replace(
            outcome(n, draw, cascades=False), key="", team="", organisation="", plan=None if n % 5 else plan
        )
        for n, plan in enumerate([Plan(Arm("m-1"), "claude", "default")] * 400)
    ]
    gap_counts = [rows.counts(record) for record in made[:3]]
    fill_step_3(empty_url, made, gap_counts)
    old = database_at(empty_url)
    check(old)
    new_url = f"sqlite:///{tmp_path_factory.mktemp('new')}/t.db"
    store = open_at(new_url)
    for record in made:
        store.put(record)
    assert store.close(30) == 0
    new = database_at(new_url)
    assert table(old, LATENCY_BY_HOUR) == table(new, LATENCY_BY_HOUR)
    assert table(old, LATENCY_BY_MODEL) == table(new, LATENCY_BY_MODEL)
    gaps = [row for row in table(old, USAGE_BY_HOUR) if row[7] == "dropped"]
    assert [sum(column) for column in zip(*(row[8:-1] for row in gaps), strict=True)] == [
        sum(column) for column in zip(*gap_counts, strict=True)
    ]
    rolled = [row for row in table(old, USAGE_BY_HOUR) if row[7] != "dropped"]
    again = table(new, USAGE_BY_HOUR)
    assert [row[:-1] for row in rolled] == [row[:-1] for row in again]
    assert [row[-1] for row in rolled] == pytest.approx([row[-1] for row in again])


def fill_step_3(url: str, made: Sequence[Outcome], gap_counts: Sequence[rows.Counts]) -> None:
    """A store as it was before there were roll-ups."""
    recent = ("key_id", "team_id", "organisation", "route", "task_class", "task", "phase")
    kept = [n for n, column in enumerate(rows.REQUESTS) if column not in recent]
    columns = [rows.REQUESTS[n] for n in kept]
    requests = []
    for record in made:
        row = rows.recorded(record, "{}").request
        requests.append(
            [value.replace("\0", "?") if isinstance(value := row[n], str) else value for n in kept]
        )
    gaps = [
        ("w", n, "live", 0, HOUR_MS * (n % 2), HOUR_MS * (n % 2) + n, *counts)
        for n, counts in enumerate(gap_counts)
    ]
    gap_columns = ["writer", "serial", "purpose", "simulated", "from_ms", "to_ms", *SUMMED]
    inserts = [("requests", columns, requests), ("record_gaps", gap_columns, gaps)]
    if url.startswith("postgresql"):
        server = connect_postgres(url)
        migrate_postgres(server, lambda: 1, load_steps("postgresql")[:3])
        with server.cursor() as cursor:
            for name, names, found in inserts:
                marks = ", ".join(["%s"] * len(names))
                cursor.executemany(
                    f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})".encode(), found
                )
        server.close()
        return
    file = apsw.Connection(str(sqlite_path(url)))
    migrate_sqlite(file, lambda: 1, load_steps("sqlite")[:3])
    for name, names, found in inserts:
        marks = ", ".join("?" * len(names))
        file.executemany(f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})", found)
    file.close()


def test_names_that_no_engine_can_hold_stop_nothing(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    store = open_at(url)
    odd = "k\0" + "x" * 5000
    plan = Plan(Arm("m\0" + "y" * 3000), "p", tier="t" * 9000)
    store.put(make_outcome(1, key=odd, plan=plan, team="a\0b"))
    store.put(make_outcome(2, key="\ud800", team="\ud800"))  # cannot be written as JSON: a gap
    store.put(make_outcome(3, key=7, total_ms=float("nan")))
    assert store.close(10) == 0
    database = database_at(url)
    spent = table(database, KEY_SPEND)
    assert sorted(row[0][:3] for row in spent) == ["7", "?", "k\ufffdx"]
    assert {row[2] for row in spent} == {450_000}


@pytest.mark.parametrize("ms", [0, 0.5, 1, 1.05, 2, 1000, 1e6, 16_000_000, 1e300, float("inf")])
def test_every_time_has_a_bucket(ms: float) -> None:
    assert 0 <= bucket_of(ms) <= 191


@given(st.floats(1, 1.5e7))
def test_the_middle_of_a_bucket_is_near_its_times(ms: float) -> None:
    assert abs(middle_ms(bucket_of(ms)) / ms - 1) <= 0.045


def test_a_gap_counts_as_what_its_key_spent(make_outcome: MakeOutcome) -> None:
    backlog = Backlog(1, 1)
    backlog.put(make_outcome(1))
    backlog.put(make_outcome(2, key="k1", team="t"))
    batch = backlog.batch()
    assert batch is not None
    adding = Adding()
    adding.gap(batch.gaps[0])
    assert [row[:2] for row in dict(adding.sums())[KEY_SPEND]] == [("k1", 0)]
    assert Adding().leases() == []


def test_a_file_that_holds_a_record_twice_counts_it_once(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome, eventually: Eventually
) -> None:
    store = open_at(url)
    done: list[bool] = []
    record = make_outcome(1, key="k1", cost_nanousd=5)
    other = make_outcome(2, key="k1", cost_nanousd=7)
    load = [record, other, msgspec.structs.replace(record, cost_nanousd=100)]
    for _ in range(2):
        store.replay(Replay(lambda: load, own=False, done=lambda: done.append(True)))
    eventually(lambda: len(done) == 2)
    database = database_at(url)
    assert table(database, KEY_SPEND) == [("k1", 0, 12)]
    check(database)


def test_two_stores_add_to_the_same_sums_at_once(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome, problems: list[str]
) -> None:
    stores = [open_at(url, batch_ms=1, batch_max=50) for _ in range(2)]

    def work(store: RecordStore, first: int) -> None:
        draw = random.Random(first)
        for seed in draw.sample(range(4000), 3000):  # half of them the other puts too
            store.put(make_outcome(seed, key=f"k{seed % 7}", at_ms=seed % 5 * HOUR_MS, cost_nanousd=seed))

    threads = [threading.Thread(target=work, args=(store, n)) for n, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.close(60) for store in stores] == [0, 0]
    assert problems == []
    check(database_at(url))
