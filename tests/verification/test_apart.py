"""Plain data goes from one process to another and back as it was; nothing else goes at all."""

import ast
import json
import sys
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.verification.tests_runner.apart import (
    MAX_CALLS,
    FarModule,
    NotPlain,
    answer,
    plain,
    read,
    suited,
)

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


class Left(Exception):
    """The tests cannot be run so."""


def far(code: str) -> Any:
    """A module that is elsewhere, here."""
    module = types.ModuleType("solution")
    exec(code, module.__dict__)

    def leave(why: str) -> Any:
        raise Left(why)

    def ask(message: Any) -> Any:
        return json.loads(json.dumps(answer(module, json.loads(json.dumps(message)))))

    return FarModule("solution", ask, leave)


def test_functions_and_values_of_a_module_that_is_elsewhere_are_as_if_they_were_here() -> None:
    there = far(
        "SIZES = {'a': (1, 2.5, b'x')}\ndef add(a, b=2):\n    return a + b\n"
        "def tidy(given, into):\n    given.sort()\n    into['n'] = len(given)\n"
        "def half(n):\n    raise ValueError('odd', n)\n"
    )
    assert there.SIZES == {"a": (1, 2.5, b"x")}
    assert there.add(1) == there.add(1, b=2) == 3
    given, into = [2, 1], {}
    assert there.tidy(given, into=into) is None
    assert (given, into) == ([1, 2], {"n": 2})
    with pytest.raises(ValueError, match="odd"):
        there.half(3)
    assert not hasattr(there, "other")


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("class P:\n    pass\n\ndef make():\n    return P()", lambda there: there.make()),
        ("class P:\n    pass", lambda there: there.P),
        ("def twice(f):\n    return f() * 2", lambda there: there.twice(lambda: 2)),
        ("class Odd(Exception):\n    pass\n\ndef half(n):\n    raise Odd(n)", lambda there: there.half(3)),
        ("def stop():\n    raise SystemExit(0)", lambda there: there.stop()),
        ("x = 1", lambda there: setattr(there, "x", 2)),
        ("def one():\n    return 1", lambda there: [there.one() for _ in range(MAX_CALLS + 1)]),
    ],
)
def test_what_cannot_go_ends_the_run_and_decides_nothing(code: str, use: Any) -> None:
    with pytest.raises(Left):
        use(far(code))


@pytest.mark.parametrize(
    ("tests", "can"),
    [
        ("from solution import f\nassert f(1) is None", True),
        ("import unittest, math\nassert math.isclose(f(), 2.0)", True),
        ("x = []\nassert f(x) is x", False),
        ("import inspect\nassert f() == 1", False),
        ("from unittest import mock\nassert f() == 1", False),
        ("from solution import *\nassert f() == 1", False),
        ("async def test_f():\n    assert await f() == 1", False),
        ("class T:\n    def test(self):\n        self.assertIs(f(), 1)", False),
    ],
)
def test_only_tests_that_call_and_compare_are_run_so(tests: str, can: bool) -> None:
    assert suited(ast.parse(tests), "solution") is can
