"""Which coordinates of a conversation belong to which screenshot, for the vendor's computer tools.

A model names pixels of the last screenshot that it saw; the client means pixels of the one that it sent. What the
client tells of the model's earlier actions is put back into the pixels that the model named, so that a conversation
stays the same for it from turn to turn. Screens are those of tool results of computer tools; a zoomed part is none.

What it is not: the arithmetic (`catalogue.images.map_point`). Invariant: only numbers in coordinates of computer tools
change, and what the model named comes back to it as it was, byte for byte where it is written in whole numbers.

Source: vendor page on computer use (2026-11): `coordinate`, `start_coordinate`, `region`; zoom does not change the
frame; `computer_toolset_*` has its members' names in `name` and says `toolset_name`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.catalogue.images import map_point
from trimtab.errors import RequestError
from trimtab.messages.condensed import Condensed
from trimtab.messages.splice import Edit, apply_edits, top_level_edits
from trimtab.vision.fitting import Bounds, Size

PREFIX, TOOLSET = "computer_", "computer_toolset_"
SIGN = b'"computer_'
"""In every body with such a tool."""
POINTS = ("coordinate", "start_coordinate", "region")
MOST = 1_000_000
"""Pixels; what is beyond is no coordinate of a screen."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder(dict[str, Any])


class Frame(msgspec.Struct, frozen=True):
    """One screenshot in two sizes."""

    sent: Size
    original: Size

    def back(self, numbers: Any) -> Any:
        """What the model named, where the client means it."""
        return _mapped(numbers, self.sent, self.original)

    def there(self, numbers: Any) -> Any:
        """What the client tells, where the model named it."""
        return _mapped(numbers, self.original, self.sent)


class Tools(msgspec.Struct, frozen=True):
    """The computer tools that a request offers."""

    names: frozenset[str] = frozenset()
    has_toolset: bool = False

    def __bool__(self) -> bool:
        return bool(self.names) or self.has_toolset

    def made(self, block: Mapping[str, Any]) -> bool:
        """Whether a block is a call of one of them."""
        if block.get("type") != "tool_use":
            return False
        toolset = block.get("toolset_name")
        if isinstance(toolset, str):
            return self.has_toolset and toolset == "computer"
        return block.get("name") in self.names if isinstance(block.get("name"), str) else False


class Screen(msgspec.Struct, frozen=True):
    """What the computer tools of a request come to."""

    tools: Tools
    edits: list[Edit]
    notes: list[str]
    frame: Frame | None
    """Of the screenshot that the answer is about; `None` where its coordinates are the client's already."""


def screen_of(
    raw: bytes, condensed: Condensed, bounds: Bounds, sizes: Mapping[str, Frame], *, maps_back: bool
) -> Screen | None:
    """What is to change of a body beside its images; `None` where it offers no computer tool, or cannot be read.

    `sizes` are the images that change, by their paths. Cost: decodes the body without its pixels.
    """
    text = condensed.text
    try:
        fields = _OBJECT.decode(text)
        changed: dict[str, Any] = {}
        tools, offered, notes, frame = _offered(fields, bounds)
        if not tools:
            return None
        if notes:
            changed["tools"] = offered
        if maps_back:
            turns = msgspec.json.decode(fields["messages"])
            frame, touched = _told(turns, tools, sizes, frame)
            if touched:
                changed["messages"] = turns
        edits = top_level_edits(text, fields, changed, "messages")
    except (
        msgspec.DecodeError,
        RequestError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        AttributeError,
    ):
        return None
    place = condensed.place
    placed = [
        (place(start), place(end - 1) + 1 if end > start else place(start), value)
        for start, end, value in edits
    ]
    return Screen(tools, placed, notes, frame if maps_back else None)


def _offered(
    fields: Mapping[str, msgspec.Raw], bounds: Bounds
) -> tuple[Tools, list[Any], list[str], Frame | None]:
    """The computer tools, all tools with sizes of the display that are sent, what changed, and the display's frame."""
    names, toolset, notes = set(), False, []
    frame: Frame | None = None
    offered = msgspec.json.decode(fields["tools"]) if "tools" in fields else []
    for index, tool in enumerate(offered):
        kind = tool.get("type")
        if not isinstance(kind, str) or not kind.startswith(PREFIX):
            continue
        if kind.startswith(TOOLSET):
            toolset = True
            continue
        names.add(str(tool.get("name")))
        wide, high = tool.get("display_width_px"), tool.get("display_height_px")
        if type(wide) is not int or type(high) is not int or not (0 < wide < MOST and 0 < high < MOST):
            continue
        size = bounds.size(wide, high)
        if size != (wide, high):
            tool["display_width_px"], tool["display_height_px"] = size
            notes.append(f"tools.{index}.display {wide}x{high}->{size[0]}x{size[1]}")
            frame = Frame(size, (wide, high))
    return Tools(frozenset(names), toolset), offered, notes, frame


def _told(
    turns: list[Any], tools: Tools, sizes: Mapping[str, Frame], frame: Frame | None
) -> tuple[Frame | None, bool]:
    """Put the model's earlier actions into the pixels that it named; the frame after the last turn."""
    touched = False
    shows: dict[str, bool] = {}
    for place, turn in enumerate(turns):
        content = turn.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            kind = block.get("type")
            if kind == "tool_use" and tools.made(block):
                shows[str(block.get("id"))] = not _zooms(block)
                if frame is not None:
                    touched |= _move(block.get("input"), frame)
            elif kind == "tool_result" and shows.get(str(block.get("tool_use_id"))):
                inner = block.get("content")
                for number, part in enumerate(inner if isinstance(inner, list) else ()):
                    if part.get("type") == "image":
                        frame = sizes.get(f"messages.{place}.content.{index}.content.{number}")
    return frame, touched


def _zooms(block: Mapping[str, Any]) -> bool:
    given = block.get("input")
    return block.get("name") == "zoom" or (isinstance(given, dict) and given.get("action") == "zoom")


def _move(given: Any, frame: Frame) -> bool:
    """Move the points of an action from the client's pixels to the model's; whether there are any."""
    found = [name for name in POINTS if isinstance(given, dict) and _is_point(given.get(name))]
    for name in found:
        given[name] = frame.there(given[name])
    return bool(found)


def moved_back(text: bytes, frame: Frame) -> bytes:
    """The input of an action, JSON, with its points where the client means them; other bytes stay."""
    try:
        fields = _OBJECT.decode(text)
        given = _ANY.decode(text)
        changes = {name: frame.back(given[name]) for name in POINTS if _is_point(given.get(name))}
        return apply_edits(text, top_level_edits(text, fields, changes, ""))
    except (msgspec.DecodeError, RequestError, ValueError, RecursionError):
        return text


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (2, 4)
        and all(type(one) in (int, float) and abs(one) < MOST for one in value)
    )


def _mapped(numbers: list[float], shown: Size, meant: Size) -> list[int]:
    return [
        part
        for at in range(0, len(numbers), 2)
        for part in map_point(numbers[at], numbers[at + 1], shown, meant)
    ]
