"""Arms are equal where the outcomes show it, and inconclusive where they do not."""

import random
from collections.abc import Callable

import pytest

from trimtab.efforts import build_table, compare, equivalents
from trimtab.efforts.table import Cell
from trimtab.store.figures.efforts import AskedOnce

Ask = Callable[..., AskedOnce]


@pytest.fixture
def arm(ask: Ask) -> Callable[..., Cell]:
    def make(model: str, successes: int, told: int, effort: str = "high") -> Cell:
        asked = [ask(model, effort, float(n < successes)) for n in range(told)]
        (table,) = build_table(asked, from_ms=0, to_ms=1, simulated=True).classes
        return table.cells[0]

    return make


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ((900, 1000), (905, 1000), "equal"),
        ((90, 100), (90, 100), "inconclusive"),
        ((700, 1000), (800, 1000), "better"),
        ((800, 1000), (700, 1000), "worse"),
        ((900, 1000), (870, 1000), "worse"),
        ((9, 10), (900, 1000), "no data"),
        ((50, 50), (50, 50), "inconclusive"),
        ((400, 400), (400, 400), "equal"),
    ],
)
def test_a_verdict_needs_outcomes_that_show_it(
    arm: Callable[..., Cell], first: tuple[int, int], second: tuple[int, int], verdict: str
) -> None:
    found = compare(arm("a", *first), arm("b", *second))
    assert found.verdict == verdict
    assert (found.needed is None) == (verdict != "inconclusive")


def test_arms_that_differ_by_more_than_the_margin_are_called_equal_in_one_case_of_twenty_at_most(
    arm: Callable[..., Cell],
) -> None:
    """At the margin itself, where it is likeliest."""
    draw = random.Random(11)
    wrong = 0
    for _ in range(400):
        first = sum(draw.random() < 0.85 for _ in range(600))
        second = sum(draw.random() < 0.80 for _ in range(600))
        wrong += compare(_cell(first, 600), _cell(second, 600)).verdict == "equal"
    assert wrong / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def _cell(successes: int, told: int) -> Cell:
    from trimtab.efforts.table import Success

    share = successes / told
    return Cell(
        model="m",
        effort="",
        asked=told,
        conversations=told,
        success=Success(share, 0.0, 1.0, float(told), told, told),
    )


def test_arms_are_compared_with_those_of_other_models_only(ask: Ask) -> None:
    asked = [ask(model, effort, 1.0) for model in "ab" for effort in ("low", "max") for _ in range(30)]
    (table,) = build_table(asked, from_ms=0, to_ms=1, simulated=True).classes
    pairs = {(one.first, one.second) for one in equivalents(table)}
    assert pairs == {
        (f"{x}@{first}", f"{y}@{second}")
        for x, y in ("ab", "ba")
        for first in ("low", "max")
        for second in ("low", "max")
    }
