"""JSON schemas of requests, tools and configurations: compiled once, checked in bounded time.

What it is not: a verdict. Invariants: no reference outside the schema is ever fetched; an expression takes time linear
in the text; a schema that could take long is not tried, and says why.
"""

import hashlib
from collections import OrderedDict
from typing import Any

import jsonschema_rs
import msgspec

from trimtab.errors import shortened
from trimtab.messages.tolerant import MAX_NESTING
from trimtab.verification.schema_work import Widths, patterns_in, widths_of

MAX_SCHEMA_BYTES = 256 * 1024
"""The largest of real tools (2026-11) have 30 KB."""

MAX_PATTERNS = 64
PATTERN_BYTES = 1024 * 1024
"""Of one expression, compiled: those that take more, as `((a{0,30}){0,30}){0,30}`, are refused after 5 ms each."""

MAX_WORK = 4_000_000
"""Evaluations of a part of a schema at a place of an answer; 50 ns each."""

MAX_MATCHED_BYTES = 100_000_000
"""Expressions times the bytes of an answer's text; 1 ns for each."""

TOLD_WORK = 100_000
TOLD_BYTES = 32 * 1024 * 1024
"""Evaluations, and parts at a place times bytes: up to here it is told where an answer is wrong. Each part that finds
something wrong makes an object of it with a copy of its place."""

MOST_SCHEMAS = 256
MOST_BYTES = 4 * 1024 * 1024
"""Of schemas that are kept compiled, by one verifier; compiled they take about ten times their bytes."""

MAX_SHOWN_CHARS = 60
MAX_POINTER_CHARS = 120

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES)


class Mismatch(msgspec.Struct, frozen=True):
    """Where a value is not as its schema wants it."""

    pointer: str
    """JSON pointer; empty for the whole, and where the place is not told."""
    expected: str
    got: str


class Untried(msgspec.Struct, frozen=True):
    """Why it could not be told."""

    reason: str
    """Without a word of the schema."""
    problem: str = ""
    """With some of them, shortened."""


class Schema:
    """One schema that can be checked against."""

    __slots__ = ("_validator", "_widths")

    def __init__(self, validator: Any, widths: Widths) -> None:
        self._validator = validator
        self._widths = widths

    def check(self, value: Any, written: bytes | str) -> Mismatch | Untried | None:
        """Whether a value satisfies it; `None` where it does. `written` is its JSON text, by which the work is bounded.

        Cost: 1 to 10 us for what real requests ask; at most 0.2 s.
        """
        if isinstance(written, str):
            written = written.encode()
        work = self._work(value, written)
        if work is None:
            return Untried(
                "the schema could take too long: too many of its parts look at one place of the answer"
            )
        if self._validator.is_valid(value):
            return None
        if not work:
            return Mismatch("", "the schema", f"{len(written)} bytes of JSON")
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as problem:
            return _mismatch(problem)
        return Untried("the schema says both that the answer is valid and that it is not")

    def _work(self, value: Any, written: bytes) -> bool | None:
        """Whether there is so little that it can be told what is wrong; `None` where it is too much."""
        widest = self._widths.levels[-1]
        work = widest.parts * (1 + written.count(b",") + written.count(b"[") + 2 * written.count(b":"))
        if not self._widths.settled or work > MAX_WORK:
            counts = _places(value)
            deepest = self._widths.at(len(counts) - 1)
            if deepest is None:
                return None
            widest, levels = deepest, self._widths.levels
            work = sum(
                count * levels[min(depth, len(levels) - 1)].parts for depth, count in enumerate(counts)
            )
        if work > MAX_WORK or widest.patterns * len(written) > MAX_MATCHED_BYTES:
            return None
        return work <= TOLD_WORK and widest.parts * len(written) <= TOLD_BYTES


class Schemas:
    """Those that were asked for lately, compiled. For one thread."""

    def __init__(self, *, formats: bool = False) -> None:
        """`formats`: whether `format` is checked; by the drafts it only describes."""
        self._formats = formats
        self._kept: OrderedDict[bytes, tuple[int, Schema | Untried]] = OrderedDict()
        self._bytes = 0

    def compiled(self, schema: Any) -> Schema | Untried:
        """A schema ready to be checked against, or why there is none. Never raises. Cost: a hash of it where it is
        known, else 0.1 ms for a small one, at most 0.5 s."""
        try:
            written = msgspec.json.encode(schema)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return Untried("the schema is no JSON")
        key = hashlib.sha256(written).digest()
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept[1]
        made = self._made(schema, len(written))
        self._kept[key] = (len(written), made)
        self._bytes += len(written)
        while len(self._kept) > MOST_SCHEMAS or self._bytes > MOST_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1][0]
        return made

    def _made(self, schema: Any, size: int) -> Schema | Untried:
        if not isinstance(schema, dict | bool):
            return Untried("the schema is no object")
        if size > MAX_SCHEMA_BYTES:
            return Untried(f"the schema has {size} bytes; at most {MAX_SCHEMA_BYTES} are tried")
        if (patterns := patterns_in(schema)) > MAX_PATTERNS:
            return Untried(f"the schema has {patterns} patterns; at most {MAX_PATTERNS} are tried")
        widths = widths_of(schema, MAX_NESTING, MAX_WORK)
        if isinstance(widths, str):
            return Untried("the schema cannot be used", widths)
        problem = "it is none"
        for draft in _drafts(schema):
            try:
                validator = draft(
                    schema, offline=True, pattern_options=_PATTERNS, validate_formats=self._formats
                )
            except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as why:
                problem = str(why).partition("\n")[0]
                continue
            return Schema(validator, widths)
        return Untried("the schema cannot be used", shortened(problem, 120))


def _drafts(schema: Any) -> tuple[Any, ...]:
    """The one that it names. One that names none is of draft 2020-12, as the vendors' are, or else of draft 7."""
    if isinstance(schema, dict) and "$schema" in schema:
        return (jsonschema_rs.validator_for,)
    return (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft7Validator)


def _places(value: Any) -> list[int]:
    """How many places there are at each depth, names of members included."""
    counts, level = [], [value]
    while level:
        counts.append(len(level))
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one
                below += one.values()
            elif isinstance(one, list):
                below += one
        level = below
    return counts


def _mismatch(problem: Any) -> Mismatch:
    pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in problem.instance_path)
    return Mismatch(shortened(pointer, MAX_POINTER_CHARS), _expected(problem), shown(problem.instance))


def _expected(problem: Any) -> str:
    kind = problem.kind
    match kind.name:
        case "type":
            return "of type " + " or ".join(kind.types)
        case "required":
            return f"the property {shown(kind.property)}"
        case "additionalProperties" | "unevaluatedProperties":
            return f"no property {shown(kind.unexpected[0])}" if kind.unexpected else "no further property"
        case "enum":
            return f"one of {shown(kind.options)}"
        case "const":
            return shown(kind.expected_value)
        case "anyOf" | "oneOfNotValid":
            return f"one of the {len(kind.context)} forms of anyOf"
        case "oneOf":
            return f"exactly one of the {len(kind.context)} forms of oneOf"
        case "pattern":
            return f"text that matches {shown(kind.pattern)}"
        case "falseSchema":
            return "nothing"
        case "propertyNames" | "uniqueItems" | "contains" | "not" | "unevaluatedItems":
            return str(kind.name)
    return f"{kind.name} {shown(kind.value)}"


def shown(value: Any) -> str:
    """A value as evidence has it: its JSON, shortened."""
    try:
        return shortened(msgspec.json.encode(value).decode(), MAX_SHOWN_CHARS)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return type(value).__name__
