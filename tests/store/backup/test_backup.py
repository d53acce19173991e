"""A backup holds everything, from either engine into either, and nothing half done ever takes the place of anything."""

import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
import pytest
from filled_tables import contents, fill, tables
from hypothesis import HealthCheck, given, settings
from postgres_server import PostgresServer
from searches import examples

from trimtab.errors import StoreError, StoreLocked
from trimtab.records import Outcome
from trimtab.store import Store, StoreSettings, open_database, open_store
from trimtab.store.backup import Manifest, Restored, make_backup, restore_backup
from trimtab.store.backup.loans import COPIED, ON_LOAN
from trimtab.store.backup.tables import sqlite_tables
from trimtab.store.instance import hold_instance
from trimtab.store.schema import BACKUP_ID, migrate
from trimtab.store.steps import load_steps

NOW_MS = 1_800_000_000_000

# What a restore changes on purpose.
CHANGED = {*ON_LOAN, "key_spend"}


def clock_ms() -> int:
    return NOW_MS


def sqlite(path: Path) -> StoreSettings:
    return StoreSettings(url=f"sqlite:///{path}")


def back_up(store: StoreSettings, file: Path, **options: Any) -> Manifest:
    return make_backup(store, file, clock_ms=clock_ms, **options)


def restore(store: StoreSettings, file: Path, **options: Any) -> Restored:
    return restore_backup(store, file, clock_ms=clock_ms, **options)


def made(path: Path, content: dict[str, list[tuple[Any, ...]]]) -> StoreSettings:
    """A SQLite store with these rows."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = OFF")
    migrate(connection, clock_ms)
    with connection:
        fill(connection, content)
    connection.close()
    return sqlite(path)


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables of a SQLite file, sorted."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = {
        table.name: sorted(connection.execute(table.select).fetchall(), key=repr)
        for table in sqlite_tables(connection)
    }
    connection.close()
    return found


def digests(manifest: Manifest) -> dict[str, tuple[int, str]]:
    return {table.name: (table.rows, table.digest) for table in manifest.tables}


def unchanged(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in CHANGED}


def money(found: dict[str, list[tuple[Any, ...]]]) -> dict[tuple[str, int], int]:
    """What each key has spent or has on loan."""
    named = {table.name: [column.name for column in table.columns] for table in tables()}
    total: dict[tuple[str, int], int] = {}
    for table, column in (("key_spend", "spent_nanousd"), ("key_leases", "outstanding_nanousd")):
        for row in found[table]:
            values = dict(zip(named[table], row, strict=True))
            key = values["key_id"], values["simulated"]
            total[key] = total.get(key, 0) + values[column]
    return {key: amount for key, amount in total.items() if amount}


@pytest.fixture
def filled(tmp_path: Path) -> StoreSettings:
    """A store with a row or two in each table."""
    content = {
        table.name: [
            tuple(
                {"INTEGER": 1, "REAL": 1.5, "TEXT": f"t{n}", "BLOB": bytes([n, 0, 255])}[column.kind]
                for column in table.columns
            )
            for n in range(3)
        ]
        for table in tables()
    }
    return made(tmp_path / "filled.db", content)


def test_every_table_is_either_copied_as_it_is_or_says_what_becomes_of_what_it_lends() -> None:
    """A new table must be entered in one of the two; ask what becomes of its rows when the processes are others."""
    names = {table.name for table in tables()}
    assert names == COPIED | ON_LOAN.keys()
    assert not COPIED & ON_LOAN.keys()


def test_nothing_in_the_schema_needs_what_a_copy_does_not_do() -> None:
    """Triggers would fire again, references would ask for an order, sequences for their last value."""
    for engine in ("sqlite", "postgresql"):
        text = " ".join(step.sql.upper() for step in load_steps(engine))
        for word in (
            " TRIGGER",
            " REFERENCES ",
            "AUTOINCREMENT",
            " AS IDENTITY",
            " BIGSERIAL",
            "CREATE VIEW",
        ):
            assert word not in text


@settings(
    max_examples=examples(6, of=15),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=contents())
def test_rows_of_every_table_come_through_sqlite_unchanged(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, list[tuple[Any, ...]]]
) -> None:
    folder = tmp_path_factory.mktemp("s")
    before = made(folder / "a.db", content)
    manifest = back_up(before, folder / "b")
    restore(sqlite(folder / "c.db"), folder / "b")
    assert unchanged(rows(folder / "c.db")) == unchanged(rows(folder / "a.db"))
    assert money(rows(folder / "c.db")) == money(rows(folder / "a.db"))
    again = back_up(sqlite(folder / "c.db"), folder / "d")
    assert unchanged(digests(again)) == unchanged(digests(manifest))
    shutil.rmtree(folder)


@pytest.fixture
def two_databases(postgres_server: PostgresServer) -> tuple[StoreSettings, StoreSettings]:
    first, second = (StoreSettings(url=postgres_server.new_database()) for _ in range(2))
    return first, second


@settings(
    max_examples=examples(4, of=8),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=contents())
def test_rows_of_every_table_come_from_sqlite_to_postgresql_and_from_there_to_both(
    tmp_path_factory: pytest.TempPathFactory,
    two_databases: tuple[StoreSettings, StoreSettings],
    content: dict[str, list[tuple[Any, ...]]],
) -> None:
    folder = tmp_path_factory.mktemp("p")
    first, second = two_databases
    before = made(folder / "a.db", content)
    wanted = digests(back_up(before, folder / "of-sqlite"))
    assert restore(first, folder / "of-sqlite", force=True).changed_texts == 0
    found = back_up(first, folder / "of-postgresql")
    assert found.engine == "postgresql"
    assert unchanged(digests(found)) == unchanged(wanted)
    assert unchanged(rows(folder / "of-postgresql")) == unchanged(rows(folder / "a.db"))
    restore(second, folder / "of-postgresql", force=True)
    assert digests(back_up(second, folder / "again")) == digests(found)
    restore(sqlite(folder / "c.db"), folder / "again")
    assert rows(folder / "c.db") == rows(folder / "of-postgresql")
    assert money(rows(folder / "c.db")) == money(rows(folder / "a.db"))
    shutil.rmtree(folder)


def test_what_processes_had_on_loan_belongs_to_nobody_and_money_on_loan_counts_as_spent(
    engine_settings: StoreSettings, tmp_path: Path
) -> None:
    def lend(transaction: Any) -> None:
        transaction.change("INSERT INTO workers VALUES ('w', 'host', 1, 0, 0)")
        transaction.change("INSERT INTO key_spend VALUES ('k', 0, 500)")
        transaction.change_many(
            "INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) "
            "VALUES (?, ?, ?, ?, 99)",
            [("k", 0, "w", 70), ("k", 0, "v", 7), ("k", 1, "w", 9), ("new", 0, "w", 11), ("none", 0, "w", 0)],
        )
        transaction.change("INSERT INTO key_permits VALUES ('k', 'w', 3)")
        transaction.change("INSERT INTO chores VALUES ('retention', 'w', 99, 5)")

    database = open_database(engine_settings, clock_ms=clock_ms)
    database.write(lend)
    database.close()
    back_up(engine_settings, tmp_path / "b")
    restore(engine_settings, tmp_path / "b", force=True)
    database = open_database(engine_settings, clock_ms=clock_ms)
    spend = database.read(lambda t: t.rows("SELECT * FROM key_spend ORDER BY key_id, simulated"))
    assert spend == [("k", 0, 577), ("k", 1, 9), ("new", 0, 11)]
    for table in ("key_leases", "key_permits", "workers"):
        assert database.read(lambda t, table=table: t.rows(f"SELECT * FROM {table}")) == []
    assert database.read(lambda t: t.rows("SELECT * FROM chores")) == [("retention", None, 0, 5)]
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """An empty store on each engine."""
    if request.param == "sqlite":
        return sqlite(tmp_path / "store.db")
    return StoreSettings(url=request.getfixturevalue("postgres_url"))


def test_a_text_that_postgresql_cannot_hold_is_changed_and_counted(tmp_path: Path, postgres_url: str) -> None:
    before = made(tmp_path / "a.db", {})
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.execute("INSERT INTO organisations VALUES (?, 1), ('c', 2)", ("a\0b\0",))
    connection.close()
    back_up(before, tmp_path / "b")
    assert restore(StoreSettings(url=postgres_url), tmp_path / "b").changed_texts == 1
    back_up(StoreSettings(url=postgres_url), tmp_path / "c")
    assert rows(tmp_path / "c")["organisations"] == [(1, "a\ufffdb\ufffd"), (2, "c")]


# --- Under load ---


def test_a_backup_taken_while_records_are_written_is_of_one_moment(
    engine_settings: StoreSettings,
    tmp_path: Path,
    make_outcome: Callable[..., Outcome],
) -> None:
    store = open_store(
        msgspec.structs.replace(engine_settings, batch_ms=1, batch_max=20),
        clock_ms=clock_ms,
        on_problem=None,
    )
    stop = threading.Event()
    many = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            store.put(make_outcome(n))
            if n % 20 == 0:
                stop.wait(0.005)  # the store keeps up, and whoever copies gets a turn
            if n == 1_000:
                many.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert many.wait(60)
    before = store.status().written
    for n in range(3):
        back_up(engine_settings, tmp_path / f"b{n}")
    stop.set()
    writer.join()
    assert store.status().written > before  # it went on meanwhile
    store.close(30)
    for n in range(3):
        found = apsw.Connection(str(tmp_path / f"b{n}"))
        requests, cost = found.execute("SELECT count(*), sum(cost_nanousd) FROM requests").get
        attempts, spent = found.execute("SELECT count(*), sum(cost_nanousd) FROM attempts").get
        rolled_up, summed = found.execute("SELECT sum(requests), sum(cost_nanousd) FROM usage_by_hour").get
        found.close()
        assert requests > 0
        assert requests == attempts == rolled_up
        assert cost == spent == summed == requests * 450_000


def test_a_copy_that_is_under_way_neither_stops_writers_nor_begins_again(
    tmp_path: Path, make_outcome: Callable[..., Outcome], open_at: Callable[..., Store]
) -> None:
    path = tmp_path / "a.db"
    connection = apsw.Connection(str(path))
    migrate(connection, clock_ms)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.executemany(
        "INSERT INTO config_versions VALUES (?, 1, zeroblob(1000000))", ((str(n),) for n in range(40))
    )
    connection.close()
    store = open_at(path, batch_ms=1)
    steps: list[int] = []

    def progress(doing: str, done: int, unit: str) -> None:
        if doing == "copying":
            steps.append(done)
            before = store.status().written
            store.put(make_outcome(len(steps)))
            deadline = time.monotonic() + 60
            while store.status().written == before:
                assert time.monotonic() < deadline, "the writer was held up"
                time.sleep(0.001)

    manifest = back_up(sqlite(path), tmp_path / "b", progress=progress)
    assert steps == sorted(steps)
    assert len(steps) > 3
    assert {table.name: table.rows for table in manifest.tables}["requests"] == 0


# --- What may go wrong with the file that is written ---


def test_a_backup_is_for_its_owner_only_and_stands_alone(filled: StoreSettings, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        back_up(filled, tmp_path / "b")
    finally:
        os.umask(old)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob("b*")] == ["b"]
    file = apsw.Connection(str(tmp_path / "b"), flags=apsw.SQLITE_OPEN_READONLY)
    assert file.execute("PRAGMA journal_mode").get == "delete"
    assert file.execute("PRAGMA integrity_check").get == "ok"
    assert file.execute("PRAGMA application_id").get == BACKUP_ID
    file.close()


def test_an_older_backup_is_not_written_over_unless_told_to(filled: StoreSettings, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("precious")
    with pytest.raises(StoreError, match="b: exists; choose another name, or write over it with --force"):
        back_up(filled, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "precious"
    back_up(filled, tmp_path / "b", force=True)
    restore(sqlite(tmp_path / "c.db"), tmp_path / "b")


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal", ".lock", ".part", ".journal/w1/calls"])
@pytest.mark.parametrize("force", [True, False])
def test_no_backup_is_ever_written_over_a_part_of_its_store(
    filled: StoreSettings, tmp_path: Path, end: str, force: bool
) -> None:
    (tmp_path / "filled.db.journal" / "w1").mkdir(parents=True)
    (tmp_path / "folder").symlink_to(tmp_path)
    before = rows(tmp_path / "filled.db")
    for name in (f"filled.db{end}", f"folder/filled.db{end}", f"folder/../{tmp_path.name}/filled.db{end}"):
        with pytest.raises(StoreError, match="a backup is a file of its own, choose another name"):
            back_up(filled, tmp_path / name, force=force)
    assert rows(tmp_path / "filled.db") == before


def test_no_other_name_of_the_store_is_written_over(filled: StoreSettings, tmp_path: Path) -> None:
    store = tmp_path / "filled.db"
    before = rows(store)
    (tmp_path / "symbolic").symlink_to(store)
    os.link(store, tmp_path / "hard")
    os.link(store, tmp_path / "b.part")
    for name in ("symbolic", "hard", "b"):
        with pytest.raises(StoreError, match="is the store itself"):
            back_up(filled, tmp_path / name, force=True)
    # The other way round: the configuration names the link.
    for name in ("filled.db", "filled.db-wal", "symbolic"):
        with pytest.raises(StoreError, match=r"is the store itself|is a part of the store"):
            back_up(sqlite(tmp_path / "symbolic"), tmp_path / name, force=True)
    assert rows(store) == before


def test_the_journal_of_a_store_on_postgresql_is_no_place_for_its_backup(
    tmp_path: Path, postgres_url: str
) -> None:
    settings = StoreSettings(url=postgres_url, journal=str(tmp_path / "journal"))
    with pytest.raises(StoreError, match="the journal of the store"):
        back_up(settings, tmp_path / "journal" / "b")


def test_a_store_is_not_restored_from_itself(filled: StoreSettings, tmp_path: Path) -> None:
    for name in ("b", "b.part"):
        back_up(filled, tmp_path / f"made-{name}")
        os.rename(tmp_path / f"made-{name}", tmp_path / name)
        before = (tmp_path / name).read_bytes()
        with pytest.raises(StoreError, match=r"is the store itself|is a part of the store"):
            restore(sqlite(tmp_path / "b"), tmp_path / name, force=True)
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"x":' * 50_000, '{"made_ms": "\x1b[2J' + "y" * 9000 + '"}', "\x00"]
)
def test_a_hostile_manifest_is_one_short_printable_line(
    filled: StoreSettings, tmp_path: Path, content: str
) -> None:
    back_up(filled, tmp_path / "b")
    file = apsw.Connection(str(tmp_path / "b"))
    file.execute("UPDATE backup_manifest SET content = ?", (content,))
    file.close()
    with pytest.raises(StoreError, match="is damaged; use another copy of it") as refused:
        restore(sqlite(tmp_path / "c.db"), tmp_path / "b")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400 + len(str(tmp_path))


def test_what_a_manifest_says_of_its_program_is_shown_short_and_printable(
    filled: StoreSettings, tmp_path: Path
) -> None:
    back_up(filled, tmp_path / "b")
    file = apsw.Connection(str(tmp_path / "b"))
    manifest = msgspec.json.decode(file.execute("SELECT content FROM backup_manifest").get, type=Manifest)
    newer = msgspec.structs.replace(manifest, schema=99, trimtab="\x1b[2J" + "9" * 1000)
    file.execute("UPDATE backup_manifest SET content = ?", (msgspec.json.encode(newer).decode(),))
    file.close()
    with pytest.raises(StoreError, match=r"Trimtab \\x1b\[2J9+\.\.\., which wrote it") as refused:
        restore(sqlite(tmp_path / "c.db"), tmp_path / "b")
    assert str(refused.value).isprintable()


def test_a_backup_is_no_store_and_says_so(filled: StoreSettings, tmp_path: Path) -> None:
    back_up(filled, tmp_path / "b")
    before = (tmp_path / "b").read_bytes()
    with pytest.raises(StoreError, match="it is a backup; restore it with `trimtab doctor restore`"):
        open_database(sqlite(tmp_path / "b"), clock_ms=clock_ms)
    assert (tmp_path / "b").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/b", "its directory .*/missing does not exist; create it"),
        ("folder", "is not an ordinary file; choose another name"),
        ("link", "is not an ordinary file; choose another name"),
    ],
)
def test_a_place_for_a_backup_that_cannot_be_is_refused_in_one_line(
    filled: StoreSettings, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=message) as refused:
        back_up(filled, tmp_path / name, force=True)
    assert "\n" not in str(refused.value)


def test_there_must_be_something_to_back_up(tmp_path: Path, postgres_url: str) -> None:
    with pytest.raises(StoreError, match="does not exist; there is nothing to back up"):
        back_up(sqlite(tmp_path / "none.db"), tmp_path / "b")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(StoreError, match=r"^store postgresql://.*: is empty; there is nothing to back up"):
        back_up(StoreSettings(url=postgres_url), tmp_path / "b")
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT to_regnamespace('trimtab')").fetchone()
    assert found == (None,), "a backup must not change what it copies"
    assert list(tmp_path.glob("b*")) == []


def test_a_backup_does_not_bring_its_source_forward(tmp_path: Path, postgres_url: str) -> None:
    """So that it can be made with the new program, before the new program changes anything."""
    steps = load_steps("sqlite")
    connection = apsw.Connection(str(tmp_path / "old.db"))
    migrate(connection, clock_ms, steps[:2])
    connection.close()
    assert back_up(sqlite(tmp_path / "old.db"), tmp_path / "b").schema == 2
    connection = apsw.Connection(str(tmp_path / "old.db"))
    assert connection.execute("SELECT max(version) FROM schema_version").get == 2
    connection.close()
    restore(sqlite(tmp_path / "new.db"), tmp_path / "b")
    assert restore(StoreSettings(url=postgres_url), tmp_path / "b").manifest.schema == 2


# --- What may be wrong with the file that is read ---


def test_files_that_are_no_backup_are_refused_in_one_line(filled: StoreSettings, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    foreign = apsw.Connection(str(tmp_path / "foreign"))
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    for name, message in (
        ("text", "is not a backup of Trimtab's"),
        ("empty", "is not a backup of Trimtab's"),
        ("foreign", "is not a backup of Trimtab's"),
        ("folder", "is not an ordinary file"),
        ("none", "does not exist"),
        ("filled.db", "is a store, not a backup; make one of it with `trimtab doctor backup`"),
    ):
        with pytest.raises(StoreError, match=message) as refused:
            restore(sqlite(tmp_path / "c.db"), tmp_path / name)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "c.db").exists()


def test_a_backup_of_a_newer_trimtab_is_refused(filled: StoreSettings, tmp_path: Path) -> None:
    back_up(filled, tmp_path / "b")
    file = apsw.Connection(str(tmp_path / "b"))
    manifest = msgspec.json.decode(file.execute("SELECT content FROM backup_manifest").get, type=Manifest)
    newer = msgspec.structs.replace(manifest, schema=99, trimtab="9.9")
    file.execute("UPDATE backup_manifest SET content = ?", (msgspec.json.encode(newer).decode(),))
    file.close()
    with pytest.raises(
        StoreError, match=r"its schema is 99 and this Trimtab knows \d+; restore it with Trimtab 9.9"
    ):
        restore(sqlite(tmp_path / "c.db"), tmp_path / "b")


def test_a_changed_row_is_noticed_and_the_store_stays_as_it_was(
    filled: StoreSettings, engine_settings: StoreSettings, tmp_path: Path
) -> None:
    back_up(filled, tmp_path / "b")
    restore(engine_settings, tmp_path / "b")
    before = digests(back_up(engine_settings, tmp_path / "before"))
    for change in (
        "UPDATE requests SET cost_nanousd = cost_nanousd - 1",
        "DELETE FROM key_spend",
        "INSERT INTO organisations VALUES ('more', 1)",
        "DROP TABLE users",
        "DROP TABLE backup_manifest",
        "CREATE TABLE more (x TEXT) STRICT",
    ):
        (tmp_path / "damaged").write_bytes((tmp_path / "b").read_bytes())
        file = apsw.Connection(str(tmp_path / "damaged"))
        file.execute(change)
        file.close()
        with pytest.raises(StoreError, match="is damaged; use another copy of it") as refused:
            restore(engine_settings, tmp_path / "damaged", force=True)
        assert "\n" not in str(refused.value)
    assert digests(back_up(engine_settings, tmp_path / "after")) == before


@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_a_damaged_file_is_refused_in_one_line_or_gives_the_very_rows_back(
    filled: StoreSettings, engine_settings: StoreSettings, tmp_path: Path, kind: str
) -> None:
    wanted = digests(back_up(filled, tmp_path / "b"))
    whole = (tmp_path / "b").read_bytes()
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    refusals = 0
    for _ in range(40 if engine_settings.url.startswith("sqlite") else 15):
        changed = bytearray(whole)
        if kind == "cut":
            del changed[chance.randrange(1, len(whole)) :]
        else:
            for _ in range(chance.choice((1, 1, 4, 400))):
                changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        (tmp_path / "damaged").write_bytes(changed)
        refused = ""
        try:
            restore(engine_settings, tmp_path / "damaged", force=True)
        except StoreError as problem:
            refused = str(problem)
            refusals += 1
        assert "\n" not in refused, seed
        assert refused.startswith("backup ") or not refused, (seed, refused)
        if not refused:
            found = digests(back_up(engine_settings, tmp_path / "again", force=True))
            assert unchanged(found) == unchanged(wanted), seed
    assert kind == "flipped" or refusals, seed


# --- Where it is restored to ---


def test_a_store_that_holds_something_is_not_replaced_unless_told_to(
    filled: StoreSettings, engine_settings: StoreSettings, tmp_path: Path
) -> None:
    back_up(filled, tmp_path / "b")
    open_database(engine_settings, clock_ms=clock_ms).close()  # new, with what its schema begins with
    restore(engine_settings, tmp_path / "b")
    with pytest.raises(
        StoreError, match=r"holds something; restore into an empty store, or replace .* --force"
    ):
        restore(engine_settings, tmp_path / "b")


def test_the_replaced_file_is_kept_whole(
    filled: StoreSettings, tmp_path: Path, open_at: Callable[..., Store], make_outcome: Callable[..., Outcome]
) -> None:
    back_up(filled, tmp_path / "b")
    path = tmp_path / "store.db"
    store = open_at(path)
    store.put(make_outcome(5))
    assert store.close(5) == 0
    before = rows(path)
    kept = []
    for _ in range(2):  # in one second
        restored = restore(sqlite(path), tmp_path / "b", force=True)
        assert restored.kept is not None
        kept.append(restored.kept)
        assert unchanged(rows(path)) == unchanged(rows(tmp_path / "filled.db"))
    assert kept[0].name == "store.db.before-restore-20270115T080000Z"
    assert rows(kept[0]) == before
    assert path.stat().st_mode & 0o777 == 0o600
    again = open_at(path)
    again.put(make_outcome(6))
    assert again.close(5) == 0


def test_a_damaged_store_can_be_replaced(filled: StoreSettings, tmp_path: Path) -> None:
    back_up(filled, tmp_path / "b")
    path = tmp_path / "store.db"
    path.write_bytes((tmp_path / "filled.db").read_bytes()[:-9000] + b"x" * 9000)
    data = bytearray(path.read_bytes())
    data[100:4000] = b"\xff" * 3900
    path.write_bytes(data)
    path.with_name("store.db-wal").write_bytes(b"left over")
    with pytest.raises(StoreError, match="holds something"):
        restore(sqlite(path), tmp_path / "b")
    restored = restore(sqlite(path), tmp_path / "b", force=True)
    assert unchanged(rows(path)) == unchanged(rows(tmp_path / "filled.db"))
    assert restored.kept is not None
    assert restored.kept.read_bytes() == bytes(data)


def test_another_programs_database_is_never_replaced(filled: StoreSettings, tmp_path: Path) -> None:
    back_up(filled, tmp_path / "b")
    foreign = apsw.Connection(str(tmp_path / "foreign"))
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    with pytest.raises(StoreError, match="another program's database"):
        restore(sqlite(tmp_path / "foreign"), tmp_path / "b", force=True)


def test_nothing_is_restored_under_a_running_server(
    filled: StoreSettings, tmp_path: Path, postgres_url: str
) -> None:
    back_up(filled, tmp_path / "b")
    lock = hold_instance(sqlite(tmp_path / "store.db"))
    with pytest.raises(StoreLocked, match=f"another `trimtab serve` .pid {os.getpid()}. runs on this file"):
        restore(sqlite(tmp_path / "store.db"), tmp_path / "b", force=True)
    lock.release()
    database = open_database(sqlite(tmp_path / "store.db"), clock_ms=clock_ms)  # `trimtab worker`, say
    with pytest.raises(StoreLocked, match="another process has it open; stop every Trimtab that uses it"):
        restore(sqlite(tmp_path / "store.db"), tmp_path / "b", force=True)
    database.close()
    restore(sqlite(tmp_path / "store.db"), tmp_path / "b", force=True)

    database = open_database(StoreSettings(url=postgres_url), clock_ms=clock_ms)
    database.write(
        lambda t: t.change("INSERT INTO workers VALUES ('w', 'host-a', 17, 0, ?)", (t.now_ms() - 5_000,))
    )
    with pytest.raises(StoreLocked, match=r"1 process uses it \(pid 17 on host-a\); stop every Trimtab"):
        restore(StoreSettings(url=postgres_url), tmp_path / "b", force=True)
    database.write(lambda t: t.change("UPDATE workers SET seen_ms = seen_ms - 60000"))
    database.close()
    restore(StoreSettings(url=postgres_url), tmp_path / "b", force=True)


# --- Killed, full, forbidden ---

PROGRAM = """
import sys, time
from pathlib import Path
from trimtab.store import StoreSettings
from trimtab.store.backup import make_backup, restore_backup
what, url, file = sys.argv[1:]
def progress(doing, done, unit):
    print(doing, flush=True)
    time.sleep(0.005)
clock = lambda: time.time_ns() // 1_000_000
{"backup": make_backup, "restore": restore_backup}[what](
    StoreSettings(url=url), Path(file), clock_ms=clock, force=True, progress=progress)
print("done", flush=True)
"""


def killed(what: str, store: StoreSettings, file: Path, after_lines: int) -> bool:
    """Start it, kill it after so many reports; whether it was still at it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what, store.url, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if len(lines) >= after_lines:
            break
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait()
    return "done\n" not in lines


def other_rows(path: Path) -> StoreSettings:
    content = {"organisations": [(n, f"other-{n}") for n in range(50)]}
    return made(path, content)


@pytest.mark.parametrize("after_lines", [1, 4, 9, 14])
def test_a_killed_backup_leaves_the_old_backup_and_the_store_as_they_were(
    filled: StoreSettings, engine_settings: StoreSettings, tmp_path: Path, after_lines: int
) -> None:
    back_up(filled, tmp_path / "first")
    restore(engine_settings, tmp_path / "first")
    back_up(other_rows(tmp_path / "other.db"), tmp_path / "b")
    old = (tmp_path / "b").read_bytes()
    wanted = digests(back_up(engine_settings, tmp_path / "before"))
    assert killed("backup", engine_settings, tmp_path / "b", after_lines)
    assert (tmp_path / "b").read_bytes() == old
    assert digests(back_up(engine_settings, tmp_path / "b", force=True)) == wanted
    assert [path.name for path in tmp_path.glob("b*.part*")] == []


@pytest.mark.parametrize("after_lines", [1, 5, 9, 14])
def test_a_killed_restore_leaves_the_store_as_it_was(
    filled: StoreSettings, engine_settings: StoreSettings, tmp_path: Path, after_lines: int
) -> None:
    back_up(other_rows(tmp_path / "other.db"), tmp_path / "other")
    restore(engine_settings, tmp_path / "other")
    wanted = digests(back_up(engine_settings, tmp_path / "before"))
    back_up(filled, tmp_path / "b")
    assert killed("restore", engine_settings, tmp_path / "b", after_lines)
    deadline = time.monotonic() + 60
    while True:  # the server needs a moment to notice
        try:
            found = digests(back_up(engine_settings, tmp_path / "after", force=True))
            break
        except StoreLocked:
            assert time.monotonic() < deadline
    assert found == wanted
    restore(engine_settings, tmp_path / "b", force=True)
    assert unchanged(digests(back_up(engine_settings, tmp_path / "after", force=True))) == unchanged(
        digests(back_up(filled, tmp_path / "c"))
    )


def test_two_backups_to_one_file_do_not_mix(filled: StoreSettings, tmp_path: Path) -> None:
    def progress(doing: str, done: int, unit: str) -> None:
        with pytest.raises(
            StoreLocked, match=r"b\.part: another process is writing it; wait until it is done"
        ):
            back_up(filled, tmp_path / "b")

    back_up(filled, tmp_path / "b", progress=progress)
    restore(sqlite(tmp_path / "c.db"), tmp_path / "b")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KB."""
    place = tmp_path / "tiny"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, b"size=300k"):
        pytest.skip("a file system of its own needs root")
    yield place
    libc.umount2(os.fsencode(place), 2)


def test_a_full_disk_is_one_line_and_nothing_is_left_on_it(
    filled: StoreSettings, tiny_disk: Path, tmp_path: Path, postgres_url: str
) -> None:
    connection = apsw.Connection(str(tmp_path / "filled.db"))
    connection.execute("INSERT INTO config_versions VALUES ('big', 1, randomblob(1000000))")
    connection.close()
    with pytest.raises(StoreError, match=r"^backup .*/b: the disk is full; free some space$"):
        back_up(filled, tiny_disk / "b")
    back_up(filled, tmp_path / "b")
    with pytest.raises(StoreError, match=r"^store .*/a\.db: the disk is full; free some space$"):
        restore(sqlite(tiny_disk / "a.db"), tmp_path / "b")
    restore(StoreSettings(url=postgres_url), tmp_path / "b")
    with pytest.raises(StoreError, match=r"^backup .*/b: the disk is full; free some space$"):
        back_up(StoreSettings(url=postgres_url), tiny_disk / "b")
    assert [path.name for path in tiny_disk.iterdir() if path.stat().st_size] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_line(filled: StoreSettings, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        back_up(filled, closed / "b")


def test_a_read_only_place_is_one_line(filled: StoreSettings, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^backup /proc/trimtab-backup: .*$"):
        back_up(filled, Path("/proc/trimtab-backup"))


def test_a_postgresql_that_is_away_is_one_line(tmp_path: Path) -> None:
    away = StoreSettings(url=f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(StoreError, match="cannot be reached") as refused:
        back_up(away, tmp_path / "b")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.glob("b*")) == []
