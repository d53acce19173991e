"""The small parts: arithmetic, image headers, synthesis, signatures, behaviour data."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages.images import ImageHead, image_head
from trimtab.providers.simulator.arithmetic import find_arithmetic, near_miss
from trimtab.providers.simulator.behaviour import Behaviour, draw, unit
from trimtab.providers.simulator.signatures import Signer
from trimtab.providers.simulator.synthesis import synthesise


@pytest.mark.parametrize(
    ("text", "expression", "answer"),
    [
        ("What is 17 * 23?", "17 * 23", "391"),
        ("Compute (3+4)*-2", "(3 + 4) * -2", "-14"),
        ("what's 7 divided by 2", "7 / 2", "3.5"),
        ("How much is 10/3?", "10 / 3", "3.333333"),
        ("17*23", "17 * 23", "391"),
        ("What is 1,234 x 5?", "1234 * 5", "6170"),
        ("calculate 12 times (3 plus 4).", "12 * (3 + 4)", "84"),
        ("What is 2 × 3 ÷ 4 − 1?", "2 * 3 / 4 - 1", "0.5"),
        ("What is 1 + 1? And what is 2 + 2?", "2 + 2", "4"),
        ("What is -3 + 5?", "-3 + 5", "2"),
    ],
)
def test_arithmetic_is_found_and_right(text: str, expression: str, answer: str) -> None:
    task = find_arithmetic(text)
    assert task is not None
    assert (task.expression, task.answer) == (expression, answer)


@pytest.mark.parametrize(
    "text",
    [
        "", "Hello", "What is due on 2026-11-20?", "call 555-1234", "what is 1/0", "what is 2**3", "what is 1.5 + 2",
        "compute 9999999999999999 * 2", "what is " + "(" * 30 + "1+1" + ")" * 30, "version 1.2.3 = new", "what is 7?",
        "solve " + "1+" * 100 + "1",
    ],
)  # fmt: skip
def test_what_is_not_plain_arithmetic_is_left_alone(text: str) -> None:
    assert find_arithmetic(text) is None


@given(st.text(alphabet="0123456789+-*/() x,.=?whatis\n", max_size=80))
def test_any_text_is_searched_without_harm(text: str) -> None:
    find_arithmetic(text)


@given(
    st.integers(0, 999),
    st.sampled_from("+-*"),
    st.integers(0, 999),
    st.sampled_from("+-*"),
    st.integers(0, 999),
)
def test_arithmetic_agrees_with_python(a: int, one: str, b: int, two: str, c: int) -> None:
    task = find_arithmetic(f"What is {a} {one} {b} {two} {c}?")
    assert task is not None
    assert int(task.answer) == eval(f"{a} {one} {b} {two} {c}")


def test_harder_sums_are_harder() -> None:
    texts = ["2 + 2 = ?", "17 * 23 = ?", "(17 * 23) + 1 = ?", "123 * 456 = ?", "1234 * 5678 = ?"]
    difficulties = [task.difficulty for text in texts if (task := find_arithmetic(text))]
    assert difficulties == sorted(difficulties)
    assert len(set(difficulties)) == 5


@given(st.integers(-(10**9), 10**9), st.integers(0, 2**64 - 1))
def test_a_wrong_answer_is_never_the_right_one(answer: int, bits: int) -> None:
    assert near_miss(str(answer), bits) != str(answer)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


JPEG = (
    b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + bytes(9)
    + b"\xff\xc2" + struct.pack(">HBHH", 11, 8, 300, 400) + bytes(20)
)  # fmt: skip
VP8X = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (399).to_bytes(3, "little") + (299).to_bytes(3, "little")
VP8 = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0" + bytes(6) + struct.pack("<HH", 400, 300)
VP8L = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 399 | 299 << 14) + bytes(8)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 400, 300), "image/png"),
        (b"GIF89a" + struct.pack("<HH", 400, 300), "image/gif"),
        (JPEG, "image/jpeg"),
        (VP8X, "image/webp"),
        (VP8, "image/webp"),
        (VP8L, "image/webp"),
    ],
)
def test_image_headers_are_read(data: bytes, media_type: str) -> None:
    assert image_head(b64(data)) == ImageHead(media_type, 400, 300)


@given(st.binary(max_size=60), st.sampled_from([b"", JPEG[:4], b"\x89PNG\r\n\x1a\n", b"GIF89a", VP8X[:16]]))
def test_broken_images_are_none_or_sized(tail: bytes, start: bytes) -> None:
    head = image_head(b64(start + tail))
    assert head is None or (head.width > 0 and head.height > 0)
    assert image_head("not base64 at all!") is None


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """A checker for the words that `synthesise` promises to honour."""
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return bool(value == schema["const"])
    if "anyOf" in schema:
        return any(fits(value, member) for member in schema["anyOf"])
    match schema["type"]:
        case "object":
            return isinstance(value, dict) and all(
                name in value and fits(value[name], schema["properties"][name])
                for name in schema.get("required", [])
            )
        case "array":
            least = schema.get("minItems", 0)
            return (
                isinstance(value, list)
                and len(value) >= least
                and all(fits(v, schema["items"]) for v in value)
            )
        case "string":
            return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= schema.get(
                "maxLength", 99
            )
        case "integer":
            return type(value) is int and schema.get("minimum", -(10**9)) <= value <= schema.get(
                "maximum", 10**9
            )
        case "number":
            return isinstance(value, int | float)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
    return False


schemas = st.recursive(
    st.one_of(
        st.fixed_dictionaries({"type": st.sampled_from(["boolean", "number", "null"])}),
        st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": st.integers(-50, 50)}),
        st.fixed_dictionaries({"type": st.just("integer")}, optional={"maximum": st.integers(-50, 50)}),
        st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": st.integers(0, 30)}),
        st.fixed_dictionaries({"type": st.just("string")}, optional={"maxLength": st.integers(0, 30)}),
        st.fixed_dictionaries(
            {"enum": st.lists(st.text(max_size=4) | st.integers(), min_size=1, max_size=3)}
        ),
        st.fixed_dictionaries({"const": st.text(max_size=4)}),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda items, n: {"type": "array", "items": items, "minItems": n}, inner, st.integers(0, 3)
        ),
        st.builds(lambda members: {"anyOf": members}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)},
            st.dictionaries(st.text(max_size=4), inner, max_size=3),
        ),
    ),
    max_leaves=10,
)


@given(schemas)
def test_synthesised_values_satisfy_their_schema(schema: dict[str, Any]) -> None:
    assert fits(synthesise(schema), schema)


def test_references_and_joined_schemas_are_followed() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "b": {"allOf": [{"$ref": "#/$defs/A"}, {"required": ["z"]}]},
        },
        "required": ["a", "b"],
        "$defs": {
            "A": {"type": "object", "properties": {"x": {"type": "integer"}, "z": {}}, "required": ["x"]}
        },
    }
    assert synthesise(schema) == {"a": {"x": 1}, "b": {"x": 1, "z": "simulated"}}
    endless = {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}, "minItems": 9}},
    }
    synthesise(endless)


@given(st.text(max_size=50), st.text(max_size=50), st.integers(0, 9))
def test_signatures_cover_model_and_thinking(thinking: str, other: str, seed: int) -> None:
    signer = Signer(seed)
    signature = signer.sign("m", thinking)
    assert signer.verify("m", thinking, signature) == "valid"
    assert signer.verify("m", "", signature) == "valid"
    assert signer.verify("n", thinking, signature) == "other_model"
    assert Signer(seed + 1).verify("m", thinking, signature) == "invalid"
    if other and other != thinking:
        assert signer.verify("m", other, signature) == "edited"


@given(st.text(max_size=40))
def test_odd_signatures_are_invalid(signature: str) -> None:
    assert Signer(0).verify("m", "x", signature) == "invalid"


def test_the_skill_table_orders_models_and_efforts(catalogue: Any) -> None:
    behaviour = Behaviour.load()
    skills = [
        behaviour.skill_of(catalogue.find(name), "high", False)
        for name in ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6", "claude-opus-4-7")
    ]
    assert skills == sorted(skills)
    sonnet = catalogue.find("claude-sonnet-4-6")
    by_effort = [
        behaviour.skill_of(sonnet, effort, False) for effort in ("low", "medium", "high", "xhigh", "max")
    ]
    assert by_effort == sorted(by_effort)
    assert behaviour.skill_of(sonnet, "high", True) > behaviour.skill_of(sonnet, "high", False)


def test_every_model_of_the_catalogue_has_a_pace_and_a_skill(catalogue: Any) -> None:
    behaviour = Behaviour.load()
    for model in catalogue.models:
        assert behaviour.pace_of(model).token_ms > 0
        assert 0 < behaviour.skill_of(model, None, False) < 10
    assert set(behaviour.skill.models) <= {model.id for model in catalogue.models}


@given(st.integers(), st.text(max_size=20))
def test_draws_are_even_and_repeatable(seed: int, text: str) -> None:
    assert draw(seed, text) == draw(seed, text)
    assert 0 <= unit(draw(seed, text)) <= 1
