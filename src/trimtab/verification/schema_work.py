"""How much work a JSON schema can make of an answer, before it is let at one.

A schema that a client wrote may name the same part twice at every level: checked as written it takes two to the power
of its depth. What is counted is how many parts of the schema, each as often as it is reached, look at one place of an
answer. What it is not: a check of anything. Invariants: the count is too high where a choice ends early, and never too
low; it is found in bounded time, or not at all.

Source: JSON Schema draft 2020-12, core and validation, with the keywords of drafts 4 to 2019-09 that differ.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

MAX_PARTS = 5000
"""Of one schema; the largest of real tools (2026-11) have some hundreds."""

MAX_STEPS = 40_000
"""Parts that are looked at to find the widths; 1 us each."""

OUTSIDE_PARTS = 200
"""More than the parts of any draft's own schema that look at one place."""

_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")
_NAMED = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_REST_OF_OBJECT = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_REST_OF_LIST = ("items", "additionalItems", "contains", "unevaluatedItems")
_RECHECKS = 3
"""A part that says what may stand beside what was looked at looks at it once more to know."""

_Counts = dict[int, int]
"""Parts of a schema, by number, and how often each is reached at one place."""


class Width(msgspec.Struct, frozen=True):
    """Work at one place of an answer."""

    parts: int = 0
    """Evaluations."""
    patterns: int = 0
    """Of these, expressions that are tried on its text."""


class Widths(msgspec.Struct, frozen=True):
    """The most work at one place, by how deep it is."""

    levels: tuple[Width, ...]
    """From the top; each holds for its level and those above."""
    settled: bool
    """Whether the last level holds for all below."""

    def at(self, depth: int) -> Width | None:
        """For an answer so deep; `None` where it was not found."""
        if depth < len(self.levels):
            return self.levels[depth]
        return self.levels[-1] if self.settled else None


def widths_of(schema: Any, most_levels: int, most_parts: int) -> Widths | str:
    """The widths of a schema, down to a level that is wider than `most_parts`, or why they cannot be told.

    Cost: at most about 0.1 s; 50 us where it is small.
    """
    try:
        return _Search(schema).widths(most_levels, most_parts)
    except _TooMuch:
        return "it has too many parts"
    except _Ambiguous as problem:
        return str(problem)


def patterns_in(schema: Any) -> int:
    """How many expressions it names, those that nothing refers to too."""
    count, left = 0, [schema]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            count += isinstance(node.get("pattern"), str)
            named = node.get("patternProperties")
            count += len(named) if isinstance(named, dict) else 0
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
    return count


class _TooMuch(Exception):
    pass


class _Ambiguous(Exception):
    """It is not plain what a reference in it means."""


class _Search:
    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._parts: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._closures: dict[int, _Counts] = {}
        self._named: dict[str, Any] = {}
        self._steps = 0
        self._name_parts()

    def widths(self, most_levels: int, most_parts: int) -> Widths:
        """Level by level: the places that an answer may have, as what looks at them."""
        here = {self._key(places): places for places in [self._closed({self._number(self._root): 1})]}
        seen = set(here)
        levels: list[Width] = []
        widest = Width()
        while here and len(levels) <= most_levels and widest.parts <= most_parts:
            for counts in here.values():
                found = self._width(counts)
                widest = Width(max(widest.parts, found.parts), max(widest.patterns, found.patterns))
            levels.append(widest)
            below: dict[frozenset[tuple[int, int]], _Counts] = {}
            try:
                for counts in here.values():
                    for place in self._places_below(counts):
                        closed = self._closed(place)
                        if (key := self._key(closed)) not in seen:
                            seen.add(key)
                            below[key] = closed
            except _TooMuch:
                return Widths(tuple(levels), False)
            here = below
        return Widths(tuple(levels), not here)

    @staticmethod
    def _key(counts: _Counts) -> frozenset[tuple[int, int]]:
        return frozenset(counts.items())

    def _number(self, part: Any) -> int:
        number = self._numbers.get(id(part))
        if number is None:
            if len(self._parts) >= MAX_PARTS:
                raise _TooMuch
            number = self._numbers[id(part)] = len(self._parts)
            self._parts.append(part)
        return number

    def _name_parts(self) -> None:
        """What anchors name. Inside a part with an address of its own (`$id`) references mean other parts than outside;
        real requests have none, and they are not followed."""
        root = self._root if isinstance(self._root, dict) else {}
        old = "draft-04" in str(root.get("$schema"))
        for count, node in enumerate(_walked([root])):
            if count > 20 * MAX_PARTS:
                raise _TooMuch
            own = node.get("id" if old else "$id")
            anchors = [node.get("$anchor"), node.get("$dynamicAnchor")]
            if isinstance(own, str):
                anchors.append(own[1:] if own.startswith("#") else None)
                if node is not root and not own.startswith("#"):
                    raise _Ambiguous("a part of it has an address ($id) of its own")
            for name in {anchor for anchor in anchors if isinstance(anchor, str)}:
                if name in self._named:
                    raise _Ambiguous(f"two of its parts have the anchor {name[:60]!r}")
                self._named[name] = node

    def _referred(self, target: object) -> Any:
        """The part that a reference names. One that is not found is taken for the whole schema: whether there is such a
        one is for who compiles it."""
        if not isinstance(target, str):
            return True
        fragment = unquote(target.partition("#")[2])
        if not fragment.startswith("/"):
            return self._named.get(fragment, self._root)
        found = self._root
        for step in fragment[1:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                return self._root
        return found

    def _closed(self, counts: _Counts) -> _Counts:
        """With all parts that look at the same place because of these."""
        total: _Counts = {}
        for number, times in counts.items():
            for inner, often in self._closure(number).items():
                self._step()
                total[inner] = total.get(inner, 0) + times * often
        return total

    def _closure(self, number: int) -> _Counts:
        """One part, and how often it has each other one look at its place. A reference back to what is being followed
        adds nothing: who checks goes round no circle."""
        if number in self._closures:
            return self._closures[number]
        open_: list[tuple[int, list[tuple[int, int]], _Counts]] = [
            (number, self._beside(number), {number: 1})
        ]
        following = {number}
        while True:
            current, edges, total = open_[-1]
            if edges:
                self._step()
                inner, times = edges.pop()
                if inner in self._closures:
                    for other, often in self._closures[inner].items():
                        self._step()
                        total[other] = total.get(other, 0) + times * often
                elif inner not in following:
                    edges.append((inner, times))
                    following.add(inner)
                    open_.append((inner, self._beside(inner), {inner: 1}))
                continue
            self._closures[current] = total
            following.discard(current)
            open_.pop()
            if not open_:
                return total

    def _beside(self, number: int) -> list[tuple[int, int]]:
        """The parts that this one has look at its own place, and how often."""
        part = self._parts[number]
        if not isinstance(part, dict):
            return []
        found: list[Any] = []
        for key in _LISTS:
            found += part[key] if isinstance(part.get(key), list) else []
        found += [part[key] for key in _SINGLE if key in part]
        for key in _NAMED:
            found += list(part[key].values()) if isinstance(part.get(key), dict) else []
        found += [self._referred(part[key]) for key in _REFERENCES if key in part]
        times = _RECHECKS if "unevaluatedProperties" in part or "unevaluatedItems" in part else 1
        return [(self._number(one), times) for one in found if isinstance(one, dict)]

    def _width(self, counts: _Counts) -> Width:
        parts = patterns = 0
        for number, times in counts.items():
            self._step()
            part = self._parts[number]
            if isinstance(part, dict):
                weight, tried = _weight(part)
                parts += times * weight
                patterns += times * tried
        return Width(parts, patterns)

    def _places_below(self, counts: _Counts) -> Iterator[_Counts]:
        """The places that an object or a list below may have: by each name, by each position, and any other."""
        rest: _Counts = {}
        elements: _Counts = {}
        names: dict[str, _Counts] = {}
        positions: dict[int, _Counts] = {}
        for number, times in counts.items():
            part = self._parts[number]
            if not isinstance(part, dict):
                continue
            for key in _REST_OF_OBJECT:
                self._add(rest, part.get(key), times)
            for one in _values(part.get("patternProperties")):
                self._add(rest, one, times)
            for key in _REST_OF_LIST:
                if not isinstance(part.get(key), list):
                    self._add(elements, part.get(key), times)
            for name, one in _items(part.get("properties")):
                self._add(names.setdefault(name, {}), one, times)
            for key in ("prefixItems", "items"):
                for at, one in enumerate(part[key] if isinstance(part.get(key), list) else ()):
                    self._add(positions.setdefault(at, {}), one, times)
        for common, special in ((rest, names), (elements, positions)):
            if common:
                yield common
            for own in special.values():
                if own:
                    yield {
                        **common,
                        **{number: times + common.get(number, 0) for number, times in own.items()},
                    }

    def _add(self, into: _Counts, part: Any, times: int) -> None:
        self._step()
        if isinstance(part, dict):
            number = self._number(part)
            into[number] = into.get(number, 0) + times

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _TooMuch


def _weight(part: dict[str, Any]) -> tuple[int, int]:
    """(work, expressions) of one part at one place, less what it has others do. Options that are objects take longer to
    be compared; only the drafts' own schemas are found outside."""
    options = part.get("enum")
    weight = 1 + len(part) // 4
    if isinstance(options, list):
        weight += sum(4 if isinstance(one, dict | list) else 1 for one in options)
    for key in ("required", "properties", "dependentRequired"):
        weight += len(part[key]) // 8 if isinstance(part.get(key), list | dict) else 0
    if any(not str(part.get(key, "#")).startswith("#") for key in _REFERENCES):
        weight += OUTSIDE_PARTS
    named = part.get("patternProperties")
    tried = ("pattern" in part) + ("format" in part) + (len(named) if isinstance(named, dict) else 0)
    return weight + tried, tried


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, dict) else ()


def _values(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else ()


def _walked(left: list[Any]) -> Iterator[dict[str, Any]]:
    """All objects in it."""
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
