"""What was told of requests is there as told last, on both engines, and goes with what it was told of."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest
from msgspec import UNSET

from trimtab.errors import Conflict
from trimtab.records import Outcome, RequestId
from trimtab.store import Database, Store, StoreSettings, open_database, open_store
from trimtab.store.content import Selection, delete
from trimtab.store.content.deletion import delete_old as delete_old_content
from trimtab.store.edited_answers import Edited
from trimtab.store.feedback import (
    EARLIER_MAX,
    SOURCES_MAX,
    Covers,
    Feedback,
    FeedbackStore,
    Keep,
    Told,
    words_of_tasks,
)
from trimtab.store.housekeeping import LEASE_MS, Retention, claim, delete_old
from trimtab.store.housekeeping.retention import CHORE, DAY_MS


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(StoreSettings(url=url), clock_ms=lambda: time.time_ns() // 1_000_000)
    yield opened
    opened.close()


@pytest.fixture
def now_ms(database: Database) -> int:
    return database.read(lambda view: view.now_ms())


@pytest.fixture
def record(url: str, open_at: Callable[..., Store]) -> Callable[..., None]:
    def put(*outcomes: Outcome) -> None:
        store = open_store(StoreSettings(url=url, batch_ms=5), clock_ms=lambda: 1, on_problem=None)
        for outcome in outcomes:
            store.put(outcome)
        assert store.close(30) == 0

    return put


def test_the_last_word_of_each_source_counts_and_saying_it_again_changes_nothing(database: Database) -> None:
    feedback = FeedbackStore(database)
    first = feedback.tell(Told(request="r", source="user", score=1.0, note="nice", teller="key:a"))
    assert (first.score, first.earlier) == (1.0, ())
    assert feedback.tell(Told(request="r", source="user", score=1.0, note="nice", teller="key:b")) == first
    second = feedback.tell(Told(request="r", source="user", score=0.25, covers="session"))
    assert [(w.score, w.covers, w.teller) for w in second.earlier] == [(1.0, "request", "key:a")]
    feedback.tell(Told(request="r", source="tests", score=0.0))
    feedback.tell(Told(request="other", source="user", score=0.0))
    assert [(f.source, f.score, f.covers, f.note) for f in feedback.of("r")] == [
        ("tests", 0.0, "request", ""),
        ("user", 0.25, "session", ""),
    ]
    for odd in ("ü", "a\0b", "", "nobody"):
        assert feedback.of(odd) == ()


def test_a_program_in_a_loop_fills_neither_history_nor_sources(database: Database) -> None:
    feedback = FeedbackStore(database)
    for n in range(30):
        last = feedback.tell(Told(request="r", source="user", score=n / 30))
    assert [w.score for w in last.earlier] == [n / 30 for n in range(29 - EARLIER_MAX, 29)]
    for n in range(SOURCES_MAX - 1):
        feedback.tell(Told(request="r", source=f"s{n}", score=1))
    with pytest.raises(Conflict, match="'one-more': 8 other sources have told"):
        feedback.tell(Told(request="r", source="one-more", score=1))


def test_what_was_told_goes_with_its_request_and_notes_with_its_content(
    database: Database,
    now_ms: int,
    record: Callable[..., None],
    make_outcome: Callable[..., Outcome],
) -> None:
    old, new = make_outcome(1, at_ms=now_ms - 9 * DAY_MS), make_outcome(2, at_ms=now_ms - DAY_MS, key="k")
    kept = make_outcome(3, at_ms=now_ms - DAY_MS, key="other")
    record(old, new, kept)
    feedback = FeedbackStore(database)
    for outcome in (old, new, kept):
        feedback.tell(Told(request=outcome.id, source="user", score=1, note="about Ann"))
    delete(database, Selection("key", "k"))
    assert [(f.score, f.note) for f in feedback.of(new.id)] == [(1, "")]
    assert [f.note for f in feedback.of(kept.id)] == ["about Ann"]
    assert database.write(lambda t: claim(t, CHORE, "me", lease_ms=LEASE_MS, every_ms=0))
    delete_old(database, Retention(5, 0), holder="me", rest=lambda s: False)
    assert [len(feedback.of(outcome.id)) for outcome in (old, new, kept)] == [0, 1, 1]


def test_an_edited_answer_is_kept_as_its_policy_says_and_goes_with_the_content_of_its_request(
    database: Database, now_ms: int, record: Callable[..., None], make_outcome: Callable[..., Outcome]
) -> None:
    mine: dict[str, Any] = {"key": "k", "organisation": "acme", "user": "ann"}
    asked = {
        name: make_outcome(
            n, at_ms=now_ms - 2 * DAY_MS, **(mine if name != "foreign" else {}), simulated=name == "fake"
        )
        for n, name in enumerate(("plain", "other", "fake", "foreign"))
    }
    record(*asked.values())
    feedback = FeedbackStore(database)

    def told(name: str, keep: Keep | None, **more: Any) -> Feedback:
        word = Told(
            request=asked[name].id,
            source="user",
            score=0.0,
            label="wrong_sum",
            edited=b'{"sum": 391}',
            **more,
        )
        return feedback.tell(word, keep)

    def full(answer: bytes) -> Edited:
        return Edited(answer, "full", simulated=False, days=5)

    def edits(name: str) -> list[Any]:
        return [one.edited for one in feedback.with_edited(feedback.of(asked[name].id))]

    assert told("plain", None).edited_kept is False
    soon = msgspec.structs.replace(asked["plain"], id=RequestId("early"))
    early = Told(request="early", source="user", score=0.0, edited=b'"as it should be"')
    assert feedback.tell(early, full).edited_kept is False, "nobody knows whose it is"
    word = feedback.tell(
        early, full, msgspec.json.encode(soon)
    )  # its record is still on its way to the store
    assert (word.edited_kept, feedback.with_edited([word])[0].edited) == (True, "as it should be")
    assert delete(database, Selection("request", "early")).edited == 1
    assert edits("plain") == [UNSET]
    word = told("plain", full)
    assert (word.edited_kept, word.label, len(word.earlier)) == (True, "wrong_sum", 1), (
        "that it is kept now is news"
    )
    assert told("plain", full) == word, "the same again changes nothing"
    assert edits("plain") == [{"sum": 391}]
    assert feedback.of(asked["plain"].id) == (word,)
    assert told("fake", full).edited_kept is False, "simulated ones are not wanted"
    assert told("other", lambda answer: Edited(answer, "full", days=1)).edited_kept is False, (
        "too old already"
    )
    assert told("other", full).edited_kept is True
    assert told("foreign", full).edited_kept is True
    again = feedback.tell(Told(request=asked["other"].id, source="user", score=1.0), full)
    assert (again.edited_kept, again.earlier[-1].label, edits("other")) == (None, "wrong_sum", [UNSET])
    assert told("other", full).edited_kept is True
    assert delete(database, Selection("request", asked["other"].id)).edited == 1
    assert (edits("other"), feedback.of(asked["other"].id)[0].edited_kept) == ([UNSET], False)
    assert told("other", full).edited_kept is False, "a deletion is final"
    assert delete(database, Selection("user", "ann", "acme")).edited == 1
    assert edits("plain") == [UNSET]
    assert edits("foreign") == [{"sum": 391}]
    assert database.write(lambda tx: delete_old_content(tx, now_ms - DAY_MS)) >= 1
    assert edits("foreign") == [UNSET]
    assert database.read(lambda view: view.rows("SELECT request_id FROM edited_answers")) == []


def test_the_outcome_of_a_session_or_task_lies_with_its_last_request(
    database: Database, now_ms: int, record: Callable[..., None], make_outcome: Callable[..., Outcome]
) -> None:
    asked = [make_outcome(n, at_ms=now_ms + n, session="s", task="t" * (n % 2)) for n in range(4)]
    count = make_outcome(9, at_ms=now_ms + 99, session="s", endpoint="count_tokens")
    both = [make_outcome(10 + n, at_ms=now_ms, session="both", simulated=n == 1) for n in range(2)]
    record(*asked, count, *both)
    feedback = FeedbackStore(database)

    def told(covers: Covers, name: str) -> Told:
        return Told(request=name, source=f"tests-{covers}", covers=covers, score=1)

    odd = [told("task", name) for name in ("", "no such", "a\0b", "x" * 2000)]
    rows = [
        told("session", "s"),
        told("task", "t"),
        told("request", asked[1].id),
        told("session", "both"),
        *odd,
    ]
    changed, _, problems = feedback.tell_found(rows)
    assert (changed, set(problems)) == (3, {3, 4, 5, 6, 7})
    assert "real and simulated" in problems[3]
    assert "no answered request of it is recorded" in problems[5]
    assert [f.covers for f in feedback.of(asked[3].id)] == ["session", "task"]
    assert [f.covers for f in feedback.of(asked[1].id)] == ["request"]
    feedback.tell(Told(request=asked[1].id, source="user", covers="task", score=0.5))
    words = database.read(lambda view: words_of_tasks(view, ["t", "nobody's", ""]))
    assert [(w.request, w.source, w.score) for w in words["t"]] == [
        (asked[3].id, "tests-task", 1.0),
        (asked[1].id, "user", 0.5),
    ]
    assert list(words) == ["t"]
    assert database.read(lambda view: words_of_tasks(view, [])) == {}
    whole = feedback.of_whole(asked[1].id, "t")
    assert [(w.request, w.source) for w in whole] == [
        (asked[1].id, "tests-request"),
        (asked[1].id, "user"),
        (asked[3].id, "tests-task"),
    ]
    assert feedback.tell_found(rows[:4], simulated=True) == (1, 0, {0: ANY, 1: ANY, 2: ANY})
    assert len(feedback.of(both[1].id)) == 1
