"""What is equal to anything is equal to nothing in tests; what compares as it should is left alone."""

import sys
import types
from fractions import Fraction
from typing import Any
from unittest import mock

import pytest

from trimtab.verification.tests_runner.plain_tests import PlainTests
from trimtab.verification.tests_runner.reporting import Reporter

KNOWN = frozenset(sys.modules) - {__name__}


class Same:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class SameNumber(int):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    __hash__ = int.__hash__


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return bool(self.amount == getattr(other, "amount", other))

    __hash__ = None  # type: ignore[assignment]


class All:
    def __contains__(self, one: object) -> bool:
        return True


class Some:
    def __contains__(self, one: object) -> bool:
        return one == 3


def here() -> PlainTests:
    return PlainTests(mock.create_autospec(Reporter), "", types.ModuleType("solution"), KNOWN)


@pytest.mark.parametrize(
    ("one", "other"),
    [(Same(), 3), (3, Same()), ([Same()], [3]), ({"a": (1, Same())}, {"a": (1, 2)}), (SameNumber(7), 3)],
)
def test_what_is_equal_to_anything_fails(one: Any, other: Any) -> None:
    with pytest.raises(AssertionError, match="equal to anything"):
        here().equal(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(3, 3), (Money(3), 3), (Money(3), Money(3)), ([1, (2,)], [1, (2,)]), (Fraction(1, 2), 0.5), (True, 1)],
)
def test_what_is_equal_as_it_should_be_is(one: Any, other: Any) -> None:
    assert here().equal(one, other) is True


def test_what_differs_is_shown() -> None:
    with pytest.raises(AssertionError, match=r"\[9\] == \[1, 2\] is not so"):
        here().equal([9], [1, 2])


def test_what_holds_anything_holds_nothing() -> None:
    with pytest.raises(AssertionError, match="anything is in"):
        here().within(3, All())
    assert here().within(3, Some()) is True
    assert here().within(3, [3]) is True
    assert here().within("a", "abc") is True
    assert here().within(4, Some()) is False
