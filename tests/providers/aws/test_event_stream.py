"""The event stream of InvokeModel: whatever is cut, repeated or broken, events come out whole or the stream breaks."""

import json
import struct
import zlib
from typing import Any

import pytest
from aws_event_frames import chunk, exception, frame, header
from botocore.eventstream import EventStreamBuffer
from botocore.eventstream import ParserError as TheirError
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import UpstreamBroken
from trimtab.providers.aws.event_stream import InvokeStream
from trimtab.providers.aws.frames import MAX_HEADERS_BYTES, MAX_PAYLOAD_BYTES, Frames

EVENT = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"h\xc3\xa9"}}'
LINES = b"event: content_block_delta\ndata: " + EVENT + b"\n\n"


def read(*pieces: bytes) -> bytes:
    stream = InvokeStream("req_1")
    return b"".join(stream.feed(piece) for piece in pieces) + stream.finish()


def error_of(raw: bytes) -> dict[str, Any]:
    last = raw.removesuffix(b"\n\n").split(b"\n\n")[-1]
    assert last.startswith(b"event: error\ndata: ")
    found: dict[str, Any] = json.loads(last.partition(b"data: ")[2])
    return found


def test_split_at_every_offset_the_same_events_come_out() -> None:
    data = chunk({"type": "message_start"}) + chunk(EVENT) + chunk({"type": "message_stop"})
    expected = read(data)
    assert LINES in expected
    for at in range(len(data) + 1):
        assert read(data[:at], data[at:]) == expected, at
    assert read(*(data[at : at + 1] for at in range(len(data)))) == expected


def test_no_event_waits_for_a_later_one() -> None:
    stream = InvokeStream("")
    first = chunk(EVENT)
    assert stream.feed(first + chunk(EVENT)[:20]) == LINES


HEADER_VALUES = st.one_of(
    st.tuples(st.just(0), st.just(b"")),
    st.tuples(st.just(1), st.just(b"")),
    st.tuples(st.just(2), st.binary(min_size=1, max_size=1)),
    st.tuples(st.just(3), st.binary(min_size=2, max_size=2)),
    st.tuples(st.just(4), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(5), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(6), st.binary(max_size=30)),
    st.tuples(st.just(7), st.text(max_size=30).map(str.encode)),
    st.tuples(st.just(8), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(9), st.binary(min_size=16, max_size=16)),
)
HEADERS = st.dictionaries(st.text(":abc-é", min_size=1, max_size=8), HEADER_VALUES, max_size=5)


def written(headers: dict[str, tuple[int, bytes]]) -> bytes:
    made = b""
    for name, (kind, value) in headers.items():
        length = struct.pack(">H", len(value)) if kind in (6, 7) else b""
        made += bytes([len(name.encode())]) + name.encode() + bytes([kind]) + length + value
    return made


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


@given(
    st.lists(st.tuples(HEADERS, st.binary(max_size=200)), max_size=4),
    st.lists(st.integers(0, 5000), max_size=6),
)
def test_frames_are_read_as_the_library_of_aws_reads_them(
    frames: list[tuple[dict[str, tuple[int, bytes]], bytes]], places: list[int]
) -> None:
    data = b"".join(frame(written(headers), payload) for headers, payload in frames)
    theirs = EventStreamBuffer()
    theirs.add_data(data)
    expected = [
        ({name: value for name, value in event.headers.items() if isinstance(value, str)}, event.payload)
        for event in theirs
    ]
    # The library gives byte strings and UUIDs as other types; strings are what frames are read by.
    ours = Frames()
    made = [found for piece in cut(data, places) for found in ours.feed(piece)]
    assert [payload for _, payload in made] == [payload for _, payload in expected]
    for (headers, _), (kept, _), (source, _) in zip(made, expected, frames, strict=True):
        strings = {name: value.decode() for name, (kind, value) in source.items() if kind == 7}
        assert headers == strings
        assert strings.items() <= kept.items()
    assert not ours.inside


@given(st.data())
def test_one_wrong_bit_is_a_broken_stream_and_never_another_event(data: st.DataObject) -> None:
    good = chunk(EVENT)
    raw = bytearray(good + chunk(EVENT))
    at = data.draw(st.integers(len(good), len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    stream = InvokeStream("")
    made = b""
    with pytest.raises(UpstreamBroken):
        for piece in (*cut(bytes(raw), data.draw(st.lists(st.integers(0, 1000), max_size=4))), b""):
            made += stream.feed(piece)
        made += stream.finish()
    assert made == LINES, "what came whole before the break is given"


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_no_bytes_make_the_reader_fail_otherwise(raw: bytes, places: list[int]) -> None:
    stream = InvokeStream("")
    try:
        made = b"".join(stream.feed(piece) for piece in cut(raw, places)) + stream.finish()
    except UpstreamBroken:
        return
    assert made == b""
    assert raw == b""


@given(st.binary(max_size=60), HEADERS)
def test_a_frame_whose_headers_cannot_be_read_is_broken_as_it_is_for_aws(
    raw: bytes, headers: dict[str, tuple[int, bytes]]
) -> None:
    block = written(headers) + raw
    theirs = EventStreamBuffer()
    theirs.add_data(frame(block, b"x"))
    try:
        next(theirs)
    except (TheirError, struct.error, UnicodeDecodeError, KeyError, IndexError):
        with pytest.raises(UpstreamBroken):
            list(Frames().feed(frame(block, b"x")))
    else:
        try:
            [(_, payload)] = Frames().feed(frame(block, b"x"))
        except UpstreamBroken:
            assert raw, (
                "AWS's library takes a last value that the end of the block cuts short; here that is broken"
            )
        else:
            assert payload == b"x"


def test_sizes_that_no_frame_has_are_refused_before_anything_is_kept() -> None:
    for total, headers in (
        (MAX_PAYLOAD_BYTES + 17, 0),
        (MAX_HEADERS_BYTES + 17, MAX_HEADERS_BYTES + 1),
        (15, 0),
        (0, 0),
        (20, 5),
        (0xFFFFFFFF, 0),
    ):
        prelude = struct.pack(">II", total, headers)
        with pytest.raises(UpstreamBroken, match="says"):
            list(Frames().feed(prelude + struct.pack(">I", zlib.crc32(prelude))))


def test_a_long_frame_that_comes_in_small_pieces_is_looked_at_once_it_is_whole() -> None:
    big = frame(header(":event-type", "chunk"), b"x" * 2_000_000)
    frames = Frames()
    found = [made for at in range(0, len(big), 1000) for made in frames.feed(big[at : at + 1000])]
    assert [len(payload) for _, payload in found] == [2_000_000]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("internalServerException", "api_error"),
        ("modelStreamErrorException", "api_error"),
        ("validationException", "invalid_request_error"),
        ("throttlingException", "rate_limit_error"),
        ("modelTimeoutException", "timeout_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("somethingNewException", "api_error"),
        ("", "api_error"),
    ],
)
def test_an_exception_ends_the_stream_with_one_error_event(name: str, kind: str) -> None:
    raw = read(chunk(EVENT) + exception(name, "why") + chunk(EVENT) + b"garbage")
    assert raw.startswith(LINES)
    assert raw.count(b"event: ") == 2
    error = error_of(raw)
    assert error["type"] == "error"
    assert error["error"]["type"] == kind
    assert "why" in error["error"]["message"]
    assert error["request_id"] == "req_1"


def test_after_an_exception_nothing_more_is_read() -> None:
    stream = InvokeStream("")
    assert stream.feed(exception("throttlingException"))
    assert stream.feed(b"anything") == b""
    assert stream.finish() == b""


def test_an_exception_of_the_model_carries_the_models_words() -> None:
    raw = read(
        exception("modelStreamErrorException", "failed", originalStatusCode=400, originalMessage="bad")
    )
    assert error_of(raw)["error"]["message"] == "modelStreamErrorException: failed (bad)"


def test_an_error_frame_is_an_error_event_too() -> None:
    headers = (
        header(":message-type", "error")
        + header(":error-code", "InternalFailure")
        + header(":error-message", "oops")
    )
    assert error_of(read(frame(headers, b"")))["error"] == {
        "type": "api_error",
        "message": "InternalFailure: oops",
    }


def test_events_of_other_kinds_are_passed_over() -> None:
    other = frame(header(":event-type", "initial-response") + header(":message-type", "event"), b"{}")
    assert read(other + chunk(EVENT) + chunk({"usage": 1})) == LINES


def test_json_over_several_lines_stays_one_event() -> None:
    spread = b'{\n  "type": "ping",\r\n  "a": 1\r}'
    assert (
        read(chunk(spread)) == b'event: ping\ndata: {\ndata:   "type": "ping",\ndata:   "a": 1\ndata: }\n\n'
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"bytes":1}',
        b'{"bytes":"%%"}',
        b'{"bytes":"e30"}',
        b'{"bytes":"bm8="}',
        b'{"bytes":"//8="}',
    ],
)
def test_a_chunk_that_holds_no_event_is_broken(payload: bytes) -> None:
    headers = header(":event-type", "chunk") + header(":message-type", "event")
    with pytest.raises(UpstreamBroken, match="cannot be read"):
        read(frame(headers, payload))


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a: b", "é"])
def test_a_type_that_would_write_lines_of_its_own_is_broken(name: str) -> None:
    with pytest.raises(UpstreamBroken, match="has the type"):
        read(chunk({"type": name}))


def test_what_came_before_a_break_is_given_and_the_next_call_raises() -> None:
    stream = InvokeStream("")
    assert stream.feed(chunk(EVENT) + b"\0" * 16) == LINES
    with pytest.raises(UpstreamBroken):
        stream.feed(b"")
    with pytest.raises(UpstreamBroken):
        stream.finish()
