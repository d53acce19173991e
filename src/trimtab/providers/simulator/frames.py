"""Frames an answer as the Messages API does: one JSON document, or events in the vendor's order.

Source: vendor streaming page (2026-11): message_start, then per block start, deltas, stop, then message_delta with
cumulative usage, message_stop; `ping` anywhere; with omitted display no thinking_delta.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trimtab.messages import encode_event
from trimtab.providers.simulator.answer import Answer, Block, TextBlock, ThinkingBlock
from trimtab.providers.simulator.behaviour import Pace
from trimtab.providers.simulator.response import Step, Wait

_PIECE_CHARS = 16
_CHARS_PER_TOKEN = 4
"""Only for pacing."""
_HEAD_SHARE = 0.4
"""Part of the first-token time that passes before the head; the rest follows message_start."""

_PING = encode_event("ping", b'{"type":"ping"}')
_MESSAGE_STOP = encode_event("message_stop", b'{"type":"message_stop"}')
_encode = msgspec.json.encode


class Timing(msgspec.Struct, frozen=True):
    """Seconds, scale and bound applied."""

    head_s: float = 0.0
    first_s: float = 0.0
    token_s: float = 0.0

    @classmethod
    def of(cls, pace: Pace, scale: float, output_tokens: int, longest_ms: float) -> "Timing":
        """The timing of an answer of so many tokens; nothing is waited at scale 0."""
        if scale == 0:
            return NO_WAIT
        whole = pace.first_token_ms + pace.token_ms * output_tokens
        factor = scale * min(1.0, longest_ms / whole) / 1000.0
        first = pace.first_token_ms * factor
        return cls(first * _HEAD_SHARE, first * (1 - _HEAD_SHARE), pace.token_ms * factor)


NO_WAIT = Timing()


def message_json(message_id: str, model: str, answer: Answer, usage: dict[str, Any]) -> bytes:
    """The whole message."""
    return _encode(
        {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [_whole(block) for block in answer.blocks],
            "stop_reason": answer.stop_reason,
            "stop_sequence": answer.stop_sequence,
            "stop_details": answer.stop_details,
            "usage": usage,
        }
    )


def message_events(
    message_id: str, model: str, answer: Answer, usage: dict[str, Any], timing: Timing
) -> Iterator[Step]:
    """The same message as events, each one step, with the waits between."""
    start: dict[str, Any] = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            **{name: value for name, value in usage.items() if name != "output_tokens_details"},
            "output_tokens": min(1, usage["output_tokens"]),
        },
    }
    yield encode_event("message_start", _encode({"type": "message_start", "message": start}))
    if not answer.blocks:
        yield _PING
    if timing.first_s:
        yield Wait(timing.first_s)
    for index, block in enumerate(answer.blocks):
        yield encode_event(
            "content_block_start",
            _encode({"type": "content_block_start", "index": index, "content_block": _opened(block)}),
        )
        if index == 0:
            yield _PING
            if isinstance(block, ThinkingBlock) and timing.token_s:
                yield Wait(timing.token_s * answer.thinking_tokens)
        yield from _deltas(index, block, timing.token_s)
        yield encode_event("content_block_stop", b'{"type":"content_block_stop","index":%d}' % index)
    delta = {
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": answer.stop_details,
    }
    counts = {name: value for name, value in usage.items() if name in _DELTA_USAGE}
    yield encode_event("message_delta", _encode({"type": "message_delta", "delta": delta, "usage": counts}))
    yield _MESSAGE_STOP


_DELTA_USAGE = frozenset(
    {
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
    }
)


def _deltas(index: int, block: Block, token_s: float) -> Iterator[Step]:
    if isinstance(block, TextBlock):
        for piece in pieces(block.text):
            if token_s:
                yield Wait(token_s * len(piece) / _CHARS_PER_TOKEN)
            yield _delta(index, b'{"type":"text_delta","text":%b}' % _encode(piece))
    elif isinstance(block, ThinkingBlock):
        for piece in pieces(block.thinking):
            yield _delta(index, b'{"type":"thinking_delta","thinking":%b}' % _encode(piece))
        yield _delta(index, b'{"type":"signature_delta","signature":%b}' % _encode(block.signature))
    else:
        yield _delta(index, b'{"type":"input_json_delta","partial_json":""}')
        text = block.input_json.decode()
        # The vendor sends the input of a toolset member in one delta.
        for piece in [text] if block.toolset_name else pieces(text):
            if token_s:
                yield Wait(token_s * len(piece) / _CHARS_PER_TOKEN)
            yield _delta(index, b'{"type":"input_json_delta","partial_json":%b}' % _encode(piece))


def _delta(index: int, delta: bytes) -> bytes:
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n' % (
        index,
        delta,
    )


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of a few tokens, cut behind a space where one is near."""
    at = 0
    while at < len(text):
        end = at + _PIECE_CHARS
        space = text.find(" ", end, end + _PIECE_CHARS)
        end = space + 1 if space >= 0 else end
        yield text[at:end]
        at = end


def _whole(block: Block) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ThinkingBlock):
        return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
    raw = {
        "type": "server_tool_use" if block.server else "tool_use",
        "id": block.id,
        "name": block.name,
        "input": block.input,
    }
    return raw if block.toolset_name is None else {**raw, "toolset_name": block.toolset_name}


def _opened(block: Block) -> dict[str, Any]:
    """The block as its start event shows it: empty."""
    whole = _whole(block)
    if isinstance(block, TextBlock):
        whole["text"] = ""
    elif isinstance(block, ThinkingBlock):
        whole["thinking"] = whole["signature"] = ""
    else:
        whole["input"] = {}
    return whole
