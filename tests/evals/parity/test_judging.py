"""Judgements over observations that are given: what is same, what is different, and what cannot be told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.evals.parity import Case, Judged
from trimtab.evals.parity.facts import Observed
from trimtab.evals.parity.judging import judge
from trimtab.evals.parity.report import told_of

NAMES = ("one", "two")


def case(*fixed: str, refused: bool = False) -> Case:
    return msgspec.convert(
        {"name": "c", "steps": [{"request": {}}], "fixed": fixed, "refused": refused}, Case
    )


def seen(count: int = 1, **facts: str) -> list[Observed]:
    return [Observed(facts={"status": "200", **facts}) for _ in range(count)]


def judged(first: list[Observed], second: list[Observed], of: Case | None = None) -> Judged:
    return judge(of or case(), "m", first, second, NAMES)


def test_equal_observations_are_the_same() -> None:
    one = judged(seen(model="m", tools="a(x)"), seen(model="m", tools="a(x)"))
    assert (one.outcome, one.differences, one.doubts, one.notes, one.runs) == ("same", (), (), (), (1, 1))


def test_a_certain_fact_differs_at_once_and_both_values_are_told() -> None:
    one = judged(seen(model="m", adaptations="none"), seen(model="m", adaptations="speed removed"))
    assert one.outcome == "different"
    assert [(d.fact, d.first, d.second) for d in one.differences] == [
        ("adaptations", "none", "speed removed")
    ]


def test_a_certain_fact_that_is_not_steady_on_one_side_is_inconclusive() -> None:
    second = [*seen(cache="reads"), *seen(2, cache="not used")]
    one = judged(seen(3, cache="reads"), second)
    assert (one.outcome, one.differences) == ("inconclusive", ())
    [doubt] = one.doubts
    assert doubt == "cache: not steady; one reads, two not used (2 of 3) | reads (1 of 3)"


@pytest.mark.parametrize(("runs", "outcome"), [(1, "inconclusive"), (3, "inconclusive"), (4, "different")])
def test_what_a_model_may_choose_differs_only_with_enough_answers(runs: int, outcome: str) -> None:
    one = judged(seen(runs, tools="none"), seen(runs, tools="a(x)"))
    assert one.outcome == outcome
    if outcome == "inconclusive":
        assert "tools: one none, two a(x); the model may choose here" in one.doubts[0]


def test_what_the_case_fixes_differs_with_one_answer() -> None:
    assert judged(seen(tools="none"), seen(tools="a(x)"), case("tools")).outcome == "different"
    assert judged(seen(blocks="text"), seen(blocks="none"), case("tools")).outcome == "inconclusive"


def test_a_free_fact_that_varies_alike_on_both_sides_is_the_same() -> None:
    mixed = [*seen(2, tools="none"), *seen(2, tools="a(x)")]
    assert judged(mixed, mixed).outcome == "same"
    assert judged(mixed, [*seen(1, tools="none"), *seen(3, tools="a(x)")]).outcome == "same"


def test_facts_of_steps_go_by_their_own_names() -> None:
    steps = [
        {"step 1: status": "200", "step 2: tools": "none"},
        {"step 1: status": "200", "step 2: tools": "a(x)"},
    ]
    one = judge(case(), "m", [Observed(facts=steps[0])], [Observed(facts=steps[1])], NAMES)
    assert one.outcome == "inconclusive", "a step's tools are free too"


def test_a_refusal_on_one_side_is_the_only_difference_and_its_words_are_told() -> None:
    refusal = [Observed(facts={"status": "400 invalid_request_error"}, says="no such thing")]
    one = judged(seen(model="m", tools="none"), refusal)
    assert [d.fact for d in one.differences] == ["status"]
    assert one.notes == ("two says: no such thing",)


def test_a_refusal_on_both_sides_is_the_same_and_is_told_unless_it_is_what_is_meant() -> None:
    refusal = [Observed(facts={"status": "400 invalid_request_error"}, says="no such thing")]
    assert judged(refusal, refusal).outcome == "same"
    assert judged(refusal, refusal).notes == ("both refuse it: no such thing",)
    assert judged(refusal, refusal, case(refused=True)).notes == ()


def test_an_unclear_side_is_inconclusive_and_one_unclear_answer_of_several_is_not_counted() -> None:
    limited = Observed(unclear="429 rate_limit_error: slow down")
    one = judged(seen(), [limited])
    assert (one.outcome, one.doubts, one.runs) == (
        "inconclusive",
        ("two: 429 rate_limit_error: slow down",),
        (1, 0),
    )
    one = judged(seen(3), [limited, *seen(2)])
    assert (one.outcome, one.notes, one.runs) == (
        "same",
        ("two: 429 rate_limit_error: slow down (1 of 3)",),
        (3, 2),
    )


def lengths(*tokens: int) -> list[Observed]:
    return [Observed(facts={"status": "200"}, output_tokens=count) for count in tokens]


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (lengths(100), lengths(399), "same"),
        (lengths(2), lengths(102), "same"),
        (lengths(100), lengths(401), "inconclusive"),
        (lengths(2, 2, 2, 2, 2), lengths(18, 18, 18, 18, 18), "same"),
        (lengths(2, 2, 2, 2, 2), lengths(19, 19, 19, 19, 19), "different"),
        (lengths(100, 110, 90, 95, 105), lengths(300, 310, 290, 280, 320), "different"),
        (lengths(100, 110, 90, 95, 400), lengths(300, 310, 290, 280, 320), "inconclusive"),
        (lengths(100, 110, 90, 95, 105), lengths(120, 130, 119, 118, 117), "same"),
    ],
)
def test_lengths_differ_only_far_apart_and_with_enough_answers(
    first: list[Observed], second: list[Observed], outcome: str
) -> None:
    for here, there in ((first, second), (second, first)):
        one = judged(here, there)
        assert one.outcome == outcome
        assert [d.fact for d in one.differences] == (["output tokens"] if outcome == "different" else [])
        assert all(doubt.startswith("output tokens: one") for doubt in one.doubts)


FACTS = st.fixed_dictionaries(
    {"status": st.sampled_from(["200", "400 a"])},
    optional={
        "model": st.sampled_from("ab"),
        "tools": st.sampled_from("ab"),
        "cache": st.sampled_from("ab"),
    },
)
RUNS = st.lists(
    st.builds(
        Observed, facts=FACTS, unclear=st.sampled_from(["", "", "429"]), output_tokens=st.integers(1, 500), text=st.just("")
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip


@given(RUNS, RUNS)
def test_the_sides_may_be_exchanged_and_a_side_never_differs_from_itself(
    first: list[Observed], second: list[Observed]
) -> None:
    there, back = judged(first, second), judged(second, first)
    assert there.outcome == back.outcome
    assert {(d.fact, d.first, d.second) for d in there.differences} == {
        (d.fact, d.second, d.first) for d in back.differences
    }
    assert judged(first, first).outcome != "different"
    assert (there.outcome == "different") == bool(there.differences)
    assert there.outcome != "inconclusive" or there.doubts


def test_the_report_counts_outcomes_and_takes_figures_case_by_case() -> None:
    found = []
    for number in range(8):
        here = Observed(facts={"status": "200"}, cost_nanousd=100, first_byte_ms=10.0, text="t", usage_fields=frozenset(("x", "geo")))  # fmt: skip
        there = Observed(facts={"status": "200" if number else "400 e"}, cost_nanousd=110, first_byte_ms=20.0 + number, text="t" if number else "u", usage_fields=frozenset(("x",)), simulated=True)  # fmt: skip
        found.append((judged([here], [there]), ([here], [there])))
    limited = [Observed(unclear="429")]
    found.append((judged(limited, limited), (limited, limited)))
    report = told_of(NAMES, ("m",), 1, "r", found)
    assert (report.same, report.different, report.inconclusive) == (7, 1, 1)
    assert (round(report.same_rate.low, 3), round(report.same_rate.high, 3)) == (0.529, 0.978)
    assert report.simulated == ("two",)
    assert (report.only_first, report.only_second) == (("usage.geo",), ())
    assert report.same_texts == (7, 8)
    assert report.cost_nanousd == 8 * 210
    ratios = {ratio.what: ratio for ratio in report.ratios}
    assert set(ratios) == {"time to first byte", "cost"}
    assert (ratios["cost"].median, ratios["cost"].cases) == (1.1, 8)
    waited = ratios["time to first byte"]
    assert (waited.first, waited.second, waited.median) == (10, 23.5, pytest.approx(2.35))
    assert waited.interval is not None
    assert (waited.interval.low, waited.interval.high) == (2.0, 2.7)
