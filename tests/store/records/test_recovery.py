"""What dead processes left is accounted for, once, and their slices are free again; what found no room comes back."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from test_journal import ended, intent

from trimtab.records import Limits
from trimtab.store import Database, Journal, Store, StoreSettings, Upkeep, open_database, open_store
from trimtab.store.limits import Trade, join, trade

Settings = Callable[..., StoreSettings]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = (
        f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    return lambda **more: StoreSettings(url=url, batch_ms=5, **more)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    found = open_database(settings(), clock_ms=now_ms)
    yield found
    found.close()


def until(done: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_calls_of_a_dead_process_are_recorded_once_and_its_slices_are_free(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    root, lines = tmp_path / "journals", []
    limits = Limits(concurrency=2, total_nanousd=100_000)
    all_of_it = Trade(
        key="key_1", limits=limits, permits_kept=0, permits_wanted=2,
        money_kept=0, money_needed=90_000, money_wanted=90_000,
    )  # fmt: skip
    database.write(lambda t: join(t, "dead", "h", 1))
    assert database.write(lambda t: trade(t, "dead", [all_of_it]))[0].money == 90_000
    dead = Journal(root, "dead")
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker="dead", journal=dead)
    for n in range(30):
        assert store.intend(intent(n))
    for n in range(10):  # recorded and committed before it died
        store.put(ended(n))
    until(lambda: store.status().written == 10)
    for n in range(10, 20):  # ended, but it died before the commit
        dead.settle(intent(n).id, msgspec.json.encode(ended(n)))
    assert store.close(5) == 0
    assert dead.close() is False

    alive = Journal(root, "alive")
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker="alive", journal=alive)
    upkeep = Upkeep(alive, root, database, store.replay, worker="alive", tell=lines.append)
    until(lambda: not (root / "dead").exists())
    upkeep.close()
    assert store.totals(0).requests == 30
    expected = 20 * 7 + sum(1000 + n for n in range(20, 30))
    assert store.totals(0).cost_nanousd == expected
    assert database.read(lambda t: t.rows("SELECT spent_nanousd FROM key_spend")) == [(expected,)]
    assert database.read(lambda t: t.rows("SELECT * FROM key_leases")) == []
    assert database.read(lambda t: t.rows("SELECT * FROM workers")) == []
    assert database.write(lambda t: trade(t, "alive", [all_of_it]))[0].permits == 2
    assert lines == [
        "a process ended without closing: 20 of its calls are recorded, 10 of them at their worst case because nobody "
        "knows how they ended"
    ] or lines[0].startswith("a process ended without closing: 30 of its calls are recorded, 10 of them")
    assert store.close(5) == 0
    assert alive.close()


def test_a_process_of_this_machine_that_left_no_journal_has_spent_all_that_it_held(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ask = Trade(key="k", limits=Limits(total_nanousd=100), money_kept=0, money_needed=60, money_wanted=60)
    import socket

    database.write(lambda t: (join(t, "gone", socket.gethostname(), gone.pid), trade(t, "gone", [ask])))
    database.write(lambda t: t.change("UPDATE workers SET seen_ms = seen_ms - 60000"))
    journal, lines = Journal(tmp_path / "j", "alive"), []
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker="alive", journal=journal)
    upkeep = Upkeep(journal, tmp_path / "j", database, store.replay, worker="alive", tell=lines.append)
    until(lambda: bool(lines))
    upkeep.close()
    assert database.read(lambda t: t.rows("SELECT key_id, spent_nanousd FROM key_spend")) == [("k", 60)]
    store.close(5)
    journal.close()


def test_records_that_find_no_room_in_memory_come_back_from_the_journal(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "j", "w", segment_bytes=16 * 1024)
    store = open_store(
        settings(queue_max=4, batch_max=2), clock_ms=now_ms, on_problem=None, worker="w", journal=journal
    )
    numbers = list(range(800))
    random.Random(1).shuffle(numbers)
    most = 0
    for n in numbers:
        store.intend(intent(n))
    for n in numbers:
        store.put(ended(n))
        most = max(most, store.status().spilled)
    assert most > 0
    until(lambda: store.totals(0).requests == 800 and store.status().queued == store.status().spilled == 0)
    assert store.status().dropped == 0
    assert store.totals(0).cost_nanousd == 800 * 7
    assert found(store, [ended(n).id for n in numbers]) == 800
    assert store.close(5) == 0
    assert journal.close() is True


def found(store: Store, ids: list[str]) -> int:
    return sum(store.find(one) is not None for one in ids)


def test_what_is_spilled_when_a_process_closes_is_recorded_by_the_next(
    settings: Settings, tmp_path: Path
) -> None:
    root = tmp_path / "j"
    journal = Journal(root, "first")
    store = open_store(settings(queue_max=1, batch_max=1), clock_ms=now_ms, on_problem=None, journal=journal)
    for n in range(300):
        store.intend(intent(n))
        store.put(ended(n))
    assert store.close(5) == 0
    clean = journal.close()
    journal = Journal(root, "second")
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker="second", journal=journal)
    database = open_database(settings(), clock_ms=now_ms)
    upkeep = Upkeep(journal, root, database, store.replay, worker="second", tell=lambda line: None)
    until(lambda: not (root / "first").exists())
    upkeep.close()
    assert store.totals(0).requests == 300
    assert clean or os.path.isdir(root)
    store.close(5)
    journal.close()
    database.close()
