"""Requests of the Chat Completions API as they are judged.

What it is not: a check of them (each server's), or a way to change them (`ChatBody`). Invariant: pixels, sounds and
files are passed over, never decoded.

Source: OpenAI API reference, "Create chat completion" (2026-11), with its older `functions` and `function_call`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trimtab.messages.chat.body import MAX_ANSWERS
from trimtab.messages.exchange.question import Question, Role, Tool, ToolChoice, Turn
from trimtab.messages.exchange.values import texts_in, value_of
from trimtab.messages.tolerant import (
    count_of,
    given,
    is_small_enough,
    read,
    readable_text,
)


class _Body(msgspec.Struct):
    """Every member raw: an odd one must not hide the others."""

    model: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()
    tool_choice: msgspec.Raw = msgspec.Raw()
    function_call: msgspec.Raw = msgspec.Raw()
    parallel_tool_calls: msgspec.Raw = msgspec.Raw()
    response_format: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    max_completion_tokens: msgspec.Raw = msgspec.Raw()
    stop: msgspec.Raw = msgspec.Raw()
    n: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct):
    role: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()
    tool_calls: msgspec.Raw = msgspec.Raw()
    function_call: msgspec.Raw = msgspec.Raw()


class _Part(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct):
    name: msgspec.Raw = msgspec.Raw()


class _Call(msgspec.Struct):
    function: msgspec.Raw = msgspec.Raw()
    custom: msgspec.Raw = msgspec.Raw()


_BODY = msgspec.json.Decoder(_Body)
_MESSAGE = msgspec.json.Decoder(_Message)
_PART = msgspec.json.Decoder(_Part)
_NAMED = msgspec.json.Decoder(_Named)
_CALL = msgspec.json.Decoder(_Call)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_INSTRUCTS = ("system", "developer")
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}


def chat_question(body: bytes) -> Question:
    """What the body asks; what cannot be read, or spells too many values, is left out."""
    said = read(_BODY, body) or _Body()
    system, turns = _turns(_elements(said.messages))
    schema, wants_json = _format(value_of(said.response_format))
    limits = [count_of(raw) for raw in (said.max_completion_tokens, said.max_tokens) if given(raw)]
    stop = value_of(said.stop)
    answers = (count_of(said.n) if given(said.n) else None) or 1
    choice, among = _choice(said)
    tools = [*_tools(value_of(said.tools)), *map(_function, _listed(value_of(said.functions)))]
    return Question(
        surface="chat",
        model=readable_text(said.model) or "",
        system="\n".join(system),
        turns=tuple(turns),
        tools=tuple(tool for tool in tools if among is None or tool.name in among),
        tool_choice=choice,
        schema=schema,
        wants_json=wants_json,
        max_tokens=max((limit for limit in limits if limit is not None), default=None),
        stop_sequences=(stop,) if isinstance(stop, str) else tuple(texts_in(stop)),
        answers=min(answers, MAX_ANSWERS),
        images=sum(turn.images for turn in turns),
    )


def _elements(raw: msgspec.Raw) -> list[msgspec.Raw]:
    return (read(_LIST, raw) or []) if given(raw) and is_small_enough(raw) else []


def _listed(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _turns(messages: list[msgspec.Raw]) -> tuple[list[str], list[Turn]]:
    """The instructions that lead, and the turns behind them. Results of tools that stand together are one turn, as they
    answer one."""
    system: list[str] = []
    turns: list[Turn] = []
    for raw in messages:
        said = read(_MESSAGE, raw) or _Message()
        role = readable_text(said.role) or ""
        texts, images = _content(said.content)
        if role in _INSTRUCTS and not turns:
            system += texts
            continue
        turn = Turn(
            _ROLES.get(role, "other"),
            "\n".join(texts),
            tuple(_calls(said)),
            int(_ROLES.get(role) == "tool"),
            0,
            images,
        )
        if turn.role == "tool" and turns and turns[-1].role == "tool":
            before = turns.pop()
            turn = Turn(
                "tool",
                "\n".join(text for text in (before.text, turn.text) if text),
                before.tool_uses + turn.tool_uses,
                before.tool_results + 1,
                0,
                before.images + images,
            )
        turns.append(turn)
    return system, turns


def _content(raw: msgspec.Raw) -> tuple[list[str], int]:
    """Texts, and how many images."""
    if (text := readable_text(raw)) is not None:
        return [text], 0
    texts: list[str] = []
    images = 0
    for element in _elements(raw):
        part = read(_PART, element) or _Part()
        kind = readable_text(part.type)
        images += kind == "image_url"
        if kind == "text" and (text := readable_text(part.text)) is not None:
            texts.append(text)
    return texts, images


def _calls(said: _Message) -> Iterator[str]:
    for raw in _elements(said.tool_calls):
        call = read(_CALL, raw) or _Call()
        yield _name(call.function) or _name(call.custom)
    if given(said.function_call):
        yield _name(said.function_call)


def _name(raw: msgspec.Raw) -> str:
    named = read(_NAMED, raw)
    return "" if named is None else readable_text(named.name) or ""


def _tools(said: Any) -> Iterator[Tool]:
    """Of a `custom` tool the input is free text, which the request does not describe as a schema."""
    for tool in _listed(said):
        if tool.get("type") == "custom" and isinstance(tool.get("custom"), dict):
            yield Tool(_text(tool["custom"].get("name")), vendor=True)
        elif isinstance(tool.get("function"), dict):
            yield _function(tool["function"])
        else:
            yield Tool(_text(tool.get("name")), vendor=True)


def _function(said: dict[str, Any]) -> Tool:
    return Tool(_text(said.get("name")), said.get("parameters"), strict=said.get("strict") is True)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _choice(said: _Body) -> tuple[ToolChoice, frozenset[str] | None]:
    """The choice, and the names of the only tools that may be called, where it names them."""
    parallel = bytes(said.parallel_tool_calls) != b"false"
    chosen = value_of(said.tool_choice if given(said.tool_choice) else said.function_call)
    if isinstance(chosen, str):
        kinds = {"none": ToolChoice("none", "", parallel), "required": ToolChoice("any", "", parallel)}
        return kinds.get(chosen, ToolChoice(parallel=parallel)), None
    if not isinstance(chosen, dict):
        return ToolChoice(parallel=parallel), None
    if isinstance(allowed := chosen.get("allowed_tools"), dict):
        names = frozenset(_named(one) for one in _listed(allowed.get("tools")))
        kind = ToolChoice("any" if allowed.get("mode") == "required" else "auto", "", parallel)
        return kind, names
    if name := _named(chosen):
        return ToolChoice("tool", name, parallel), None
    return ToolChoice(parallel=parallel), None


def _named(said: dict[str, Any]) -> str:
    for inner in (said.get("function"), said.get("custom"), said):
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return str(inner["name"])
    return ""


def _format(said: Any) -> tuple[Any, bool]:
    """(schema, whether it must be JSON). Some servers take a schema beside `json_object`."""
    if not isinstance(said, dict):
        return None, False
    match said.get("type"), said.get("json_schema"):
        case "json_schema", dict(named):
            return named.get("schema"), True
        case "json_schema", _:
            return None, True
        case "json_object", _:
            return said.get("schema"), True
    return None, False
