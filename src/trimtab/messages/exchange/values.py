"""JSON of outside as Python values, within bounds, and the texts in it.

What it is not: any one API's shape. Invariant: nothing here raises, and nothing takes memory out of proportion to the
bytes that it is made of.
"""

from typing import Any, TypeGuard

import msgspec

from trimtab.messages.tolerant import document, given, is_small_enough, mended


def decoded(written: bytes) -> tuple[Any, bool]:
    """(value, readable) of a JSON text. Halves of a character are mended. What is no JSON, nested deeper than
    `MAX_NESTING`, or spells too many values, is (None, False)."""
    if not written or not is_small_enough(msgspec.Raw(written)):
        return None, False
    value = document(written)
    if value is None:
        return None, written.strip(b" \t\r\n") == b"null"
    try:
        return mended(value), True
    except RecursionError:
        return None, False


def value_of(field: msgspec.Raw) -> Any:
    """A field of a body as `decoded` reads it; `None` where it is absent or cannot be read."""
    return decoded(bytes(field))[0] if given(field) else None


def written(value: Any) -> bytes:
    """A value as JSON; nothing where it cannot be written."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""


def texts_of(content: object, kind: str, *, plain: bool = True) -> list[str]:
    """The texts of one kind of part in a content; a content that is a text is one, where `plain`."""
    if isinstance(content, str):
        return [content] if plain else []
    if not isinstance(content, list):
        return []
    return [
        part[kind]
        for part in content
        if isinstance(part, dict) and part.get("type", kind) == kind and isinstance(part.get(kind), str)
    ]


def texts_in(value: object) -> list[str]:
    """Those of a list's elements that are texts."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def is_index(index: object) -> TypeGuard[int]:
    """Whether it is a whole number that counts something."""
    return isinstance(index, int) and not isinstance(index, bool)
