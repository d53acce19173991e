"""Databases of every earlier schema come forward whole, once, whatever is killed; and an older program goes on."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest
from frozen_rows import HOUR, ROWS, SCHEMA_2_FILE, T, rows_at

import trimtab.store.backup.file
import trimtab.store.backup.making
import trimtab.store.backup.restore_postgres
import trimtab.store.backup.restore_sqlite
import trimtab.store.engines.postgres
import trimtab.store.schema
from trimtab.errors import StoreError
from trimtab.records import Limits, Outcome
from trimtab.store import Database, StoreSettings, TokenCounts, Totals, open_database, open_store
from trimtab.store.backup import make_backup, restore_backup
from trimtab.store.idempotency import claim as claim_once
from trimtab.store.idempotency import finish
from trimtab.store.jobs import JobExchange, JobId, JobTables, NewJob, Wish
from trimtab.store.keys import Key
from trimtab.store.keys.tables import insert_key, insert_organisation, key_by_id
from trimtab.store.limits import Caps, Trade, join, trade
from trimtab.store.records.usage import Span, times, usage
from trimtab.store.steps import Step, load_steps

LATEST = len(load_steps("sqlite"))
ENGINES = ["sqlite", "postgresql"]
NOW_MS = 1_800_000_000_000


def clock_ms() -> int:
    return NOW_MS


@pytest.fixture(params=ENGINES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    if request.param == "sqlite":
        return StoreSettings(url=f"sqlite:///{tmp_path / 'a.db'}", batch_ms=5)
    return StoreSettings(url=request.getfixturevalue("postgres_url"), batch_ms=5)


def is_sqlite(settings: StoreSettings) -> bool:
    return settings.url.startswith("sqlite")


def build(settings: StoreSettings, step: int, rows: list[tuple[str, dict[str, Any]]]) -> None:
    """A database as a Trimtab that knew so many steps would have left it."""

    def inserts(mark: str) -> Iterator[tuple[str, list[Any]]]:
        for table, row in rows:
            yield (
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(mark for _ in row)})",
                list(row.values()),
            )

    if is_sqlite(settings):
        with closing(apsw.Connection(settings.url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            trimtab.store.schema.migrate(connection, clock_ms, load_steps("sqlite")[:step])
            for sql, values in inserts("?"):
                connection.execute(sql, values)
    else:
        with closing(trimtab.store.engines.postgres.connect(settings.url)) as server:
            trimtab.store.engines.postgres.migrate(server, clock_ms, load_steps("postgresql")[:step])
            for sql, values in inserts("%s"):
                server.execute(sql.encode(), values)


def version(settings: StoreSettings) -> int:
    if is_sqlite(settings):
        connection = apsw.Connection(settings.url.removeprefix("sqlite:///"))
        found = trimtab.store.schema.version_of(connection)
        connection.close()
        return found
    with psycopg.connect(settings.url, options="-c search_path=trimtab", autocommit=True) as server:
        return trimtab.store.engines.postgres.version_of(server)[0]


def has(database: Database, table: str, row: dict[str, Any]) -> bool:
    given = {name: value for name, value in row.items() if value is not None}
    nulls = "".join(f" AND {name} IS NULL" for name, value in row.items() if value is None)
    where = " AND ".join(f"{name} = ?" for name in given)
    found = database.read(
        lambda view: view.row(f"SELECT count(*) FROM {table} WHERE {where}{nulls}", list(given.values()))
    )
    return found == (1,)


# What the rows of steps 1 and 2 add up to, worked out by hand.
REQUESTS_ONLY = Totals(3, 3, 3_050_000, TokenCounts(306, 3, 6, 9, 156, 12))
WITH_GAPS = Totals(15, 15, 3_050_084, TokenCounts(318, 15, 18, 21, 168, 24))
SIMULATED = Totals(1, 1, 9, TokenCounts(104, 1, 2, 3, 54, 4))


@pytest.mark.parametrize("step", range(1, LATEST + 1))
def test_a_database_of_every_earlier_schema_comes_forward_with_all_its_rows(
    settings: StoreSettings, step: int
) -> None:
    build(settings, step, rows_at(step))
    database = open_database(settings, clock_ms=clock_ms)
    missing = [(table, row) for table, row in rows_at(step) if not has(database, table, row)]
    database.close()
    assert not missing
    assert version(settings) == LATEST
    keeping = {step.number for step in load_steps("sqlite") if "TABLE" in step.sql}
    assert {first for first, _, _ in ROWS} >= keeping - {3}, "a new step with a table needs frozen rows"


@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_was_recorded_before_there_were_rollups_is_in_them(settings: StoreSettings, step: int) -> None:
    build(settings, step, rows_at(step))
    store = open_store(settings, clock_ms=clock_ms, on_problem=None)
    assert store.totals(0) == (REQUESTS_ONLY if step == 1 else WITH_GAPS)
    assert store.totals(0, simulated=True) == SIMULATED
    store.close(5)
    database = open_database(settings, clock_ms=clock_ms)
    hour = T - T % HOUR
    by_hour = usage(database, Span(0, NOW_MS, purposes=("live",)), ["hour", "result"])
    expected = {(hour, "ok"): 2, (hour + 3 * HOUR, "ok"): 1}
    if step > 1:
        expected[hour, "dropped"] = 7
    assert {row.names: row.totals.requests for row in by_hour} == expected
    for dimension in ("team", "key", "model"):
        found = usage(database, Span(0, NOW_MS, purposes=("live",)), [dimension])
        assert sum(row.totals.cost_nanousd for row in found) == 3_050_000 + (49 if step > 1 else 0)
    (all_times,) = times(database, Span(0, NOW_MS, purposes=("live",)))
    assert all_times.requests == 3
    assert all_times.p50_ms == pytest.approx(814.5, rel=0.045)
    database.close()


def test_a_file_of_schema_2_as_it_was_written_comes_forward(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "old.db"))
    connection.execute(SCHEMA_2_FILE).fetchall()  # a statement after one with rows waits for them to be read
    connection.close()
    store = open_store(
        StoreSettings(url=f"sqlite:///{tmp_path / 'old.db'}"), clock_ms=clock_ms, on_problem=None
    )
    assert store.totals(0) == Totals(4, 4, 1_050_021, TokenCounts(103, 3, 3, 3, 53, 3))
    store.close(5)


# --- An older program beside a newer one ---


@pytest.fixture
def one_step_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program as it was before the newest step."""

    def older(engine: Any) -> tuple[Step, ...]:
        return load_steps(engine)[:-1]

    for module in (trimtab.store.schema, trimtab.store.engines.postgres):
        monkeypatch.setattr(module, "load_steps", older)


def test_each_step_after_the_rollups_lets_the_program_before_it_go_on() -> None:
    """Step 4 does not, and says why: what an older program writes would be in no roll-up."""
    for engine in ("sqlite", "postgresql"):
        works_with = {step.number: step.works_with for step in load_steps(engine)}
        assert works_with[4] == 4
        assert all(works_with[n] == n - 1 for n in range(5, LATEST + 1))


def test_a_program_that_is_one_step_behind_does_all_its_work_on_the_newer_database(
    settings: StoreSettings, request: pytest.FixtureRequest, make_outcome: Callable[..., Outcome]
) -> None:
    build(settings, LATEST, rows_at(LATEST - 1))
    request.getfixturevalue("one_step_less")
    store = open_store(settings, clock_ms=clock_ms, on_problem=None)
    database = open_database(settings, clock_ms=clock_ms)
    outcome = make_outcome(1)
    store.put(outcome)
    store.note_config("v", b"version = 1", NOW_MS)
    deadline = time.monotonic() + 60
    while store.status().written < 1:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert store.find(outcome.id)
    assert store.totals(NOW_MS).requests == 1
    assert store.close(5) == 0
    store = open_store(settings, clock_ms=clock_ms, on_problem=None)
    assert store.find(outcome.id)
    store.close(5)

    key = Key(
        id="key_2",
        name="n",
        organisation="acme",
        created_ms=1,
        limits=Limits(concurrency=4, total_nanousd=10**9),
    )
    database.write(lambda t: (insert_organisation(t, "b", 1), insert_key(t, key, 2)))
    assert database.read(lambda t: key_by_id(t, "key_2")) == key
    ask = Trade(
        account="key_2", caps=Caps(concurrency=key.limits.concurrency), permits_kept=0, permits_wanted=2
    )
    database.write(lambda t: join(t, "me", "h", 1))
    assert database.write(lambda t: trade(t, "me", [ask]))[0].permits == 2

    JobTables(database).insert([(JobId("job_2"), NewJob(kind="k"))])
    claimed = (
        JobExchange(database, "me", 60_000).exchange([], [], Wish(("default",), frozenset({"k"}), 5)).claimed
    )
    assert {one.job.id for one in claimed} == {"job_1", "job_2"}

    assert database.write(lambda t: claim_once(t, "scope", "hash", "r", "me")) is None
    database.write(lambda t: finish(t, "scope", "r", b"answer"))
    database.close()
    assert version(settings) == LATEST


def test_a_program_that_is_too_far_behind_is_told_so_and_changes_nothing(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(settings, LATEST, [])
    for module in (trimtab.store.schema, trimtab.store.engines.postgres):
        monkeypatch.setattr(module, "load_steps", lambda engine: load_steps(engine)[:-2])
    message = (
        f"its schema is {LATEST} and this Trimtab knows {LATEST - 2}; run the newer Trimtab that wrote it"
    )
    for door in (open_database, lambda s, clock_ms: open_store(s, clock_ms=clock_ms, on_problem=None)):
        with pytest.raises(StoreError, match=message) as refused:
            door(settings, clock_ms=clock_ms)
        assert str(refused.value).startswith("store ")


def test_the_way_back_is_the_backup_from_before_with_the_older_program(
    settings: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(settings, LATEST - 1, rows_at(LATEST - 1))
    assert make_backup(settings, tmp_path / "before", clock_ms=clock_ms).schema == LATEST - 1
    open_database(settings, clock_ms=clock_ms).close()
    make_backup(settings, tmp_path / "after", clock_ms=clock_ms)
    for module in (
        trimtab.store.schema,
        trimtab.store.engines.postgres,
        trimtab.store.backup.making,
        trimtab.store.backup.file,
        trimtab.store.backup.restore_postgres,
        trimtab.store.backup.restore_sqlite,
    ):
        monkeypatch.setattr(module, "load_steps", lambda engine: load_steps(engine)[:-1])
    with pytest.raises(
        StoreError, match=f"its schema is {LATEST} and this Trimtab knows {LATEST - 1}; restore it"
    ):
        restore_backup(settings, tmp_path / "after", clock_ms=clock_ms, force=True)
    if is_sqlite(settings):
        restore_backup(settings, tmp_path / "before", clock_ms=clock_ms, force=True)
        assert version(settings) == LATEST - 1
    else:
        with pytest.raises(StoreError, match="restore with the newer Trimtab"):
            restore_backup(settings, tmp_path / "before", clock_ms=clock_ms, force=True)
        with pytest.raises(StoreError, match="make the backup with the newer Trimtab"):
            make_backup(settings, tmp_path / "again", clock_ms=clock_ms)


# --- Many at once, and killed ---

OPENER = """
import sys, time
from trimtab.store import StoreSettings, open_database
print("ready", flush=True)
sys.stdin.readline()
database = open_database(StoreSettings(url=sys.argv[1]), clock_ms=lambda: time.time_ns() // 1_000_000)
database.write(lambda t: t.change("INSERT INTO organisations VALUES (?, 1)", (sys.argv[2],)))
database.close()
"""


def test_processes_that_start_at_once_bring_it_forward_once(settings: StoreSettings) -> None:
    build(settings, 2, rows_at(2))
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, settings.url, f"o{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    for opener in openers:
        _, problem = opener.communicate(timeout=60)
        assert (opener.returncode, problem) == (0, "")
    database = open_database(settings, clock_ms=clock_ms)
    steps = database.read(lambda view: view.rows("SELECT version FROM schema_version ORDER BY version"))
    assert steps == [(n,) for n in range(1, LATEST + 1)]
    assert database.read(lambda view: view.row("SELECT count(*) FROM organisations")) == (4,)
    assert sum(row.totals.requests for row in usage(database, Span(0, NOW_MS), ["model"])) == 10
    database.close()


HANGING = """
import sys, time
import apsw, msgspec
from trimtab.store import schema
from trimtab.store.engines import postgres
from trimtab.store.steps import load_steps
engine, place, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
hang = "SELECT hang();" if engine == "sqlite" else "SELECT pg_sleep(1);"
steps = [
    msgspec.structs.replace(step, sql=step.sql + "\\n" + hang) if step.number == number else step
    for step in load_steps(engine)
]
def clock():
    return time.time_ns() // 1_000_000
def stop():
    print("in the middle", flush=True)
    time.sleep(60)
if engine == "sqlite":
    connection = apsw.Connection(place)
    connection.create_scalar_function("hang", stop, 0)
    schema.migrate(connection, clock, tuple(steps))
else:
    connection = postgres.connect(place)
    print(connection.info.backend_pid, flush=True)
    postgres.migrate(connection, clock, tuple(steps))
"""


@pytest.mark.parametrize("step", range(2, LATEST + 1))
def test_a_program_killed_in_the_middle_of_a_step_leaves_the_step_before_and_the_next_goes_on(
    settings: StoreSettings, step: int
) -> None:
    build(settings, 1, rows_at(1))
    place = settings.url.removeprefix("sqlite:///")
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, "sqlite" if is_sqlite(settings) else "postgresql", place, str(step)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if is_sqlite(settings):
        assert said == "in the middle\n"
    else:
        with psycopg.connect(settings.url, autocommit=True) as server:
            asleep = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
            deadline = time.monotonic() + 60
            while server.execute(asleep, (int(said),)).fetchone() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert version(settings) == step - 1
    database = open_database(settings, clock_ms=clock_ms)
    assert version(settings) == LATEST
    assert all(has(database, table, row) for table, row in rows_at(1))
    assert sum(row.totals.requests for row in usage(database, Span(0, NOW_MS), ["model"])) == 3
    database.close()
