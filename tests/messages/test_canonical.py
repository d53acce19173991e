"""Bodies that ask the same have one digest, and no others."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages.canonical import Unclear, digest_of, read_exactly

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)


def digest(raw: bytes | str) -> bytes:
    return digest_of(read_exactly(raw.encode() if isinstance(raw, str) else raw))


@st.composite
def rewritten(draw: st.DrawFn, value: Any) -> str:
    """The same JSON value, written in some other way."""
    blank = draw(st.sampled_from(["", " ", "\n\t ", "\r\n"]))

    def write(one: Any) -> str:
        match one:
            case dict():
                names = draw(st.permutations(list(one)))
                members = [f"{write(name)}{blank}:{blank}{write(one[name])}" for name in names]
                return f"{{{blank}{f'{blank},'.join(members)}{blank}}}"
            case list():
                return f"[{blank}{f',{blank}'.join(map(write, one))}]"
            case str():
                ascii_only = draw(st.booleans())
                return json.dumps(one, ensure_ascii=ascii_only or not is_plain(one))
            case bool() | None:
                return json.dumps(one)
            case int() | float():
                return draw(st.sampled_from(spellings(one)))
        raise AssertionError(one)

    return blank + write(value) + blank


def is_plain(text: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def spellings(number: float) -> list[str]:
    exact = Decimal(repr(number))
    sign, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    whole = "".join(map(str, digits))
    minus = "-" if sign else ""
    shown = [json.dumps(number), f"{minus}{whole}e{exponent}", f"{minus}{whole}000E{exponent - 3:+}"]
    if -20 < exponent < 20:
        shown.append(f"{exact:f}")
        shown.append(f"{exact:f}0" if "." in f"{exact:f}" else f"{exact:f}.00")
    return [one for one in shown if not one.lstrip("-").startswith("00")]


def same(left: Any, right: Any) -> bool:
    """JSON equality, by Python's own numbers: `True` is no number, and all else compares as it does."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, int | float) and isinstance(right, int | float):
        return Decimal(repr(left)) == Decimal(repr(right))
    return type(left) is type(right) and left == right


@given(st.data(), VALUES)
def test_however_a_body_is_written_its_digest_is_the_same(data: st.DataObject, value: Any) -> None:
    written = json.dumps(value)
    assert digest(data.draw(rewritten(value))) == digest(written)


@given(VALUES, VALUES)
def test_two_bodies_have_one_digest_only_where_they_are_equal(left: Any, right: Any) -> None:
    assert (digest(json.dumps(left)) == digest(json.dumps(right))) is same(left, right)


@given(st.data(), VALUES)
def test_a_value_that_is_changed_anywhere_changes_the_digest(data: st.DataObject, value: Any) -> None:
    changed = data.draw(changes(value))
    assert digest(json.dumps(changed)) != digest(json.dumps(value))


@st.composite
def changes(draw: st.DrawFn, value: Any) -> Any:
    """The value with one thing in it changed, added or removed."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: draw(changes(value[name]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(changes(value[at])), *value[at + 1 :]]
    if isinstance(value, dict) and value and draw(st.booleans()):
        gone = draw(st.sampled_from(sorted(value)))
        return {name: one for name, one in value.items() if name != gone}
    return draw(VALUES.filter(lambda other: not same(other, value)))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("0", "-0.0e7"),
        ("100000000000000000000", "1e20"),
        ("123456789012345678901", "123456789012345678901.0"),
        ('"\\u0041\\ud83d\\ude00"', '"A😀"'),
        ('{"a":1,"b":[2]}', ' { "b" : [ 2.0 ] , "\\u0061" : 1 } '),
    ],
)
def test_the_same_value_has_one_digest(left: str, right: str) -> None:
    assert digest(left) == digest(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", '"1"'),
        ("1", "true"),
        ("0", "false"),
        ("0", "null"),
        ("[]", "{}"),
        ('["ab"]', '["a","b"]'),
        ("[[1],2]", "[[1,2]]"),
        ("0.1", "0.10000000000000000001"),
        ("9007199254740993", "9007199254740992"),
        ("1e400", "1e401"),
        ("-1.5", "1.5"),
        ('"a"', '"A"'),
        ('"é"', '"e\\u0301"'),
        ('"15e-1"', "1.5"),
        ('{"a":null}', "{}"),
        ('"\\ud83d"', '"\\ude00"'),
    ],
)
def test_another_value_has_another_digest(left: str, right: str) -> None:
    assert digest(left) != digest(right)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"x":[{"a":1,"\\u0061":2}]}',
        b"[" * 100_000 + b"]" * 100_000,
        b"1e9999999999",
        b"NaN",
        b"\xff",
        b"9" * 5000 + b"e1" * 2,
        b"{",
    ],
)
def test_what_readers_may_understand_differently_has_no_digest(raw: bytes) -> None:
    with pytest.raises(Unclear):
        digest(raw)
