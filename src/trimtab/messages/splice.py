"""Changes JSON by splicing: a value is changed to another, and every byte that both share stays as it was.

What it is not: an encoder of bodies. Invariant: what is made decodes to the new value, members keep their order, and
bytes outside what differs are the same.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from trimtab.errors import RequestError

Edit = tuple[int, int, bytes]
"""Replace the bytes from the first offset up to the second."""

_WHITESPACE = b" \t\r\n"
_STR = msgspec.json.Decoder(str)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class Gone:
    """The type of `GONE`."""

    __slots__ = ()


GONE: Final = Gone()
"""In the place of a member or an element: it is to be removed."""


class Part(msgspec.Struct):
    """A member (from its key on) or an element."""

    start: int
    value: int
    end: int


def apply_edits(raw: bytes, edits: list[Edit]) -> bytes:
    """The bytes with these edits made; none gives `raw` itself. Edits may touch, never overlap."""
    if not edits:
        return raw
    parts: list[bytes] = []
    at = 0
    for start, end, value in sorted(edits, key=lambda edit: edit[:2]):
        parts += (raw[at:start], value)
        at = end
    parts.append(raw[at:])
    return b"".join(parts)


def top_level_edits(
    raw: bytes, fields: Mapping[str, msgspec.Raw], changes: Mapping[str, object], behind: str
) -> list[Edit]:
    """The edits that give top-level members of an object new values; `GONE` removes one.

    A member that is not there yet is put behind the member `behind`, which must be there and stay. Raises
    `RequestError` where a nested object that must change holds a key twice.
    """
    parts = members_of(raw, skip_blank(raw, 0), fields)
    edits: list[Edit] = []
    for name, value in changes.items():
        if value is not GONE and name in parts:
            _value_edits(raw, parts[name], msgspec.json.decode(fields[name]), value, edits)
    edits += _removals(list(parts.values()), [changes.get(name) is GONE for name in parts])
    added = [
        b"," + msgspec.json.encode(name) + b":" + msgspec.json.encode(value)
        for name, value in changes.items()
        if name not in parts and value is not GONE
    ]
    if added:
        place = parts[behind].end
        edits.append((place, place, b"".join(added)))
    return edits


def swap_edits(
    raw: bytes,
    fields: Mapping[str, msgspec.Raw],
    name: str,
    members: Mapping[str, object],
    gone: Collection[str],
) -> list[Edit]:
    """The edits that put members in the place of the member `name`, and remove others; no value is decoded."""
    parts = members_of(raw, skip_blank(raw, 0), fields)
    made = b",".join(
        msgspec.json.encode(key) + b":" + msgspec.json.encode(value) for key, value in members.items()
    )
    place = parts[name]
    removals = _removals(list(parts.values()), [key in gone for key in parts])
    return [(place.start, place.end, made), *removals]


def _value_edits(raw: bytes, part: Part, before: Any, after: Any, edits: list[Edit]) -> None:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        _object_edits(raw, part.value, part.end, before, after, edits)
    elif isinstance(before, list) and isinstance(after, list) and len(after) >= len(before):
        _array_edits(raw, part.value, part.end, before, after, edits)
    elif isinstance(before, str) and isinstance(after, str) and after.startswith(before):
        edits.append((part.end - 1, part.end - 1, msgspec.json.encode(after[len(before) :])[1:-1]))
    else:
        edits.append((part.value, part.end, msgspec.json.encode(after)))


def _object_edits(
    raw: bytes, start: int, end: int, before: dict[str, Any], after: dict[str, Any], edits: list[Edit]
) -> None:
    parts = members_of(raw, start, _OBJECT.decode(memoryview(raw)[start:end]))
    gone = [name not in after or after[name] is GONE for name in parts]
    for name, part in parts.items():
        if name in after and after[name] is not GONE:
            _value_edits(raw, part, before[name], after[name], edits)
    edits += _removals(list(parts.values()), gone)
    added = [
        msgspec.json.encode(name) + b":" + msgspec.json.encode(value)
        for name, value in after.items()
        if name not in parts and value is not GONE
    ]
    if added:
        rest = b"" if all(gone) else b","
        edits.append((start + 1, start + 1, b",".join(added) + rest))


def _array_edits(
    raw: bytes, start: int, end: int, before: list[Any], after: list[Any], edits: list[Edit]
) -> None:
    parts = elements_of(raw, start, _ARRAY.decode(memoryview(raw)[start:end]))
    gone = [after[index] is GONE for index in range(len(parts))]
    for index, part in enumerate(parts):
        if not gone[index]:
            _value_edits(raw, part, before[index], after[index], edits)
    edits += _removals(parts, gone)
    added = [msgspec.json.encode(value) for value in after[len(parts) :] if value is not GONE]
    if added:
        left = [part.end for part, is_gone in zip(parts, gone, strict=True) if not is_gone]
        place = left[-1] if left else start + 1
        edits.append((place, place, (b"," if left else b"") + b",".join(added)))


def _removals(parts: list[Part], gone: list[bool]) -> list[Edit]:
    """Each run of removed parts takes one comma with it: the one before it, or behind it when it comes first."""
    edits: list[Edit] = []
    first = 0
    while first < len(parts):
        if not gone[first]:
            first += 1
            continue
        last = first
        while last + 1 < len(parts) and gone[last + 1]:
            last += 1
        if first > 0:
            edits.append((parts[first - 1].end, parts[last].end, b""))
        elif last + 1 < len(parts):
            edits.append((parts[0].start, parts[last + 1].start, b""))
        else:
            edits.append((parts[0].start, parts[last].end, b""))
        first = last + 1
    return edits


def members_of(raw: bytes, start: int, fields: Mapping[str, msgspec.Raw]) -> dict[str, Part]:
    """Where the members of the object at `start` stand. Raises `RequestError` on a key that stands twice."""
    parts: dict[str, Part] = {}
    at = start + 1
    for name, value in fields.items():
        key = skip_blank(raw, at)
        found, at = key_at(raw, key)
        text = bytes(value)
        if found != name or not raw.startswith(text, at):
            raise _duplicate(found)
        parts[name] = Part(key, at, at + len(text))
        at = skip_blank(raw, at + len(text)) + 1
    if fields and raw[at - 1 : at] != b"}":
        raise _duplicate(key_at(raw, at)[0])
    return parts


def _duplicate(name: str) -> RequestError:
    return RequestError(f"{name[:80]}: Duplicate key; send each member of an object once")


def elements_of(raw: bytes, start: int, values: list[msgspec.Raw]) -> list[Part]:
    """Where the elements of the array at `start` stand."""
    parts: list[Part] = []
    at = start + 1
    for value in values:
        at = skip_blank(raw, at)
        end = at + len(memoryview(value))
        parts.append(Part(at, at, end))
        at = skip_blank(raw, end) + 1
    return parts


def key_at(raw: bytes, at: int) -> tuple[str, int]:
    """The key that starts at or after `at`, and where its value starts. The JSON is known to be valid."""
    start = skip_blank(raw, at)
    end = raw.index(b'"', start + 1)
    while _escaped(raw, end):
        end = raw.index(b'"', end + 1)
    token = raw[start : end + 1]
    name = _STR.decode(token) if b"\\" in token else token[1:-1].decode()
    return name, skip_blank(raw, skip_blank(raw, end + 1) + 1)


def _escaped(raw: bytes, quote: int) -> bool:
    slashes = 0
    while raw[quote - 1 - slashes] == 0x5C:
        slashes += 1
    return slashes % 2 == 1


def skip_blank(raw: bytes, at: int) -> int:
    """The next place that is not white space. Windows double, so megabytes of blanks cost little."""
    if at < len(raw) and raw[at] > 0x20:
        return at
    window = 64
    while piece := raw[at : at + window]:
        rest = piece.lstrip(_WHITESPACE)
        at += len(piece) - len(rest)
        if rest:
            break
        window *= 2
    return at
