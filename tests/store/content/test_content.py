"""Kept prompts and answers, on both engines: found as they were, gone for good when deleted, also before they came."""

import os
import random
import zlib
from pathlib import Path

import msgspec
import pytest
from kept_content import ANSWER, PROMPT, bytes_of_files, content, keep, kept_ids
from key_store import NOW_MS, Clock

import trimtab.store.content.tables
from trimtab.records import Attempt, Outcome, RequestId, Verdict
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.content import Content, ContentStore, Deleted, Selection, delete, pack
from trimtab.store.content.covering import KEEP_MS
from trimtab.store.content.deletion import CLOCKS_MS, begin, finish, sweep_all
from trimtab.store.housekeeping import Retention, claim, delete_old, delete_old_content
from trimtab.store.housekeeping.retention import CONTENT_CHORE
from trimtab.store.idempotency import claim as claim_once
from trimtab.store.idempotency import finish as finish_once
from trimtab.store.keys import Key
from trimtab.store.keys.tables import insert_key
from trimtab.store.records.rows import JUDGED, REQUESTS, recorded

BEFORE_MS = NOW_MS - 60_000


def found(database: Database) -> set[str]:
    store = ContentStore(database)
    return {one for one in kept_ids(database) if store.find(one) is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"request": None, "answer": None, "answer_kind": ""},
        {"request": b"", "answer": bytes(range(256)) * 1000, "answer_kind": "other", "answer_cut": True},
        {"key": "", "user": "", "team": "", "organisation": "", "simulated": True, "purpose": "judge"},
        {"answer_kind": "sse", "answer_encoding": "gzip", "request_cut": True, "request_bytes": 10**9},
    ],
)
def test_what_is_kept_is_found_as_it_was(database: Database, changes: dict[str, object]) -> None:
    kept = content("r1", BEFORE_MS, **changes)
    keep(database, kept, content("r2", BEFORE_MS))
    assert ContentStore(database).find("r1") == kept
    assert ContentStore(database).find("r3") is None
    for odd in ("ü", "a\0b", ""):
        assert ContentStore(database).find(odd) is None
    keep(database, content("r1", BEFORE_MS, request=b"another"))
    assert ContentStore(database).find("r1") == kept, "the first stands, as with records"
    summary = ContentStore(database).summary()
    assert (summary.requests, summary.oldest_ms) == (2, BEFORE_MS)


def test_a_row_that_unpacks_without_end_is_cut(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimtab.store.content.tables, "UNPACKED_MAX", 1000)
    keep(database, content("r1", BEFORE_MS, answer=b"x" * 5000))
    one = ContentStore(database).find("r1")
    assert one is not None
    assert one.answer == b"x" * 1000
    assert len(zlib.compress(b"x" * 5000)) < 100


EVERYBODY = [
    content("a1", BEFORE_MS, key="key_1", user="ann", organisation="acme"),
    content("a2", BEFORE_MS, key="key_2", user="ann", organisation="acme"),
    content("b1", BEFORE_MS, key="key_3", user="bob", organisation="acme"),
    content("o1", BEFORE_MS, key="key_4", user="ann", organisation="other"),
    content("n1", BEFORE_MS, key="", user="", organisation=""),
]


@pytest.mark.parametrize(
    ("selection", "gone"),
    [
        (Selection("request", "a1"), {"a1"}),
        (Selection("key", "key_1"), {"a1"}),
        (Selection("user", "ann", "acme"), {"a1", "a2"}),
        (Selection("organisation", "", "acme"), {"a1", "a2", "b1"}),
        (Selection("everything"), {"a1", "a2", "b1", "o1", "n1"}),
    ],
)
@pytest.mark.parametrize("comes", ["before", "afterwards"])
def test_a_deletion_takes_what_it_names_and_nothing_else_whenever_it_is_written(
    database: Database, selection: Selection, gone: set[str], comes: str
) -> None:
    """`afterwards`: the content waited in the memory of some process while it was deleted."""
    if comes == "before":
        keep(database, *EVERYBODY)
        assert delete(database, selection) == Deleted(len(gone), 0)
    else:
        assert delete(database, selection) == Deleted(0, 0)
        keep(database, *EVERYBODY)
    everybody = {one.request_id for one in EVERYBODY}
    assert set(kept_ids(database)) == everybody - gone
    assert found(database) == everybody - gone
    later = [
        content(
            f"later-{one.request_id}",
            NOW_MS
            + CLOCKS_MS
            + 3_600_000,  # NOW_MS is the start of the whole run, the engine's clock goes on
            key=one.key,
            user=one.user,
            organisation=one.organisation,
        )
        for one in EVERYBODY
    ]
    keep(database, *later)
    assert {one for one in kept_ids(database) if one.startswith("later")} == {one.request_id for one in later}


def test_of_a_key_what_came_before_a_moment_can_be_deleted_alone(database: Database) -> None:
    old = [content(f"r{n}", BEFORE_MS + n) for n in range(10)]
    keep(database, *old[::2])
    assert delete(database, Selection("key", "key_1"), BEFORE_MS + 5) == Deleted(3, 0)
    keep(database, *old[1::2])
    assert kept_ids(database) == ["r5", "r6", "r7", "r8", "r9"]
    assert delete(database, Selection("key", "key_1"), BEFORE_MS + 1) == Deleted(0, 0)
    keep(database, *old[:5])
    assert kept_ids(database) == ["r5", "r6", "r7", "r8", "r9"], "an earlier, wider deletion still holds"


def test_what_a_killed_deletion_left_is_found_by_nobody_and_goes_with_the_next_upkeep(
    database: Database,
) -> None:
    keep(
        database, *(content(f"r{n:03d}", BEFORE_MS) for n in range(100)), content("x", BEFORE_MS, key="key_2")
    )
    database.write(lambda tx: begin(tx, Selection("key", "key_1"), None))
    assert len(kept_ids(database)) == 101
    assert found(database) == {"x"}
    assert upkeep(database, days=30).finished
    assert kept_ids(database) == ["x"]


def upkeep(database: Database, days: int) -> object:
    database.write(lambda tx: claim(tx, CONTENT_CHORE, "w", lease_ms=60_000, every_ms=0))
    return delete_old_content(database, days, holder="w", rest=lambda seconds: False)


def test_content_that_is_too_old_goes_and_old_deletions_are_forgotten(
    database: Database, clock: Clock
) -> None:
    day_ms = 86_400_000
    keep(database, *(content(f"r{n}", NOW_MS - n * day_ms - 1000) for n in range(40)))
    database.write(lambda tx: begin(tx, Selection("request", "nobody"), None))
    upkeep(database, days=30)
    assert len(kept_ids(database)) == 30
    remembered = "SELECT count(*) FROM content_deletions"
    assert database.read(lambda tx: tx.row(remembered)) == (1,)
    database.write(lambda tx: tx.change("UPDATE content_deletions SET at_ms = at_ms - ?", (KEEP_MS + 1,)))
    upkeep(database, days=30)
    assert database.read(lambda tx: tx.row(remembered)) == (0,)


def test_what_was_called_for_a_request_and_what_verifiers_quoted_of_it_go_with_its_content(
    database: Database,
) -> None:
    """Also where the call is written only afterwards; what was measured stays."""
    quoting = (Verdict("tests", "escalate", "1 test fails", {"failed": 1, "found": "the marker of a quote"}),)
    for name in ("mine", "other"):
        record_of(database, name, verdicts=quoting)
        record_of(database, f"{name}-judge", parent=name, verdicts=quoting)
    keep(
        database,
        content("mine", BEFORE_MS),
        content("mine-judge", BEFORE_MS, key="", user="", organisation=""),
    )
    keep(database, content("other", BEFORE_MS), content("other-judge", BEFORE_MS))
    assert delete(database, Selection("request", "mine")).requests == 2
    record_of(database, "mine-late", parent="mine")
    keep(database, content("mine-late", BEFORE_MS))
    assert kept_ids(database) == ["other", "other-judge"]
    assert found(database) == {"other", "other-judge"}
    assert quotes(database) == {"mine": False, "mine-judge": False, "other": True, "other-judge": True}
    rows = database.read(lambda tx: tx.rows("SELECT DISTINCT says, checks_nanousd FROM judged_attempts"))
    assert rows == [("escalate", 0)]
    # Records that waited in the memory of some process while it was deleted.
    record_of(database, "mine-later", parent="mine", verdicts=quoting)
    assert database.write(lambda tx: tx.change("UPDATE requests SET id = 'gone' WHERE id = 'mine'")) == 1
    assert database.write(sweep_all) == 1
    assert not quotes(database)["mine-later"]
    delete(database, Selection("key", "key_1"))
    assert quotes(database)["other"] is False
    delete(database, Selection("everything"))
    assert not any(quotes(database).values())


def quotes(database: Database) -> dict[str, bool]:
    """Whether records that were judged still quote."""
    found = database.read(lambda tx: tx.rows("SELECT id, detail FROM requests WHERE detail LIKE '%tests%'"))
    assert all('"failed":1' in detail and '"says":"escalate"' in detail for _, detail in found)
    return {request: "the marker of a quote" in detail for request, detail in found}


def record_of(
    database: Database, name: str, *, parent: str | None = None, verdicts: tuple[Verdict, ...] = ()
) -> None:
    made = Attempt("claude", "m", "ok", 200, verdicts=verdicts)
    record = Outcome(
        id=RequestId(name),
        at_ms=BEFORE_MS,
        purpose="live" if parent is None else "judge",
        surface="messages",
        endpoint="messages",
        requested_model="m",
        session="s",
        result="ok",
        status=200,
        stream=False,
        attempts=(made,),
        parent=RequestId(parent) if parent else None,
        key="key_1" if parent is None else "",
    )
    written = recorded(record, msgspec.json.encode(record).decode())
    for table, columns, made_rows in (
        ("requests", REQUESTS, [written.request]),
        ("judged_attempts", JUDGED, written.judged),
    ):
        marks = ", ".join("?" * len(columns))
        database.write(
            lambda tx, table=table, columns=columns, marks=marks, made=made_rows: tx.change_many(  # type: ignore[misc]
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", made
            )
        )


def test_content_goes_with_its_record(database: Database) -> None:
    columns = (
        "id, at_ms, purpose, surface, endpoint, requested_model, session, result, status, stream, simulated, "
        "attempt_count, cost_nanousd, input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, "
        "output_tokens, thinking_tokens, total_ms, request_bytes, response_bytes, config_version, catalogue_version, detail"
    )
    for name, at_ms in (("old", NOW_MS - 10 * 86_400_000), ("new", NOW_MS)):
        values = [name, at_ms, *["live"] * 6, 200, *[0] * 13, "c", "c", "{}"]
        database.write(
            lambda tx, values=values: tx.change(  # type: ignore[misc]
                f"INSERT INTO requests ({columns}) VALUES ({', '.join('?' * 25)})", values
            )
        )
        keep(database, content(name, at_ms))
    database.write(lambda tx: claim(tx, "retention", "w", lease_ms=60_000, every_ms=0))
    delete_old(database, Retention(3, 0), holder="w", rest=lambda seconds: False)
    assert kept_ids(database) == ["new"]


def kept_answer(database: Database, scope: str) -> bytes | None:
    row = database.read(lambda tx: tx.row("SELECT answer FROM idempotency_keys WHERE scope = ?", (scope,)))
    assert row is not None
    return None if row[0] is None else bytes(row[0])


@pytest.mark.parametrize("kind", ["request", "key", "user", "organisation", "everything"])
@pytest.mark.parametrize("comes", ["before", "afterwards"])
def test_answers_kept_for_idempotency_keys_go_with_the_content(
    database: Database, kind: str, comes: str
) -> None:
    def make(name: str, user: str, organisation: str) -> None:
        key = Key(id=name, name=name, organisation=organisation, user=user, created_ms=1)
        database.write(lambda tx: insert_key(tx, key, 1))

    make("key_1", "ann", "acme")
    make("key_9", "bob", "other")
    for scope, key in (("s1", "key_1"), ("s9", "key_9")):
        database.write(lambda tx, scope=scope, key=key: claim_once(tx, scope, "h", f"r-{scope}", "w", key))  # type: ignore[misc]
    if comes == "before":
        for scope in ("s1", "s9"):
            database.write(lambda tx, scope=scope: finish_once(tx, scope, f"r-{scope}", ANSWER))  # type: ignore[misc]
    selection = {
        "request": Selection("request", "r-s1"),
        "key": Selection("key", "key_1"),
        "user": Selection("user", "ann", "acme"),
        "organisation": Selection("organisation", "", "acme"),
        "everything": Selection("everything"),
    }[kind]
    deleted = delete(database, selection)
    if comes == "before":
        assert deleted.answers == (2 if kind == "everything" else 1)
    for scope in ("s1", "s9"):
        database.write(
            lambda tx, scope=scope: (
                None if comes == "before" else finish_once(tx, scope, f"r-{scope}", ANSWER)
            )
        )  # type: ignore[misc]
    assert kept_answer(database, "s1") is None
    assert kept_answer(database, "s9") == (None if kind == "everything" else ANSWER)
    earlier = database.write(lambda tx: claim_once(tx, "s1", "h", "r2", "w", "key_1"))
    assert earlier is not None
    assert (earlier.state, earlier.answer) == ("done", None), "that it was answered is still known"


def test_nothing_of_deleted_content_is_left_in_a_sqlite_stores_files(tmp_path: Path) -> None:
    """Not packed away, not in the log, not in a page that was used before."""
    store = tmp_path / "t.db"
    database = open_database(StoreSettings(url=f"sqlite:///{store}"), clock_ms=lambda: NOW_MS)
    source = random.Random(3)
    markers = {
        f"r{n}": source.randbytes(source.choice([40, 900, 30_000])) for n in range(60)
    }  # cannot be packed
    rows: list[Content] = [
        content(name, BEFORE_MS, request=marker, key="key_2" if name == "r7" else "key_1")
        for name, marker in markers.items()
    ]
    for start in range(0, len(rows), 7):
        keep(database, *rows[start : start + 7])
    database.write(lambda tx: claim_once(tx, "s", "h", "r", "w", "key_1"))
    database.write(lambda tx: finish_once(tx, "s", "r", markers["r1"] + b"!"))
    on_disk = bytes_of_files(store)
    pieces = {
        name: zlib.compress(marker, trimtab.store.content.tables.PACK_LEVEL)[20:36]
        for name, marker in markers.items()
    }
    assert all(piece in on_disk for piece in pieces.values()), "the test looks for what is there"
    database.write(lambda tx: begin(tx, Selection("key", "key_1"), None))
    assert finish(database, Selection("key", "key_1"))
    left = bytes_of_files(store)
    assert [name for name, piece in pieces.items() if piece in left] == ["r7"]
    assert markers["r1"][:16] not in left
    database.close()


def test_while_somebody_reads_all_the_time_the_command_says_that_the_log_holds_more(tmp_path: Path) -> None:
    store = StoreSettings(url=f"sqlite:///{tmp_path}/t.db")
    database = open_database(store, clock_ms=lambda: NOW_MS)
    reader = open_database(store, clock_ms=lambda: NOW_MS)
    keep(database, content("r1", BEFORE_MS))

    def while_reading(tx: object) -> bool:
        reader_view = tx.row("SELECT count(*) FROM content")  # type: ignore[attr-defined]
        assert reader_view == (1,)
        database.write(lambda other: begin(other, Selection("everything"), None))
        return finish(database, Selection("everything"))

    assert reader.read(while_reading) is False
    assert database.fold()
    assert kept_ids(database) == []
    reader.close()
    database.close()


def test_packing_makes_prose_small_and_noise_no_larger_than_it_was() -> None:
    noise = os.urandom(10_000)
    assert len(bytes(pack(content("r", 1, request=PROMPT * 100))[9] or b"")) < 500  # type: ignore[arg-type]
    assert len(bytes(pack(content("r", 1, request=noise))[9] or b"")) < 10_050  # type: ignore[arg-type]
