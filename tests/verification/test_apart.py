"""Plain data goes from one process to another and back as it was; nothing else goes at all."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.verification.tests_runner.apart import FarModule, NotPlain, plain, read

KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    KEYS | st.frozensets(KEYS, max_size=3) | st.sets(KEYS, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_plain_data_arrives_as_it_was_types_included(value: Any) -> None:
    there = read(json.loads(json.dumps(plain(value))))
    assert there == value
    assert repr(type(there)) == repr(type(value))
    if not isinstance(value, set | frozenset):
        assert repr(there) == repr(value) or any(isinstance(one, set | frozenset) for one in _all(value))


def _all(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(found for one in value.values() for found in _all(one))]
    if isinstance(value, list | tuple):
        return [value, *(found for one in value for found in _all(one))]
    return [value]


class Text(str):
    """Not plain: it may say of itself what it wants."""


@pytest.mark.parametrize(
    "value", [object(), Text("a"), [1, [Text("a")]], {"a": print}, {Text("a"): 1}, int, 1j]
)
def test_nothing_else_goes(value: Any) -> None:
    with pytest.raises(NotPlain):
        plain(value)


def test_what_is_nested_too_deep_does_not_go() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(NotPlain):
        plain(deep)


@pytest.mark.parametrize(
    "said",
    [
        {"raised": "exec", "given": {"tuple": ["import sys; sys.reached = True"]}},
        {"raised": "SystemExit", "given": {"tuple": [0]}},
        {"raised": "no such", "given": {"tuple": []}},
        {
            "value": {"exec": ["import sys; sys.reached = True"]},
            "given": {"tuple": []},
            "named": {"dict": []},
        },
        {"value": {}, "given": {"tuple": []}, "named": {"dict": []}},
        {},
    ],
)
def test_a_process_of_code_cannot_make_that_of_the_tests_do_anything(said: dict[str, Any]) -> None:
    def leave(why: str) -> Any:
        raise AssertionError(why)

    module = FarModule("solution", lambda message: said if "given" in message else {"callable": True}, leave)
    with pytest.raises((RuntimeError, KeyError, ValueError)):
        module.add(1, 2)
    assert not hasattr(sys, "reached")
