"""Tokens: what an answer of a token service comes to, whatever it holds, and that none is ever printed."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import UpstreamRefused
from trimtab.providers.asking import json_object, oauth_reason
from trimtab.providers.bearer import UNSAID_S, Token, granted


@pytest.mark.parametrize(
    ("answer", "expires"),
    [
        ({"expires_in": 3599}, 4599.0),
        ({"expires_in": "3599"}, 4599.0),
        ({"expires_in": "3599", "expires_on": "9000"}, 9000.0),
        ({}, 1000.0 + UNSAID_S),
        ({"expires_in": None}, 1000.0 + UNSAID_S),
    ],
)
def test_a_token_ends_when_its_answer_says(answer: dict[str, object], expires: float) -> None:
    assert granted({"access_token": "t", **answer}, 1000.0, "x") == Token("t", expires)


@given(
    st.dictionaries(
        st.sampled_from(["access_token", "expires_in", "expires_on"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("t"),
    )
)
def test_no_answer_is_too_odd_to_be_refused(answer: dict[str, object]) -> None:
    try:
        token = granted(answer, 1000.0, "the service")
    except UpstreamRefused as problem:
        said = str(problem)
    else:
        said = "the service: granted"
        assert token.value.isprintable()
        assert token.value.isascii()
        assert token.expires is not None
        assert math.isfinite(token.expires)
    assert said.startswith("the service: ")


def test_a_token_is_not_printed() -> None:
    assert "secret" not in f"{Token('secret')} {Token('secret')!r} {[Token('secret')]}"


@given(st.text(max_size=60) | st.sampled_from(["[1]", "null", '{"error":7}', '{"error":["a"]}']))
def test_what_a_service_says_is_read_whatever_it_is(text: str) -> None:
    assert "\n" not in oauth_reason(text)
    try:
        read: object = json_object(text, "x")
    except UpstreamRefused as problem:
        read = str(problem)
    assert isinstance(read, dict) or read == "x: the answer is not a JSON object"


def test_an_answer_that_is_nested_too_deep_is_none() -> None:
    deep = "[" * 100_000
    assert oauth_reason(deep) == ""
    with pytest.raises(UpstreamRefused):
        json_object(deep, "x")


def test_a_long_reason_is_cut_to_its_first_line() -> None:
    said = json.dumps({"error": "a", "error_description": "b\r\nTrace ID: 1"})
    assert oauth_reason(said) == " (a: b)"
