"""Schemas say of a value what the drafts say, whatever they hold, and none of them can be made to take long."""

import json
from typing import Any

import pytest
from drawn_schemas import json_values, satisfied, spoilt
from hypothesis import given
from hypothesis import strategies as st

from trimtab.verification.schema_work import widths_of
from trimtab.verification.schemas import MOST_BYTES, Mismatch, Schema, Schemas, Untried


def check(schema: Any, value: Any, **options: Any) -> Mismatch | Untried | None:
    made = Schemas(**options).compiled(schema)
    return made.check(value, json.dumps(value)) if isinstance(made, Schema) else made


@given(satisfied())
def test_a_value_that_was_made_for_a_schema_satisfies_it(drawn: tuple[Any, Any]) -> None:
    assert check(*drawn) is None


@given(spoilt())
def test_a_value_with_one_thing_wrong_does_not_and_its_place_is_told(drawn: tuple[Any, Any, str]) -> None:
    schema, value, pointer = drawn
    found = check(schema, value)
    assert isinstance(found, Mismatch)
    assert found.pointer == pointer
    assert found.expected


@given(st.dictionaries(st.sampled_from(["type", "items", "properties", "$ref", "anyOf", "not", "enum", "required", "$defs", "pattern", "$schema", "$id", "$anchor", "prefixItems", "unevaluatedProperties"]), json_values | st.sampled_from(["#", "#/$defs/a", "object", "(", "http://x/y"]), max_size=5), json_values)  # fmt: skip
def test_no_schema_that_a_client_writes_stops_the_check(schema: Any, value: Any) -> None:
    check(schema, value)


DRAFT_7 = "http://json-schema.org/draft-07/schema#"
ROWS: dict[str, tuple[Any, Any, tuple[str, str, str] | None]] = {
    # what: schema, value, and where it is wrong, what was expected, what came
    "true": (True, 1, None),
    "false": (False, 1, ("", "nothing", "1")),
    "a type": ({"type": "integer"}, "1", ("", "of type integer", '"1"')),
    "1.0 is an integer": ({"type": "integer"}, 1.0, None),
    "true is no integer": ({"type": "integer"}, True, ("", "of type integer", "true")),
    "a missing property": ({"required": ["a"]}, {}, ("", 'the property "a"', "{}")),
    "a further property": ({"properties": {"a": True}, "additionalProperties": False}, {"b": 1}, ("", 'no property "b"', '{"b":1}')),
    "an option": ({"enum": ["a", "b"]}, "c", ("", 'one of ["a","b"]', '"c"')),
    "a constant": ({"const": 1}, 2, ("", "1", "2")),
    "a pattern": ({"pattern": "^[0-9]+$"}, "x", ("", 'text that matches "^[0-9]+$"', '"x"')),
    "digits are ASCII": ({"pattern": "^\\d$"}, "٣", ("", 'text that matches "^\\\\d$"', '"٣"')),
    "a bound": ({"items": {"maximum": 3}}, [1, 4], ("/1", "maximum 3", "4")),
    "multiples in decimals": ({"multipleOf": 0.01}, 0.07, None),
    "one of the forms": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, ("", "one of the 2 forms of anyOf", "1")),
    "more than one": ({"oneOf": [True, True]}, 1, ("", "exactly one of the 2 forms of oneOf", "1")),
    "a definition": ({"$ref": "#/$defs/a~1%62", "$defs": {"a/b": {"type": "string"}}}, 1, ("", "of type string", "1")),
    "an anchor": ({"$ref": "#x", "$defs": {"a": {"$anchor": "x", "type": "string"}}}, "1", None),
    "what recursion reaches": (
        {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False},
        {"next": {"next": {"other": 1}}},
        ("/next/next", 'no property "other"', '{"other":1}'),
    ),
    "pointers are escaped": ({"properties": {"a/~b": {"type": "null"}}}, {"a/~b": 1}, ("/a~1~0b", "of type null", "1")),
    "a tuple of draft 7": ({"$schema": DRAFT_7, "items": [{"type": "null"}]}, [1], ("/0", "of type null", "1")),
    "a tuple that names no draft": ({"items": [{"type": "null"}]}, [1], ("/0", "of type null", "1")),
    "a tuple of 2020-12": ({"prefixItems": [{"type": "null"}]}, [1], ("/0", "of type null", "1")),
    "a format only describes": ({"format": "date"}, "never", None),
    "numbers beyond 64 bits": ({"maximum": 10}, 2**80, ("", "maximum 10", "1208925819614629174706176")),
    "the draft's own schema": ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, {"type": "null"}, None),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_what_is_wrong_is_told_in_a_line(what: str) -> None:
    schema, value, wrong = ROWS[what]
    assert check(schema, value) == (None if wrong is None else Mismatch(*wrong))


def test_formats_are_checked_where_that_is_wanted() -> None:
    assert check({"format": "date"}, "never", formats=True) == Mismatch("", 'format "date"', '"never"')
    assert check({"format": "date"}, "2026-11-22", formats=True) is None


def doubling(count: int) -> Any:
    parts: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(count)}
    return {"$defs": {**parts, f"a{count}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


def doubling_below(kind: str, **more: Any) -> Any:
    return {
        "$defs": {
            f"n{n}": {kind: [{"properties": {"a": {"$ref": f"#/$defs/n{(n + 1) % 24}"}}, **more}] * 2}
            for n in range(24)
        },
        "$ref": "#/$defs/n0",
    }


def nested(count: int, inner: Any = 1) -> Any:
    for _ in range(count):
        inner = {"a": inner}
    return inner


HOSTILE: dict[str, tuple[Any, Any]] = {
    "the same part twice, over and over": (doubling(60), 1),
    "the same part twice at each level": (doubling_below("allOf"), nested(60)),
    "one of two forms at each level": (doubling_below("anyOf", required=["b"]), nested(60)),
    "its own rest": ({"allOf": [{"$ref": "#/$defs/a"}] * 2, "$defs": {"a": {"unevaluatedProperties": False, "allOf": [{"properties": {"a": {"$ref": "#"}}}] * 3}}}, nested(60)),
    "many options for many values": ({"items": {"enum": [[n] for n in range(5000)]}}, [[-1]] * 5000),
    "an expression that grows": ({"pattern": "((a{0,100}){0,100}){0,100}"}, "a"),
    "an expression that looks back": ({"pattern": "^(a|aa)+\\1$"}, "a" * 60),
    "many expressions": ({"patternProperties": {f"^a{n}": True for n in range(100)}}, {}),
    "expressions on a long text": ({"allOf": [{"pattern": "a.*b.*c"}] * 60}, "ab" * 2_000_000),
    "many parts": ({"allOf": [{"title": str(n)} for n in range(6000)]}, 1),
    "a large one": ({"enum": ["a" * 1000] * 300}, 1),
    "an address": ({"$ref": "http://127.0.0.1:9/schema.json"}, 1),
    "a file": ({"$ref": "file:///etc/hostname"}, 1),
    "an address inside": ({"$id": "http://x.example/a", "$ref": "b"}, 1),
    "parts with addresses": ({"$ref": "#/$defs/a", "$defs": {"a": {"$id": "http://x.example/b", "$ref": "#"}}}, 1),
    "an anchor twice": ({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x", "type": "null"}}, "$ref": "#x"}, 1),
    "a definition that is not there": ({"$ref": "#/$defs/a"}, 1),
    "an unknown type": ({"type": "text"}, 1),
    "an unknown draft": ({"$schema": "https://x.example/schema"}, 1),
    "no schema": ("text", 1),
    "a list": ([{}], 1),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_could_take_long_or_cannot_be_used_is_not_tried(what: str) -> None:
    found = check(*HOSTILE[what])
    assert isinstance(found, Untried)
    assert 10 < len(found.reason) + len(found.problem) < 300


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$dynamicRef": "#x", "$dynamicAnchor": "x"},
        {"items": {"$ref": "#"}},
        doubling(8),
        {"pattern": "^(a+)+$"},
    ],
    ids=str,
)
def test_what_goes_in_circles_ends(schema: Any) -> None:
    assert check(schema, 1) is None


def test_deep_values_and_schemas_are_checked() -> None:
    schema: Any = {"type": "null"}
    value: Any = 1
    for _ in range(150):
        schema, value = {"items": schema}, [value]
    assert check(schema, value) == Mismatch(("/0" * 150)[:120] + "...", "of type null", "1")
    assert check({"items": {"$ref": "#"}, "type": "array"}, value) == Mismatch(
        ("/0" * 150)[:120] + "...", "of type array", "1"
    )


def test_where_a_long_answer_is_wrong_is_not_told_at_any_price() -> None:
    form = {"type": "object", "required": ["no"]}
    value = [{"text": "a" * 100}] * 30_000
    assert check({"items": {"anyOf": [form] * 3}}, value) == Mismatch(
        "", "the schema", "3420000 bytes of JSON"
    )


def test_a_schema_is_compiled_once_and_those_that_are_kept_are_bounded() -> None:
    schemas = Schemas()
    first = schemas.compiled({"type": "null"})
    assert schemas.compiled({"type": "null"}) is first
    bad = schemas.compiled({"type": "text"})
    assert schemas.compiled({"type": "text"}) is bad
    for n in range(300):
        schemas.compiled({"type": "null", "title": str(n)})
    assert schemas.compiled({"type": "null"}) is not first
    large = schemas.compiled({"title": "a" * 200_000})
    for n in range(MOST_BYTES // 200_000 + 1):
        schemas.compiled({"title": f"{n} " + "a" * 200_000})
    assert schemas.compiled({"title": "a" * 200_000}) is not large


def test_how_wide_a_schema_is_is_found_in_bounded_steps() -> None:
    wide: Any = {
        f"n{n}": {"properties": {str(m): {"$ref": f"#/$defs/n{(n * 7 + m) % 60}"} for m in range(60)}}
        for n in range(60)
    }
    found = widths_of({"$defs": wide, "$ref": "#/$defs/n0"}, 200, 10**9)
    assert not isinstance(found, str)
    assert not found.settled
    assert found.at(200) is None
    narrow = widths_of({"type": "object", "properties": {"a": {"items": {"type": "null"}}}}, 200, 10**9)
    assert not isinstance(narrow, str)
    assert (narrow.settled, len(narrow.levels), narrow.levels[-1].parts) == (True, 3, 1)
