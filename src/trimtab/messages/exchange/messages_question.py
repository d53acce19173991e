"""Requests of the Messages API as they are judged.

What it is not: a check of them (the platform's), or a way to change them (`MessagesBody`). Invariant: pixels and files
are passed over, never decoded.

Source: vendor reference of the Messages API (2026-11).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trimtab.messages.exchange.question import Question, Role, Tool, ToolChoice, Turn
from trimtab.messages.exchange.values import texts_in, value_of
from trimtab.messages.tolerant import (
    count_of,
    given,
    is_small_enough,
    read,
    readable_text,
)

MAX_DEPTH = 4
"""Of contents in contents: a text in a document in a tool result is at 3."""

_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


class _Body(msgspec.Struct):
    """Every member raw: an odd one must not hide the others."""

    model: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    tool_choice: msgspec.Raw = msgspec.Raw()
    output_config: msgspec.Raw = msgspec.Raw()
    output_format: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    stop_sequences: msgspec.Raw = msgspec.Raw()


class _Turn(msgspec.Struct):
    role: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    is_error: msgspec.Raw = msgspec.Raw()


class _Source(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


_BODY = msgspec.json.Decoder(_Body)
_TURN = msgspec.json.Decoder(_Turn)
_BLOCK = msgspec.json.Decoder(_Block)
_SOURCE = msgspec.json.Decoder(_Source)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def messages_question(body: bytes) -> Question:
    """What the body asks; what cannot be read, or spells too many values, is left out."""
    said = read(_BODY, body) or _Body()
    turns = tuple(_turn(turn) for turn in _elements(said.messages))
    schema = _schema(said)
    return Question(
        surface="messages",
        model=readable_text(said.model) or "",
        system="\n".join(_contents(said.system)),
        turns=turns,
        tools=tuple(_tools(value_of(said.tools))),
        tool_choice=_choice(value_of(said.tool_choice)),
        schema=schema,
        wants_json=schema is not None,
        max_tokens=count_of(said.max_tokens) if given(said.max_tokens) else None,
        stop_sequences=tuple(texts_in(value_of(said.stop_sequences))),
        images=sum(turn.images for turn in turns),
    )


def _elements(raw: msgspec.Raw) -> list[msgspec.Raw]:
    return (read(_LIST, raw) or []) if given(raw) and is_small_enough(raw) else []


def _contents(raw: msgspec.Raw) -> Iterator[str]:
    """The texts of a content: one text, or blocks."""
    content = _Content()
    content.take(raw)
    yield from content.texts


class _Content:
    """What is in the content of one turn."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[str] = []
        self.results = 0
        self.errors = 0
        self.images = 0
        self.others = 0
        """Blocks of the turn itself that are no results."""

    def take(self, raw: msgspec.Raw, depth: int = 1) -> None:
        """Read a content, with what is nested in it."""
        if (text := readable_text(raw)) is not None:
            self.texts.append(text)
            self.others += depth == 1
            return
        for element in _elements(raw) if depth <= MAX_DEPTH else ():
            if (block := read(_BLOCK, element)) is not None:
                self._block(block, depth)

    def _block(self, block: _Block, depth: int) -> None:
        kind = readable_text(block.type)
        self.others += depth == 1 and kind != "tool_result"
        if kind == "text":
            if (text := readable_text(block.text)) is not None:
                self.texts.append(text)
        elif kind in _CALLS:
            self.calls.append(readable_text(block.name) or "")
        elif kind == "image":
            self.images += 1
        elif kind == "tool_result":
            self.results += 1
            self.errors += bytes(block.is_error) == b"true"
            self.take(block.content, depth + 1)
        elif kind == "document":
            self._document(block.source, depth)
        elif kind == "search_result":
            self.take(block.content, depth + 1)

    def _document(self, raw: msgspec.Raw, depth: int) -> None:
        source = read(_SOURCE, raw)
        if source is None:
            return
        match readable_text(source.type):
            case "text":
                self.take(source.data, depth + 1)
            case "content":
                self.take(source.content, depth + 1)


def _turn(raw: msgspec.Raw) -> Turn:
    """One message. A user's that holds tool results and nothing else is none of a person."""
    said = read(_TURN, raw) or _Turn()
    content = _Content()
    content.take(said.content)
    named = readable_text(said.role)
    role: Role = "other"
    if named == "assistant":
        role = "assistant"
    elif named == "user":
        role = "tool" if content.results and not content.others else "user"
    return Turn(
        role,
        "\n".join(content.texts),
        tuple(content.calls),
        content.results,
        content.errors,
        content.images,
    )


def _tools(said: Any) -> Iterator[Tool]:
    for tool in said if isinstance(said, list) else ():
        if not isinstance(tool, dict):
            continue
        name, kind, schema = tool.get("name"), tool.get("type"), tool.get("input_schema")
        yield Tool(
            name if isinstance(name, str) else "",
            schema,
            isinstance(kind, str) and kind != "custom",
            tool.get("strict") is True,
        )


def _choice(said: Any) -> ToolChoice:
    if not isinstance(said, dict):
        return ToolChoice()
    parallel = said.get("disable_parallel_tool_use") is not True
    match said.get("type"), said.get("name"):
        case "any", _:
            return ToolChoice("any", parallel=parallel)
        case "none", _:
            return ToolChoice("none", parallel=parallel)
        case "tool", str(name):
            return ToolChoice("tool", name, parallel)
    return ToolChoice(parallel=parallel)


def _schema(said: _Body) -> Any:
    """Of `output_config.format`, or of `output_format`, which came before it."""
    config = value_of(said.output_config)
    asked = config.get("format") if isinstance(config, dict) else None
    if not isinstance(asked, dict):
        asked = value_of(said.output_format)
    if isinstance(asked, dict) and asked.get("type") == "json_schema":
        return asked.get("schema")
    return None
