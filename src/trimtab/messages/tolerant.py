"""Reads platform JSON field by field: one odd field is one unknown value, not a lost event.

Nothing here raises for what a platform wrote. Objects are decoded into structs of raw members, so what is not
asked for costs a scan and no memory.
"""

import json
from typing import Any, TypeVar

import msgspec

from trimtab.messages.usage import (
    MAX_COUNT,
    MAX_ITERATIONS,
    MAX_TEXT_CHARS,
    CacheCreation,
    IterationUsage,
    OutputDetails,
    ServerToolUse,
    Usage,
)

MAX_USAGE_BYTES = 1024 * 1024
"""A thousand iterations are about 250 KB; a larger usage object is not believed."""

FREELY_DECODED = 1024 * 1024
"""Bytes of a field that is decoded whatever it holds."""

MAX_CONTAINERS = 400_000
MAX_COMMAS = 2_000_000
"""Of a larger field: objects take ten times the bytes that spell them, so a hostile body of 32 MB could take 500 MB."""

MAX_NESTING = 200
"""Of values that are shown or judged; the vendor's own schemas and inputs stay under 20."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes: bad JSON or types, bad UTF-8 inside strings, nesting past the stack."""

_NUMBER: msgspec.json.Decoder[int | float] = msgspec.json.Decoder(int | float)
_STR = msgspec.json.Decoder(str)
_ANY = msgspec.json.Decoder()
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_USAGE = msgspec.json.Decoder(Usage)

_OBJECTS: dict[str, type[msgspec.Struct]] = {
    "cache_creation": CacheCreation,
    "output_tokens_details": OutputDetails,
    "server_tool_use": ServerToolUse,
}
_TEXTS = {"type", "model", "service_tier", "speed", "inference_geo"}

_ABSENT = msgspec.Raw()
_NULL = ord("n")
_QUOTE = ord('"')
_KINDS: tuple[type[msgspec.Struct], ...] = (Usage, IterationUsage, *_OBJECTS.values())
_MEMBERS: dict[type[msgspec.Struct], msgspec.json.Decoder[msgspec.Struct]] = {
    kind: msgspec.json.Decoder(
        msgspec.defstruct(
            f"Raw{kind.__name__}", [(name, msgspec.Raw, _ABSENT) for name in kind.__struct_fields__]
        )
    )
    for kind in _KINDS
}
"""For each object of `usage`, its decoder with every member left raw."""

_T = TypeVar("_T")


class _Unreadable(ValueError):
    """The usage as a whole cannot be believed."""


def given(raw: msgspec.Raw) -> bool:
    """Whether a member is there with anything but null."""
    view = memoryview(raw)
    return len(view) > 0 and view[0] != _NULL  # no other JSON value begins with this letter


def read(decoder: msgspec.json.Decoder[_T], data: bytes | msgspec.Raw) -> _T | None:
    """What a decoder makes of the data; `None` for what it cannot read."""
    try:
        return decoder.decode(data)
    except UNREADABLE:
        return None


def document(data: bytes) -> Any:
    """Any JSON as Python values; `None` for what cannot be read.

    Half a character that a platform cut at an escape (`\\ud83d` alone) is text too, and is left as it is.
    """
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        pass
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def is_small_enough(field: msgspec.Raw) -> bool:
    """Whether a field of a body may be decoded whole."""
    if len(memoryview(field)) <= FREELY_DECODED:
        return True
    text = bytes(field)
    return text.count(b"{") + text.count(b"[") <= MAX_CONTAINERS and text.count(b",") <= MAX_COMMAS


def field_value(field: msgspec.Raw | None) -> Any:
    """A field of a body as Python values; `None` where it is absent, cannot be read, or spells too many objects."""
    if field is None or not is_small_enough(field):
        return None
    return read(_ANY, field)


def mended_text(text: str) -> str:
    """A text that can be written: halves of a character are joined where both are there, else replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def mended(value: Any, room: int = MAX_NESTING) -> Any:
    """The value with all its texts such that they can be written. Raises `RecursionError` beyond `MAX_NESTING`."""
    if isinstance(value, str):
        return mended_text(value)
    if isinstance(value, dict | list):
        if not room:
            raise RecursionError(f"nested deeper than {MAX_NESTING}")
        if isinstance(value, dict):
            return {mended_text(name): mended(one, room - 1) for name, one in value.items()}
        return [mended(one, room - 1) for one in value]
    return value


def readable_text(raw: msgspec.Raw) -> str | None:
    """A string of any length; `None` for what is none."""
    return read(_STR, raw) if given(raw) and memoryview(raw)[0] == _QUOTE else None


def text_of(raw: msgspec.Raw) -> str | None:
    """A string, cut to `MAX_TEXT_CHARS`."""
    text = read(_STR, raw)
    return None if text is None else text[:MAX_TEXT_CHARS]


def count_of(raw: msgspec.Raw) -> int | None:
    """A believable count. JSON has one kind of number: 500.0 is 500."""
    number = read(_NUMBER, raw)
    if number is None or not 0 <= number <= MAX_COUNT or number != int(number):
        return None
    return int(number)


def usage_of(raw: msgspec.Raw) -> Usage | None:
    """Usage as far as it can be read; `None` where it is absent or its iterations, the bill, cannot be."""
    if not given(raw) or len(memoryview(raw)) > MAX_USAGE_BYTES:
        return None
    usage = read(_USAGE, raw)
    if usage is not None:
        return usage
    try:
        return _struct(raw, Usage)
    except _Unreadable:
        return None


_S = TypeVar("_S", bound=msgspec.Struct)


def _struct(raw: msgspec.Raw, kind: type[_S]) -> _S | None:
    members = read(_MEMBERS[kind], raw)
    if members is None:
        return None
    values = {}
    for name in kind.__struct_fields__:
        part: msgspec.Raw = getattr(members, name)
        if given(part) and (value := _value(part, kind, name)) is not None:
            values[name] = value
    return kind(**values)


def _value(part: msgspec.Raw, kind: type[msgspec.Struct], name: str) -> object:
    if name == "iterations":
        return _iterations(part)
    if name in _OBJECTS:
        return _struct(part, _OBJECTS[name])
    if name in _TEXTS:
        return text_of(part)
    count = count_of(part)
    if count is None and kind is IterationUsage:
        raise _Unreadable(f"an iteration's {name}")
    return count


def _iterations(raw: msgspec.Raw) -> list[IterationUsage] | None:
    """Where iterations are present they are the bill: one that cannot be read would be one not paid for."""
    items = read(_LIST, raw)
    if items is None or len(items) > MAX_ITERATIONS:
        raise _Unreadable("iterations")
    read_items = []
    for item in items:
        if (iteration := _struct(item, IterationUsage)) is None:
            raise _Unreadable("an iteration")
        read_items.append(iteration)
    return read_items
