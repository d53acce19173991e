"""Kept prompts and answers as turns that people can read.

What it is not: the kept bytes, which the page's JSON has whole. Invariant: whatever was kept, reading it never raises,
and what is shown of it has a bound.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

TURN_CHARS = 8_000
"""Characters of one block that are shown."""
ALL_CHARS = 60_000
"""... and of all blocks of a page, which is to stay below 300 kB."""
MAX_TURNS = 200


class Turn(msgspec.Struct, frozen=True):
    """One block of a conversation."""

    role: str
    kind: str
    """As the API names it: `text`, `thinking`, `tool_use` ..."""
    text: str
    left_out: int = 0
    """Characters that are not shown."""


def turns(content: Mapping[str, Any]) -> tuple[list[Turn], int]:
    """The blocks of both sides, oldest first, and how many are left out at the beginning."""
    found = [*_request(content.get("request")), *_answer(content.get("answer"))]
    shown: list[Turn] = []
    room = ALL_CHARS
    for turn in reversed(found[-MAX_TURNS:]):
        text = turn.text[: min(TURN_CHARS, room)]
        if not text and turn.text:
            break
        room -= len(text)
        shown.append(Turn(turn.role, turn.kind, text, len(turn.text) - len(text)))
    return shown[::-1], len(found) - len(shown)


def answered_text(content: Mapping[str, Any]) -> str:
    """The text of the answer, as far as it is shown; empty where none is kept."""
    found = list(_answer(content.get("answer")))
    plain = [turn.text for turn in found if turn.kind == "text"] or [turn.text for turn in found]
    return "\n".join(plain)[:TURN_CHARS]


def edited_text(value: Any) -> str:
    """An edited answer, text or JSON, as far as it is shown."""
    return (value if isinstance(value, str) else _text(value))[:TURN_CHARS]


def _request(side: Any) -> Iterator[Turn]:
    if side is None:
        return
    body = _json(side["text"])
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):  # cut off, or not what we know
        yield Turn("request", "as kept", side["text"])
        return
    yield from _blocks("system", body.get("system"))
    for message in messages:
        if isinstance(message, dict):
            yield from _blocks(str(message.get("role", "?")), message.get("content"))


def _answer(side: Any) -> Iterator[Turn]:
    if side is None:
        return
    message = side.get("message") or _json(side.get("text", ""))
    if isinstance(message, dict) and isinstance(message.get("content"), list):
        yield from _blocks(str(message.get("role", "assistant")), message["content"])
        if side.get("error"):
            yield Turn("answer", "error", _text(side["error"]))
        return
    yield Turn("answer", "as kept", side.get("text", ""))


def _blocks(role: str, content: Any) -> Iterator[Turn]:
    if content is None:
        return
    if not isinstance(content, Sequence) or isinstance(content, str):
        yield Turn(role, "text", content if isinstance(content, str) else _text(content))
        return
    for block in content:
        if not isinstance(block, dict):
            yield Turn(role, "?", _text(block))
            continue
        kind = str(block.get("type", "?"))
        plain = block.get(kind) if kind in ("text", "thinking") else None
        yield Turn(role, kind, plain if isinstance(plain, str) else _text(block))


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=1)
    except (ValueError, TypeError, RecursionError):
        return "(not shown: it is nested too deeply)"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
