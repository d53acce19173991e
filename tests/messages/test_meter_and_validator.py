"""What is read off replies, and the rules of event streams."""

import gzip
import json
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages import (
    CacheCreation,
    IterationUsage,
    ReplyMeter,
    ServerToolUse,
    StreamMeter,
    StreamValidator,
    Usage,
    encode_event,
    merge_usage,
)
from trimtab.messages import meter as meter_module
from trimtab.messages.usage import MAX_ITERATIONS, highest_usage


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
    assert ReplyMeter(b'{"usage":{"input_tokens":"many"}}').usage == Usage()
    assert ReplyMeter(b'{"usage":[]}').usage is None
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


def delta(usage: object, **fields: object) -> bytes:
    return event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage, **fields)


def metered(*events: bytes) -> StreamMeter:
    meter = StreamMeter()
    meter.feed(b"".join(events))
    return meter


STATE = [name for name in (*StreamMeter.__slots__, "at_boundary") if not name.startswith("_")]


def state(meter: StreamMeter) -> dict[str, object]:
    return {name: getattr(meter, name) for name in STATE}


@pytest.mark.parametrize(
    ("odd", "usage"),
    [
        ({"output_tokens": 500.0}, Usage(output_tokens=500)),
        ({"output_tokens": 7, "server_tool_use": []}, Usage(output_tokens=7)),
        ({"output_tokens": 7, "inference_geo": {}, "speed": 5}, Usage(output_tokens=7)),
        ({"output_tokens": 7, "cache_creation": {"ephemeral_5m_input_tokens": -1, "ephemeral_1h_input_tokens": 2.0}}, Usage(output_tokens=7, cache_creation=CacheCreation(ephemeral_1h_input_tokens=2))),
        ({"output_tokens": -7, "input_tokens": 3}, Usage(input_tokens=3)),
        ({"output_tokens": True, "input_tokens": 3}, Usage(input_tokens=3)),
        ({"output_tokens": "9", "input_tokens": 10**13}, Usage()),
        ({"output_tokens": 1.5, "input_tokens": 10**400}, Usage()),
        ({"output_tokens": 7, "service_tier": "x" * 300}, Usage(output_tokens=7, service_tier="x" * 200)),
        ({"output_tokens": 7, "speed": None, "iterations": [{"type": 5, "model": [], "output_tokens": 7.0}]}, Usage(output_tokens=7, iterations=[IterationUsage(output_tokens=7)])),
        ({"output_tokens": 7, "iterations": [{"output_tokens": -7}]}, None),
        ({"output_tokens": 7, "iterations": [{"output_tokens": 7}, 5]}, None),
        ({"output_tokens": 7, "iterations": {}}, None),
        ({"output_tokens": 7, "iterations": [{}] * (MAX_ITERATIONS + 1)}, None),
        ({"output_tokens": 7, "iterations": [{"x": "y" * 2_000}] * 600}, None),
        ([], None),
        ("many", None),
    ],
)  # fmt: skip
def test_an_odd_field_of_usage_hides_only_itself(odd: object, usage: Usage | None) -> None:
    meter = metered(delta(odd))
    assert (meter.usage, meter.stop_reason) == (usage, "end_turn")
    reply = ReplyMeter(json.dumps({"model": "m", "stop_reason": "end_turn", "usage": odd}).encode())
    assert (reply.usage, reply.stop_reason, reply.model) == (usage, "end_turn", "m")


def test_an_odd_field_elsewhere_hides_only_itself() -> None:
    start = event("message_start", message={"id": 5, "model": ["m"], "usage": {"input_tokens": 4}})
    meter = metered(start, event("message_delta", delta=[], usage={"output_tokens": 2}, error=5, message="x"))
    assert (meter.usage, meter.model, meter.final) == (Usage(input_tokens=4, output_tokens=2), None, False)
    meter.feed(FINAL)
    assert meter.final  # it ended properly, so the last count is the final one
    assert metered(event("error", error="overloaded")).error_type == "api_error"
    assert metered(event("error", error={"type": 5})).error_type == "api_error"
    reply = ReplyMeter(b'{"error":{"type":"overloaded_error","message":"Busy"},"content":5,"type":7}')
    assert (reply.error_type, reply.error_message, reply.has_content) == ("overloaded_error", "Busy", True)


def test_bytes_that_are_no_text_hide_only_their_string() -> None:
    bad = b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"\xff"},"usage":{"output_tokens":3,"speed":"\xfe"}}\n\n'
    meter = metered(START, bad)
    assert (meter.stop_reason, meter.usage and meter.usage.output_tokens, meter.final) == (None, 3, False)
    reply = ReplyMeter(b'{"model":"\xff","usage":{"output_tokens":3}}')
    assert (reply.model, reply.usage) == (None, Usage(output_tokens=3))
    metered(b'event: message_delta\ndata: {"type":"\xff"}\n\n', b'data: {"\xff":1}\n\n', b"data: \xff\n\n")


def test_strings_that_are_kept_are_cut() -> None:
    long = "x" * 10_000
    meter = metered(
        event("message_start", message={"model": long}),
        event("message_delta", delta={"stop_reason": long}),
        event("error", error={"type": long}),
    )
    assert [len(text or "") for text in (meter.model, meter.stop_reason, meter.error_type)] == [200] * 3
    reply = ReplyMeter(
        json.dumps({"model": long, "stop_reason": long, "error": {"type": long, "message": long}}).encode()
    )
    assert {
        len(text or "") for text in (reply.model, reply.stop_reason, reply.error_type, reply.error_message)
    } == {200}


@pytest.mark.parametrize(
    ("events", "final"),
    [
        ([START], False),
        ([START, END], True),
        ([START, event("message_delta", delta={"stop_reason": "end_turn"})], False),
        ([START, delta({"output_tokens": None})], False),
        ([START, delta({"output_tokens": "many"})], False),
        ([START, delta({"output_tokens": 0})], True),
        ([END], False),  # the input is unknown
        ([delta({"input_tokens": 1, "output_tokens": 2})], True),
        ([START, END, event("message_delta", delta={})], True),
        ([START, END, delta([])], False),  # newer counts exist, and they are unknown
    ],
)
def test_counts_are_final_when_the_last_ones_were_read(events: list[bytes], final: bool) -> None:
    assert metered(*events).final is final


ENDED = (START, BLOCK, DELTA, STOP, END, FINAL)
TOLD = Usage(input_tokens=10, cache_read_input_tokens=5, output_tokens=40)


@pytest.mark.parametrize(
    "late",
    [
        event("ping"),
        b'data: {"type": "ping"}\n\n',
        b": a comment\n\n",
        event("a_kind_to_come", usage={"output_tokens": 5000}),
        event("message_delta", delta={"stop_reason": "tool_use"}),
        FINAL,
        event("error", error={"type": "overloaded_error"}),
    ],
)
def test_what_counts_nothing_after_the_end_leaves_the_bill_as_reported(late: bytes) -> None:
    meter = metered(*ENDED, late, late)
    assert (meter.usage, meter.final, meter.stop_reason) == (TOLD, True, "end_turn")


@pytest.mark.parametrize(
    ("late", "usage"),
    [
        (END, TOLD),
        (delta({"output_tokens": 900}), Usage(input_tokens=10, cache_read_input_tokens=5, output_tokens=900)),
        (delta({"output_tokens": 3, "input_tokens": 11}), Usage(input_tokens=11, cache_read_input_tokens=5, output_tokens=40)),
        (delta("many"), TOLD),
        (event("message_start", message={"model": "other", "usage": {"input_tokens": 2, "output_tokens": 1}}), TOLD),
        (event("message_start", message={"usage": {"server_tool_use": {"web_search_requests": 2}}}), Usage(input_tokens=10, cache_read_input_tokens=5, output_tokens=40, server_tool_use=ServerToolUse(web_search_requests=2))),
        (DELTA, TOLD),
        (BLOCK, TOLD),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ends_again", [False, True])
def test_content_or_counts_after_the_end_make_the_bill_uncertain_and_never_lower(
    late: bytes, usage: Usage, ends_again: bool
) -> None:
    meter = metered(*ENDED, late, *([FINAL] if ends_again else []))
    assert (meter.usage, meter.final, meter.model) == (usage, False, "m")


@given(
    st.lists(st.sampled_from([START, BLOCK, DELTA, END, FINAL, event("ping"), delta({"output_tokens": 7})]))
)
def test_nothing_after_the_end_lowers_a_count(late: list[bytes]) -> None:
    usage = metered(*ENDED, *late).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (10, 40)


def test_the_highest_of_two_usages_lowers_nothing() -> None:
    one = Usage(input_tokens=5, speed="fast", iterations=[IterationUsage(output_tokens=1)])
    two = Usage(
        output_tokens=2, input_tokens=3, speed="standard", iterations=[IterationUsage(), IterationUsage()]
    )
    assert highest_usage(one, two) == Usage(
        input_tokens=5, output_tokens=2, speed="fast", iterations=[IterationUsage(), IterationUsage()]
    )
    assert highest_usage(None, two) is two


def test_a_replys_counts_are_final_when_both_are_there() -> None:
    assert ReplyMeter(b'{"usage":{"input_tokens":0,"output_tokens":0}}').final
    assert not ReplyMeter(b'{"usage":{"input_tokens":1}}').final
    assert not ReplyMeter(b'{"usage":{"output_tokens":1,"input_tokens":null}}').final
    assert not ReplyMeter(b"{}").final


@pytest.mark.parametrize("named", [True, False])
def test_searches_and_results_of_server_tools_are_counted(named: bool) -> None:
    def start(**block: object) -> bytes:
        whole = event("content_block_start", index=0, content_block=block)
        return whole if named else whole[whole.index(b"data:") :]

    result = start(type="web_search_tool_result", content=[{"text": "y" * 500}])
    other = start(type="text", text='"server_tool_use" and "_tool_result"')
    search = start(type="server_tool_use", name="web_search", input={})
    fetch = start(type="server_tool_use", name="web_fetch", input={})
    meter = metered(START, search, result, fetch, search, other, start(type="tool_use", name="web_search"))
    assert (meter.server_tool_uses, meter.tool_result_bytes) == (2, len(result))
    assert meter.content_bytes >= 500
    assert (
        metered(start(type="server_tool_use", name=5), start(type=[], name="_tool_result")).server_tool_uses
        == 0
    )


@pytest.mark.parametrize("content", [b"[]", b"[ \n]"])
def test_an_empty_content_list_is_seen_without_decoding(content: bytes) -> None:
    assert not ReplyMeter(b'{"content":%b}' % content).has_content


def test_a_long_content_list_is_not_taken_apart() -> None:
    body = b'{"content":[' + b"0," * 500_000 + b'0],"usage":{"input_tokens":1,"output_tokens":2}}'
    tracemalloc.start()
    try:
        reply = ReplyMeter(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reply.final
    assert reply.has_content
    assert peak < 200_000


def bomb(piece: bytes, size: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return (
        b"".join(packer.compress(piece * 4096) for _ in range(size // (len(piece) * 4096))) + packer.flush()
    )


@pytest.mark.parametrize("piece", [b"\n", b"\r", b" ", b"x\n\n"])
def test_a_small_reply_that_unpacks_to_a_huge_one_is_given_up_early(piece: bytes) -> None:
    packed = bomb(piece, 300_000_000)
    tracemalloc.start()
    try:
        meter = StreamMeter(b"gzip")
        meter.feed(packed)
        reply = ReplyMeter(packed, b"gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not meter.readable
    assert reply.usage is None
    assert peak < 20_000_000


def test_a_bomb_in_tiny_pieces_is_given_up_too() -> None:
    packed = bomb(b"\n", 50_000_000)
    meter = StreamMeter(b"gzip")
    for at in range(0, len(packed), 100):
        meter.feed(packed[at : at + 100])
    assert not meter.readable


def test_what_is_unpacked_of_one_reply_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "MAX_UNPACKED_BYTES", 10_000)
    packed = gzip.compress(STREAM * 5)
    meter = StreamMeter(b"gzip")
    meter.feed(packed)
    assert meter.complete
    meter.feed(packed)  # another member: what follows the end is not read
    assert meter.readable
    meter = StreamMeter(b"gzip")
    meter.feed(gzip.compress(STREAM * 50))
    assert not meter.readable


def test_a_long_compressed_stream_is_read_whole() -> None:
    words = random.Random(0)
    deltas = b"".join(
        event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": words.choice("abcdefgh") * 3}
        )
        for _ in range(50_000)
    )
    stream = START + BLOCK + deltas + STOP + END + FINAL
    meter = StreamMeter(b"gzip")
    meter.feed(gzip.compress(stream))
    assert (meter.readable, meter.complete, meter.final) == (True, True, True)
    plain = metered(stream)
    assert meter.content_bytes == plain.content_bytes


def test_an_event_after_extra_blank_lines_is_content_all_the_same() -> None:
    for text in (START + b"\n" + DELTA, START + b"\n\n\n\n" + DELTA, b"\n" + START + b"\n" + DELTA + b"\n"):
        meter = metered(text)
        assert (meter.saw_content, meter.content_bytes, meter.at_boundary) == (
            True,
            metered(DELTA).content_bytes,
            True,
        )


NEWLINES = st.sampled_from(
    ["\n\n", "\n\n\n", "\n\n\n\n", "\r\n\r\n", "\r\n\r\n\n", "\r\r", "\r\r\r", "\n\r\n", "\n", "\r", ""]
)
SMALL = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.just("x" * 300)
)
WILD = st.recursive(SMALL, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["type", "usage", "content", "model", "name", "text", "iterations", "output_tokens", "index", "stop_reason"]), inner, max_size=4), max_leaves=8)  # fmt: skip
KINDS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
    "new",
]
GOOD = st.sampled_from([START, BLOCK, DELTA, STOP, END, FINAL])


@st.composite
def near_valid(draw: st.DrawFn) -> bytes:
    """An event with the vendor's field names and any values."""
    kind = draw(st.sampled_from(KINDS))
    fields = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "type": WILD,
                "index": st.integers(0, 2) | WILD,
                "message": WILD,
                "content_block": st.fixed_dictionaries({"type": st.sampled_from(["text", "tool_use", "server_tool_use", "web_search_tool_result"]) | WILD}, optional={"name": st.just("web_search") | WILD}) | WILD,
                "delta": st.fixed_dictionaries({"type": st.sampled_from(["text_delta", "input_json_delta", "signature_delta"]) | WILD}, optional={"partial_json": WILD, "stop_reason": WILD}) | WILD,
                "usage": st.dictionaries(st.sampled_from(Usage.__struct_fields__), st.integers(0, 9) | WILD, max_size=5) | WILD,
                "error": WILD,
            },
        )
    )  # fmt: skip
    data = json.dumps({"type": kind, **fields}, ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at:]
    name = b"event: %b\n" % kind.encode() if draw(st.booleans()) else b""
    return name + b"data: " + data


@given(st.lists(st.tuples(GOOD | near_valid(), NEWLINES), max_size=6), st.lists(st.integers(1, 40)))
def test_wild_events_raise_nothing_and_are_read_the_same_at_any_chunking(
    events: list[tuple[bytes, str]], sizes: list[int]
) -> None:
    raw = b"".join(text + newlines.encode() for text, newlines in events)
    whole, cut, validator, other = StreamMeter(), StreamMeter(), StreamValidator(), StreamValidator()
    whole.feed(raw)
    validator.feed(raw)
    at = 0
    for size in [*sizes, max(len(raw), 1)]:
        cut.feed(raw[at : at + size])
        other.feed(raw[at : at + size])
        at += size
    assert state(cut) == state(whole)
    assert len(validator.finish()) <= 21
    assert other.finish() == validator.problems
    ReplyMeter(raw)
    for text, _ in events:
        ReplyMeter(text.partition(b"data: ")[2])


@pytest.mark.parametrize(
    "odd",
    [
        event("message_start", message=5),
        event("message_start", message={"content": {}, "usage": []}),
        START + event("content_block_start", index=0, content_block=5),
        START + event("content_block_start", index=[[]], content_block={"type": {}}),
        START + event("content_block_start", index=10**400, content_block={"type": "text"}),
        START + BLOCK + event("content_block_delta", index=0, delta="x"),
        START + BLOCK + event("content_block_delta", index={}, delta={"type": []}),
        START + encode_event("ping", b'{"type":"\xff"}'),
        START + encode_event("ping", b'{"type":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        START + encode_event("ping", b'{"type":' + b"[" * 900 + b"]" * 900 + b"}"),
        START + event("content_block_start", index=0, content_block={"type": "tool_use"}) + event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "[" * 5000}) + STOP,
        b"data: " + b"x" * (17 * 1024 * 1024),
        b"event: " + b"\xff" * 100_000 + b"\ndata: {}\n\n",
    ],
)  # fmt: skip
def test_the_validator_never_raises_and_says_little(odd: bytes) -> None:
    validator = StreamValidator()
    validator.feed(odd)
    validator.feed(STREAM)
    problems = validator.finish()
    assert problems
    assert all(len(problem) < 600 for problem in problems)


def test_the_validator_keeps_twenty_problems() -> None:
    validator = StreamValidator()
    validator.feed(event("ping", x=1).replace(b"ping", b"pong", 1) * 500)
    assert len(validator.finish()) == 21
    assert validator.problems[-1] == "... and more"


def test_server_tool_counts_are_read() -> None:
    meter = metered(
        START, delta({"output_tokens": 1, "server_tool_use": {"web_search_requests": 2.0, "x": {}}})
    )
    assert meter.usage is not None
    assert meter.usage.server_tool_use == ServerToolUse(web_search_requests=2)
