"""Lists hold what the filters say, page after page, however little of it there is and whatever comes in meanwhile."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

import trimtab.store.figures.listing
from trimtab.catalogue import Arm
from trimtab.records import Attempt, Outcome, Plan, RequestId, Verdict
from trimtab.store import Database, Row, Store
from trimtab.store.figures import Wanted, Within, config_text, key_names, list_requests, relatives
from trimtab.store.figures.listing import NOT_JUDGED
from trimtab.store.figures.meant import key_recorded
from trimtab.store.keys import Key
from trimtab.store.keys.tables import insert_key

OpenStore = Callable[..., Store]
OpenDatabase = Callable[[str], Database]

NOW = 1_800_000_000_000
RESULTS = ("ok", "ok", "ok", "error", "truncated", "cancelled", "unknown")
ERRORS = ("overloaded_error: Try 100% later", "api_error", "rate_limit!_error")


def outcome(n: int, draw: random.Random) -> Outcome:
    result = draw.choice(RESULTS)
    platform = draw.choice(("claude", "bedrock"))
    plan = Plan(
        Arm(draw.choice(("m-1", "m-2")), draw.choice((None, "high")), draw.choice((None, "adaptive"))),
        "claude",
        draw.choice((None, "fast")),
    )
    organisation, team = draw.choice((("", ""), ("o1", "red"), ("o1", "blue"), ("o2", "red")))
    return Outcome(
        id=RequestId(f"{draw.randrange(16**32):032x}"),
        at_ms=NOW - draw.randrange(60),  # many at the same moment
        purpose=draw.choice(("live", "eval")),
        surface="messages",
        endpoint="messages",
        requested_model="m",
        session=f"s{draw.randrange(4)}",
        result=result,
        status=200 if result == "ok" else draw.choice((529, 400)),
        stream=False,
        plan=draw.choice((plan, plan, None)),
        attempts=steps(draw, platform),
        error=None if result == "ok" else draw.choice((None, *ERRORS)),
        cost_nanousd=draw.randrange(100),
        key=f"key-{organisation}-{team}" if organisation else "",
        team=team,
        organisation=organisation,
        tags=draw.choice(((), ("nightly",), ('a "b" \\', "nightly"), ("night",), ("thinking", "adaptive"))),
        simulated=draw.random() < 0.3,
        total_ms=float(draw.randrange(1000)),
    )


def steps(draw: random.Random, platform: str) -> tuple[Attempt, ...]:
    """One call, judged or not; or two steps, of which the second was judged or had no answer to judge."""
    plain = Attempt(platform, "m", "ok", first_content_ms=5.0)
    said = (Verdict("json", draw.choice(("accept", "unsure", "escalate"))),)
    first = msgspec.structs.replace(plain, verdicts=said)
    second = msgspec.structs.replace(first, step=1, arm=Arm("m-3", "high"), verdicts=draw.choice((said, ())))
    return draw.choice(((plain,), (first,), (first, second)))


def verdict_of(record: Outcome) -> str:
    given = record.attempts[-1].verdicts
    return given[0].says if given else NOT_JUDGED


def meant(record: Outcome, wanted: Wanted) -> bool:
    """By hand."""
    plan = record.plan
    arm = record.attempts[-1].arm or (plan.arm if plan else None)
    found: dict[str, object] = {
        "model": arm.model if arm else None,
        "effort": arm.effort if arm else None,
        "tier": plan.tier if plan else None,
        "platform": record.attempts[-1].platform,
        "key": record.key,
        "team": record.team,
        "organisation": record.organisation,
        "session": record.session,
        "requested_model": record.requested_model,
        "status": record.status,
    }
    return (
        record.simulated == wanted.simulated
        and all(getattr(wanted, name) in (None, value) for name, value in found.items())
        and (wanted.from_ms is None or record.at_ms >= wanted.from_ms)
        and (wanted.to_ms is None or record.at_ms < wanted.to_ms)
        and (wanted.purposes is None or record.purpose in wanted.purposes)
        and (wanted.results is None or record.result in wanted.results)
        and (wanted.error is None or wanted.error.lower() in (record.error or "").lower())
        and (wanted.slower_ms is None or record.total_ms >= wanted.slower_ms)
        and (wanted.cost_nanousd is None or record.cost_nanousd >= wanted.cost_nanousd)
        and (not wanted.adaptive or (plan is not None and plan.arm.thinking == "adaptive"))
        and set(wanted.tags or ()) <= set(record.tags)
        and wanted.verdict in (None, verdict_of(record))
        and wanted.escalated in (None, len(record.attempts) > 1)
    )


CHOICES: dict[str, tuple[Any, ...]] = {
    "from_ms": (NOW - 40, NOW - 5),
    "to_ms": (NOW - 10, NOW - 30),
    "purposes": (("live",), ("live", "eval")),
    "model": ("m-1", "none such"),
    "effort": ("high",),
    "tier": ("fast",),
    "platform": ("bedrock",),
    "key": ("key-o1-red", "none such"),
    "team": ("red",),
    "organisation": ("o1",),
    "session": ("s1", "none such"),
    "results": (("error", "truncated", "unknown"), ("ok",), ("cancelled",), ("ok", "error")),
    "status": (529,),
    "error": ("OVERLOADED", "100%", "_", "!", "'"),
    "slower_ms": (500.0,),
    "cost_nanousd": (50,),
    "requested_model": ("m", "none such"),
    "adaptive": (True,),
    "verdict": ("accept", "escalate", NOT_JUDGED),
    "escalated": (True, False),
    "tags": (("nightly",), ("Nightly",), ('a "b" \\', "nightly"), ("claude",), ("thinking",)),
}


def everything(database: Database, wanted: Wanted, limit: int) -> tuple[list[Row], int]:
    """All pages; how many there were."""
    rows: list[Row] = []
    below, pages = None, 0
    while True:
        page = list_requests(database, wanted, below, limit)
        assert len(page.rows) <= limit
        rows += page.rows
        pages += 1
        if page.more is None:
            assert page.searched_to_ms is None
            return rows, pages
        assert page.more != below
        below = page.more


@pytest.fixture
def put(url: str, open_at: OpenStore) -> Callable[[Iterable[Outcome]], None]:
    def write(records: Iterable[Outcome]) -> None:
        store = open_at(url)
        for record in records:
            store.put(record)
        assert store.close(30) == 0

    return write


@pytest.mark.parametrize("examined", [40_000, 37])
def test_lists_hold_what_was_asked_for_in_order_and_once(
    url: str,
    database_at: OpenDatabase,
    put: Callable[[Iterable[Outcome]], None],
    monkeypatch: pytest.MonkeyPatch,
    examined: int,
) -> None:
    monkeypatch.setattr(trimtab.store.figures.listing, "EXAMINED_MOST", examined)
    monkeypatch.setattr(trimtab.store.figures.listing, "EXAMINED_APART", examined)
    draw = random.Random(4)
    records = [outcome(n, draw) for n in range(400)]
    put(records)
    database = database_at(url)
    asked = [Wanted(False), Wanted(True)]
    for _ in range(150):
        names = draw.sample(sorted(CHOICES), draw.choice((1, 1, 2, 3)))
        fields = {name: draw.choice(CHOICES[name]) for name in names}
        asked.append(Wanted(draw.random() < 0.3, **fields))
    for wanted in asked:
        there = sorted(((r.at_ms, r.id) for r in records if meant(r, wanted)), reverse=True)
        rows, _ = everything(database, wanted, draw.choice((1, 7, 50)))
        assert [(row[1], row[0]) for row in rows] == there, wanted


def test_a_search_that_finds_little_says_how_far_it_came_and_goes_on_from_there(
    url: str,
    database_at: OpenDatabase,
    put: Callable[[Iterable[Outcome]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trimtab.store.figures.listing, "EXAMINED_MOST", 10)
    draw = random.Random(4)
    made = [msgspec.structs.replace(outcome(n, draw), at_ms=NOW + n, simulated=False) for n in range(35)]
    put(made)
    database = database_at(url)
    page = list_requests(database, Wanted(False, platform="none such"), None, 5)
    assert (page.rows, page.searched_to_ms, page.more) == ([], NOW + 24, (NOW + 24, ""))
    assert everything(database, Wanted(False, platform="none such"), 5) == ([], 4)


def test_requests_that_come_in_between_two_pages_are_on_neither(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None]
) -> None:
    draw = random.Random(4)
    old = [msgspec.structs.replace(outcome(n, draw), simulated=False) for n in range(20)]
    put(old)
    database = database_at(url)
    first = list_requests(database, Wanted(False), None, 10)
    put([msgspec.structs.replace(outcome(n, draw), at_ms=NOW + 5, simulated=False) for n in range(5)])
    second = list_requests(database, Wanted(False), first.more, 10)
    assert {row[0] for row in first.rows + second.rows} == {record.id for record in old}


def test_what_lies_beside_a_request_is_found_within_its_scope(
    url: str, database_at: OpenDatabase, open_at: OpenStore, put: Callable[[Iterable[Outcome]], None]
) -> None:
    draw = random.Random(2)
    base = msgspec.structs.replace(
        outcome(0, draw), session="s", organisation="o1", team="red", key="k", at_ms=NOW, config_version="c"
    )

    def beside(number: int, **changes: Any) -> Outcome:
        return msgspec.structs.replace(base, id=RequestId(f"{number:032x}"), **changes)

    before, after = beside(4, at_ms=NOW - 1), beside(6)  # after: at the same moment, a later id
    own = beside(5, parent=RequestId(f"{1:032x}"))
    parent, child = beside(1, session="other"), beside(7, session="other", parent=own.id, at_ms=NOW + 9)
    strange = beside(8, organisation="o2", parent=own.id, at_ms=NOW - 1)
    put([before, after, own, parent, child, strange])
    store = open_at(url)
    store.note_config("c", b"version = 1\n", 77)
    assert store.close(10) == 0
    database = database_at(url)

    def ids(rows: Iterable[Row | None]) -> list[str | None]:
        return [None if row is None else row[0][-1] for row in rows]

    found = relatives(database, own.id, NOW, "s", own.parent, "c", Within("o1"))
    assert ids([found.parent, found.previous, found.following]) == ["1", "4", "6"]
    assert ids(found.children) == ["7"]
    assert found.config_at_ms == 77
    assert config_text(database, "c") == b"version = 1\n"
    assert config_text(database, "d") is None
    whole = relatives(database, own.id, NOW, "s", own.parent, "d", Within())
    assert ids(whole.children) == ["8", "7"]
    assert ids([whole.previous]) == ["8"]
    assert whole.config_at_ms is None
    none = relatives(database, own.id, NOW, "s", own.parent, "c", Within("o1", "blue"))
    assert ids([none.parent, none.previous, none.following]) == [None, None, None]
    assert none.children == []


def test_keys_are_known_by_name_also_when_they_are_revoked(url: str, database_at: OpenDatabase) -> None:
    database = database_at(url)
    key = Key(id="key_1", name="ci", organisation="acme", created_ms=1, revoked_ms=2)
    database.write(lambda t: insert_key(t, key, 1))
    assert key_names(database, ["key_1", "key_2", ""]) == {"key_1": ("ci", "acme")}


def test_a_key_that_only_records_know_may_be_asked_for(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None]
) -> None:
    draw = random.Random(4)
    put(msgspec.structs.replace(outcome(n, draw), key=key) for n, key in enumerate(("key_1", "")))
    database = database_at(url)
    assert [key_recorded(database, key) for key in ("key_1", "key_2", "")] == [True, False, False]
