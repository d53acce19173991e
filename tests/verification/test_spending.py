"""Checks that spend, as the panel runs them: whatever goes wrong with one, it is unsure and recorded, never accepted."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from judged_cases import Asked, answered, asked, built, heard

from trimtab.errors import Unavailable
from trimtab.sandbox import Ran, Run
from trimtab.verification import Check, Heard, Judged, Means, Prompt, judge
from trimtab.verification.code_tests import code_tests
from trimtab.verification.rubric import rubric
from trimtab.verification.second_opinion import second_opinion

FACTORIES: list[tuple[Any, dict[str, Any]]] = [
    (code_tests, {"tests": "assert add(1, 2) == 3"}),
    (second_opinion, {}),
    (rubric, {}),
    (rubric, {"runs": 3}),
]


def verdict(factory: Any, options: dict[str, Any], ask: Any, run: Any, timeout_s: float) -> Any:
    """Of one check of an answer that is right."""

    def means_for(check: str, spent: Callable[[Heard], None]) -> Means:
        async def counted(arm: str, prompt: Prompt | None = None) -> Heard:
            made: Heard = await ask(arm, prompt)
            spent(made)
            return made

        return Means(counted, run, time.monotonic)

    check = Check("one", built(factory, **options), timeout_s)
    judged = Judged(question=asked("How much?"), answers=(answered("The answer is 18."),), arm="a")
    (found,) = asyncio.run(judge([check], judged, means_for))
    return found


@pytest.mark.parametrize(("factory", "options"), FACTORIES)
def test_a_call_or_a_run_that_never_ends_is_unsure_and_is_ended(
    factory: Any, options: dict[str, Any]
) -> None:
    begun, ended = [], []

    async def stands(*given: Any) -> Any:
        begun.append(given)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(given)

    found = verdict(factory, options, stands, stands, 0.6)
    assert (found.says, found.failed) == ("unsure", True)
    assert len(begun) == len(ended) >= 1


@pytest.mark.parametrize(("factory", "options"), FACTORIES)
@pytest.mark.parametrize("problem", [Unavailable("no place", 1), RuntimeError("broken")])
def test_a_call_or_a_run_that_fails_is_unsure(
    factory: Any, options: dict[str, Any], problem: Exception
) -> None:
    async def fails(*given: Any) -> Any:
        raise problem

    found = verdict(factory, options, fails, fails, 60)
    assert (found.says, found.failed) == ("unsure", True)
    assert ("no place" in found.reason) == isinstance(problem, Unavailable)


def test_what_an_opinion_cost_is_counted_also_where_it_decides_nothing() -> None:
    async def run(wanted: Run) -> Ran:
        raise AssertionError

    other = heard(answered("Who knows."), cost_nanousd=77)
    found = verdict(second_opinion, {"compare": "number"}, Asked(other), run, 60)
    assert (found.says, found.cost_nanousd, found.calls) == ("unsure", 77, (other.request,))
    judged = verdict(rubric, {"runs": 3}, Asked(other), run, 60)
    assert (judged.says, judged.cost_nanousd, judged.failed) == ("unsure", 3 * 77, False)
