"""What verifiers said of answers is kept with the record, once, and beside it as rows; requests without it have none."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Intent, Outcome, Plan, Verdict
from trimtab.store import Database, Row, Store
from trimtab.store.records.rows import JUDGED

WEAK, STRONG = Arm("claude-sonnet-4-6", "medium"), Arm("claude-opus-4-7", "high", "adaptive")
REJECTED = Verdict(
    "tests", "escalate", "2 of 9 tests fail", {"failed": 2, "first": "test_add"}, None, 300, ("child",), 12.5
)
CRASHED = Verdict("opinion", "unsure", "crashed: ValueError", ms=1.5, failed=True)
ACCEPTED = Verdict("tests", "accept", ms=3.0)

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., Store]
OpenDatabase = Callable[[str], Database]


def attempt(arm: Arm | None, step: int, cost: int, *verdicts: Verdict) -> Attempt:
    return Attempt(
        "claude",
        "sent",
        "ok",
        200,
        usage=Usage(input_tokens=10 * cost, output_tokens=cost),
        cost_nanousd=cost,
        cost_source="reported",
        total_ms=100.0 + cost,
        arm=arm,
        step=step,
        verdicts=verdicts,
    )


def cascade(make_outcome: MakeOutcome, seed: int = 1, **changes: object) -> Outcome:
    """The first answer was not accepted, the second one was, and is the client's."""
    whole: dict[str, object] = {
        "plan": Plan(WEAK, "claude", route="auto"),
        "attempts": (attempt(None, 0, 40, CRASHED, REJECTED), attempt(STRONG, 1, 200, ACCEPTED)),
        "answered": 1,
        "cost_nanousd": 240,
        "checks_nanousd": 300,
        "escalations": ("tests: 2 of 9 tests fail",),
        "task_class": "code",
        **changes,
    }
    return make_outcome(seed, **whole)


def judged(database: Database) -> list[dict[str, object]]:
    found: list[Row] = database.read(
        lambda view: view.rows(f"SELECT {', '.join(JUDGED)} FROM judged_attempts ORDER BY request_id, n")
    )
    return [dict(zip(JUDGED, row, strict=True)) for row in found]


def test_each_attempt_of_a_cascade_has_its_row_and_a_plain_request_has_none(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    record, plain = cascade(make_outcome), make_outcome(2)
    store = open_at(url)
    store.put(record)
    store.put(plain)
    assert store.close(30) == 0
    again = open_at(url)  # whatever comes twice, as from a journal, changes nothing
    again.put(msgspec.structs.replace(record, cost_nanousd=1))
    assert again.close(30) == 0
    first, second = judged(database_at(url))
    assert first == {
        "request_id": record.id,
        "n": 0,
        "step": 0,
        "at_ms": record.at_ms,
        "purpose": "live",
        "simulated": 0,
        "route": "auto",
        "task_class": "code",
        "model": "claude-sonnet-4-6",
        "effort": "medium",
        "thinking": "",
        "result": "ok",
        "says": "escalate",
        "released": 0,
        "cost_nanousd": 40,
        "checks_nanousd": 300,
        "checks_ms": 14.0,
        "total_ms": 140.0,
        "verdicts": '[["opinion","unsure",0,1.5,true],["tests","escalate",300,12.5,false]]',
        "texts": 1,
    }
    told = ("step", "model", "effort", "thinking", "says", "released", "texts")
    assert tuple(second[name] for name in told) == (1, "claude-opus-4-7", "high", "adaptive", "accept", 1, 0)
    kept = open_at(url).find(record.id)
    assert kept is not None
    assert msgspec.json.decode(kept, type=Outcome) == record


def test_a_request_is_its_answers_models_and_money_is_each_models_own(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    store = open_at(url)
    store.put(cascade(make_outcome, 1))
    store.put(cascade(make_outcome, 2, answered=0, escalations=("tests", "the deadline is too near")))
    assert store.close(30) == 0
    database = database_at(url)
    listed = database.read(
        lambda view: view.rows("SELECT model, effort, cost_nanousd FROM requests ORDER BY id")
    )
    assert sorted(listed) == [("claude-opus-4-7", "high", 240), ("claude-sonnet-4-6", "medium", 240)]
    for table in ("usage_by_hour", "usage_by_key", "usage_by_team"):
        sums = database.read(
            lambda view, table=table: view.rows(  # type: ignore[misc]
                "SELECT model, CAST(sum(requests) AS BIGINT), CAST(sum(attempts) AS BIGINT), "
                "CAST(sum(cost_nanousd) AS BIGINT), CAST(sum(input_tokens) AS BIGINT) "
                f"FROM {table} GROUP BY model ORDER BY model"
            )
        )
        assert sums == [("claude-opus-4-7", 1, 2, 400, 4000), ("claude-sonnet-4-6", 1, 2, 80, 800)]
    calls = database.read(
        lambda view: view.rows("SELECT model, attempts, cost_nanousd FROM attempts_by_hour ORDER BY model")
    )
    assert calls == [("claude-opus-4-7", 2, 400), ("claude-sonnet-4-6", 2, 80)]


@pytest.mark.parametrize("way", ["memory", "file"])
def test_verdicts_come_through_whatever_a_record_waits_in(
    tmp_path: Path, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome, way: str
) -> None:
    """A full memory puts records into the journal's files, from which they are read again."""
    records = [cascade(make_outcome, seed) for seed in range(40)]
    store = open_at(tmp_path / "a.db", queue_max=1 if way == "file" else 1000, batch_ms=200)
    for record in records:
        store.put(record)
    assert store.close(60) == 0
    reading = open_at(tmp_path / "a.db")
    found = [reading.find(record.id) for record in records]
    kept = [one for one in found if one is not None]
    assert [msgspec.json.decode(one, type=Outcome) for one in kept] == [
        record for record, one in zip(records, found, strict=True) if one is not None
    ]
    assert len(kept) == 40 if way == "memory" else kept
    assert len(judged(database_at(f"sqlite:///{tmp_path}/a.db"))) == 2 * len(kept)


def test_a_process_that_dies_on_a_later_step_leaves_all_steps_and_what_their_checks_cost(
    make_outcome: MakeOutcome,
) -> None:
    record = cascade(make_outcome)
    assert record.plan is not None
    intent = Intent(
        record.id,
        record.at_ms,
        "live",
        "messages",
        "trimtab/auto",
        "s",
        record.plan,
        "claude-opus-4-7",
        900,  # type: ignore[arg-type]
        before=record.attempts[:1],
        arm=STRONG,
        step=1,
    )
    left = msgspec.json.decode(msgspec.json.encode(intent), type=Intent).outcome()
    assert left.attempts[0] == record.attempts[0]
    assert (left.attempts[1].arm, left.attempts[1].step, left.attempts[1].cost_nanousd) == (STRONG, 1, 900)
    assert (left.cost_nanousd, left.checks_nanousd) == (940, 300)
