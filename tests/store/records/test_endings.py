"""What each platform did is counted call by call, whatever came of the request."""

import random
from collections.abc import Callable, Sequence
from contextlib import closing

import apsw
import msgspec
import pytest
from record_sums import check_calls, outcome, table

from trimtab.messages import Usage
from trimtab.records import CALL_ENDINGS, Attempt, Outcome
from trimtab.store import Database
from trimtab.store.engines.postgres import connect as connect_postgres
from trimtab.store.engines.postgres import migrate as migrate_postgres
from trimtab.store.opening import sqlite_path
from trimtab.store.records import RecordStore, rows
from trimtab.store.records.endings import ATTEMPT_SUMS
from trimtab.store.records.rollups import ATTEMPTS_BY_HOUR
from trimtab.store.records.rows import HOUR_MS
from trimtab.store.schema import migrate as migrate_sqlite
from trimtab.store.steps import load_steps

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., RecordStore]
OpenDatabase = Callable[[str], Database]

USAGE = Usage(input_tokens=100, output_tokens=50)


def attempt(platform: str, result: str = "ok", status: int | None = 200, **more: object) -> Attempt:
    return Attempt(platform, "as sent", result, status, **more)  # type: ignore[arg-type]


def figures(database: Database) -> dict[tuple[str, str], dict[str, float]]:
    """By platform and account."""
    return {
        (row[3], row[4]): dict(zip(ATTEMPT_SUMS, row[6:], strict=True))
        for row in table(database, ATTEMPTS_BY_HOUR)
    }


def test_a_request_that_two_platforms_failed_counts_for_all_three_that_were_asked(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    tries = (
        attempt("claude", "error", 429, error="rate_limit_error", account="1"),
        attempt(
            "claude",
            "truncated",
            error="UpstreamBroken: cut",
            account="2",
            usage=USAGE,
            cost_nanousd=7,
            total_ms=900.0,
        ),
        attempt("bedrock", usage=USAGE, cost_nanousd=20, first_content_ms=200.0, total_ms=1200.0),
    )
    store = open_at(url)
    store.put(make_outcome(1, attempts=tries, cost_nanousd=27))
    assert store.close(10) == 0
    database = database_at(url)
    nothing = dict.fromkeys(ATTEMPT_SUMS, 0)
    assert figures(database) == {
        ("claude", "1"): {**nothing, "attempts": 1, "limited": 1},
        ("claude", "2"): {
            **nothing,
            "attempts": 1,
            "failed": 1,
            "cost_nanousd": 7,
            "input_tokens": 100,
            "output_tokens": 50,
        },
        ("bedrock", ""): {
            **nothing,
            "attempts": 1,
            "answered": 1,
            "cost_nanousd": 20,
            "input_tokens": 100,
            "output_tokens": 50,
            "timed_tokens": 50,
            "timed_ms": 1000.0,
        },
    }
    request = database.read(
        lambda view: view.row("SELECT platform, attempt_count, cost_nanousd FROM requests")
    )
    assert request == ("bedrock", 3, 27), "the platform of a request is the one that answered"


def test_an_answer_that_came_whole_is_timed_from_the_call_and_counting_tokens_is_no_task(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    whole = attempt("claude", usage=USAGE, head_ms=990.0, total_ms=1000.0)
    nonsense = attempt("claude", usage=USAGE, first_content_ms=5.0, total_ms=float("nan"))
    store = open_at(url)
    store.put(make_outcome(1, attempts=(whole,)))
    store.put(make_outcome(2, attempts=(whole,), endpoint="count_tokens"))
    store.put(make_outcome(3, attempts=(nonsense,)))
    store.put(make_outcome(4, attempts=()))
    assert store.close(10) == 0
    (found,) = figures(database_at(url)).values()
    assert found["timed_ms"] == 1000.0
    assert found["attempts"] == found["answered"] <= 2


@pytest.mark.parametrize("seed", [1, 2])
def test_calls_of_records_from_before_are_counted_as_new_ones_are(
    empty_url: str,
    open_at: OpenStore,
    database_at: OpenDatabase,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
) -> None:
    draw = random.Random(seed)
    made = [_without_accounts(outcome(n, draw, cascades=False)) for n in range(300)]
    fill_step_13(empty_url, made)
    old = database_at(empty_url)
    check_calls(old)
    new_url = f"sqlite:///{tmp_path_factory.mktemp('new')}/t.db"
    store = open_at(new_url)
    for record in made:
        store.put(record)
    assert store.close(30) == 0
    before, after = table(old, ATTEMPTS_BY_HOUR), table(database_at(new_url), ATTEMPTS_BY_HOUR)
    assert [row[:-1] for row in before] == [row[:-1] for row in after]
    assert [row[-1] for row in before] == pytest.approx([row[-1] for row in after])


def test_money_spent_on_a_platform_before_its_records_were_deleted_is_kept(
    empty_url: str, database_at: OpenDatabase
) -> None:
    """A commitment counts from its first day, whatever became of the records since."""
    draw = random.Random(3)
    made = [_without_accounts(outcome(n, draw)) for n in range(20)]
    usage: list[tuple[object, ...]] = []
    for at_ms, platform, result in (
        (-3 * HOUR_MS, "claude", "ok"),
        (-3 * HOUR_MS, "claude", "error"),
        (-2 * HOUR_MS, "claude", "cancelled"),
        (-2 * HOUR_MS, "", "dropped"),
        (0, "claude", "ok"),  # its records are there, and count themselves
    ):
        usage.append(
            (at_ms + 100 * HOUR_MS, 0, "live", "m", "", "", platform, result, 2, 2, 50, 1, 2, 3, 4, 5, 0, 1.0)
        )
    later = [msgspec.structs.replace(record, at_ms=record.at_ms + 100 * HOUR_MS) for record in made]
    fill_step_13(empty_url, later, usage)
    database = database_at(empty_url)
    nothing = [0] * len(ATTEMPT_SUMS)
    old = [row for row in table(database, ATTEMPTS_BY_HOUR) if row[0] < 100 * HOUR_MS]
    where = (0, "live", "claude", "", "m")
    place = {name: n for n, name in enumerate(ATTEMPT_SUMS)}

    def row(hour: int, **counted: int) -> tuple[object, ...]:
        sums = [*nothing]
        for name, figure in counted.items():
            sums[place[name]] = figure
        return (hour * HOUR_MS, *where, *sums)

    assert old == [
        row(97, attempts=4, answered=2, failed=2, cost_nanousd=100, input_tokens=20, output_tokens=10),
        row(98, attempts=2, cancelled=2, cost_nanousd=50, input_tokens=10, output_tokens=5),
    ]
    assert sum(row[6] for row in table(database, ATTEMPTS_BY_HOUR) if row[0] >= 100 * HOUR_MS) == sum(
        len(record.attempts) for record in made if record.endpoint != "count_tokens"
    )


def test_every_call_has_one_ending_and_every_ending_a_column() -> None:
    assert ATTEMPT_SUMS[1 : 1 + len(CALL_ENDINGS)] == CALL_ENDINGS
    assert set(ATTEMPTS_BY_HOUR.columns) == {*ATTEMPTS_BY_HOUR.keys, *ATTEMPT_SUMS}


def _without_accounts(record: Outcome) -> Outcome:
    plain = tuple(msgspec.structs.replace(one, account="") for one in record.attempts)
    return msgspec.structs.replace(record, attempts=plain)


def fill_step_13(url: str, made: Sequence[Outcome], usage: Sequence[tuple[object, ...]] = ()) -> None:
    """Records and hours as a program left them that did not count calls."""
    columns = rows.ATTEMPTS[: rows.ATTEMPTS.index("account")]
    recorded = [rows.recorded(record, "{}") for record in made]
    later = ("route", "task_class", "task", "phase")
    places = [place for place, name in enumerate(rows.REQUESTS) if name not in later]
    requests = [[_plain(one.request[place]) for place in places] for one in recorded]
    attempts = [row[: len(columns)] for one in recorded for row in one.attempts]
    usage_columns = (
        *("hour_ms", "simulated", "purpose", "model", "effort", "tier", "platform", "result"),
        *rows.SUMMED,
        "total_ms",
    )
    inserts = [
        ("requests", [rows.REQUESTS[place] for place in places], requests),
        ("attempts", columns, attempts),
        ("usage_by_hour", usage_columns, usage),
    ]
    if url.startswith("postgresql"):
        with closing(connect_postgres(url)) as server:
            migrate_postgres(server, lambda: 1, load_steps("postgresql")[:13])
            with server.cursor() as cursor:
                for name, names, found in inserts:
                    marks = ", ".join(["%s"] * len(names))
                    cursor.executemany(
                        f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})".encode(), list(found)
                    )
        return
    with closing(apsw.Connection(str(sqlite_path(url)))) as file:
        migrate_sqlite(file, lambda: 1, load_steps("sqlite")[:13])
        for name, names, found in inserts:
            marks = ", ".join("?" * len(names))
            file.executemany(f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})", found)


def _plain(value: object) -> object:
    return value.replace("\0", "?") if isinstance(value, str) else value
