"""Verifiers of an answer's form: that its text is JSON, and JSON that a schema describes.

What they are not: a judgement of what it says, or of the calls of tools in it. Invariant: whatever the text is, the
work is bounded; what cannot be told within the bounds is unsure.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from trimtab.config import decoded, fail, read_file
from trimtab.errors import shortened
from trimtab.messages.exchange import Answered
from trimtab.messages.tolerant import is_small_enough
from trimtab.records import Fact
from trimtab.verification.code_blocks import blocks
from trimtab.verification.schemas import MAX_SHOWN_CHARS, Mismatch, Schema, Schemas, Untried
from trimtab.verification.seam import Case, Finding, Spends

FENCE = "```"
MAX_DIGITS = 400
"""Of a whole number; a longer one is read as a float, so that its digits cost no more than others."""


class JsonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `json`."""

    fenced: bool = False
    """Whether the JSON may stand in one fenced block of Markdown, with nothing around it."""
    object_only: bool = False


class JsonSchemaOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `json_schema`."""

    schema: dict[str, Any] | None = None
    schema_file: str = ""
    fenced: bool = False
    formats: bool = False
    """Whether `format` is checked; by the drafts it only describes."""


def json_text(options: Mapping[str, Any], where: Callable[[str], str]) -> "JsonText":
    """The verifier of these options. Raises `ConfigError`."""
    return JsonText(decoded(dict(options), JsonOptions, where))


def json_schema(options: Mapping[str, Any], where: Callable[[str], str]) -> "JsonSchema":
    """The verifier of these options. Reads `schema_file`. Raises `ConfigError`, for a schema that is unusable too."""
    read = decoded(dict(options), JsonSchemaOptions, where)
    schemas = Schemas(formats=read.formats)
    if read.schema is not None and read.schema_file:
        fail(where("schema"), "a schema", "there is schema_file too; name one of them")
    given: Any = read.schema
    place = where("schema")
    if read.schema_file:
        place = where("schema_file")
        given, problem = _parsed(read_file(Path(read.schema_file)).decode(errors="replace"))
        if problem is not None:
            fail(place, read.schema_file, f"is no JSON: {problem.reason}")
    if given is not None and isinstance(made := schemas.compiled(given), Untried):
        fail(
            place,
            read.schema_file or "a schema",
            f"{made.reason}: {made.problem}" if made.problem else made.reason,
        )
    return JsonSchema(read, schemas, given)


class JsonText:
    """Kind `json`: the text is one JSON value."""

    spends: Spends = "nothing"

    def __init__(self, options: JsonOptions) -> None:
        self._options = options

    async def check(self, case: Case) -> Finding:
        """See the seam."""
        if (passed := _is_no_text(case.answer)) is not None:
            return passed
        text = _without_fence(case.answer.text) if self._options.fenced else case.answer.text
        value, problem = _parsed(text)
        if problem is not None:
            return problem
        if self._options.object_only and not isinstance(value, dict):
            return Finding("escalate", "the text is JSON, but no object", {"got": _kind(value)})
        return Finding("accept")


class JsonSchema:
    """Kind `json_schema`: the text is JSON that satisfies the schema of the request, or that of the options."""

    spends: Spends = "nothing"

    def __init__(self, options: JsonSchemaOptions, schemas: Schemas, given: Any) -> None:
        self._options = options
        self._schemas = schemas
        self._given = given

    async def check(self, case: Case) -> Finding:
        """See the seam. A request that names no schema, and asks for no JSON, has nothing to be checked by."""
        own = self._given is None
        wanted = case.question.schema if own else self._given
        source: dict[str, Fact] = {"schema": "request" if own else "options"}
        if wanted is None:
            if not case.question.wants_json:
                return Finding("accept", "the request names no schema", {"schema": "none"})
            wanted, source = {"type": "object"}, {"schema": "any object"}
        if (passed := _is_no_text(case.answer)) is not None:
            return passed
        schema = self._schemas.compiled(wanted)
        if isinstance(schema, Untried):
            return not_told(schema, source)
        text = _without_fence(case.answer.text) if self._options.fenced else case.answer.text
        value, problem = _parsed(text)
        if problem is not None:
            return problem
        return satisfied(schema, value, text, source)


def satisfied(schema: Schema, value: Any, written: bytes | str, facts: Mapping[str, Fact]) -> Finding:
    """What checking a value against a schema comes to; with these facts as evidence, too."""
    match schema.check(value, written):
        case Mismatch(pointer, expected, got):
            told = {**facts, "at": pointer, "expected": expected, "got": got}
            return Finding("escalate", "not as its schema wants it", told)
        case Untried() as untried:
            return not_told(untried, facts)
    return Finding("accept", "", facts)


def not_told(why: Untried, facts: Mapping[str, Fact]) -> Finding:
    """What a schema that cannot be tried comes to."""
    return Finding("unsure", why.reason, {**facts, "problem": why.problem} if why.problem else facts)


def _is_no_text(answer: Answered) -> Finding | None:
    """Where an answer's text is not what was asked for: the turn goes on with tools."""
    if answer.tool_calls:
        return Finding("accept", "it calls tools", {"tool_calls": len(answer.tool_calls)})
    if answer.stop == "paused":
        return Finding("accept", "it is to be asked to go on", {"stop": answer.stop_reason})
    return None


def _without_fence(text: str) -> str:
    """The text in its only block, where a fenced block is all there is."""
    bare = text.strip()
    found = blocks(bare) if bare.startswith(FENCE) and bare.endswith(FENCE) else ()
    return found[0].text if len(found) == 1 else text


def _parsed(text: str) -> tuple[Any, Finding | None]:
    """(value, what speaks against it)."""
    written = text.encode(errors="replace")
    if not is_small_enough(msgspec.Raw(written)):
        return None, Finding("unsure", "the text spells more values than are read", {"bytes": len(written)})
    try:
        return msgspec.json.decode(written), None
    except (msgspec.DecodeError, RecursionError):
        pass
    try:  # it says where it is wrong, and reads half characters and very long numbers
        return json.loads(text, parse_constant=_no_number, parse_int=_whole), None
    except RecursionError:
        return None, Finding("unsure", "the text is nested deeper than is read")
    except json.JSONDecodeError as problem:
        return None, _no_json(text, problem)
    except ValueError as problem:
        return None, Finding(
            "escalate", "the text is no JSON", {"expected": shortened(str(problem), MAX_SHOWN_CHARS)}
        )


def _no_json(text: str, problem: json.JSONDecodeError) -> Finding:
    facts: dict[str, Fact] = {"line": problem.lineno, "column": problem.colno}
    facts |= {
        "expected": problem.msg,
        "got": shortened(text[problem.pos : problem.pos + 200], MAX_SHOWN_CHARS),
    }
    if not text.strip():
        return Finding("escalate", "there is no text", {"expected": "JSON"})
    if text.lstrip().startswith(FENCE):
        return Finding("escalate", "the text is no JSON: it stands in a fenced block", facts)
    if problem.msg == "Extra data":
        return Finding("escalate", "there is more than one JSON value in the text", facts)
    return Finding("escalate", "the text is no JSON", facts)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"a number, and not {name}")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
