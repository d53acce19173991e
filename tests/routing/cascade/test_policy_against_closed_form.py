"""The policy's arithmetic and its steps against what a cascade must come to, worked out apart from it."""

import itertools
from typing import Literal

import pytest
from cascade_expected import RIGHT, Cascade, apart, verifier
from hypothesis import assume, given
from hypothesis import strategies as st

from trimtab.catalogue import Arm
from trimtab.records import Says
from trimtab.routing.cascade import (
    Estimate,
    Facts,
    Failure,
    Ladder,
    Made,
    Mode,
    Rules,
    begin,
    next_step,
)

ARMS = tuple(
    Arm.parse(text) for text in ("claude-haiku-4-5", "claude-sonnet-4-6@medium", "claude-opus-4-7@high")
)
MANY = 10**12
"""So many judged answers that what is assumed beforehand does not show."""
FREE = Rules()


class Measured:
    """Arms whose costs and failures are known."""

    def __init__(self, costs: list[int], checks: int, failing: list[float]) -> None:
        self._estimates = {
            arm: Estimate(cost_nanousd=cost, checks_nanousd=checks)
            for arm, cost in zip(ARMS, costs, strict=False)
        }
        self._failing = {
            arm: Failure(round(share * MANY), MANY) for arm, share in zip(ARMS, failing, strict=False)
        }

    def estimate(self, arm: Arm) -> Estimate:
        return self._estimates[arm]

    def failure(self, arm: Arm) -> Failure:
        return self._failing[arm]

    def prefers_model(self, arm: Arm) -> bool:
        return False


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(10**6, 10**9)), min_size=2, max_size=3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 10**8),
    st.sampled_from(["quality", "cost"]),
)
def test_a_cascade_is_begun_where_it_must_be_and_costs_what_the_plan_says(
    arms: list[tuple[float, int]], miss: float, alarm: float, unsure: float, checks: int, mode: Mode
) -> None:
    rights, costs = [right for right, _ in arms], [cost for _, cost in arms]
    judged = verifier(miss, alarm, unsure)
    failing = [
        1 - judged((RIGHT,), 0)["accept"] * right - judged((1,), 0)["accept"] * (1 - right)
        for right in rights
    ]
    ways = [
        Cascade(tuple(map(float, costs[at:])), (float(checks),) * len(costs[at:])).expected(
            apart(rights[at:]), judged
        )
        for at in range(len(costs))
    ]
    least = min(range(len(ways)), key=lambda at: ways[at].cost) if mode == "cost" else 0
    if mode == "cost":
        assume(all(way.cost > ways[least].cost * 1.001 for at, way in enumerate(ways) if at != least))
    ladder = Ladder(rungs=ARMS[: len(costs)], mode=mode)
    found = begin(ladder, Facts(), Measured(costs, checks, failing), 0.5, FREE)
    assert found.rungs == ladder.rungs[least:]
    assert found.expected_nanousd == pytest.approx(ways[least].cost, rel=1e-6, abs=3)
    assert found.direct_nanousd == costs[-1] + checks


VERDICTS: tuple[Says, ...] = ("accept", "unsure", "escalate")


@pytest.mark.parametrize("unsure", ["escalate", "release"])
def test_steps_are_made_as_long_as_they_must_be(unsure: Literal["escalate", "release"]) -> None:
    ladder = Ladder(rungs=ARMS, unsure=unsure)
    known = Measured([1, 2, 3], 0, [0.5, 0.5, 0.5])
    beginning = begin(ladder, Facts(), known, 0.5, FREE)
    for says in itertools.product(VERDICTS, repeat=3):
        made: list[Made] = []
        while (
            step := next_step(ladder, beginning, made, Facts(), known, left_s=None, spent_nanousd=0).arm
        ) is not None:
            made.append(Made(step, says[len(made)], 1))

        def judged(answers: tuple[int, ...], rung: int, says: tuple[Says, ...] = says) -> dict[Says, float]:
            return {says[rung]: 1.0}

        must = Cascade((1.0, 1.0, 1.0), unsure_goes_on=unsure == "escalate").expected(
            apart([1, 1, 1]), judged
        )
        assert [step.arm for step in made] == list(ARMS[: round(must.calls)]), says
