"""What a list of tools holds that a limit cannot bound: another model, or a tool that the vendor runs.

What it is not: a refusal (`other_models`, `unbounded`). Invariants: closed, so that a kind of tool which is not known
to bill by the body alone is named; what is remembered of a list was found in the very same bytes.
"""

import json
from typing import Any

import msgspec

from trimtab.engine.bounds import holds
from trimtab.messages.tool_kinds import CLIENT_TOOLS

_SIGNS = (b'"web_', b'"code_execution', b'"tool_search', b'"mcp_toolset', b"\\u00")
"""Of a list with none of them, no tool's type can be hidden behind a second one."""

REMEMBERED = 64
SHORTEST = 1024
LONGEST = 256 * 1024
"""Bytes of lists that are worth it: 16 MiB at the most in all. A turn of a conversation sends the list of the turn
before; to compare 9 KB with what is known takes 0.5 us, to search them 20."""

_ENDS = 48

TWICE = object()


class _Tool(msgspec.Struct):
    type: str | None = None


_TOOLS = msgspec.json.Decoder(list[_Tool])


class Tools(msgspec.Struct, frozen=True):
    """What was found in one list."""

    advisor: bool = False
    """Whether it names another model."""
    unbounded: str | None = None
    """The kind of a tool that bills by use."""


NOTHING = Tools()


class ToolLists:
    """Looks, and remembers the latest lists in which nothing was found. One event loop owns it."""

    def __init__(self) -> None:
        self._harmless: dict[tuple[int, bytes], bytes] = {}

    def look(self, raw: msgspec.Raw) -> Tools:
        """What is in there."""
        tools = bytes(raw)
        if not SHORTEST <= len(tools) <= LONGEST:
            return _found(tools)
        place = len(tools), tools[-_ENDS:]
        if self._harmless.get(place) == tools:
            return NOTHING
        found = _found(tools)
        if found == NOTHING:
            self._harmless.pop(place, None)
            if len(self._harmless) >= REMEMBERED:
                del self._harmless[next(iter(self._harmless))]
            self._harmless[place] = tools
        return found


def _found(tools: bytes) -> Tools:
    return Tools(_names_advisor(tools), _unbounded(tools))


def _names_advisor(tools: bytes) -> bool:
    if holds(tools, b"\\u00"):  # letters may be spelled as escapes
        try:
            tools = json.dumps(json.loads(tools)).encode()
        except (ValueError, RecursionError):
            return True
    return holds(tools, b'"advisor_')


def _unbounded(tools: bytes) -> str | None:
    """What is no list of tools the platform refuses, but it may read what we do not."""
    if tools == b"null":
        return None
    try:
        kinds = [one.type for one in _TOOLS.decode(tools)]
    except (msgspec.DecodeError, RecursionError):
        return "(a list that cannot be read)"
    # Of two types of one tool we would see the last; which one a platform takes is not said.
    if any(holds(tools, sign) for sign in _SIGNS) and read_once(tools) is TWICE:
        return "(a tool with two types)"
    for kind in kinds:
        if kind is not None and kind != "custom" and not kind.startswith(CLIENT_TOOLS):
            return kind
    return None


def read_once(raw: bytes) -> Any:
    """The value; `TWICE` where an object holds `type`, `edits` or `skills` twice, `None` where it cannot be read."""
    try:
        return json.loads(raw, object_pairs_hook=_once)
    except _TwiceError:
        return TWICE
    except (ValueError, RecursionError):
        return None


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs) and {"type", "edits", "skills"} & {
        name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1
    }:
        raise _TwiceError
    return found
