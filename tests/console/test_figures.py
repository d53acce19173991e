"""What the pages are drawn from: windows, names, stories and what is live, as the records say and no further."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from judged_requests import judged_outcome

from trimtab.catalogue import Arm
from trimtab.console import Figures
from trimtab.console.answers import Bar
from trimtab.console.figures import bucket_ms
from trimtab.console.questions import DAY_MS, HOUR_MS, MINUTE_MS, Filter, Scope, Window, window
from trimtab.console.remembered import Remembered
from trimtab.console.timing import bars, lanes
from trimtab.errors import RequestError
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, RequestId
from trimtab.store import Database, Store, StoreSettings, open_database, open_store
from trimtab.store.answers import AnswerStore, Tally
from trimtab.store.keys import Key
from trimtab.store.keys.tables import insert_key

NOW = 1_800_000_000_000 - 1_800_000_000_000 % DAY_MS + 10 * HOUR_MS + 123


class Place:
    """A store, and figures of it at one moment."""

    def __init__(self, database: Database, store: Store) -> None:
        self.database, self.store = database, store
        self.now_ms, self.now_s = NOW, 0.0
        self.figures = Figures(database, store, clock_ms=lambda: self.now_ms, monotonic=lambda: self.now_s)

    def put(self, *records: Outcome) -> None:
        before = self.store.status().written
        for record in records:
            self.store.put(record)
        written = threading.Event()
        while self.store.status().written < before + len(records):
            written.wait(0.005)


@pytest.fixture
def place(either_store: str) -> Iterator[Place]:
    settings = StoreSettings(url=either_store, batch_ms=5)
    database = open_database(settings, clock_ms=lambda: NOW)
    store = open_store(settings, clock_ms=lambda: NOW, on_problem=None)
    yield Place(database, store)
    store.close(5)
    database.close()


def outcome(n: int, **changes: Any) -> Outcome:
    attempt = Attempt(
        "claude",
        "claude-sonnet-4-6",
        "ok",
        status=200,
        usage=Usage(input_tokens=100, output_tokens=10),
        cost_nanousd=5,
        head_ms=20.0,
        first_content_ms=30.0,
        total_ms=90.0,
    )
    record = Outcome(
        id=RequestId(f"{n:032x}"),
        at_ms=NOW - 1000,
        purpose="live",
        surface="messages",
        endpoint="messages",
        requested_model="trimtab/auto",
        session="s",
        result="ok",
        status=200,
        stream=True,
        plan=Plan(Arm("claude-sonnet-4-6", "high"), "claude", tier="default", reasons=("because",)),
        attempts=(attempt,),
        cost_nanousd=5,
        total_ms=100.0,
        config_version="c",
    )
    return msgspec.structs.replace(record, **changes)


@pytest.mark.parametrize("name", ["hour", "day", "week", "month"])
def test_a_window_ends_now_and_has_bars_that_can_be_told_apart(place: Place, name: Any) -> None:
    asked = window(name, NOW)
    place.put(
        outcome(1, at_ms=NOW), outcome(2, at_ms=asked.from_ms + 1), outcome(3, at_ms=asked.from_ms - DAY_MS)
    )
    overview = place.figures.overview(asked)
    width = overview.bucket_ms
    assert width == {"hour": MINUTE_MS, "day": 15 * MINUTE_MS, "week": 4 * HOUR_MS, "month": DAY_MS}[name]
    assert len(overview.starts_ms) == (asked.to_ms - asked.from_ms) / width <= 100
    assert overview.starts_ms[-1] <= NOW < overview.starts_ms[-1] + width
    assert all(start % width == 0 for start in overview.starts_ms)
    assert overview.whole.series.requests[-1] == 1
    assert overview.whole.sums.requests == sum(overview.whole.series.requests)
    assert overview.freshness.missing_from_ms is None


def test_two_times_are_a_window_and_what_lies_far_back_has_wider_bars(place: Place) -> None:
    assert bucket_ms(Window(NOW - HOUR_MS, NOW), NOW) == MINUTE_MS
    assert bucket_ms(Window(NOW - 10 * HOUR_MS, NOW - 9 * HOUR_MS), NOW) == 15 * MINUTE_MS
    assert bucket_ms(Window(NOW - 10 * DAY_MS, NOW - 9 * DAY_MS), NOW) == HOUR_MS
    assert bucket_ms(Window(NOW - 100 * DAY_MS, NOW - 99 * DAY_MS), NOW) == DAY_MS
    assert bucket_ms(Window(NOW - 400 * DAY_MS, NOW), NOW) == DAY_MS
    place.put(outcome(1, at_ms=NOW - 5 * HOUR_MS))
    overview = place.figures.overview(Window(NOW - 5 * HOUR_MS - 1, NOW - 4 * HOUR_MS))
    assert overview.whole.sums.requests == 1
    early = place.figures.overview(Window(0, 1))
    assert (early.whole.sums.requests, len(early.starts_ms)) == (0, 1)


def test_figures_are_named_for_people(place: Place) -> None:
    key = Key(id="key_1", name="ci", organisation="acme", created_ms=1)
    place.database.write(lambda t: insert_key(t, key, 1))
    place.put(
        outcome(1, key="key_1", team="red", organisation="acme"),
        outcome(2, key="key_1", team="red", organisation="acme", at_ms=NOW - DAY_MS),
        outcome(3, key="key_gone", team="red", organisation="rival"),
        outcome(4, plan=None, result="error", attempts=()),
        outcome(5, simulated=True),
        outcome(6, purpose="eval"),
    )
    asked = window("hour", NOW)

    def groups(by: Any, **more: Any) -> list[tuple[str, str, str | None, int]]:
        overview = place.figures.overview(asked, by, **more)
        return [(g.name, g.label, g.organisation, g.sums.requests) for g in overview.groups]

    assert groups("key") == [
        ("", "(none)", None, 1),
        ("key_1", "ci", "acme", 1),
        ("key_gone", "key_gone", None, 1),
    ]
    assert groups("team") == [("", "(none)", None, 1), ("red", "red", "acme", 1), ("red", "red", "rival", 1)]
    assert groups("arm") == [
        ("claude-sonnet-4-6@high", "claude-sonnet-4-6@high", None, 2),
        ("", "(none)", None, 1),
    ]
    assert groups("arm", top=1) == groups("arm")
    assert [g.label for g in place.figures.overview(asked, "key", top=1).groups] == ["(none)", "(others)"]
    overview = place.figures.overview(window("day", NOW))
    assert (overview.whole.sums.errors, overview.other_side) == (1, 1)
    assert overview.before is not None
    assert overview.before.requests == 1
    assert overview.whole.sums.first_p50_ms == pytest.approx(30, rel=0.045)
    assert overview.whole.sums.p50_ms == pytest.approx(100, rel=0.045)
    assert (overview.whole.sums.tokens.input, overview.whole.sums.tokens.output) == (200, 20)
    rows = place.figures.requests(Filter()).rows
    assert {row.key: row.key_name for row in rows} == {"key_1": "ci", "key_gone": "", "": ""}
    whole = place.figures.requests(Filter(arm="claude-sonnet-4-6", purposes=("live",)))
    assert len(whole.rows) == 3
    assert len(place.figures.requests(Filter(arm="claude-sonnet-4-6@low")).rows) == 0


def test_a_story_has_its_times_its_relatives_and_its_key(place: Place) -> None:
    key = Key(id="key_1", name="ci", organisation="acme", created_ms=1)
    place.database.write(lambda t: insert_key(t, key, 1))
    place.store.note_config("c", b"version = 1\n", 5)
    mine: dict[str, Any] = {"key": "key_1", "team": "red", "organisation": "acme"}
    place.put(
        outcome(1, at_ms=NOW - 2000, **mine),
        outcome(2, parent=RequestId(f"{1:032x}"), **mine),
        outcome(3, at_ms=NOW, **mine),
    )
    story = place.figures.story(f"{2:032x}")
    assert story is not None
    assert story.record == outcome(2, parent=RequestId(f"{1:032x}"), **mine)
    assert story.key_name == "ci"
    assert story.config_at_ms == 5
    assert place.figures.config("c") == "version = 1\n"
    assert story.parent is not None
    assert story.previous is not None
    assert story.following is not None
    assert [int(one.id, 16) for one in (story.parent, story.previous, story.following)] == [1, 1, 3]
    assert story.parent.arm == "claude-sonnet-4-6@high"
    assert story.tokens.input == story.attempt_tokens[0].input == 100
    assert [(bar.kind, bar.from_ms, bar.to_ms) for bar in story.bars] == [
        ("gateway", 0, 10),
        ("head", 10, 30),
        ("content", 30, 40),
        ("rest", 40, 100),
    ]
    place.put(outcome(4, at_ms=NOW - 1, purpose="judge", parent=RequestId(f"{2:032x}"), **mine))
    again = place.figures.story(f"{2:032x}")
    assert again is not None
    assert again.following == story.following, "the call of a check is no turn of the conversation"
    assert [int(child.id, 16) for child in again.children] == [4]
    above = place.figures.story(f"{1:032x}")
    assert above is not None
    assert [int(child.id, 16) for child in above.children] == [2]
    assert place.figures.story(f"{2:032x}", scope=Scope("acme", "red")) is not None
    for scope in (Scope("rival"), Scope("acme", "blue"), Scope("acme", key="key_2")):
        assert place.figures.story(f"{2:032x}", scope=scope) is None
    assert place.figures.story("no such") is None


def test_a_story_without_attempts_is_the_gateways_alone() -> None:
    assert bars(3.0, ()) == (Bar(None, "gateway", 0.0, 3.0),)
    two = (Attempt("p", "m", "error", total_ms=10.0), Attempt("p", "m", "ok", head_ms=50.0, total_ms=20.0))
    assert [(bar.attempt, bar.kind, bar.from_ms, bar.to_ms) for bar in bars(25.0, two)] == [
        (0, "rest", 0, 10),
        (1, "head", 10, 30),
        (1, "rest", 30, 30),
    ]


def test_a_cascade_shows_its_steps_verdict_and_checks_in_the_list_and_in_its_times(place: Place) -> None:
    place.put(judged_outcome(at_ms=NOW), outcome(1))
    judged, plain = (
        place.figures.requests(Filter(simulated=True)).rows[0],
        place.figures.requests(Filter()).rows[0],
    )
    assert (judged.steps, judged.says, judged.checks_nanousd) == (2, "unsure", 2_100_000)
    assert (judged.began_with, judged.arm) == ("claude-sonnet-4-6@medium", "claude-opus-4-7@high")
    assert (plain.steps, plain.says, plain.checks_nanousd, plain.began_with) == (1, None, 0, "")
    found = bars(3200.0, judged_outcome().attempts)
    checks = [(bar.attempt, bar.verifier) for bar in found if bar.kind == "check"]
    assert checks == [(0, "json_schema"), (0, "house-style"), (2, "json_schema"), (2, "second")]
    assert [one.from_ms for one in found[1:]] == [one.to_ms for one in found[:-1]], "they follow one another"
    assert found[-1].to_ms == pytest.approx(3200.0)
    assert lanes(judged_outcome().attempts)[1:3] == ["Step 1, attempt 1", "Step 2, attempt 2"]
    assert lanes(outcome(1).attempts) == ["Trimtab", "Attempt 1"]


def test_what_is_live_is_asked_once_a_second_however_many_look(place: Place) -> None:
    place.put(outcome(1))
    first = place.figures.live()
    assert [row.id for row in first.rows] == [f"{1:032x}"]
    assert first.minute.sums.requests == 1
    assert len(first.minute.starts_ms) == 12
    place.put(outcome(2, at_ms=NOW - 500))
    assert place.figures.live() is first
    place.now_s = 1.5
    second = place.figures.live()
    assert [int(row.id, 16) for row in second.rows] == [2, 1]
    assert second.state != first.state
    place.now_s = 3.0
    assert place.figures.live().state == second.state
    assert place.figures.live(simulated=True).rows == ()
    assert place.figures.live(scope=Scope("acme")).minute.sums.requests == 0


def test_a_key_of_its_own_has_an_overview_but_no_split(place: Place) -> None:
    place.put(outcome(1, key="k", organisation="o"), outcome(2, key="other", organisation="o"))
    scope = Scope("o", key="k")
    assert place.figures.overview(window("day", NOW), scope=scope).whole.sums.requests == 1
    assert [g.name for g in place.figures.overview(window("day", NOW), "purpose", scope=scope).groups] == [
        "live"
    ]
    with pytest.raises(RequestError, match="one key's requests are told apart by purpose only"):
        place.figures.overview(window("day", NOW), "arm", scope=scope)


def test_many_who_ask_the_same_wait_for_one_answer_and_share_its_failure() -> None:
    remembered: Remembered[int] = Remembered(lambda: 0.0, 1.0)
    going_on, asked = threading.Event(), []

    def answer() -> int:
        asked.append(1)
        going_on.wait(60)
        raise ValueError("once")

    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(remembered.get, "q", answer) for _ in range(4)]
        going_on.set()
        for one in waiting:
            with pytest.raises(ValueError, match="once"):
                one.result(60)
    assert 1 <= len(asked) <= 4
    assert remembered.get("q", lambda: 7) == 7
    assert remembered.get("q", lambda: 8) == 7


def test_answers_are_not_kept_without_bound() -> None:
    remembered: Remembered[int] = Remembered(lambda: 0.0, 100.0)
    for n in range(2000):
        assert remembered.get(n, lambda n=n: n) == n  # type: ignore[misc]
    assert len(remembered._answers) <= 300


def test_answers_given_again_are_counted_by_whole_hours_of_one_side_and_of_what_the_visitor_may_see(
    place: Place,
) -> None:
    hour = NOW - NOW % HOUR_MS
    rows = [
        Tally(hour, False, "acme", "k1", "m", 3, 1, 5_000),
        Tally(hour, False, "other", "k2", "m", 10, 0, 7_000),
        Tally(hour, True, "acme", "k1", "m", 100, 0, 9_000),
        Tally(hour - 2 * DAY_MS, False, "acme", "k1", "m", 1_000, 0, 1_000_000),
    ]
    day = Window(NOW - DAY_MS, NOW + 1, "day")
    assert place.figures.given_again(day) is None
    AnswerStore(place.database).count(rows, [])
    place.now_s += 60
    found = place.figures.given_again(day)
    assert found is not None
    assert (found.hits, found.misses, found.saved_nanousd) == (13, 1, 12_000)
    assert found.from_ms <= day.from_ms
    own = place.figures.given_again(day, scope=Scope(organisation="acme"))
    assert own is not None
    assert (own.hits, own.misses) == (3, 1)
    simulated = place.figures.given_again(msgspec.structs.replace(day, simulated=True))
    assert simulated is not None
    assert simulated.hits == 100
    assert place.figures.given_again(Window(hour - HOUR_MS, hour)) is None
