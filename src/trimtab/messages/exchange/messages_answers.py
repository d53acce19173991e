"""Answers of the Messages API, streamed or whole.

What it is not: the message itself (`assembly`), or its cost (`meter`). Invariant: an answer reads the same in both
forms, wherever its stream was cut into deltas.

Source: vendor reference of the Messages API and of its streams (2026-11).
"""

from typing import Any

from trimtab.messages.assembly import assembled
from trimtab.messages.exchange.answer import MAX_STOP_CHARS, Answered, Stop, ToolCall
from trimtab.messages.exchange.values import decoded, written

_STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "context",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause_turn": "paused",
    "compaction": "paused",
}
"""`compaction` (beta): the vendor made room in the context and is to be asked to go on."""

_THINKING = ("thinking", "redacted_thinking")


def streamed_messages_answers(stream: bytes) -> tuple[Answered, ...]:
    """The answer that a stream spells, as far as it came; none where it holds none of it."""
    found = assembled(stream)
    if found.message is None and found.error is None:
        return ()
    return (_answered(found.message or {}, complete=found.complete, error=found.error),)


def whole_messages_answers(body: bytes) -> tuple[Answered, ...]:
    """The answer of a JSON body; none where it is no message."""
    value, _ = decoded(body)
    if not isinstance(value, dict):
        return ()
    error = value.get("error")
    if error is None and not isinstance(value.get("content"), list):
        return ()
    return (_answered(value, complete=error is None, error=error),)


def _answered(message: dict[str, Any], *, complete: bool, error: Any) -> Answered:
    content = message.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    said = message.get("stop_reason")
    reason = said if isinstance(said, str) else ""
    stop: Stop = _STOPS.get(reason, "unknown") if reason else "none"
    if error is not None:
        stop = "error"
        named = error.get("type") if isinstance(error, dict) else None
        reason = named if isinstance(named, str) else "api_error"
    return Answered(
        text="".join(
            block["text"]
            for block in blocks
            if block.get("type", "text") == "text" and isinstance(block.get("text"), str)
        ),
        tool_calls=tuple(_call(block) for block in blocks if block.get("type") == "tool_use"),
        stop=stop,
        stop_reason=reason[:MAX_STOP_CHARS],
        refusal=_refusal(message.get("stop_details")),
        thought=any(block.get("type") in _THINKING for block in blocks),
        complete=complete and error is None,
    )


def _call(block: dict[str, Any]) -> ToolCall:
    """What a stream wrote of an input and is no JSON stands in `partial_json` (`assembly`). An input is written anew,
    as its white space differs between the forms of one answer."""
    identity, name, partial = (block.get(field) for field in ("id", "name", "partial_json"))
    identity = identity if isinstance(identity, str) else ""
    name = name if isinstance(name, str) else ""
    if isinstance(partial, str):
        return ToolCall(identity, name, partial.encode(), None, False)
    arguments = written(block["input"]) if "input" in block else b""
    return ToolCall(identity, name, arguments, block.get("input"), bool(arguments))


def _refusal(details: object) -> str:
    if isinstance(details, dict) and isinstance(details.get("explanation"), str):
        return str(details["explanation"])
    return ""
