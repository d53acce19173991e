"""The shipped cases, users' own, and what requests are filled with."""

import base64
import json
import zlib
from decimal import Decimal
from typing import Any

import pytest

from trimtab.errors import ConfigError
from trimtab.evals.parity import cases_of_lines, shipped_cases
from trimtab.evals.parity.materials import NotPossible, filled


def test_the_shipped_cases_reach_every_part_of_the_api_that_platforms_have_otherwise() -> None:
    cases = {case.name: case for case in shipped_cases()}
    parts = {name.partition(".")[0] for name in cases}
    assert parts == {
        "text", "ends", "tools", "pictures", "documents", "thinking", "handover", "caching", "output", "effort",
        "counting", "fields", "betas", "version", "refused",
    }  # fmt: skip
    assert all(case.about for case in cases.values())
    assert {step.at for name in cases if name.startswith("handover") for step in cases[name].steps} == {
        "first", "second", "each",
    }  # fmt: skip


def test_every_shipped_request_can_be_made() -> None:
    turn = {"content": [{"type": "thinking", "thinking": "", "signature": "s"}, {"type": "tool_use", "id": "t9", "name": "get_weather", "input": {}}]}  # fmt: skip
    for case in shipped_cases():
        for place, step in enumerate(case.steps):
            text = json.dumps(filled(step.request, [turn] * place, "s"))
            assert '"$' not in text, case.name


def test_lines_are_cases_or_bodies_as_they_stand() -> None:
    body: dict[str, Any] = {"model": "x", "max_tokens": 5, "messages": []}
    case = {"name": "mine", "steps": [{"request": body}], "fixed": ["tools"]}
    found = cases_of_lines(f"{json.dumps(body)}\n\n{json.dumps(case)}\n".encode(), "my.jsonl")
    assert [(one.name, one.fixed, one.steps[0].request) for one in found] == [("line-1", (), body), ("mine", ("tools",), body)]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "my.jsonl: holds no case; write one JSON object a line"),
        (b"{}\n[1]", "my.jsonl: line 1: Object missing required field `name`"),
        (b"[1]", "my.jsonl: line 1: is not a JSON object"),
        (b"\xff", "my.jsonl: line 1: is not a JSON object"),
        (b'{"name":"a b","steps":[{"request":{}}]}', "my.jsonl: line 1: Expected `str` matching"),
        (b'{"name":"a","steps":[]}', "my.jsonl: line 1: Expected `array` of length >= 1"),
        (b'{"name":"a","steps":[{"request":{}}],"fix":[]}', "contains unknown field `fix`"),
        (b'{"name":"a","steps":[{"request":{}}],"fixed":["model"]}', "Invalid enum value 'model'"),
        (
            b'{"name":"a","steps":[{"request":{},"at":"first"}]}',
            "case 'a': no step is asked at each platform",
        ),
        (b'{"name":"a","steps":[{"request":{}}]}\n' * 2, "two cases are named 'a'"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_line(content: bytes, says: str) -> None:
    with pytest.raises(ConfigError) as problem:
        cases_of_lines(content, "my.jsonl")
    assert says in str(problem.value)


def test_a_picture_and_a_document_are_what_they_should_be() -> None:
    png = base64.b64decode(filled({"$image": "red"}, [], ""))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    data = png[png.index(b"IDAT") + 4 : png.index(b"IEND") - 8]
    assert zlib.decompress(data) == (b"\0" + b"\xd0\x20\x20" * 64) * 64
    pdf = base64.b64decode(filled({"$pdf": "A (b)"}, [], ""))
    assert b"(A \\(b\\)) Tj" in pdf
    start = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    assert pdf[start:].startswith(b"xref\n0 6\n")
    places = [int(line.split()[0]) for line in pdf[start:].split(b"\n")[3:8]]
    assert all(pdf[place:].startswith(b"%d 0 obj" % number) for number, place in enumerate(places, 1))


def test_long_texts_differ_from_their_first_words_on_and_only_by_them() -> None:
    one, two = (filled({"$words": 500}, [], salt) for salt in ("r 1 A", "r 1 B"))
    assert one.split()[:4] != two.split()[:4]
    assert one.split()[4:] == two.split()[4:]
    assert len(one.split()) == 504


def test_turns_come_back_as_they_came_and_what_is_missing_is_named() -> None:
    turn = {
        "role": "assistant",
        "model": "m",
        "content": [{"type": "thinking", "signature": "s", "new": [1]}],
    }
    assert filled([{"$turn": 1}], [turn], "") == [{"role": "assistant", "content": turn["content"]}]
    with pytest.raises(NotPossible, match="step 1 called no tool"):
        filled({"x": {"$call": 1}}, [turn], "")
    with pytest.raises(NotPossible, match="step 2 gave no content"):
        filled({"$turn": 2}, [turn, None], "")


def test_other_objects_and_numbers_are_left_alone() -> None:
    schema = {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "y"}}}
    assert filled({"schema": schema, "one": {"$ref": "z"}}, [], "") == {
        "schema": schema,
        "one": {"$ref": "z"},
    }
    assert filled({"temperature": Decimal("0.5")}, [], "") == {"temperature": 0.5}
