"""What is read out of answers, whatever they hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.evals import Answer
from trimtab.evals.parity.facts import Observed, observed
from trimtab.messages import encode_event

HEADERS = {"content-type": "application/json", "x-trimtab-platform": "p", "x-trimtab-request": "r1"}
MESSAGE: dict[str, Any] = {
    "type": "message", "model": "m-1", "stop_reason": "tool_use", "stop_sequence": None,
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "One"},
        {"type": "tool_use", "id": "t1", "name": "go", "input": {"b": 1, "a": 2}},
        {"type": "tool_use", "id": "t2", "name": "stop", "input": {}},
    ],
    "usage": {
        "input_tokens": 10, "output_tokens": 7, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 20}, "inference_geo": None,
    },
}  # fmt: skip


def answered(body: Any, status: int = 200, **headers: str) -> Observed:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return observed(Answer(status, {**HEADERS, **named}, content, 3.0, 4.0), "p")


def test_a_message_is_told_by_its_parts() -> None:
    one = answered(
        MESSAGE, x_trimtab_adaptations="speed removed", x_trimtab_cost_usd="0.001234000", request_id="q",
        anthropic_ratelimit_tokens_limit="1", anthropic_ratelimit_requests_limit="1", x_trimtab_simulated="true",
    )  # fmt: skip
    assert one.facts == {
        "status": "200",
        "adaptations": "speed removed",
        "answer": "message",
        "model": "m-1",
        "stop reason": "tool_use",
        "thinking": "thinking",
        "blocks": "text, tool_use x2",
        "tools": "go(a, b), stop()",
        "output": "text",
        "usage": "told",
        "input tokens": "130",
        "cache": "writes 1h and reads",
    }
    assert (one.text, one.output_tokens, one.cost_nanousd, one.request) == ("One", 7, 1_234_000, "r1")
    assert one.simulated
    assert one.first_byte_ms is None, "a whole answer has no time to its first byte"
    assert one.headers == {"anthropic-ratelimit-*", "request-id"}
    assert "inference_geo" not in one.usage_fields


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(encode_event(event["type"], json.dumps(event).encode()) for event in events)


START = {"type": "message_start", "message": {"model": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}}}  # fmt: skip
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '{"b":1,"a":2}'}}
STOP = {"type": "content_block_stop", "index": 0}
LAST = {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "E"}, "usage": {"output_tokens": 9}}  # fmt: skip
END = {"type": "message_stop"}
SSE = {"content_type": "text/event-stream; charset=utf-8"}


def test_a_stream_is_told_by_its_message_and_its_order_and_pings_are_left_out() -> None:
    ping = {"type": "ping"}
    one = answered(stream(START, ping, BLOCK, DELTA, DELTA, STOP, LAST, END), **SSE)
    pinged = answered(stream(START, BLOCK, ping, DELTA, STOP, LAST, ping, END), **SSE)
    assert one.facts["stop reason"] == "stop_sequence 'E'"
    assert one.facts["stream"] == "in order"
    assert one.facts["events"] == pinged.facts["events"] == "message_start, message_delta, message_stop"
    assert one.facts["events of text"] == pinged.facts["events of text"] == "text_delta"
    assert pinged.facts["output"] == "JSON with a, b"
    assert (one.output_tokens, one.first_byte_ms) == (9, 3.0)


def test_what_breaks_the_order_of_a_stream_is_named() -> None:
    one = answered(stream(START, BLOCK, STOP, DELTA, LAST, END), **SSE)
    assert one.facts["stream"].startswith("delta for block 0")
    assert one.facts["events of text"] == "no delta"
    assert answered(stream(START, BLOCK), **SSE).facts["stream"].startswith("the stream ends in state 'open'")


@pytest.mark.parametrize(("kind", "clear"), [("overloaded_error", False), ("invalid_request_error", True)])
def test_an_error_inside_a_stream_is_a_fact_only_where_it_would_come_again(kind: str, clear: bool) -> None:
    one = answered(stream(START, {"type": "error", "error": {"type": kind, "message": "no"}}), **SSE)
    assert bool(one.unclear) != clear
    assert one.facts.get("status") == (f"200, and the stream ends with {kind}" if clear else None)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refusal_is_a_fact_with_its_words(status: int) -> None:
    one = answered({"type": "error", "error": {"type": "e", "message": "not\x1b[31m here"}}, status)
    assert (one.facts, one.says) == ({"status": f"{status} e"}, "not\\x1b[31m here")


@pytest.mark.parametrize("status", [401, 402, 403, 408, 409, 429, 500, 502, 503, 529])
def test_what_says_nothing_of_the_platforms_nature_is_unclear(status: int) -> None:
    one = answered({"type": "error", "error": {"type": "e", "message": "m"}}, status)
    assert (one.facts, one.unclear) == ({}, f"{status} e: m")


def test_no_answer_a_broken_one_and_one_of_another_platform_are_unclear() -> None:
    assert observed(Answer(0, problem="connection refused"), "p").unclear == "connection refused"
    assert observed(Answer(200, HEADERS, b"{", problem="cut"), "p").unclear == "cut"
    assert answered(MESSAGE, x_trimtab_platform="q").unclear == "answered by q"


def test_a_count_is_its_number() -> None:
    assert answered({"input_tokens": 12}).facts["input tokens"] == "12"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*MESSAGE, "type", "text", "input", "usage", "error", "index", "delta", "message", "content_block"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(ANYTHING, st.sampled_from([200, 400, 500, 0]))
def test_no_json_makes_it_fail(body: Any, status: int) -> None:
    assert answered(body, status).facts or answered(body, status).unclear


@given(
    st.lists(ANYTHING, max_size=6),
    st.lists(st.sampled_from([START, BLOCK, DELTA, STOP, LAST, END]), max_size=6),
)
def test_no_stream_makes_it_fail(strange: list[Any], known: list[dict[str, Any]]) -> None:
    events = b"".join(encode_event("x", json.dumps(one).encode()) for one in strange) + stream(*known)
    answered(events, **SSE)


@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/event-stream"]))
def test_no_bytes_make_it_fail(body: bytes, kind: str) -> None:
    answered(body, content_type=kind)
    answered(body, 400, content_type=kind)
