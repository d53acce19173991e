"""An answer that must be JSON is JSON, as its schema describes it, and what is nearly so is not taken for it."""

import json
from pathlib import Path
from typing import Any

import pytest
from drawn_schemas import json_values, satisfied, spoilt
from hypothesis import given
from hypothesis import strategies as st
from judged_cases import answered, asked, built, judged_by

from trimtab.errors import ConfigError
from trimtab.messages.exchange import ToolCall
from trimtab.verification.formats import json_schema, json_text

CALL = (ToolCall("t", "n", b"{}", {}),)
OBJECT = {"object_only": True}
FENCED = {"fenced": True}
ROWS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    # what: the text, options, what is said, words of the reason
    "an object": ('{"a": 1}', {}, "accept", ""),
    "a list": ("[1]", {}, "accept", ""),
    "a text": ('"a"', {}, "accept", ""),
    "white space around": (' \n{"a": 1}\r\n\t', {}, "accept", ""),
    "half a character": ('"\\ud83d"', {}, "accept", ""),
    "a number that no machine holds": ("1" * 5000, {}, "accept", ""),
    "a name twice": ('{"a": 1, "a": 2}', {}, "accept", ""),
    "no text": ("", {}, "escalate", "no text"),
    "white space": (" \n", {}, "escalate", "no text"),
    "words": ("Sure!", {}, "escalate", "no JSON"),
    "words before": ('Here it is: {"a": 1}', {}, "escalate", "no JSON"),
    "words behind": ('{"a": 1} I hope this helps.', {}, "escalate", "more than one"),
    "two values": ('{"a": 1}\n{"b": 2}', {}, "escalate", "more than one"),
    "a comma too many": ('{"a": 1,}', {}, "escalate", "no JSON"),
    "single quotes": ("{'a': 1}", {}, "escalate", "no JSON"),
    "a comment": ('{"a": 1} // one', {}, "escalate", "more than one"),
    "cut": ('{"a": [1, 2', {}, "escalate", "no JSON"),
    "not a number": ("NaN", {}, "escalate", "no JSON"),
    "no end": ('{"a": -Infinity}', {}, "escalate", "no JSON"),
    "Python": ("{'a': None}", {}, "escalate", "no JSON"),
    "nested deeper than anybody reads": ("[" * 100_000 + "]" * 100_000, {}, "unsure", "deeper"),
    "more values than anybody reads": ("[" + "[]," * 600_000 + "[]]", {}, "unsure", "more values"),
    "an object, wanted": ('{"a": 1}', OBJECT, "accept", ""),
    "a list, where an object is wanted": ("[1]", OBJECT, "escalate", "no object"),
    "in a block, not wanted": ('```json\n{"a": 1}\n```', {}, "escalate", "fenced block"),
    "in a block": ('```json\n{"a": 1}\n```', FENCED, "accept", ""),
    "in a block without a language": ("```\n[1]\n```\n", FENCED, "accept", ""),
    "bare, where a block may be": ("[1]", FENCED, "accept", ""),
    "in a block with words around": ("Here:\n```json\n[1]\n```", FENCED, "escalate", "no JSON"),
    "two blocks": ("```\n1\n```\n```\n2\n```", FENCED, "escalate", "fenced block"),
    "a block that holds none": ("```json\n[1,\n```", FENCED, "escalate", "no JSON"),
    "a block that nobody closed": ("```json\n[1]", FENCED, "escalate", "fenced block"),
    "a fence in the JSON": ('{"a": "```"}', FENCED, "accept", ""),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_text_is_one_json_value_or_it_is_not(what: str) -> None:
    text, options, says, words = ROWS[what]
    found = judged_by(built(json_text, **options), answered(text))
    assert found.says == says, found
    assert words in found.reason
    assert bool(found.evidence) == (says != "accept") or "deeper" in words
    assert all(len(str(value)) <= 200 for value in found.evidence.values())


def test_it_is_told_where_the_text_is_wrong() -> None:
    found = judged_by(built(json_text), answered('{\n  "a": 1,\n  b: 2\n}'))
    assert found.evidence["line"] == 3
    assert found.evidence["column"] == 3
    assert str(found.evidence["got"]).startswith("b: 2")


@given(json_values)
def test_every_json_value_is_accepted_and_no_beginning_of_an_object_is(value: Any) -> None:
    verifier = built(json_text)
    assert judged_by(verifier, answered(json.dumps(value))).says == "accept"
    text = json.dumps({"all": value})
    for end in {1, len(text) // 2, len(text) - 1}:
        assert judged_by(verifier, answered(text[:end])).says == "escalate"


@given(st.text(max_size=60) | st.text(alphabet='[]{}",:0123456789eE+-. \\truefalsn', max_size=12))
def test_json_is_what_a_strict_reader_takes(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda name: 1 / 0)
        says = "accept"
    except (ValueError, ZeroDivisionError):
        says = "escalate"
    assert judged_by(built(json_text), answered(text)).says == says


@given(satisfied(), st.booleans())
def test_an_answer_made_for_the_schema_of_its_request_is_accepted(
    drawn: tuple[Any, Any], indent: bool
) -> None:
    schema, value = drawn
    text = json.dumps(value, indent=2 if indent else None)
    question = asked(schema=schema, wants_json=True)
    assert judged_by(built(json_schema), answered(text), question).says == "accept"


@given(spoilt())
def test_an_answer_with_one_thing_wrong_is_sent_on_with_its_place(drawn: tuple[Any, Any, str]) -> None:
    schema, value, pointer = drawn
    question = asked(schema=schema, wants_json=True)
    found = judged_by(built(json_schema), answered(json.dumps(value)), question)
    assert found.says == "escalate"
    assert found.evidence["at"] == pointer
    assert found.reason == "not as its schema wants it"


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}}, "required": ["city", "degrees"], "additionalProperties": False}  # fmt: skip
LONG = "x" * 10_000
CASES: dict[str, tuple[str, Any, dict[str, Any], str, dict[str, Any]]] = {
    # what: the text, schema, options, what is said, some of the evidence
    "right": ('{"city": "Rome", "degrees": 21}', WEATHER, {}, "accept", {"schema": "request"}),
    "a missing property": ('{"city": "Rome"}', WEATHER, {}, "escalate", {"at": "", "expected": 'the property "degrees"'}),
    "a number as a text": ('{"city": "Rome", "degrees": "21"}', WEATHER, {}, "escalate", {"at": "/degrees", "expected": "of type number", "got": '"21"'}),
    "a property too many": ('{"city": "Rome", "degrees": 21, "unit": "C"}', WEATHER, {}, "escalate", {"expected": 'no property "unit"'}),
    "null": ("null", WEATHER, {}, "escalate", {"expected": "of type object"}),
    "wrapped in a list": ('[{"city": "Rome", "degrees": 21}]', WEATHER, {}, "escalate", {"expected": "of type object"}),
    "no JSON": ("It is 21 degrees in Rome.", WEATHER, {}, "escalate", {"line": 1}),
    "in a block": ('```json\n{"city": "Rome", "degrees": 21}\n```', WEATHER, {}, "escalate", {"line": 1}),
    "in a block that is allowed": ('```json\n{"city": "Rome", "degrees": 21}\n```', WEATHER, FENCED, "accept", {}),
    "a long text in the wrong place": (json.dumps({"city": "Rome", "degrees": LONG}), WEATHER, {}, "escalate", {"got": '"' + LONG[:59] + "..."}),
    "no schema": ("Anything.", None, {}, "accept", {"schema": "none"}),
    "a schema that cannot be used": ("{}", {"type": "text"}, {}, "unsure", {"schema": "request", "problem": '"text" is not valid under any of the schemas listed in the \'anyOf\' keyword'}),
    "a schema of the options": ('{"city": "Rome"}', None, {"schema": WEATHER}, "escalate", {"schema": "options"}),
    "that of the options goes first": ("1", WEATHER, {"schema": {"type": "integer"}}, "accept", {"schema": "options"}),
    "a format": ('"never"', {"format": "date"}, {}, "accept", {}),
    "a format that is checked": ('"never"', {"format": "date"}, {"formats": True}, "escalate", {"expected": 'format "date"'}),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_an_answer_is_as_its_schema_wants_it_or_it_is_not(what: str) -> None:
    text, schema, options, says, evidence = CASES[what]
    found = judged_by(built(json_schema, **options), answered(text), asked(schema=schema))
    assert found.says == says, found
    assert evidence.items() <= found.evidence.items()
    assert all(len(str(value)) <= 200 for value in found.evidence.values())


def test_a_request_for_json_without_a_schema_wants_an_object() -> None:
    question = asked(wants_json=True)
    assert judged_by(built(json_schema), answered("{}"), question).says == "accept"
    assert judged_by(built(json_schema), answered("[]"), question).says == "escalate"


@pytest.mark.parametrize("factory", [json_text, json_schema])
def test_a_turn_that_goes_on_is_not_the_text_that_was_asked_for(factory: Any) -> None:
    question = asked(schema=WEATHER, wants_json=True)
    for answer in (
        answered("I look.", tool_calls=CALL, stop="tool_use"),
        answered("Searching", stop="paused"),
    ):
        assert judged_by(built(factory), answer, question).says == "accept"
    assert judged_by(built(factory), answered("I look.", stop="tool_use"), question).says == "escalate"


def test_options_that_are_wrong_are_refused_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(WEATHER))
    (tmp_path / "cut.json").write_text("{")
    verifier = built(json_schema, schema_file=str(tmp_path / "schema.json"))
    assert judged_by(verifier, answered("{}")).says == "escalate"
    for options, words in (
        ({"fence": True}, "fence"),
        ({"schema": {"type": "text"}}, "schema"),
        ({"schema": {}, "schema_file": "x"}, "name one of them"),
        ({"schema_file": str(tmp_path / "cut.json")}, "no JSON"),
        ({"schema_file": str(tmp_path / "none.json")}, "none.json"),
    ):
        with pytest.raises(ConfigError, match=words):
            built(json_schema, **options)
    with pytest.raises(ConfigError, match=r"verifiers\.one\.object_only"):
        built(json_text, object_only="yes")
