"""What calls leave is written by a thread of its own, within bounds, and never holds anything else up."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.content import Capture, ContentSettings, Keeper
from trimtab.content.capture import CHUNK_BYTES, WHOLE_BYTES, Copied, Room
from trimtab.content.keeper import content_of
from trimtab.errors import StoreError
from trimtab.messages import encode_event
from trimtab.records import Outcome, RequestId
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.content import ContentStore

FULL = ContentSettings(keep="full")
REDACTED = ContentSettings(keep="redacted")
PROMPT = b'{"messages":[{"role":"user","content":"mail ann@example.com"}]}'
ANSWER = b'{"content":[{"type":"text","text":"done, 4111 1111 1111 1111"}]}'


def outcome(name: str = "r1", **changes: Any) -> Outcome:
    made = Outcome(
        id=RequestId(name),
        at_ms=1_800_000_000_000,
        purpose="live",
        surface="messages",
        endpoint="messages",
        requested_model="m",
        session="s",
        result="ok",
        status=200,
        stream=False,
        key="key_1",
        organisation="acme",
        team="red",
        user="ann",
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(
        StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=lambda: 1_800_000_000_000
    )
    yield opened
    opened.close()


def leave(
    capture: Capture, of: Outcome, request: bytes = PROMPT, *chunks: bytes, stream: bool = False
) -> None:
    """A call goes through."""
    copy = capture.begin(request)
    for chunk in chunks:
        copy.add(chunk)
    copy.add(b"")
    copy.end(of, stream, b"")


def capture_of(keeper: Keeper, settings: ContentSettings) -> Capture:
    capture = keeper.under(settings)
    assert capture is not None
    return capture


def test_where_the_policy_is_off_there_is_nothing_to_call(database: Database) -> None:
    keeper = Keeper(ContentStore(database), on_problem=pytest.fail)
    assert keeper.under(ContentSettings()) is None
    assert keeper.close() == 0


def test_full_keeps_the_exact_bytes_and_redacted_none_of_what_it_knows(database: Database) -> None:
    store = ContentStore(database)
    keeper = Keeper(store, on_problem=pytest.fail)
    leave(capture_of(keeper, FULL), outcome("full"), PROMPT, ANSWER[:7], ANSWER[7:])
    leave(capture_of(keeper, REDACTED), outcome("redacted"), PROMPT, ANSWER)
    assert keeper.close() == 0
    full, redacted = store.find("full"), store.find("redacted")
    assert full is not None
    assert redacted is not None
    assert (full.request, full.answer, full.answer_kind, full.mode) == (PROMPT, ANSWER, "json", "full")
    assert (full.key, full.organisation, full.team, full.user, full.purpose) == (
        "key_1",
        "acme",
        "red",
        "ann",
        "live",
    )
    assert redacted.request == PROMPT.replace(b"ann@example.com", b"[redacted: email]")
    assert redacted.answer == ANSWER.replace(b"4111 1111 1111 1111", b"[redacted: card]")
    assert not redacted.request_cut
    assert not redacted.answer_cut
    assert (keeper.kept, keeper.dropped, keeper.waiting_bytes) == (2, 0, 0)


def test_simulated_requests_are_left_out_where_that_is_asked_for(database: Database) -> None:
    store = ContentStore(database)
    keeper = Keeper(store, on_problem=pytest.fail)
    capture = capture_of(keeper, ContentSettings(keep="full", simulated=False))
    leave(capture, outcome("simulated", simulated=True), PROMPT, ANSWER)
    leave(capture, outcome("real"), PROMPT, ANSWER)
    keeper.close()
    assert store.find("simulated") is None
    assert store.find("real") is not None
    assert (keeper.kept, keeper.dropped, keeper.waiting_bytes) == (1, 0, 0)


class Kept:
    """A sink that keeps copies in a list."""

    def __init__(self) -> None:
        self.copies: list[Copied] = []
        self.dropped = 0

    def put(self, copied: Copied) -> None:
        self.copies.append(copied)

    def drop(self) -> None:
        self.dropped += 1


@given(st.lists(st.binary(max_size=700), max_size=8), st.integers(1024, 3000))
def test_what_is_longer_than_the_limit_is_cut_there_and_marked(chunks: list[bytes], most: int) -> None:
    sink = Kept()
    leave(
        Capture(ContentSettings(keep="full", max_bytes=most), Room(), sink),
        outcome(),
        b"q" * (most + 5),
        *chunks,
    )
    kept = content_of(sink.copies[0])
    whole = b"".join(chunks)
    assert (kept.request, kept.request_cut, kept.request_bytes) == (b"q" * most, True, most + 5)
    assert (kept.answer or b"", kept.answer_cut, kept.answer_bytes) == (
        whole[:most],
        len(whole) > most,
        len(whole),
    )


def test_a_redacted_side_is_cut_after_it_was_redacted_and_never_inside_a_character() -> None:
    sink = Kept()
    settings = ContentSettings(keep="redacted", max_bytes=1024)
    secret = "sk-ant-" + "aB3" * 20
    prompt = json.dumps({"a": "é" * 506 + " " + secret}, ensure_ascii=False).encode()
    leave(Capture(settings, Room(), sink), outcome(), prompt)
    kept = content_of(sink.copies[0])
    assert kept.request is not None
    assert kept.request_cut
    assert len(kept.request) <= 1024
    assert kept.request.decode().startswith('{"a":"ééé')
    assert b"sk-ant" not in kept.request


def test_what_cannot_be_redacted_is_not_kept() -> None:
    sink = Kept()
    leave(
        Capture(REDACTED, Room(), sink),
        outcome(),
        b"no json: ann@example.com",
        b"<html>ann@example.com</html>",
    )
    kept = content_of(sink.copies[0])
    assert (kept.request, kept.request_cut, kept.answer, kept.answer_cut, kept.answer_kind) == (
        None,
        True,
        None,
        True,
        "",
    )


def test_a_redacted_answer_longer_than_can_be_read_whole_is_not_kept() -> None:
    sink = Kept()
    leave(Capture(REDACTED, Room(), sink), outcome(), PROMPT, b'{"a":"' + b"x" * WHOLE_BYTES, b'"}')
    kept = content_of(sink.copies[0])
    assert (kept.answer, kept.answer_cut) == (None, True)
    assert kept.request is not None


def test_a_call_that_got_no_answer_leaves_its_prompt() -> None:
    sink = Kept()
    leave(Capture(FULL, Room(), sink), outcome(), PROMPT)
    kept = content_of(sink.copies[0])
    assert (kept.request, kept.answer, kept.answer_kind, kept.answer_cut) == (PROMPT, None, "", False)


def test_an_error_that_is_no_json_is_kept_as_bytes_in_full_mode() -> None:
    sink = Kept()
    leave(Capture(FULL, Room(), sink), outcome(), PROMPT, b"<html>bad gateway</html>")
    assert content_of(sink.copies[0]).answer_kind == "other"


def test_a_stream_is_kept_as_its_events_or_as_the_message_that_it_spells() -> None:
    events = [
        encode_event("message_start", b'{"type":"message_start","message":{"id":"m","content":[]}}'),
        encode_event("content_block_start", b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'),
        encode_event("content_block_delta", b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ann@exa"}}'),
        encode_event("content_block_delta", b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"mple.com"}}'),
        encode_event("message_stop", b'{"type":"message_stop"}'),
    ]  # fmt: skip
    sink = Kept()
    leave(Capture(FULL, Room(), sink), outcome(), PROMPT, *events, stream=True)
    leave(Capture(REDACTED, Room(), sink), outcome(), PROMPT, *events, stream=True)
    full, redacted = map(content_of, sink.copies)
    assert (full.answer, full.answer_kind) == (b"".join(events), "sse")
    assert redacted.answer_kind == "json"
    assert redacted.answer == b'{"id":"m","content":[{"type":"text","text":"[redacted: email]"}]}'


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.lists(st.integers(0, 900), max_size=4)), max_size=12),
    st.integers(0, 9000),
)
def test_copies_never_hold_more_than_their_room_and_give_back_all_of_it(
    calls: list[tuple[int, list[int]]], most: int
) -> None:
    room, sink = Room(most), Kept()
    capture = Capture(FULL, room, sink)
    open_copies = []
    for request, chunks in calls:
        copy = capture.begin(b"q" * request)
        open_copies.append(copy)
        for chunk in chunks:
            copy.add(b"a" * chunk)
            assert room.held <= most
    for copy in open_copies:
        copy.end(outcome(), False, b"")
    assert room.held == sum(one.room for one in sink.copies) <= most
    assert len(sink.copies) + sink.dropped == len(calls)
    for one in sink.copies:
        assert one.room >= len(one.request) + sum(map(len, one.answer))
        assert all(len(part) + CHUNK_BYTES <= one.room for part in one.answer)


class Away:
    """A store that is away until it is told otherwise."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self.back = threading.Event()
        self.asked = threading.Event()

    def add(self, rows: Sequence[Any]) -> None:
        self.asked.set()
        if not self.back.is_set():
            raise StoreError("store: away")
        self._store.add(rows)


def test_while_the_store_is_away_content_waits_and_is_then_written(
    database: Database, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    lines: list[str] = []
    away = Away(ContentStore(database))
    keeper = Keeper(away, on_problem=lines.append)  # type: ignore[arg-type]
    capture = capture_of(keeper, FULL)
    leave(capture, outcome("r1"), PROMPT, ANSWER)
    assert away.asked.wait(60)
    leave(capture, outcome("r2"), PROMPT, ANSWER)
    assert keeper.waiting_bytes > 0
    away.back.set()
    eventually(lambda: keeper.kept == 2)
    eventually(lambda: keeper.waiting_bytes == 0)
    assert [line.split(";")[0] for line in lines] == ["content: store: away", "content: is written again"]
    assert keeper.close() == 0


def test_a_stop_while_the_store_is_away_gives_up_in_time_and_says_how_many(database: Database) -> None:
    away = Away(ContentStore(database))
    keeper = Keeper(away, on_problem=lambda line: None)  # type: ignore[arg-type]
    capture = capture_of(keeper, FULL)
    for n in range(3):
        leave(capture, outcome(f"r{n}"), PROMPT, ANSWER)
    assert away.asked.wait(60)
    keeper.close()
    assert keeper.dropped == 3
    leave(capture, outcome("late"), PROMPT, ANSWER)
    assert keeper.dropped == 4
    assert keeper.waiting_bytes == 0


def test_many_calls_are_all_written(database: Database) -> None:
    store = ContentStore(database)
    keeper = Keeper(store, on_problem=pytest.fail)
    capture = capture_of(keeper, FULL)
    for n in range(500):
        leave(capture, outcome(f"r{n:03d}"), PROMPT, ANSWER * (n % 50))
    assert keeper.close(60) == 0
    assert store.summary().requests == 500
    assert (keeper.kept, keeper.dropped, keeper.waiting_bytes) == (500, 0, 0)
