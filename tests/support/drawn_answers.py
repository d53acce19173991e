"""Answers of both surfaces, drawn: what a platform may send, whole and as a stream whose texts are cut anywhere."""

import itertools
import json
from typing import Any

from hypothesis import strategies as st

from trimtab.messages import encode_event

texts = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
blocks = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": texts, "signature": texts}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": texts}),
    st.fixed_dictionaries(
        {
            "type": st.just("tool_use"),
            "id": texts,
            "name": texts,
            "input": st.dictionaries(texts, values, max_size=3),
        }
    ),
)
messages = st.fixed_dictionaries(
    {
        "id": texts,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": texts,
        "content": st.lists(blocks, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal"]),
        "stop_sequence": st.none() | texts,
        "usage": st.just({"input_tokens": 5, "output_tokens": 9}),
    }
)


def event(kind: str, **fields: Any) -> bytes:
    return encode_event(kind, json.dumps({"type": kind, **fields}).encode())


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)) | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A message, and a stream that spells it, its texts cut into deltas anywhere."""
    message = draw(messages)
    out = [
        event(
            "message_start",
            message={
                **message,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 5, "output_tokens": 1},
            },
        ),
        event("ping"),
    ]
    for index, block in enumerate(message["content"]):
        fields = {"text": ["text"], "thinking": ["thinking", "signature"]}.get(block["type"], [])
        started = {**block, **dict.fromkeys(fields, "")}
        if block["type"] == "tool_use":
            started["input"] = {}
        out.append(event("content_block_start", index=index, content_block=started))
        for name in fields:
            for piece in pieces(draw, block[name]):
                out.append(
                    event("content_block_delta", index=index, delta={"type": f"{name}_delta", name: piece})
                )
        if block["type"] == "tool_use" and (block["input"] or draw(st.booleans())):
            for piece in pieces(draw, json.dumps(block["input"])):
                delta = {"type": "input_json_delta", "partial_json": piece}
                out.append(event("content_block_delta", index=index, delta=delta))
        out.append(event("content_block_stop", index=index))
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    out += [event("message_delta", delta=ended, usage={"output_tokens": 9}), event("message_stop")]
    return message, b"".join(out)


FINISHES = ["stop", "tool_calls", "length", "content_filter"]
calls = st.fixed_dictionaries(
    {
        "id": texts,
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": texts, "arguments": values.map(json.dumps) | texts}),
    }
)
said = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | texts, "refusal": st.none() | texts},
    optional={"tool_calls": st.lists(calls, max_size=3), "reasoning_content": texts},
)
choices = st.fixed_dictionaries({"message": said, "finish_reason": st.sampled_from(FINISHES)})


@st.composite
def completions(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A completion of one to three answers, and a stream that spells it; the chunks of its answers are mixed."""
    drawn = draw(st.lists(choices, min_size=1, max_size=3))
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": index, **choice} for index, choice in enumerate(drawn)],
        "usage": {"prompt_tokens": 5, "completion_tokens": 9},
    }
    queues = [list(_chunks(draw, index, choice)) for index, choice in enumerate(drawn)]
    out = [b": keep-alive\n\n"]
    while waiting := [queue for queue in queues if queue]:
        out.append(chunk(draw(st.sampled_from(waiting)).pop(0)))
    if draw(st.booleans()):
        out.append(chunk(usage={"prompt_tokens": 5, "completion_tokens": 9}))
    return whole, b"".join([*out, b"data: [DONE]\n\n"])


def chunk(*parts: dict[str, Any], **more: Any) -> bytes:
    """One event; without parts the one that brings usage only."""
    spoken = json.dumps({"object": "chat.completion.chunk", "choices": list(parts), **more})
    return b"data: " + spoken.encode() + b"\n\n"


def _chunks(draw: st.DrawFn, index: int, choice: dict[str, Any]) -> list[dict[str, Any]]:
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    for name in ("reasoning_content", "content", "refusal"):
        deltas += [{name: piece} for piece in pieces(draw, message.get(name) or "")]
    for place, call in enumerate(message.get("tool_calls", ())):
        first = {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": ""},
        }
        deltas.append({"tool_calls": [{"index": place, **first}]})
        for piece in pieces(draw, call["function"]["arguments"]):
            deltas.append({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
    parts = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas]
    return [*parts, {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}]
