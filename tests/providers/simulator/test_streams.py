"""Streams: the vendor's order, the same content and usage as without streaming, pacing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages import StreamValidator
from trimtab.providers.simulator.answer import Answer, TextBlock, ThinkingBlock, ToolUseBlock
from trimtab.providers.simulator.frames import NO_WAIT, message_events, pieces

TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
SHAPES: list[dict[str, Any]] = [
    {},
    {"content": "What is 17 * 23?"},
    {"content": "The weather?", "tools": [TOOL]},
    {"model": "claude-opus-4-6", "thinking": {"type": "adaptive"}},
    {"model": "claude-opus-5-5"},
    {"max_tokens": 3},
    {"max_tokens": 0},
    {"stop_sequences": ["simulated"]},
    {
        "output_config": {
            "format": {"type": "json_schema", "schema": {"type": "array", "items": {"type": "string"}}}
        }
    },
]


def joined(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Content blocks put together from deltas, as a client does it."""
    blocks: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "json": ""})
        delta = event.get("delta") or {}
        match delta.get("type"):
            case "text_delta":
                blocks[-1]["text"] += delta["text"]
            case "thinking_delta":
                blocks[-1]["thinking"] += delta["thinking"]
            case "signature_delta":
                blocks[-1]["signature"] = delta["signature"]
            case "input_json_delta":
                blocks[-1]["json"] += delta["partial_json"]
    return blocks


@pytest.mark.parametrize("fields", SHAPES)
def test_a_stream_says_and_counts_what_the_message_does(make: Any, fields: dict[str, Any]) -> None:
    whole, stream = make().ask(**fields), make().ask(**fields, stream=True)
    assert stream.problems == []
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.usage == whole.usage
    events = stream.events
    assert events[0]["message"]["id"] == whole.json["id"]
    assert events[0]["message"]["usage"]["output_tokens"] in (0, 1)
    delta = next(event for event in events if event["type"] == "message_delta")
    assert delta["delta"]["stop_reason"] == whole.json["stop_reason"]
    assert delta["delta"]["stop_sequence"] == whole.json["stop_sequence"]
    for ours, theirs in zip(joined(events), whole.json["content"], strict=True):
        for name in ("type", "text", "thinking", "signature", "id", "name"):
            assert ours.get(name) == theirs.get(name)
    assert any(event["type"] == "ping" for event in events)


def test_omitted_thinking_has_a_signature_and_no_thinking_delta(client: Any) -> None:
    kinds = [
        event.get("delta", {}).get("type")
        for event in client.ask(model="claude-opus-5-5", stream=True).events
    ]
    assert "signature_delta" in kinds
    assert "thinking_delta" not in kinds


def test_latency_is_paced_scaled_and_bounded(make: Any) -> None:
    still = make().ask("Hello", stream=True)
    assert (still.waits, still.response.before_head_s) == ([], 0.0)
    alive = make(latency_scale=1.0).ask("Hello", stream=True)
    assert 0.1 < alive.response.before_head_s + alive.waits[0] < 0.4
    assert all(0.001 < wait < 0.1 for wait in alive.waits[1:])
    slow = make(latency_scale=2.0).ask("Hello", stream=True)
    assert sum(slow.waits) == pytest.approx(2 * sum(alive.waits))
    rules = "version: 1\nrules: [{reply: {text: '" + "word " * 20000 + "'}}]"
    bounded = make(rules, latency_scale=1.0).ask("Hello", stream=True, max_tokens=100_000)
    assert sum(bounded.waits) < 20
    whole = make(latency_scale=1.0).ask("Hello")
    assert whole.response.before_head_s > 0.5


def test_effort_takes_longer(make: Any) -> None:
    def seconds(effort: str) -> float:
        answer = make(latency_scale=1.0).ask(
            model="claude-opus-5-5", output_config={"effort": effort}, max_tokens=9000
        )
        return float(answer.response.before_head_s)

    assert seconds("low") < seconds("high") < seconds("xhigh")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
blocks = st.lists(
    st.one_of(
        st.builds(TextBlock, st.text(min_size=1, max_size=80)),
        st.builds(ThinkingBlock, st.text(max_size=80), st.just("c2ln")),
        st.builds(
            ToolUseBlock,
            st.just("toolu_1"),
            st.just("t"),
            st.dictionaries(st.text(max_size=5), json_values, max_size=3),
            st.booleans(),
            st.sampled_from([None, "computer"]),
        ),
    ),
    max_size=4,
)


@given(blocks, st.integers(1, 40))
def test_every_answer_makes_a_valid_stream_however_it_is_cut(content: list[Any], size: int) -> None:
    usage = {"input_tokens": 3, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 0}}
    steps = message_events("msg_1", "m", Answer(tuple(content), "end_turn"), usage, NO_WAIT)
    body = b"".join(step for step in steps if isinstance(step, bytes))
    validator = StreamValidator()
    for start in range(0, len(body), size):
        validator.feed(body[start : start + size])
    assert validator.finish() == []


@given(st.text(max_size=200))
def test_pieces_join_to_the_text(text: str) -> None:
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert all(cut)
