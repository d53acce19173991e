"""What is older than the operator keeps goes, totals stay, nobody is held up, and one process at a time does it."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from filled_tables import tables

from trimtab.records import Outcome, Verdict
from trimtab.store import Database, Store, StoreSettings, open_database, open_store
from trimtab.store.housekeeping import LEASE_MS, Retention, TurnLost, claim, delete_old, put_down, renew
from trimtab.store.housekeeping.retention import BATCH_MOST, CHORE, DAY_MS, HOUR_MS, ROLLUPS

MINE = "process-1"


@pytest.fixture
def settings(either_store: str) -> StoreSettings:
    return StoreSettings(url=either_store, batch_ms=5)


@pytest.fixture
def database(settings: StoreSettings) -> Iterator[Database]:
    opened = open_database(settings, clock_ms=lambda: time.time_ns() // 1_000_000)
    yield opened
    opened.close()


@pytest.fixture
def now_ms(database: Database) -> int:
    return database.read(lambda view: view.now_ms())


def holding(database: Database, holder: str = MINE) -> None:
    assert database.write(lambda t: claim(t, CHORE, holder, lease_ms=LEASE_MS, every_ms=0))


def count(database: Database, table: str) -> int:
    found = database.read(lambda view: view.row(f"SELECT count(*) FROM {table}"))
    assert found is not None
    return int(found[0])


def no_rest(seconds: float) -> bool:
    return False


def recorded(settings: StoreSettings, now_ms: int, outcomes: list[Outcome]) -> Store:
    store = open_store(settings, clock_ms=lambda: now_ms, on_problem=None)
    for outcome in outcomes:
        store.put(outcome)
    assert store.close(30) == 0
    return open_store(settings, clock_ms=lambda: now_ms, on_problem=None)


def judged(record: Outcome) -> Outcome:
    said = (Verdict("json", "accept"),)
    attempts = tuple(msgspec.structs.replace(one, verdicts=said) for one in record.attempts)
    return msgspec.structs.replace(record, attempts=attempts)


def test_records_older_than_the_limit_go_with_their_attempts_and_totals_stay(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    chance = random.Random(7)
    outcomes = [
        judged(make_outcome(n, at_ms=now_ms - chance.randrange(20 * DAY_MS), simulated=n % 5 == 0))
        for n in range(400)
    ]
    store = recorded(settings, now_ms, outcomes)
    before = [store.totals(0), store.totals(0, simulated=True), store.totals(now_ms - 15 * DAY_MS)]
    limit = Retention(10, 0).records_before(now_ms)
    assert limit is not None
    kept = [outcome for outcome in outcomes if outcome.at_ms >= limit]
    holding(database)
    deleted = delete_old(database, Retention(10, 0), holder=MINE, rest=no_rest)
    assert (deleted.records, deleted.finished) == (len(outcomes) - len(kept), True)
    for table in ("requests", "attempts", "judged_attempts"):
        assert count(database, table) == len(kept)
    for outcome in outcomes:
        assert (store.find(outcome.id) is not None) == (outcome.at_ms >= limit)
    # To the millisecond where records are still there; else to the whole hours that the roll-ups have.
    recent = sum(o.at_ms >= now_ms - 5 * DAY_MS and not o.simulated for o in outcomes)
    assert store.totals(now_ms - 5 * DAY_MS).requests == recent
    hour = (now_ms - 15 * DAY_MS) // HOUR_MS * HOUR_MS + HOUR_MS
    after = [store.totals(0), store.totals(0, simulated=True), store.totals(now_ms - 15 * DAY_MS)]
    assert after[:2] == before[:2]
    assert after[2].requests == sum(o.at_ms >= hour and not o.simulated for o in outcomes)
    again = delete_old(database, Retention(10, 0), holder=MINE, rest=no_rest)
    assert (again.records, again.gaps, again.rollups) == (0, 0, 0)
    store.close(5)


def test_nothing_goes_by_default(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    store = recorded(settings, now_ms, [make_outcome(1, at_ms=1)])
    assert (settings.keep_days, settings.keep_rollups_days) == (0, 0)
    holding(database)
    delete_old(database, Retention(settings.keep_days, 7), holder=MINE, rest=no_rest)
    assert count(database, "requests") == 1
    assert count(database, "usage_by_hour") == 1
    store.close(5)


def test_gaps_go_too_and_their_money_stays_in_totals(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    small = msgspec.structs.replace(settings, queue_max=1, batch_ms=10_000)
    store = open_store(small, clock_ms=lambda: now_ms, on_problem=None)
    for n in range(20):
        store.put(make_outcome(n, at_ms=now_ms - 30 * DAY_MS))
    store.close(30)
    assert count(database, "record_gaps") > 0
    holding(database)
    deleted = delete_old(database, Retention(10, 0), holder=MINE, rest=no_rest)
    assert deleted.gaps > 0
    assert count(database, "record_gaps") == count(database, "requests") == 0
    store = open_store(settings, clock_ms=lambda: now_ms, on_problem=None)
    assert (store.totals(0).requests, store.totals(0).cost_nanousd) == (20, 20 * 450_000)
    store.close(5)


def test_rollups_go_by_their_own_limit_but_never_before_the_records(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    days = [1, 15, 40, 100]
    outcomes = [make_outcome(n, at_ms=now_ms - day * DAY_MS) for n, day in enumerate(days)]
    recorded(settings, now_ms, outcomes).close(5)
    holding(database)
    delete_old(database, Retention(20, 50), holder=MINE, rest=no_rest)
    assert count(database, "requests") == 2
    assert [count(database, table) for table in ROLLUPS[:3]] == [3, 3, 3]
    delete_old(database, Retention(30, 5), holder=MINE, rest=no_rest)
    assert [count(database, table) for table in ROLLUPS[:3]] == [2, 2, 2]
    assert count(database, "attempts_by_hour") == 4, "commitments are added up from all of them"


def test_every_rollup_by_the_hour_has_its_retention(database: Database) -> None:
    by_the_hour = {t.name for t in tables() if any(c.name == "hour_ms" for c in t.columns)}
    assert by_the_hour == {*ROLLUPS, "attempts_by_hour"}


def test_the_limit_is_a_whole_hour() -> None:
    assert Retention(1, 0).records_before(10 * DAY_MS + 3 * HOUR_MS + 1) == 9 * DAY_MS + 3 * HOUR_MS
    assert Retention(0, 5).rollups_before(10 * DAY_MS) is None
    assert Retention(7, 5).rollups_before(10 * DAY_MS) == 3 * DAY_MS


def test_it_goes_in_small_steps_with_rests_and_stops_when_told_to(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    recorded(settings, now_ms, [make_outcome(n, at_ms=1_000_000 + n) for n in range(1_500)]).close(5)
    rests: list[float] = []
    left: list[int] = []

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        left.append(count(database, "requests"))
        return len(rests) == 3

    holding(database)
    deleted = delete_old(database, Retention(1, 0), holder=MINE, rest=rest)
    assert not deleted.finished
    assert len(rests) == 3
    assert min(rests) >= 0.025
    assert left[-1] == 1_500 - deleted.records > 0
    assert max(a - b for a, b in zip([1_500, *left], left, strict=False)) <= BATCH_MOST
    assert count(database, "attempts") == left[-1]


def test_batches_adapt_to_what_the_store_can_do(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    recorded(settings, now_ms, [make_outcome(n, at_ms=1_000_000 + n) for n in range(1_000)]).close(5)
    ticks = iter([t for n in range(1_000) for t in (n * 1.0, n * 1.0 + 0.5)])  # each takes half a second
    left = [1_000]

    def rest(seconds: float) -> bool:
        assert seconds == 1.0
        left.append(count(database, "requests"))
        return False

    holding(database)
    delete_old(database, Retention(1, 0), holder=MINE, rest=rest, monotonic=lambda: next(ticks))
    sizes = [a - b for a, b in itertools.pairwise(left)]
    assert sizes[:4] == [200, 133, 88, 58]
    assert min(sizes[:-1]) == 10


def test_one_process_at_a_time_has_a_chore(database: Database) -> None:
    def work(change: Callable[..., Any], *values: Any, **named: Any) -> Any:
        return database.write(lambda t: change(t, CHORE, *values, **named))

    assert work(claim, "a", lease_ms=60_000, every_ms=3_600_000)
    assert not work(claim, "b", lease_ms=60_000, every_ms=0)
    assert work(renew, "a", lease_ms=60_000)
    assert not work(renew, "b", lease_ms=60_000)
    work(put_down, "b", done=True)
    assert not work(claim, "b", lease_ms=60_000, every_ms=0)
    work(put_down, "a", done=False)
    assert work(claim, "b", lease_ms=-1, every_ms=3_600_000)  # what was not done is still due
    assert work(claim, "a", lease_ms=60_000, every_ms=3_600_000)  # b has died
    work(put_down, "a", done=True)
    assert not work(claim, "b", lease_ms=60_000, every_ms=3_600_000)
    assert work(claim, "b", lease_ms=60_000, every_ms=0)


def test_who_was_silent_too_long_stops_before_it_deletes_anything(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    recorded(settings, now_ms, [make_outcome(1, at_ms=1_000_000)]).close(5)
    holding(database, "another")
    with pytest.raises(TurnLost):
        delete_old(database, Retention(1, 0), holder=MINE, rest=no_rest)
    assert count(database, "requests") == 1


def test_many_who_ask_at_once_get_it_once(settings: StoreSettings, database: Database) -> None:
    begin = threading.Barrier(8)
    got: list[int] = []

    def ask(n: int) -> None:
        begin.wait()
        if database.write(lambda t: claim(t, CHORE, f"p{n}", lease_ms=60_000, every_ms=0)):
            got.append(n)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_writer_gets_its_turn_between_the_batches(
    settings: StoreSettings, database: Database, now_ms: int, make_outcome: Callable[..., Outcome]
) -> None:
    old = [make_outcome(n, at_ms=1_000_000 + n) for n in range(2_000)]
    store = recorded(settings, now_ms, old)
    written: list[int] = []
    number = 10_000

    def rest(seconds: float) -> bool:
        nonlocal number
        number += 1
        store.put(make_outcome(number, at_ms=now_ms))
        deadline = threading.Event()
        for _ in range(3_000):
            if store.status().written == len(written) + 1:
                break
            deadline.wait(0.005)
        written.append(store.status().written)
        return False

    holding(database)
    delete_old(database, Retention(1, 0), holder=MINE, rest=rest)
    assert written == list(range(1, len(written) + 1))
    assert count(database, "requests") == len(written)
    store.close(5)
