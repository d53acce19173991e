"""Upkeep runs in the background, once for all processes, and its trouble is one line."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab.app.housekeeping import Chore, FiguresUpkeep, Housekeeping, RecordsRetention, Turn
from trimtab.errors import StoreError
from trimtab.records import Outcome, RequestId
from trimtab.store import Database, StoreSettings, open_database, open_store


@pytest.fixture
def settings(either_store: str) -> StoreSettings:
    return StoreSettings(url=either_store, keep_days=1)


@pytest.fixture
def database(settings: StoreSettings) -> Iterator[Database]:
    opened = open_database(settings, clock_ms=lambda: time.time_ns() // 1_000_000)
    yield opened
    opened.close()


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def keeping(database: Database, problems: list[str]) -> Callable[..., Housekeeping]:
    def make(*chores: Chore, holder: str = "p1") -> Housekeeping:
        return Housekeeping(
            database, chores, holder=holder, on_problem=problems.append, uniform=lambda least, most: least
        )

    return make


def test_a_chore_is_done_by_one_process_and_not_again_before_it_is_due(
    keeping: Callable[..., Housekeeping],
) -> None:
    done: list[str] = []

    def work(turn: Turn) -> bool:
        done.append(turn.holder)
        return True

    chore = Chore("sweep", work)
    keeping(chore).do_what_is_due()
    keeping(chore, holder="p2").do_what_is_due()
    keeping(chore).do_what_is_due()
    assert done == ["p1"]
    keeping(Chore("sweep", work, every_s=0), holder="p2").do_what_is_due()
    assert done == ["p1", "p2"]


def test_what_was_not_done_to_the_end_is_due_for_the_next(keeping: Callable[..., Housekeeping]) -> None:
    done: list[str] = []

    def stopped(turn: Turn) -> bool:
        done.append(turn.holder)
        return False

    keeping(Chore("sweep", stopped)).do_what_is_due()
    keeping(Chore("sweep", stopped), holder="p2").do_what_is_due()
    assert done == ["p1", "p2"]


def test_trouble_is_one_line_however_often_it_comes_and_hinders_nothing_else(
    keeping: Callable[..., Housekeeping], problems: list[str]
) -> None:
    done: list[int] = []

    def fail(turn: Turn) -> bool:
        raise StoreError("store x: the disk is full; free some space")

    def work(turn: Turn) -> bool:
        done.append(1)
        return True

    house = keeping(Chore("sweep", fail), Chore("wipe", work, every_s=0))
    for _ in range(3):
        house.do_what_is_due()
    assert problems == [
        "sweep: store x: the disk is full; free some space; it is tried again within 15 minutes"
    ]
    assert house.failures == 3
    assert len(done) == 3


def test_closing_ends_a_long_chore_at_its_next_rest(keeping: Callable[..., Housekeeping]) -> None:
    began = threading.Event()
    ended: list[bool] = []

    def work(turn: Turn) -> bool:
        began.set()
        ended.append(turn.rest(3_600))
        return False

    house = keeping(Chore("sweep", work))
    house.start()
    assert began.wait(60)
    house.close()
    house.close()
    assert ended == [True]


def test_a_store_that_is_away_does_not_end_the_thread(
    keeping: Callable[..., Housekeeping], database: Database, problems: list[str]
) -> None:
    house = keeping(Chore("sweep", lambda turn: True))
    database.close()
    house.do_what_is_due()
    assert len(problems) == 1
    assert "is closed" in problems[0]


def test_old_records_are_deleted_and_counted_only_where_the_settings_say_so(
    settings: StoreSettings, database: Database, keeping: Callable[..., Housekeeping]
) -> None:
    assert RecordsRetention(database, StoreSettings()).chores() == []
    keeping().start()  # nothing to do: no thread
    retention = RecordsRetention(database, settings)
    columns = "writer, serial, purpose, simulated, from_ms, to_ms, requests, attempts, cost_nanousd, "
    columns += (
        "input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, output_tokens, "
    )
    columns += "thinking_tokens, key_id, team_id, organisation"
    database.write(
        lambda t: t.change(
            f"INSERT INTO record_gaps ({columns}) VALUES ('w', 1, 'live', 0, 5, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, '', '', '')"
        )
    )
    keeping(*retention.chores()).do_what_is_due()
    assert database.read(lambda view: view.row("SELECT count(*) FROM record_gaps")) == (0,)
    assert retention.deleted == 0


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_figures_are_worked_out_and_a_failure_costs_one_line(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/f.db" if engine == "sqlite" else request.getfixturevalue("postgres_store")
    settings = StoreSettings(url=url)
    database = open_database(settings, clock_ms=lambda: time.time_ns() // 1_000_000)
    now_ms = database.read(lambda view: view.now_ms())
    database.write(
        lambda t: t.change(
            "INSERT INTO record_gaps VALUES ('w', 1, 'live', 0, 'k', '', 'o', ?, ?, 7, 7, 70, 1, 2, 3, 4, 5, 6)",
            (now_ms - 3_600_000, now_ms - 3_600_000),
        )
    )
    store = open_store(settings, clock_ms=lambda: now_ms, on_problem=None)
    store.put(
        Outcome(
            id=RequestId("0" * 32),
            at_ms=now_ms - 3_700_000,
            purpose="live",
            surface="messages",
            endpoint="messages",
            requested_model="m",
            session="s",
            result="ok",
            status=200,
            stream=False,
        )
    )
    assert store.close(10) == 0
    told: list[str] = []
    upkeep = Housekeeping(
        database,
        [FiguresUpkeep(database, settings).chore()],
        holder="me",
        on_problem=told.append,
        uniform=lambda low, high: low,
        look_s=30,
    )
    upkeep.do_what_is_due()
    (found,) = database.read(
        lambda view: view.rows("SELECT sum(requests) FROM figure_spans WHERE width_ms = 60000")
    )
    assert found == (8,)
    database.close()
    upkeep.do_what_is_due()
    upkeep.do_what_is_due()
    assert upkeep.failures == 2
    assert len(told) == 1
    assert told[0].endswith("; it is tried again within a minute")
