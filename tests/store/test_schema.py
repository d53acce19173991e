"""Files of every age open, and files that are not ours or from the future are left alone."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from frozen_rows import SCHEMA_1_FILE

from trimtab.errors import StoreError
from trimtab.records import Outcome
from trimtab.store import Store
from trimtab.store.schema import migrate, version_of
from trimtab.store.steps import load_steps

LATEST = len(load_steps("sqlite"))


def shape(path: Path) -> set[tuple[str, str, str]]:
    """Every column and index, by table."""
    connection = apsw.Connection(str(path))
    found = {
        (table, str(name), str(kind))
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for name, kind in connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
    }
    found |= {
        ("", name, "index")
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE INDEX%'")
    }
    connection.close()
    return found


def test_a_file_of_the_first_schema_opens_with_its_records_and_takes_new_ones(
    tmp_path: Path, open_at: Callable[..., Store], make_outcome: Callable[..., Outcome]
) -> None:
    old = tmp_path / "old.db"
    connection = apsw.Connection(str(old))
    connection.execute(SCHEMA_1_FILE).fetchall()  # a statement after one with rows waits for them to be read
    connection.close()
    store = open_at(old)
    assert store.find("01a0c2f0aa0070008000000000000001") == b'{"id":"01a0c2f0aa0070008000000000000001"}'
    assert store.totals(0).cost_nanousd == 1_050_000
    store.put(make_outcome())
    assert store.close(5) == 0
    open_at(tmp_path / "new.db").close(5)
    assert shape(old) == shape(tmp_path / "new.db")


def test_each_step_is_dated(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    migrate(connection, lambda: 77)
    assert connection.execute("SELECT version, at_ms FROM schema_version").fetchall() == [
        (step, 77) for step in range(1, LATEST + 1)
    ]
    connection.close()


def test_a_crash_between_two_steps_leaves_a_whole_step_and_the_next_opening_goes_on(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    times = iter([1])  # the second step finds no time and fails inside its transaction

    with pytest.raises(StopIteration):
        migrate(connection, lambda: next(times))
    assert version_of(connection) == 1
    assert not connection.in_transaction
    migrate(connection, lambda: 2)
    assert version_of(connection) == LATEST
    connection.close()


def test_a_step_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.execute("PRAGMA application_id = 1414679892")
    connection.execute(
        "CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL)"
    )
    connection.execute("CREATE TABLE config_versions (in_the_way)")
    with pytest.raises(apsw.SQLError):
        migrate(connection, lambda: 1)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'requests'").get == 0
    connection.close()


def test_a_file_from_the_future_is_refused_in_one_line(tmp_path: Path, open_at: Callable[..., Store]) -> None:
    path = tmp_path / "a.db"
    open_at(path).close(5)
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO schema_version VALUES (?, 1, ?)", (LATEST + 1, LATEST + 1))
    connection.close()
    with pytest.raises(
        StoreError, match=rf"^store .*a\.db: its schema is {LATEST + 1} and .* knows {LATEST}; run the"
    ):
        open_at(path)


def test_another_programs_database_is_not_touched(tmp_path: Path, open_at: Callable[..., Store]) -> None:
    path = tmp_path / "a.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's database"):
        open_at(path)
    assert path.read_bytes() == before


def test_a_file_one_step_ahead_is_used_when_that_step_allows_it(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    migrate(connection, lambda: 1)
    migrate(connection, lambda: 1, load_steps("sqlite")[:-1])
    with pytest.raises(StoreError, match="run the newer Trimtab"):
        migrate(connection, lambda: 1, load_steps("sqlite")[:-2])
    connection.close()


def test_the_steps_are_numbered_and_work_with_at_most_one_version_back() -> None:
    for step in load_steps("sqlite"):
        assert step.works_with in (step.number, step.number - 1), step.name
