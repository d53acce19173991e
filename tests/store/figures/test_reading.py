"""What the figures say of any window is what the records say, worked out in the background or not."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import pytest

import trimtab.store.figures.folding
import trimtab.store.figures.reading
from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, RequestId
from trimtab.store import Database, Store
from trimtab.store.figures import (
    ALL,
    CHORE,
    Coverage,
    Tally,
    Wish,
    Within,
    arm_text,
    fold_what_is_due,
    live_figures,
    read_figures,
)
from trimtab.store.figures.folding import LAG_MS, LEASE_MS, scope_text
from trimtab.store.figures.spans import DAY_MS, HOUR_MS, LEVELS, MINUTE_MS, QUARTER_MS, Piece, cover
from trimtab.store.figures.tally import decode, encode
from trimtab.store.housekeeping import Retention, claim, delete_old
from trimtab.store.housekeeping.retention import CHORE as RETENTION
from trimtab.store.records.rollups import ANSWERED, bucket_of
from trimtab.store.records.rows import counts

OpenStore = Callable[..., Store]
OpenDatabase = Callable[[str], Database]

FOR_EVER = Retention(0, 0)
ME = "process-1"
DIMENSIONS = ("arm", "tier", "platform", "key", "team", "organisation", "purpose", "result")


def outcome(n: int, draw: random.Random, at_ms: int) -> Outcome:
    """A record of any kind."""
    cost = draw.choice((0, 1, draw.randrange(10**9)))
    usage = Usage(input_tokens=draw.randrange(10**6), output_tokens=draw.randrange(10**4))
    first = draw.choice((None, 0.2, 10 ** draw.uniform(0, 5)))
    attempt = Attempt(
        draw.choice(("claude", "bedrock")), "m", "ok", usage=usage, cost_nanousd=cost, first_content_ms=first
    )
    arm = Arm(draw.choice(("m-1", "m-2")), draw.choice((None, "high")))
    plan = Plan(arm, "claude", draw.choice((None, "default", "fast")))
    organisation, team = draw.choice((("", ""), ("o1", ""), ("o1", "red"), ("o1", "blue"), ("o2", "red")))
    return Outcome(
        id=RequestId(f"{n:032x}"),
        at_ms=at_ms,
        purpose=draw.choice(("live", "live", "task", "eval")),
        surface="messages",
        endpoint=draw.choice(("messages", "messages", "count_tokens")),
        requested_model="m",
        session=f"s{n % 5}",
        result=draw.choice(("ok", "ok", "truncated", "error", "cancelled", "unknown")),
        status=200,
        stream=first is not None,
        plan=draw.choice((plan, plan, plan, None)),
        attempts=draw.choice(((attempt,), (attempt, attempt), ())),
        cost_nanousd=cost,
        key=f"k{draw.randrange(3)}-{organisation}-{team}" if organisation else "",
        team=team,
        organisation=organisation,
        simulated=draw.random() < 0.2,
        total_ms=10 ** draw.uniform(-1, 6),
    )


def place(record: Outcome, dimension: str) -> str:
    """What the record is told apart by."""
    plan = record.plan
    if dimension == "arm":
        return arm_text(plan.arm.model, plan.arm.effort or "") if plan else ""
    if dimension == "tier":
        return plan.tier or "" if plan else ""
    if dimension == "platform":
        return record.attempts[-1].platform if record.attempts else plan.platform if plan else ""
    if dimension == "team":
        return scope_text(record.organisation, record.team) if record.team else ""
    return str({ALL: "", "key": record.key}.get(dimension, getattr(record, dimension, "")))


def tallied(records: Iterable[Outcome]) -> tuple[list[int], dict[int, int], dict[int, int]]:
    """By hand."""
    figures = [0] * 9
    total: dict[int, int] = defaultdict(int)
    first: dict[int, int] = defaultdict(int)
    for record in records:
        requests, _, cost, *kinds = counts(record)
        error = record.result in ("error", "truncated", "unknown")
        figures = [a + b for a, b in zip(figures, [requests, int(error), cost, *kinds], strict=True)]
        if record.result in ANSWERED and record.endpoint != "count_tokens":
            total[bucket_of(record.total_ms)] += 1
            if record.attempts and (ms := record.attempts[-1].first_content_ms) is not None:
                first[bucket_of(ms)] += 1
    return figures, dict(total), dict(first)


def plain(tally: Tally) -> tuple[list[int], dict[int, int], dict[int, int]]:
    return (
        tally.counts,
        {b: n for b, n in tally.total.items() if n},
        {b: n for b, n in tally.first.items() if n},
    )


def by_bucket(records: Iterable[Outcome], bucket_ms: int) -> dict[int, object]:
    found: dict[int, list[Outcome]] = defaultdict(list)
    for record in records:
        found[record.at_ms - record.at_ms % bucket_ms].append(record)
    return {at: tallied(several) for at, several in found.items()}


def told(buckets: dict[int, Tally]) -> dict[int, object]:
    return {at: plain(tally) for at, tally in buckets.items() if tally.counts[0]}


def check(found: Coverage, wish: Wish, records: Sequence[Outcome]) -> None:
    """Against the records, one by one."""

    def owned(record: Outcome) -> bool:
        return (
            wish.organisation in (None, record.organisation)
            and wish.team in (None, record.team)
            and wish.key in (None, record.key)
        )

    def meant(record: Outcome) -> bool:
        return owned(record) and record.simulated == wish.simulated and record.purpose in wish.purposes

    inside = [r for r in records if wish.from_ms <= r.at_ms < wish.to_ms and meant(r)]
    assert found.missing is None
    assert told(found.whole) == by_bucket(inside, wish.bucket_ms)
    before_ms = 2 * wish.from_ms - wish.to_ms
    assert found.before is not None
    assert plain(found.before) == tallied(
        r for r in records if before_ms <= r.at_ms < wish.from_ms and meant(r)
    )
    assert found.other_side == sum(
        1
        for r in records
        if wish.from_ms <= r.at_ms < wish.to_ms
        and owned(r)
        and r.simulated != wish.simulated
        and r.purpose in wish.purposes
    )
    if wish.dimension == ALL:
        assert found.groups == []
        return
    split: dict[str, list[Outcome]] = defaultdict(list)
    for record in inside:
        split[place(record, wish.dimension)].append(record)
    ranked = sorted(split, key=lambda name: (-len(split[name]), name))
    top = ranked if len(ranked) <= wish.top + 1 or wish.dimension == "purpose" else ranked[: wish.top]
    assert [name for name, _ in found.groups] == top
    for name, buckets in found.groups:
        assert told(buckets) == by_bucket(split[name], wish.bucket_ms)
    rest = [record for name in ranked[len(top) :] for record in split[name]]
    assert told(found.others or {}) == by_bucket(rest, wish.bucket_ms)


@pytest.fixture
def put(url: str, open_at: OpenStore) -> Callable[[Iterable[Outcome]], None]:
    def write(records: Iterable[Outcome]) -> None:
        store = open_at(url)
        for record in records:
            store.put(record)
        assert store.close(30) == 0

    return write


def now_of(database: Database) -> int:
    return database.read(lambda view: view.now_ms())


def fold(database: Database, retention: Retention = FOR_EVER) -> None:
    assert database.write(lambda t: claim(t, CHORE, ME, lease_ms=LEASE_MS, every_ms=0))
    assert fold_what_is_due(database, retention, holder=ME, rest=lambda seconds: False)


def spans(database: Database) -> dict[int, int]:
    rows = database.read(
        lambda view: view.rows("SELECT width_ms, count(*) FROM figure_spans GROUP BY width_ms")
    )
    return dict(rows)  # type: ignore[arg-type]


def wishes(draw: random.Random, now_ms: int, records: Sequence[Outcome]) -> list[Wish]:
    """Questions of every kind."""
    made = []
    for bucket_ms, span_ms in (
        (MINUTE_MS, HOUR_MS),
        (QUARTER_MS, DAY_MS),
        (HOUR_MS, 2 * DAY_MS),
        (4 * HOUR_MS, 3 * DAY_MS),
        (DAY_MS, 5 * DAY_MS),
    ):
        for dimension in (ALL, *DIMENSIONS):
            to_ms = (now_ms // bucket_ms + draw.choice((0, 1, 1))) * bucket_ms
            owner = draw.choice(records)
            scope = draw.choice(
                (
                    {},
                    {},
                    {"organisation": owner.organisation},
                    {"organisation": "o1", "team": "red"},
                    {"organisation": owner.organisation, "key": owner.key},
                )
            )
            if ("key" in scope and (dimension not in (ALL, "purpose") or not owner.key)) or scope.get(
                "organisation"
            ) == "":
                scope = {}
            made.append(
                Wish(
                    to_ms - span_ms,
                    to_ms,
                    bucket_ms,
                    dimension,
                    draw.random() < 0.3,
                    draw.choice((("live", "task"), ("live",), ("live", "task", "eval"))),
                    top=draw.choice((1, 2, 8)),
                    **scope,
                )
            )
    return made


def some(draw: random.Random, now_ms: int, count: int, start: int = 0) -> list[Outcome]:
    """Records over five days, most of them today, some at the same moment, some on the edge of a span."""
    made = []
    for n in range(start, start + count):
        at = now_ms - int(5 * DAY_MS * draw.random() ** draw.choice((1, 4, 12)))
        at = draw.choice(
            (at, at, at // MINUTE_MS * MINUTE_MS, at // HOUR_MS * HOUR_MS, at // DAY_MS * DAY_MS - 1)
        )
        made.append(outcome(n, draw, at))
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_every_question_is_answered_as_the_records_say_before_and_after_they_are_worked_out(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None], seed: int
) -> None:
    draw = random.Random(seed)
    database = database_at(url)
    now_ms = now_of(database)
    records = some(draw, now_ms, 400)
    put(records)
    asked = wishes(draw, now_ms, records)
    for wish in asked:
        check(read_figures(database, wish), wish, records)
    fold(database)
    assert spans(database).keys() == {level.width_ms for level in LEVELS}
    for wish in asked:
        check(read_figures(database, wish), wish, records)
    late = some(draw, now_ms, 100, start=1000)
    put(late)
    fold(database)  # finds what came late
    for wish in asked:
        check(read_figures(database, wish), wish, [*records, *late])


def test_records_that_are_deleted_stay_in_the_figures(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None]
) -> None:
    draw = random.Random(5)
    database = database_at(url)
    now_ms = now_of(database)
    records = some(draw, now_ms, 300)
    put(records)
    fold(database)
    one_day = Retention(1, 0)
    assert database.write(lambda t: claim(t, RETENTION, ME, lease_ms=LEASE_MS, every_ms=0))
    assert delete_old(database, one_day, holder=ME, rest=lambda seconds: False).records > 0
    late = outcome(5000, draw, now_ms - DAY_MS - 2 * HOUR_MS)  # retention would take it, too
    put([late])
    fold(database, one_day)
    to_ms = (now_ms // DAY_MS) * DAY_MS
    wish = Wish(to_ms - 5 * DAY_MS, to_ms, DAY_MS, "arm", False, ("live", "task", "eval"))
    found = read_figures(database, wish)
    there = [r for r in records if wish.from_ms <= r.at_ms < to_ms and not r.simulated]
    assert told(found.whole) == by_bucket(there, DAY_MS)


def test_figures_go_with_the_roll_ups(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None]
) -> None:
    database = database_at(url)
    now_ms = now_of(database)
    put(some(random.Random(6), now_ms, 200))
    fold(database)
    fold(database, Retention(1, 2))
    oldest = database.read(lambda view: view.row("SELECT min(from_ms) FROM figures"))
    assert oldest is not None
    assert oldest[0] >= (now_ms - 2 * DAY_MS) // HOUR_MS * HOUR_MS


def test_dropped_records_count_under_their_own_result(url: str, database_at: OpenDatabase) -> None:
    database = database_at(url)
    now_ms = now_of(database)
    hour = now_ms // HOUR_MS * HOUR_MS - HOUR_MS
    database.write(
        lambda t: t.change(
            "INSERT INTO record_gaps VALUES ('w', 1, 'live', 0, 'k', 'red', 'o1', ?, ?, 7, 7, 70, 1, 2, 3, 4, 5, 6)",
            (hour, hour + 5),
        )
    )
    wish = Wish(hour - HOUR_MS, hour + HOUR_MS, HOUR_MS, "result", False, ("live",), "o1", "red")
    expected = {hour: ([7, 0, 70, 1, 2, 3, 4, 5, 6], {}, {})}
    for _ in range(2):
        found = read_figures(database, wish)
        assert told(found.whole) == expected
        assert [(name, told(buckets)) for name, buckets in found.groups] == [("dropped", expected)]
        fold(database)


def test_what_is_too_much_to_add_up_is_left_out_and_told(
    url: str,
    database_at: OpenDatabase,
    put: Callable[[Iterable[Outcome]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = database_at(url)
    now_ms = now_of(database)
    draw = random.Random(8)
    put([outcome(n, draw, now_ms - 1000) for n in range(20)])
    monkeypatch.setattr(trimtab.store.figures.reading, "RECORDS_MOST", 19)
    to_ms = (now_ms // HOUR_MS + 1) * HOUR_MS
    wish = Wish(to_ms - DAY_MS, to_ms, HOUR_MS, "key", False, ("live", "task", "eval"))
    found = read_figures(database, wish)
    assert found.missing is not None
    assert found.missing[0] <= now_ms - 1000 < found.missing[1]
    assert found.whole == {}
    monkeypatch.setattr(trimtab.store.figures.reading, "RECORDS_MOST", 20)
    assert read_figures(database, wish).missing is None


def test_the_last_minute_is_added_up_from_its_newest_records(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None]
) -> None:
    database = database_at(url)
    now_ms = now_of(database)
    begin = now_ms // 5000 * 5000 - 60_000
    draw = random.Random(9)
    records = [outcome(n, draw, begin + 500 * n) for n in range(120)]
    put(records)
    purposes = ("live", "task")

    def expected(since_ms: int, **owner: str) -> dict[int, object]:
        return by_bucket(
            (
                r
                for r in records
                if r.at_ms >= since_ms
                and not r.simulated
                and r.purpose in purposes
                and all(getattr(r, name) == value for name, value in owner.items())
            ),
            5000,
        )

    found, since_ms = live_figures(database, begin, 5000, False, purposes, Within(), 1000)
    assert (told(found), since_ms) == (expected(begin), begin)
    found, since_ms = live_figures(database, begin, 5000, False, purposes, Within("o1", "red"), 1000)
    assert told(found) == expected(begin, organisation="o1", team="red")
    found, since_ms = live_figures(database, begin, 5000, False, purposes, Within(), 50)
    assert since_ms == begin + 500 * 69 + 1
    assert told(found) == expected(since_ms)


def test_who_lost_the_work_to_another_stops(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None]
) -> None:
    database = database_at(url)
    put(some(random.Random(1), now_of(database), 20))
    assert not fold_what_is_due(database, FOR_EVER, holder="nobody", rest=lambda seconds: False)
    assert spans(database) == {}


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_process_that_dies_in_the_middle_of_a_span_leaves_nothing_half_to_read(
    url: str,
    database_at: OpenDatabase,
    put: Callable[[Iterable[Outcome]], None],
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    database = database_at(url)
    now_ms = now_of(database)
    draw = random.Random(3)
    minute = (now_ms // MINUTE_MS - 5) * MINUTE_MS
    records = [outcome(n, draw, minute + n) for n in range(60)]
    put(records)
    monkeypatch.setattr(trimtab.store.figures.folding, "ROWS_AT_ONCE", 20)
    written = database.write
    writes = 0

    def dying(work: Callable[..., object], *, durable: bool = True) -> object:
        nonlocal writes
        writes += 1
        if writes > after:
            raise KeyboardInterrupt
        return written(work, durable=durable)  # type: ignore[type-var]

    assert database.write(lambda t: claim(t, CHORE, ME, lease_ms=LEASE_MS, every_ms=0))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(database, "write", dying)
        fold_what_is_due(database, FOR_EVER, holder=ME, rest=lambda seconds: False)
    to_ms = (now_ms // MINUTE_MS + 1) * MINUTE_MS
    wish = Wish(to_ms - HOUR_MS, to_ms, MINUTE_MS, "arm", False, ("live", "task", "eval"))
    check(read_figures(database, wish), wish, records)
    fold(database)
    check(read_figures(database, wish), wish, records)


def test_nothing_is_worked_out_before_it_has_ended(
    url: str, database_at: OpenDatabase, put: Callable[[Iterable[Outcome]], None]
) -> None:
    database = database_at(url)
    now_ms = now_of(database)
    put([outcome(1, random.Random(1), now_ms)])
    fold(database)
    last = database.read(lambda view: view.row("SELECT max(from_ms + width_ms) FROM figure_spans"))
    assert last is not None
    assert last[0] is None or last[0] <= now_of(database) - LAG_MS


def test_a_moment_is_in_exactly_one_piece_and_coarse_pieces_come_first() -> None:
    day = 1000 * DAY_MS
    there = {
        MINUTE_MS: [day + n * MINUTE_MS for n in range(2000)],
        QUARTER_MS: [day + n * QUARTER_MS for n in range(130)],
        HOUR_MS: [day + n * HOUR_MS for n in (0, 1, 2, 25)],
        DAY_MS: [day],
    }
    pieces = cover(day - 5, day + DAY_MS + 3 * HOUR_MS, there, None)
    assert [(p.from_ms - day, p.width_ms) for p in pieces] == [
        (-5, None),
        (0, DAY_MS),
        (DAY_MS, QUARTER_MS),
        (DAY_MS + HOUR_MS, HOUR_MS),
        (DAY_MS + 2 * HOUR_MS, QUARTER_MS),
    ]
    assert [a.to_ms for a in pieces[:-1]] == [b.from_ms for b in pieces[1:]]
    assert cover(day, day + HOUR_MS, there, QUARTER_MS)[0].width_ms == QUARTER_MS
    assert cover(day, day + 90_000, there, MINUTE_MS)[-1].width_ms is None
    assert cover(day - DAY_MS, day - 7, there, None) == [Piece(day - DAY_MS, day - 7, None)]


def test_all_that_is_stored_can_be_read_again() -> None:
    tally = Tally()
    tally.add([1, 0, 5, 1, 2, 3, 4, 5, 6], {3: 1, 191: 2}, {0: 7})
    again = Tally()
    (kept,) = decode(encode([('odd "name"\n', tally)]))
    again.add_kept(kept)
    assert kept[:2] == ('odd "name"\n', 1)
    assert plain(again) == plain(tally)
