"""What is read off replies, and the rules of event streams."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages import ReplyMeter, StreamMeter, StreamValidator, Usage, encode_event, merge_usage


def event(kind: str, **fields: object) -> bytes:
    return encode_event(kind, json.dumps({"type": kind, **fields}, ensure_ascii=False).encode())


START = event("message_start", message={"id": "msg_1", "model": "m", "content": [], "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}})  # fmt: skip
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": 'héllo "usage"'})
STOP = event("content_block_stop", index=0)
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 40})
FINAL = event("message_stop")
STREAM = START + BLOCK + event("ping") + DELTA + STOP + END + FINAL


@given(st.lists(st.integers(1, 60)))
def test_usage_is_merged_field_by_field_at_every_chunking(sizes: list[int]) -> None:
    meter, validator = StreamMeter(), StreamValidator()
    at = 0
    for size in [*sizes, len(STREAM)]:
        meter.feed(STREAM[at : at + size])
        validator.feed(STREAM[at : at + size])
        at += size
    assert meter.usage == Usage(input_tokens=10, cache_read_input_tokens=5, output_tokens=40)
    assert (meter.stop_reason, meter.complete, meter.saw_content, meter.at_boundary) == (
        "end_turn",
        True,
        True,
        True,
    )
    assert validator.finish() == []


def test_cumulative_usage_is_never_added() -> None:
    meter = StreamMeter()
    meter.feed(
        START + END + event("message_delta", delta={}, usage={"output_tokens": 55, "input_tokens": None})
    )
    assert meter.usage == Usage(input_tokens=10, cache_read_input_tokens=5, output_tokens=55)


def test_a_cut_stream_is_not_complete_and_not_at_a_boundary() -> None:
    meter = StreamMeter()
    meter.feed(START + BLOCK + DELTA[:-3])
    assert not meter.complete
    assert not meter.at_boundary


def test_compressed_replies_are_metered_on_a_copy() -> None:
    meter = StreamMeter(b"gzip")
    packed = gzip.compress(STREAM)
    for at in range(0, len(packed), 7):
        meter.feed(packed[at : at + 7])
    assert meter.complete
    assert not meter.at_boundary  # nothing may be written between compressed events
    body = json.dumps({"type": "message", "usage": {"input_tokens": 3, "output_tokens": 4}}).encode()
    assert ReplyMeter(gzip.compress(body), b"gzip").usage == Usage(input_tokens=3, output_tokens=4)


def test_what_cannot_be_read_is_unknown_not_an_exception() -> None:
    meter = StreamMeter(b"br")
    meter.feed(b"\x00\xff")
    assert not meter.readable
    meter = StreamMeter(b"gzip")
    meter.feed(b"not gzip at all")
    assert not meter.readable
    assert ReplyMeter(b"<html>").usage is None
    assert ReplyMeter(b'{"usage":{"input_tokens":"many"}}').usage is None
    assert ReplyMeter(b"[" * 5000).usage is None


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_make_a_meter_fail(first: bytes, second: bytes) -> None:
    for encoding in (b"", b"gzip", b"zstd"):
        meter = StreamMeter(encoding)
        meter.feed(first + b"\n\n")
        meter.feed(second)
        ReplyMeter(first, encoding)


def test_an_empty_refusal_shows_no_content() -> None:
    assert not ReplyMeter(b'{"content":[],"stop_reason":"refusal","usage":{"input_tokens":9}}').has_content
    assert ReplyMeter(b'{"content":[{"type":"text"}]}').has_content


def test_merging_keeps_the_later_value_where_there_is_one() -> None:
    merged = merge_usage(Usage(input_tokens=1, output_tokens=2), Usage(output_tokens=3, speed="fast"))
    assert merged == Usage(input_tokens=1, output_tokens=3, speed="fast")


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (START + START, "a second message_start"),
        (BLOCK, "before message_start"),
        (START + END + END + event("message_stop") + event("ping"), "after the end of the stream"),
        (START + BLOCK + BLOCK, "starts while block 0 is open"),
        (START + event("content_block_start", index=1, content_block={"type": "text"}), "block index 1, expected 0"),
        (START + BLOCK + event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "x"}), "thinking_delta inside a text block"),
        (START + BLOCK + event("content_block_delta", index=3, delta={"type": "text_delta"}), "delta for block 3"),
        (START + event("content_block_start", index=0, content_block={"type": "tool_use"}) + event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{"}) + STOP, "is not JSON"),
        (START + BLOCK + END, "while a block is open"),
        (START + FINAL, "message_stop without message_delta"),
        (START + BLOCK + DELTA + STOP, "without message_stop or error"),
        (STREAM + b"event: pi", "ends inside an event"),
        (encode_event("ping", b"{"), "is not a JSON object"),
        (encode_event("ping", b'{"type":"pong"}'), "differ"),
    ],
)  # fmt: skip
def test_the_validator_names_what_breaks_the_rules(stream: bytes, problem: str) -> None:
    validator = StreamValidator()
    validator.feed(stream)
    assert any(problem in found for found in validator.finish()), validator.problems


def test_unknown_events_blocks_and_deltas_are_allowed() -> None:
    validator = StreamValidator()
    validator.feed(
        START
        + event("content_block_start", index=0, content_block={"type": "new_block"})
        + event("content_block_delta", index=0, delta={"type": "new_delta"})
        + STOP + event("new_event") + END + FINAL
    )  # fmt: skip
    assert validator.finish() == []
