"""Claims of idempotency keys, on both engines."""

import threading
from collections.abc import Callable

import pytest

from trimtab.app.housekeeping import Turn
from trimtab.app.once import forgetting
from trimtab.store import Database
from trimtab.store.database import Transaction, Value
from trimtab.store.idempotency import KEEP_MS, claim, finish, release
from trimtab.store.limits import join


def test_of_many_who_claim_at_once_one_begins_and_the_others_hear_of_it(
    open_one: Callable[[], Database],
) -> None:
    found: list[str | None] = []
    open_one()  # who makes the tables may keep the others waiting for longer than they wait

    def one(name: str) -> None:
        database = open_one()
        database.write(lambda t: join(t, name, "h", 1))
        for n in range(20):
            earlier = database.write(lambda t, n=n: claim(t, f"s{n}", "h", f"{name}-{n}", name))
            found.append(None if earlier is None else earlier.request_id)

    threads = [threading.Thread(target=one, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(None) == 20
    assert len(found) == 80


def test_a_claim_runs_until_it_is_finished_released_or_its_process_is_gone(
    open_one: Callable[[], Database],
) -> None:
    database = open_one()
    database.write(lambda t: join(t, "w", "h", 1))
    assert database.write(lambda t: claim(t, "s", "h1", "r1", "w")) is None
    earlier = database.write(lambda t: claim(t, "s", "h2", "r2", "v"))
    assert earlier is not None
    assert (earlier.request_id, earlier.body_hash, earlier.worker, earlier.state) == (
        "r1",
        "h1",
        "w",
        "running",
    )
    database.write(lambda t: release(t, "s", "somebody else's"))
    database.write(lambda t: t.change("UPDATE workers SET seen_ms = 0"))
    assert database.write(lambda t: claim(t, "s", "h", "r2", "v")).state == "lost"  # type: ignore[union-attr]
    database.write(lambda t: finish(t, "s", "r1", b"\x00answer"))
    earlier = database.write(lambda t: claim(t, "s", "h", "r2", "v"))
    assert earlier is not None
    assert (earlier.state, earlier.answer) == ("done", b"\x00answer")
    database.write(lambda t: release(t, "s", "r1"))
    assert database.write(lambda t: claim(t, "s", "h", "r2", "v")) is None


def test_a_claim_that_its_own_process_could_not_take_back_is_taken_over_by_it(
    open_one: Callable[[], Database],
) -> None:
    database = open_one()
    database.write(lambda t: join(t, "w", "h", 1))
    assert database.write(lambda t: claim(t, "s", "h1", "late", "w")) is None
    assert database.write(lambda t: claim(t, "s", "h2", "r2", "w")) is None
    database.write(lambda t: release(t, "s", "late"))  # too late: it is another's now
    earlier = database.write(lambda t: claim(t, "s", "h2", "r3", "v"))
    assert earlier is not None
    assert (earlier.request_id, earlier.body_hash, earlier.state) == ("r2", "h2", "running")


@pytest.mark.parametrize(
    ("result", "status", "state"),
    [
        ("ok", 200, "done"),
        ("ok", 400, None),
        ("unknown", 200, "lost"),
        ("error", 529, None),
        ("truncated", 200, None),
        ("cancelled", 200, None),
    ],
)
def test_what_became_of_a_call_that_was_never_ended_is_told_by_its_record(
    open_one: Callable[[], Database], result: str, status: int, state: str | None
) -> None:
    database = open_one()
    assert database.write(lambda t: claim(t, "s", "h", "r1", "dead")) is None

    def record(transaction: Transaction) -> None:
        texts = [
            "purpose",
            "surface",
            "endpoint",
            "requested_model",
            "session",
            "config_version",
            "catalogue_version",
            "detail",
        ]
        counts = [
            "at_ms",
            "stream",
            "simulated",
            "attempt_count",
            "cost_nanousd",
            "input_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
            "cache_read_tokens",
            "output_tokens",
            "thinking_tokens",
            "request_bytes",
            "response_bytes",
        ]
        row: dict[str, Value] = {"id": "r1", "result": result, "status": status, "total_ms": 1.0}
        row |= dict.fromkeys(texts, "x") | dict.fromkeys(counts, 0)
        transaction.change(
            f"INSERT INTO requests ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )

    database.write(record)
    earlier = database.write(lambda t: claim(t, "s", "h", "r2", "w"))
    assert (earlier.state if earlier else None) == state
    assert earlier is None or not earlier.settled
    database.write(lambda t: join(t, "w", "h", 1))
    again = database.write(lambda t: claim(t, "s", "h", "r3", "v"))
    assert again is not None
    assert again.request_id == ("r1" if state else "r2")


def test_a_day_later_a_key_is_free_and_forgotten(open_one: Callable[[], Database]) -> None:
    database = open_one()
    for n in range(1200):
        database.write(lambda t, n=n: claim(t, f"s{n}", "h", "r", "w"), durable=False)
    database.write(
        lambda t: t.change(
            "UPDATE idempotency_keys SET at_ms = at_ms - ? WHERE scope <> 's7'", (KEEP_MS + 1,)
        )
    )
    assert database.write(lambda t: claim(t, "s1", "h2", "r2", "w")) is None
    assert database.write(lambda t: claim(t, "s7", "h2", "r2", "v")) is not None
    assert forgetting(database).work(Turn("w", lambda seconds: False))
    assert database.read(lambda t: t.rows("SELECT scope FROM idempotency_keys ORDER BY scope")) == [
        ("s1",),
        ("s7",),
    ]
