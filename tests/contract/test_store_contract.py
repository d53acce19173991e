"""What every record store does. One suite, both engines."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from waiting import until

from trimtab.catalogue import Arm
from trimtab.messages import CacheCreation, IterationUsage, Usage
from trimtab.messages.usage import OutputDetails
from trimtab.records import Attempt, Outcome, Plan, RequestId, new_request_id
from trimtab.store import Store, StoreSettings, TokenCounts, Totals, open_store

NOW_MS = 1_800_000_000_000
CLOSE_S = 10.0

Opener = Callable[[], Store]

USAGE = Usage(
    input_tokens=100,
    output_tokens=40,
    cache_creation_input_tokens=30,
    cache_read_input_tokens=7,
    cache_creation=CacheCreation(20, 10),
    output_tokens_details=OutputDetails(11),
)


def outcome(seed: int = 1, *, at_ms: int = NOW_MS, **changes: object) -> Outcome:
    record = Outcome(
        id=new_request_id(at_ms, random.Random(seed).getrandbits),
        at_ms=at_ms,
        purpose="live",
        surface="messages",
        endpoint="messages",
        requested_model="trimtab/auto",
        session="s-1",
        result="ok",
        status=200,
        stream=True,
        plan=Plan(arm=Arm("claude-sonnet-4-6", "medium"), platform="claude", tier="default"),
        attempts=(attempt(900), attempt(100)),
        cost_nanousd=1000,
        total_ms=12.5,
        config_version="c1",
        catalogue_version="2026-11",
    )
    return msgspec.structs.replace(record, **changes)


def attempt(cost_nanousd: int, usage: Usage | None = USAGE) -> Attempt:
    return Attempt(
        platform="claude",
        model="claude-sonnet-4-6",
        result="ok",
        status=200,
        usage=usage,
        cost_nanousd=cost_nanousd,
        cost_source="reported",
        total_ms=12.0,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store on either engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    return str(request.getfixturevalue("postgres_store"))


@pytest.fixture
def opener(url: str) -> Iterator[Opener]:
    """Opens the same store, again and again; what a test leaves open is closed."""
    settings = StoreSettings(url=url, batch_ms=20)
    opened: list[Store] = []

    def open_and_note() -> Store:
        opened.append(open_store(settings, clock_ms=lambda: NOW_MS, on_problem=None))
        return opened[-1]

    yield open_and_note
    for store in opened:
        store.close(CLOSE_S)


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener()


def wait_until_written(store: Store, records: int) -> None:
    until(lambda: store.status().written >= records, store.status)


def decoded(detail: bytes | None) -> Outcome:
    assert detail is not None
    return msgspec.json.decode(detail, type=Outcome)


def test_a_record_is_found_at_once_and_the_same_after_it_is_written(store: Store) -> None:
    record = outcome()
    store.put(record)
    waiting = store.find(record.id)
    wait_until_written(store, 1)
    assert decoded(waiting) == record
    assert store.find(record.id) == waiting == msgspec.json.encode(record)


def test_nothing_is_found_under_an_unknown_id(store: Store) -> None:
    assert store.find("0" * 32) is None
    assert store.find("") is None
    assert store.find("no\ud800thing") is None


def test_records_survive_a_restart(opener: Opener) -> None:
    first = opener()
    records = [outcome(seed) for seed in range(700)]
    for record in records:
        first.put(record)
    assert first.close(CLOSE_S) == 0
    second = opener()
    assert [decoded(second.find(record.id)) for record in records] == records
    assert second.totals(0).requests == 700


def test_of_two_records_with_one_id_the_first_stands_and_money_is_counted_once(opener: Opener) -> None:
    first = opener()
    record = outcome()
    other = outcome(cost_nanousd=999_999, attempts=(*record.attempts, attempt(999_999)))
    first.put(record)
    first.put(other)  # both waiting
    wait_until_written(first, 1)
    first.put(other)  # one written
    assert first.close(CLOSE_S) == 0
    second = opener()
    second.put(other)  # written by another process
    assert second.close(CLOSE_S) == 0
    third = opener()
    assert decoded(third.find(record.id)) == record
    assert third.totals(0) == totals_of(1)


def totals_of(records: int) -> Totals:
    """Of so many records as `outcome` makes."""
    return Totals(
        requests=records,
        attempts=2 * records,
        cost_nanousd=1000 * records,
        tokens=TokenCounts(
            input=200 * records,
            cache_write_5m=40 * records,
            cache_write_1h=20 * records,
            cache_read=14 * records,
            output=80 * records,
            thinking=22 * records,
        ),
    )


def test_totals_are_the_same_before_and_after_writing(store: Store) -> None:
    for seed in range(5):
        store.put(outcome(seed))
    before = store.totals(0)
    wait_until_written(store, 5)
    assert before == store.totals(0) == totals_of(5)


def test_totals_begin_where_they_are_asked_to(store: Store) -> None:
    for seed in range(10):
        store.put(outcome(seed, at_ms=NOW_MS + seed))
    assert store.totals(NOW_MS + 4) == totals_of(6)
    wait_until_written(store, 10)
    assert store.totals(NOW_MS + 4) == totals_of(6)
    assert store.totals(NOW_MS + 10) == Totals()


def test_simulated_traffic_never_mixes_with_real_traffic(store: Store) -> None:
    for seed in range(6):
        store.put(outcome(seed, simulated=seed < 2))
    assert store.totals(0) == totals_of(4)
    assert store.totals(0, simulated=True) == totals_of(2)
    wait_until_written(store, 6)
    assert store.totals(0) == totals_of(4)
    assert store.totals(0, simulated=True) == totals_of(2)


def test_totals_never_see_a_record_twice_or_not_at_all_while_it_is_being_written(store: Store) -> None:
    for seed in range(3000):
        store.put(outcome(seed))
        if seed % 4 == 0:
            assert store.totals(0).requests == seed + 1


@pytest.mark.parametrize(
    "text", ["", "naïve 猫 🐈 \u200f", "a'b\"c\\d;--", "line\nline\ttab\x00nul\x7f", "e\u0301"]
)
def test_text_comes_back_as_it_was(store: Store, text: str) -> None:
    record = outcome(session=text, requested_model=text, error=text, tags=(text, text))
    store.put(record)
    wait_until_written(store, 1)
    assert decoded(store.find(record.id)) == record


def test_a_huge_record_comes_back_whole(store: Store) -> None:
    record = outcome(error="x" * 5_000_000, tags=tuple(str(n) for n in range(20_000)))
    store.put(record)
    wait_until_written(store, 1)
    assert decoded(store.find(record.id)) == record


def test_a_record_of_a_request_that_was_refused_early_is_kept(store: Store) -> None:
    record = outcome(plan=None, attempts=(), cost_nanousd=0, result="error", status=404, session="")
    store.put(record)
    wait_until_written(store, 1)
    assert decoded(store.find(record.id)) == record
    assert store.totals(0) == Totals(requests=1)


def test_a_record_with_every_field_set_is_kept(store: Store) -> None:
    record = outcome(
        purpose="judge",
        parent=RequestId("f" * 32),
        simulated=True,
        adaptations=("max_tokens",),
        tags=("a", "b"),
        request_bytes=1,
        response_bytes=2,
        error="overloaded_error",
    )
    store.put(record)
    wait_until_written(store, 1)
    assert decoded(store.find(record.id)) == record


@pytest.mark.parametrize("nonsense", [2**70, 2**63, -5])
def test_a_nonsense_count_from_a_platform_stops_nothing(store: Store, nonsense: int) -> None:
    usage = Usage(input_tokens=nonsense, output_tokens=1, cache_creation=CacheCreation(nonsense, nonsense))
    for seed in range(3):
        store.put(outcome(seed, attempts=(attempt(1, usage),)))
    wait_until_written(store, 3)
    assert store.totals(0).cost_nanousd == 3000
    assert store.totals(0).tokens.output == 3


def test_tokens_are_counted_as_they_are_priced(store: Store) -> None:
    parts = [
        IterationUsage(input_tokens=5, output_tokens=6),
        IterationUsage(),
        IterationUsage(type="compaction", input_tokens=50, output_tokens=60, cache_read_input_tokens=70),
    ]
    usages = (
        Usage(cache_creation_input_tokens=9),  # no split: five minutes
        Usage(cache_creation_input_tokens=9, cache_creation=CacheCreation()),
        Usage(
            cache_creation_input_tokens=9, cache_creation=CacheCreation(2, 3)
        ),  # a rest of unknown lifetime
        Usage(input_tokens=1, output_tokens=1, iterations=parts),  # iterations are the bill
        Usage(input_tokens=1, output_tokens=2, iterations=[IterationUsage()]),
        None,
    )
    store.put(outcome(attempts=tuple(attempt(0, usage) for usage in usages)))
    wait_until_written(store, 1)
    assert store.totals(0).tokens == TokenCounts(
        input=5 + 50 + 1, cache_write_5m=9 + 9 + 2, cache_write_1h=7, cache_read=70, output=6 + 60 + 2
    )


def test_a_record_that_makes_no_sense_neither_raises_nor_stops_the_others(store: Store) -> None:
    store.put(outcome(1, status=None))  # a bug elsewhere: the column refuses it
    store.put(outcome(2, session=object()))  # cannot even be encoded
    store.put(outcome(3))
    wait_until_written(store, 1)
    assert store.find(outcome(3).id) is not None
    assert store.totals(0) == totals_of(3)
    assert store.close(CLOSE_S) == 0
    assert store.status().dropped == 2


def test_noting_a_configuration_never_disturbs_records(store: Store) -> None:
    for _ in range(3):
        store.note_config("c1", b"version = 1\n\xff", NOW_MS)
    store.put(outcome())
    wait_until_written(store, 1)
    assert store.status().problem is None


def test_status_tells_what_waits_and_what_is_written(store: Store) -> None:
    fresh = store.status()
    assert (fresh.writable, fresh.problem, fresh.queued, fresh.written, fresh.dropped) == (
        True,
        None,
        0,
        0,
        0,
    )
    assert fresh.last_commit_ms is None
    store.put(outcome())
    assert store.status().queued + store.status().written >= 1
    wait_until_written(store, 1)
    done = store.status()
    assert (done.writable, done.problem, done.queued, done.written, done.dropped) == (True, None, 0, 1, 0)
    assert done.last_commit_ms == NOW_MS


def test_closing_twice_is_harmless_and_putting_afterwards_too(store: Store) -> None:
    store.put(outcome(1))
    assert store.close(CLOSE_S) == 0
    assert store.close(CLOSE_S) == 0
    store.put(outcome(2))
    assert store.status().dropped == 1
