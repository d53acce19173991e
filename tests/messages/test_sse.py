"""Event streams: cut anywhere, joined again to the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages import SSEParser, encode_event
from trimtab.messages.sse import SLICE_BYTES, EventTooLarge, events_of, parse_block

TRANSCRIPT = (
    'event: message_start\ndata: {"type":"message_start"}\n\n'
    ": a comment\n\n"
    'event: content_block_delta\ndata: {"text":"日本語 🙂 é"}\n\n'
    "data: first\ndata: second\n\n"
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
NAMES = [b"message_start", b"", b"content_block_delta", b"", b"message_stop"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_split_of_a_transcript_gives_the_same_events(ending: str) -> None:
    raw = TRANSCRIPT.replace("\n", ending).encode()
    if ending == "\r":
        raw += b": end\r\r"  # a final CR could be half of a CRLF, so the last event waits for what follows
    for cut in range(len(raw) + 1):
        parser = SSEParser()
        events = parser.events(raw[:cut]) + parser.events(raw[cut:])
        assert b"".join(event.raw for event in events) + parser.tail == raw
        names = [event.name for event in events]
        assert names[:5] == NAMES
        assert events[3].data == b"first\nsecond"
        assert "日本語 🙂 é".encode() in events[2].data
        assert all(event.raw.endswith((ending * 2).encode()) for event in events)
        assert parser.at_boundary == (ending != "\r")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_tiny_pieces_give_the_same_events(ending: str, step: int) -> None:
    raw = TRANSCRIPT.replace("\n", ending).encode() + b"x"
    parser = SSEParser()
    events = [event for at in range(0, len(raw), step) for event in parser.events(raw[at : at + step])]
    assert [event.name for event in events] == NAMES
    assert parser.tail == b"x"


@given(st.text(alphabet="ab:\r\n ", max_size=60), st.lists(st.integers(1, 7)))
def test_no_byte_is_lost_or_changed_however_it_is_cut(text: str, sizes: list[int]) -> None:
    raw = text.encode()
    parser = SSEParser()
    got = b""
    at = 0
    for size in [*sizes, len(raw)]:
        got += b"".join(parser.feed(raw[at : at + size]))
        at += size
    assert got + parser.tail == raw
    assert parser.at_boundary == (parser.tail.strip(b"\r\n") == b"")


@given(st.text(alphabet="a\r\n", max_size=40), st.lists(st.integers(1, 4)))
def test_what_is_between_the_newlines_does_not_depend_on_the_chunks(text: str, sizes: list[int]) -> None:
    raw = text.encode()
    whole, cut = SSEParser(), SSEParser()
    expected = [block.strip(b"\r\n") for block in whole.feed(raw)]
    got = []
    at = 0
    for size in [*sizes, len(raw)]:
        got += [block.strip(b"\r\n") for block in cut.feed(raw[at : at + size])]
        at += size
    assert [block for block in got if block] == [block for block in expected if block]
    assert cut.tail.strip(b"\r\n") == whole.tail.strip(b"\r\n")
    assert cut.at_boundary == whole.at_boundary


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_run_of_newlines_is_one_end_of_one_event(newline: bytes) -> None:
    parser = SSEParser()
    blocks = parser.feed(b"data: x" + newline * 100_000 + b"data: y")
    assert len(blocks) == 1
    assert b"".join(blocks) + parser.tail == b"data: x" + newline * 100_000 + b"data: y"


@given(
    st.lists(st.binary(max_size=40).filter(lambda data: b"\n" not in data and b"\r" not in data)),
    st.integers(1, 9),
)
def test_what_the_writer_writes_the_parser_reads(payloads: list[bytes], step: int) -> None:
    raw = b"".join(encode_event("ping", data) for data in payloads)
    parser = SSEParser()
    events = [event for at in range(0, len(raw), step) for event in parser.events(raw[at : at + step])]
    assert [event.data for event in events] == payloads
    assert parser.at_boundary


def test_an_event_that_never_ends_is_refused() -> None:
    parser = SSEParser(max_event_bytes=1000)
    with pytest.raises(EventTooLarge):
        for _ in range(20):
            parser.feed(b"x" * 100)


def test_a_large_event_in_small_pieces_is_joined_once() -> None:
    parser = SSEParser()
    for _ in range(20_000):
        assert parser.feed(b"y" * 500) == []
    assert len(parser.feed(b"\n\n")[0]) == 10_000_002


def test_fields_without_a_colon_and_unknown_fields_follow_the_standard() -> None:
    assert parse_block(b"event\ndata\nid: 7\nretry: 1\n\n")[:2] == (b"", b"")
    assert parse_block(b"data:  two spaces\n\n").data == b" two spaces"


def test_of_a_whole_stream_no_more_events_are_read_than_are_wanted() -> None:
    stream = b"data: a\n\n" * 9 + b": comment\n\ndata: b\n\n"
    assert [event.data for event in events_of(stream)] == [*[b"a"] * 9, b"b"]
    assert len(list(events_of(stream, most=10))) == 9
    long = stream * (SLICE_BYTES // 50)
    assert len(list(events_of(long))) == 10 * (SLICE_BYTES // 50)
    assert len(list(events_of(long, most=30_000))) == 30_000 - 30_000 // 11
