"""Kept answers on both engines: found while they may be given, gone when they must be, never more than there is room."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kept_answers import BODY, HOUR_MS, answer, digests, keep
from kept_content import bytes_of_files

from trimtab.store import Database
from trimtab.store.answers import Answer, AnswerStore, Tally, pack
from trimtab.store.content import Selection, delete
from trimtab.store.keys import Key
from trimtab.store.keys.tables import insert_key, insert_organisation, update_key

NOW_MS = 1_800_000_000_000


@pytest.fixture
def database(url: str, database_at: Callable[[str], Database]) -> Database:
    return database_at(url)


@pytest.fixture
def store(database: Database) -> AnswerStore:
    return AnswerStore(database)


def change(database: Database, sql: str) -> None:
    database.write(lambda tx: tx.change(sql))


def test_an_answer_is_found_as_it_was_kept_and_the_first_one_stands(
    database: Database, store: AnswerStore
) -> None:
    odd = answer(body=os.urandom(70_000), headers=[(b"content-type", b"\xff\x00")])
    keep(database, odd)
    found = store.find("d1")
    assert found is not None
    assert found.answer == odd
    assert 0 <= found.age_ms < 60_000
    assert HOUR_MS - 60_000 < found.left_ms <= HOUR_MS
    assert store.find("d2") is None
    keep(database, answer(request_id="r2", body=b"another"), answer("d2"))
    again = store.find("d1")
    assert again is not None
    assert again.answer == odd, "whoever asked at the same time hears the first answer from now on"


@pytest.mark.parametrize(
    ("replaces", "changes", "aged"),
    [
        (True, {}, ""),
        (False, {"place": "claude@2"}, ""),
        (False, {"simulated": True}, ""),
        (False, {}, "expires_ms = made_ms"),
        (False, {}, "made_ms = made_ms + 60000"),
    ],
)
def test_an_answer_gives_way_where_it_was_asked_anew_or_could_not_be_given(
    database: Database, store: AnswerStore, replaces: bool, changes: dict[str, Any], aged: str
) -> None:
    keep(database, answer())
    if aged:
        change(database, f"UPDATE cached_answers SET {aged}")
    keep(database, answer(request_id="r2", body=b"new", **changes), replaces=replaces)
    found = store.find("d1")
    assert found is not None
    assert (found.answer.request_id, found.answer.body) == ("r2", b"new")


def test_several_answers_are_kept_at_once(database: Database) -> None:
    keep(database, answer("d2"), answer(), answer("d2"))
    assert digests(database) == ["d1", "d2"]


def test_an_answer_is_not_given_once_it_is_over_or_when_the_clock_was_set_back(
    database: Database, store: AnswerStore
) -> None:
    keep(database, answer("past"), answer("future"), answer("nearly"))
    change(database, "UPDATE cached_answers SET expires_ms = expires_ms - 3600000 WHERE digest = 'past'")
    change(database, "UPDATE cached_answers SET made_ms = made_ms + 60000 WHERE digest = 'future'")
    change(database, "UPDATE cached_answers SET made_ms = made_ms + 2000 WHERE digest = 'nearly'")
    assert store.find("past") is None
    assert store.find("future") is None, "how old it is is not known"
    nearly = store.find("nearly")
    assert nearly is not None
    assert nearly.age_ms == 0, "clocks of two machines differ by moments"
    assert store.summary().answers == 2
    assert store.remove_old() == 1
    assert digests(database) == ["future", "nearly"]


def test_there_is_never_much_more_than_the_room_and_what_was_used_longest_ago_gives_way(
    database: Database, store: AnswerStore
) -> None:
    kept = [answer(f"d{n:02}", body=os.urandom(10_000)) for n in range(30)]
    keep(database, *kept)
    change(
        database, "UPDATE cached_answers SET used_ms = used_ms - 1000 + CAST(substr(digest, 2) AS INTEGER)"
    )
    store.count([], [("d00", 3)])
    room = 20 * 10_400
    assert store.make_room(room) >= 10
    left = digests(database)
    assert store.summary().stored_bytes <= room * 0.9 + 10_400
    assert left[0] == "d00", "it was given again a moment ago"
    assert left[1:] == [f"d{n:02}" for n in range(31 - len(left), 30)], "the oldest went first"
    assert store.make_room(room) == 0


@pytest.mark.parametrize(
    "selection",
    [
        Selection("request", "r-d1"),
        Selection("key", "key_1"),
        Selection("user", "ann", "acme"),
        Selection("organisation", "", "acme"),
        Selection("everything"),
    ],
)
def test_what_is_deleted_is_not_found_not_written_again_and_in_no_file(
    database: Database, store: AnswerStore, selection: Selection, tmp_path: Path
) -> None:
    other = answer("d2", key="key_2", user="bob", organisation="else", at_ms=1_000)
    keep(database, answer(at_ms=1_000), other)
    deleted = delete(database, selection)
    everything = selection.kind == "everything"
    assert deleted.cached == 1 + everything
    assert store.find("d1") is None
    assert digests(database) == ([] if everything else ["d2"])
    keep(database, answer(at_ms=1_000))
    assert digests(database) == ([] if everything else ["d2"]), "it arrived before the deletion"
    if (tmp_path / "t.db").exists() and everything:
        packed = pack(other)[-1]
        assert isinstance(packed, bytes)
        assert packed[4:40] not in bytes_of_files(tmp_path / "t.db")


def test_what_is_named_by_a_deletion_is_not_found_before_its_row_is_gone(
    database: Database, store: AnswerStore
) -> None:
    keep(database, answer(at_ms=1_000))
    change(
        database,
        "INSERT INTO content_deletions (kind, organisation, subject, until_ms, at_ms) "
        "VALUES ('key', '', 'key_1', 2000, 2000)",
    )
    assert store.find("d1") is None
    assert digests(database) == ["d1"]


def test_what_a_revoked_key_asked_for_is_given_to_nobody(database: Database, store: AnswerStore) -> None:
    key = Key(id="key_1", name="app", organisation="acme", created_ms=1)
    database.write(lambda tx: insert_organisation(tx, "acme", 1))
    database.write(lambda tx: insert_key(tx, key, 1))
    keep(database, answer(), answer("d2", key="key_2"))
    assert store.find("d1") is not None
    database.write(lambda tx: update_key(tx, msgspec.structs.replace(key, revoked_ms=NOW_MS), 2))
    assert store.find("d1") is None
    assert store.find("d2") is not None
    keep(database, answer("d2", key="key_3", request_id="r3"), answer(key="key_2", request_id="r4"))
    found, other = store.find("d1"), store.find("d2")
    assert found is not None
    assert other is not None
    assert (found.answer.request_id, other.answer.request_id) == ("r4", "r-d2"), (
        "only what none may have gives way"
    )
    keep(database, answer("d5"))
    assert store.remove_of_revoked() == 1
    assert digests(database) == ["d1", "d2"]


def test_sums_add_up_and_real_and_simulated_are_apart(database: Database, store: AnswerStore) -> None:
    keep(database, answer())
    hour = NOW_MS - NOW_MS % HOUR_MS
    for _ in range(2):
        store.count(
            [
                Tally(hour, False, "acme", "key_1", "m", 2, 3, 500),
                Tally(hour, False, "acme", "key_2", "m", 1, 0, 7),
                Tally(hour, True, "acme", "key_1", "m", 9, 9, 9),
            ],
            [("d1", 3), ("gone", 1)],
        )
    asked = store.asked(NOW_MS, simulated=False)
    assert (asked.hits, asked.misses, asked.saved_nanousd) == (6, 6, 1014)
    assert store.asked(NOW_MS, simulated=False, key="key_2").hits == 2
    assert store.asked(NOW_MS, simulated=True).hits == 18
    assert store.asked(NOW_MS + HOUR_MS, simulated=False).hits == 0
    (row,) = database.read(lambda tx: tx.rows("SELECT hits FROM cached_answers"))
    assert row[0] == 6


def test_an_answer_packed_small_unpacks_to_no_more_than_was_ever_kept(
    database: Database, store: AnswerStore
) -> None:
    kept: Answer = answer(body=BODY * 1000)
    keep(database, kept)
    found = store.find("d1")
    assert found is not None
    assert found.answer.body == kept.body
    assert store.summary().stored_bytes < len(kept.body) / 20
