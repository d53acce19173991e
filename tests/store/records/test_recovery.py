"""What dead processes left is accounted for, once, and their slices are free again; what found no room comes back."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from test_journal import ended, intent
from waiting import until

from trimtab.records import Draw
from trimtab.store import (
    Database,
    Journal,
    Store,
    StoreSettings,
    Transaction,
    Upkeep,
    open_database,
    open_store,
)
from trimtab.store.limits import Caps, Trade, join, trade
from trimtab.store.records.abandoned import FILE_BYTES_MAX
from trimtab.store.records.backlog import Replay
from trimtab.store.records.journal import HEAD, INTENT, OUTCOME, _line

T = TypeVar("T")

DEAD, ALIVE, GONE = "d" * 32, "a" * 32, "9" * 32

Settings = Callable[..., StoreSettings]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def settings(either_store: str) -> Settings:
    return lambda **more: StoreSettings(url=either_store, batch_ms=5, **more)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    found = open_database(settings(), clock_ms=now_ms)
    yield found
    found.close()


def test_calls_of_a_dead_process_are_recorded_once_and_its_slices_are_free(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    root, lines = tmp_path / "journals", []
    limits = Caps(concurrency=2, total=100_000)
    all_of_it = Trade(
        account="key_1", caps=limits, permits_kept=0, permits_wanted=2,
        amount_kept=0, amount_needed=90_000, amount_wanted=90_000,
    )  # fmt: skip
    database.write(lambda t: join(t, DEAD, "h", 1))
    assert database.write(lambda t: trade(t, DEAD, [all_of_it]))[0].amount == 90_000
    dead = Journal(root, DEAD)
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker=DEAD, journal=dead)
    for n in range(30):
        assert store.intend(intent(n))
    for n in range(10):  # recorded and committed before it died
        store.put(ended(n))
    until(lambda: store.status().written == 10)
    for n in range(10, 20):  # ended, but it died before the commit
        dead.settle(intent(n).id, msgspec.json.encode(ended(n)))
    assert store.close(5) == 0
    assert dead.close() is False

    alive = Journal(root, ALIVE)
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker=ALIVE, journal=alive)
    upkeep = Upkeep(alive, root, database, store.replay, worker=ALIVE, tell=lines.append)
    until(lambda: not (root / DEAD).exists())
    upkeep.close()
    assert store.totals(0).requests == 30
    expected = 20 * 7 + sum(1000 + n for n in range(20, 30))
    assert store.totals(0).cost_nanousd == expected
    assert database.read(lambda t: t.rows("SELECT spent_nanousd FROM key_spend")) == [(expected,)]
    assert database.read(lambda t: t.rows("SELECT * FROM key_leases")) == []
    assert database.read(lambda t: t.rows("SELECT * FROM workers")) == []
    assert database.write(lambda t: trade(t, ALIVE, [all_of_it]))[0].permits == 2
    assert lines == [
        "a process ended without closing: 20 of its calls are recorded, 10 of them at their worst case because nobody "
        "knows how they ended"
    ] or lines[0].startswith("a process ended without closing: 30 of its calls are recorded, 10 of them")
    assert store.close(5) == 0
    assert alive.close()


def test_calls_of_a_dead_process_are_counted_on_their_budgets_at_the_worst_case_and_once(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    root, lines = tmp_path / "journals", []
    red, soft = "team=acme/red/usd/2026-11", "tag=night/tokens/total"
    ask = Trade(account=red, caps=Caps(total=10_000), amount_kept=0, amount_needed=9_000, amount_wanted=9_000)
    database.write(lambda t: (join(t, DEAD, "h", 1), trade(t, DEAD, [ask])))
    dead = Journal(root, DEAD)
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker=DEAD, journal=dead)

    def drawn(amount: int) -> tuple[Draw, ...]:
        return Draw(red, amount), Draw(soft, 3 * amount, leased=False)

    for n in range(4):
        assert store.intend(msgspec.structs.replace(intent(n), draws=drawn(1000)))
    store.put(msgspec.structs.replace(ended(0), draws=drawn(70)))  # in the store before it died
    until(lambda: store.status().written == 1)
    dead.settle(intent(1).id, msgspec.json.encode(msgspec.structs.replace(ended(1), draws=drawn(5))))
    assert store.intend(
        msgspec.structs.replace(intent(2), draws=drawn(1500))
    )  # a further call of the request
    assert store.close(5) == 0
    assert dead.close() is False

    alive = Journal(root, ALIVE)
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker=ALIVE, journal=alive)
    upkeep = Upkeep(alive, root, database, store.replay, worker=ALIVE, tell=lines.append)
    until(lambda: not (root / DEAD).exists())
    upkeep.close()
    spent = dict(
        database.read(lambda t: t.rows("SELECT key_id, spent_nanousd FROM key_spend WHERE key_id LIKE '%=%'"))
    )
    expected = 70 + 5 + 1500 + 1000
    assert spent == {red: expected, soft: 3 * expected}
    assert database.read(lambda t: t.rows("SELECT * FROM key_leases")) == []
    assert store.close(5) == 0
    assert alive.close()


def test_a_process_of_this_machine_that_left_no_journal_has_spent_all_that_it_held(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ask = Trade(account="k", caps=Caps(total=100), amount_kept=0, amount_needed=60, amount_wanted=60)
    import socket

    database.write(lambda t: (join(t, GONE, socket.gethostname(), gone.pid), trade(t, GONE, [ask])))
    database.write(lambda t: t.change("UPDATE workers SET seen_ms = seen_ms - 60000"))
    journal, lines = Journal(tmp_path / "j", ALIVE), []
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker=ALIVE, journal=journal)
    upkeep = Upkeep(journal, tmp_path / "j", database, store.replay, worker=ALIVE, tell=lines.append)
    until(lambda: bool(lines))
    upkeep.close()
    assert database.read(lambda t: t.rows("SELECT key_id, spent_nanousd FROM key_spend")) == [("k", 60)]
    store.close(5)
    journal.close()


def test_records_that_find_no_room_in_memory_come_back_from_the_journal(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "j", ALIVE, segment_bytes=16 * 1024)
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
    journal = Journal(root, DEAD)
    store = open_store(settings(queue_max=1, batch_max=1), clock_ms=now_ms, on_problem=None, journal=journal)
    for n in range(300):
        store.intend(intent(n))
        store.put(ended(n))
    assert store.close(5) == 0
    clean = journal.close()
    journal = Journal(root, ALIVE)
    store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker=ALIVE, journal=journal)
    database = open_database(settings(), clock_ms=now_ms)
    upkeep = Upkeep(journal, root, database, store.replay, worker=ALIVE, tell=lambda line: None)
    until(lambda: not (root / DEAD).exists())
    upkeep.close()
    assert store.totals(0).requests == 300
    assert clean or os.path.isdir(root)
    store.close(5)
    journal.close()
    database.close()


Serve = Callable[..., tuple[Store, list[str]]]


@pytest.fixture
def serving(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Serve]:
    """A process that looks after the journals under `j`, and the lines it tells."""
    closing: list[Callable[[], object]] = []

    def serve(name: str = "") -> tuple[Store, list[str]]:
        lines: list[str] = []
        journal = Journal(tmp_path / "j", ALIVE, store=name)
        store = open_store(settings(), clock_ms=now_ms, on_problem=None, worker=ALIVE, journal=journal)
        upkeep = Upkeep(
            journal,
            tmp_path / "j",
            database,
            store.replay,
            worker=ALIVE,
            tell=lines.append,
            store=name,
        )
        closing.extend((journal.close, lambda: store.close(5), upkeep.close))
        return store, lines

    yield serve
    while closing:
        closing.pop()()


def dies(root: Path, worker: str, first: int, name: str = "", calls: int = 3) -> Path:
    """A process that dies with calls under way; its journal."""
    journal = Journal(root, worker, store=name)
    for n in range(first, first + calls):
        assert journal.intend(intent(n))
    assert journal.close() is False
    return root / worker


def test_two_stores_that_share_a_directory_recover_only_their_own_journals(
    serving: Serve, tmp_path: Path
) -> None:
    theirs = dies(tmp_path / "j", "b" * 32, 0, "another store")
    copied = dies(tmp_path / "j", "c" * 32, 10, "this store").rename(tmp_path / "j" / ("e" * 32))
    ours = dies(tmp_path / "j", "f" * 32, 20, "this store")
    store, lines = serving("this store")
    until(lambda: not ours.exists() and lines)  # it is told after the journal has gone
    assert store.totals(0).requests == 3
    assert theirs.is_dir()
    assert copied.is_dir()
    assert len(lines) == 1


def test_a_journal_without_the_name_of_its_store_is_ours_if_its_process_was(
    serving: Serve, database: Database, tmp_path: Path
) -> None:
    database.write(lambda t: join(t, DEAD, "h", 1))
    ours = dies(tmp_path / "j", DEAD, 0)
    other = dies(tmp_path / "j", "b" * 32, 10)
    store, lines = serving("this store")
    until(lambda: not ours.exists() and lines)
    assert store.totals(0).requests == 3
    assert other.is_dir()
    assert f"journal {other}: does not say whose it is" in lines[0]


def test_whatever_lies_in_a_journal_the_others_are_recovered_and_money_counts_as_spent(
    serving: Serve, database: Database, tmp_path: Path
) -> None:
    root = tmp_path / "j"
    ask = Trade(account="k", caps=Caps(total=100), amount_kept=0, amount_needed=60, amount_wanted=60)
    pipe, folder, link, empty, big, odd, whole = (dies(root, f"{n:032x}", 10 * n) for n in range(7))
    database.write(lambda t: (join(t, pipe.name, "h", 1), trade(t, pipe.name, [ask])))
    os.mkfifo(pipe / "00000002.log")
    (folder / "00000002.log").mkdir()
    (link / "00000002.log").symlink_to("/dev/zero")
    (empty / "00000001.log").unlink()
    with (big / "00000002.log").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with (odd / "00000002.log").open("wb") as file:
        for kind, text in (
            (HEAD, (odd / "00000001.log").read_bytes().split(b"\n")[0][10:]),
            (INTENT, b"{}"),
            (OUTCOME, b"\xff"),
            (OUTCOME, b"[" * 200_000),
            (b"?", b"1"),
        ):
            file.write(_line(kind, text) + b"\n")
    store, lines = serving()
    until(lambda: not whole.exists() and len(lines) >= 11)
    assert store.totals(0).requests == 6 * 3
    assert database.read(
        lambda t: t.rows("SELECT key_id, spent_nanousd FROM key_spend WHERE key_id = 'k'")
    ) == [("k", 60)]
    assert not empty.exists()
    assert not odd.exists()
    for one in (pipe, folder, link, big):
        assert sorted(os.listdir(one)) == ["00000002.log", "lock"]
        assert sum(str(one) in line for line in lines) == 1


def test_a_journal_that_cannot_be_read_at_all_is_told_once_and_left(serving: Serve, tmp_path: Path) -> None:
    home = dies(tmp_path / "j", DEAD, 0)
    (home / "00000001.log").unlink()
    os.mkfifo(home / "00000001.log")
    _, lines = serving("this store")
    until(lambda: bool(lines))
    later = dies(tmp_path / "j", "e" * 32, 10, "this store")
    until(lambda: not later.exists())
    assert [line for line in lines if str(home) in line] == [
        f"journal {home}: does not say whose it is, and no process of this store had it; it is left there, look at "
        "it and delete it"
    ]
    assert sorted(os.listdir(home)) == ["00000001.log", "lock"]


def test_trouble_of_any_kind_is_said_once_and_its_end_once_and_recovery_goes_on(
    database: Database, tmp_path: Path
) -> None:
    lines: list[str] = []
    root = tmp_path / "j"
    journal = Journal(root, ALIVE)
    home = dies(root, DEAD, 0)
    tries: list[int] = []
    away, rounds = [True], threading.Semaphore(0)

    def replay(replay: Replay) -> None:
        tries.append(1)
        rounds.release()
        if away[0]:
            raise MemoryError("no room")
        replay.done()

    upkeep = Upkeep(journal, root, database, replay, worker=ALIVE, tell=lines.append)
    assert rounds.acquire(timeout=60)
    assert rounds.acquire(timeout=60)
    away[0] = False
    until(lambda: not home.exists())
    until(lambda: len(lines) == 3)
    upkeep.close()
    journal.close()
    assert lines[0] == (f"recovering {home}: MemoryError: no room; it is tried again every few seconds")
    assert lines[1].startswith("a process ended without closing: 3 of its calls")
    assert lines[2] == f"recovering {home}: works again"
    assert len(tries) == 3


def test_what_a_store_that_is_there_refuses_is_said(database: Database, tmp_path: Path) -> None:
    """Sums that do not fit, say: without a line, money would stay held and nobody would know why."""
    lines: list[str] = []
    database.write(lambda t: join(t, DEAD, "h", 1))
    for table, columns in (
        ("key_leases", "worker, outstanding_nanousd, granted_nanousd"),
        ("key_spend", "spent_nanousd"),
    ):
        values = f"'{DEAD}', 1, 1" if table == "key_leases" else str(2**63 - 1)
        database.write(
            lambda t, table=table, columns=columns, values=values: t.change(  # type: ignore[misc]
                f"INSERT INTO {table} (key_id, simulated, {columns}) VALUES ('k', 0, {values})"
            )
        )
    journal = Journal(tmp_path / "j", ALIVE)
    home = dies(tmp_path / "j", DEAD, 0, calls=1)
    (home / "00000001.log").write_bytes((home / "00000001.log").read_bytes().replace(b"key_1", b"key_2"))
    whole = dies(tmp_path / "j", "f" * 32, 10, calls=1)
    upkeep = Upkeep(
        journal, tmp_path / "j", database, lambda replay: replay.done(), worker=ALIVE, tell=lines.append
    )
    until(lambda: not whole.exists() and len(lines) > 1)
    upkeep.close()
    journal.close()
    assert home.is_dir()
    assert [line for line in lines if line.startswith(f"recovering {home}: StoreError: store ")] == [lines[0]]


def test_a_store_that_is_away_is_not_told_of_by_those_who_recover(tmp_path: Path) -> None:
    lines: list[str] = []
    database = open_database(StoreSettings(url=f"sqlite:///{tmp_path}/a.db"), clock_ms=now_ms)
    database.close()
    rounds = threading.Semaphore(0)

    class Away:
        """A closed database, and how often it was asked."""

        words = database.words
        write = staticmethod(database.write)
        close = staticmethod(database.close)

        def read(self, work: Callable[[Transaction], T]) -> T:
            rounds.release()
            return database.read(work)

    journal = Journal(tmp_path / "j", ALIVE)
    upkeep = Upkeep(journal, tmp_path / "j", Away(), lambda _: None, worker=ALIVE, tell=lines.append)
    for _ in range(3):
        assert rounds.acquire(timeout=60)
    upkeep.close()
    journal.close()
    assert lines == []
