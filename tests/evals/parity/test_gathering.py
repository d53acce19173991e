"""What differs everywhere is said once, and nothing is lost by it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trimtab.evals.parity import Case
from trimtab.evals.parity.facts import Observed
from trimtab.evals.parity.gathering import LEAST_CASES, gathered
from trimtab.evals.parity.judging import Judged, judge

NAMES = ("one", "two")
Found = tuple[Judged, tuple[list[Observed], list[Observed]]]


def found(first: dict[str, str], second: dict[str, str], model: str = "m", unclear: str = "") -> Found:
    case = msgspec.convert({"name": "c", "steps": [{"request": {}}]}, Case)
    runs = ([Observed(facts=first)], [Observed(facts=second, unclear=unclear)])
    return judge(case, model, *runs, NAMES), runs


OTHER = ({"status": "200", "model": "a"}, {"status": "200", "model": "b"})


def test_a_difference_of_every_case_is_said_once_and_its_cases_are_the_same() -> None:
    refused = found({"status": "200", "model": "a"}, {"status": "400"})
    stepped = found(
        {"step 1: model": "a", "step 2: model": "a"}, {"step 1: model": "b", "step 2: model": "b"}
    )
    cases, everywhere = gathered([found(*OTHER), found(*OTHER), refused, stepped])
    assert [one.outcome for one, _ in cases] == ["same", "same", "different", "same"]
    assert [(one.model, one.difference.fact, one.difference.first, one.difference.second, one.cases) for one in everywhere] == [("m", "model", "a", "b", 3)]  # fmt: skip


def test_other_differences_of_a_case_stay_with_it() -> None:
    both = found({**OTHER[0], "cache": "reads"}, {**OTHER[1], "cache": "not used"})
    cases, _ = gathered([found(*OTHER), found(*OTHER), both])
    assert [d.fact for d in cases[2][0].differences] == ["cache"]
    assert cases[2][0].outcome == "different"


def test_a_case_that_is_otherwise_or_too_few_cases_make_no_rule() -> None:
    for others in ([], [found(OTHER[0], OTHER[0])], [found(OTHER[0], {**OTHER[1], "model": "c"})]):
        given_cases = [found(*OTHER), found(*OTHER), *([found(*OTHER)] if others else []), *others]
        cases, everywhere = gathered(given_cases)
        assert everywhere == ()
        assert cases == given_cases


def test_each_model_is_judged_alone_and_unclear_cases_are_not_asked() -> None:
    limited = found(*OTHER, unclear="429")
    cases, everywhere = gathered([*[found(*OTHER)] * LEAST_CASES, found(*OTHER, model="n"), limited])
    assert [(one.model, one.cases) for one in everywhere] == [("m", LEAST_CASES)]
    assert [one.outcome for one, _ in cases] == ["same"] * LEAST_CASES + ["different", "inconclusive"]


FACTS = st.fixed_dictionaries({"status": st.just("200")}, optional={"model": st.sampled_from("ab"), "cache": st.sampled_from("ab")})  # fmt: skip


@given(st.lists(st.tuples(FACTS, FACTS), max_size=6))
def test_no_difference_is_lost_or_told_twice(pairs: list[tuple[dict[str, str], dict[str, str]]]) -> None:
    before = [found(*pair) for pair in pairs]
    after, everywhere = gathered(before)
    gone = {one.difference for one in everywhere}
    for (was, _), (now, _) in zip(before, after, strict=True):
        assert set(was.differences) == set(now.differences) | (gone & set(was.differences))
        assert not gone & set(now.differences)
        assert (now.outcome == "different") == bool(now.differences)
