"""What a cascade must come to: the sums that benchmarks and tests hold the gateway against are themselves right."""

import math
import random

import pytest
from cascade_expected import BROKEN, RIGHT, Cascade, apart, opinion_of, readable, together, verifier
from hypothesis import given
from hypothesis import strategies as st

RATE = st.floats(0, 1)


@given(RATE, RATE, RATE, RATE, st.floats(0, 10), st.floats(0, 10))
def test_two_rungs_are_what_algebra_says(
    weak: float, strong: float, miss: float, alarm: float, cheap: float, dear: float
) -> None:
    found = Cascade((cheap, dear)).expected(apart([weak, strong]), verifier(miss, alarm))
    escalated = weak * alarm + (1 - weak) * (1 - miss)
    assert math.isclose(found.escalated, escalated, abs_tol=1e-12)
    assert math.isclose(found.cost, cheap + escalated * dear, abs_tol=1e-9)
    assert math.isclose(found.right, weak * (1 - alarm) + escalated * strong, abs_tol=1e-12)
    assert math.isclose(found.cost_sd, dear * math.sqrt(escalated * (1 - escalated)), abs_tol=1e-6)


def test_a_cascade_pays_only_where_the_weak_one_fails_less_than_the_prices_allow() -> None:
    # A mid-tier beside a top-tier model that costs 1.3 times as much: the weak one fails in 29 %, and a cascade with a
    # verifier that is never wrong pays below 23 %.
    for fails, pays in ((0.294, False), (0.22, True)):
        found = Cascade((0.77, 1.0)).expected(apart([1 - fails, 0.75]), verifier())
        assert math.isclose(found.cost, 0.77 + fails)
        assert (found.cost < 1.0) is pays


def test_three_rungs_are_what_algebra_says() -> None:
    one, two, three, miss, alarm = 0.6, 0.8, 0.9, 0.1, 0.2
    found = Cascade((1.0, 3.0, 5.0), (0.1, 0.1, 0.1)).expected(
        apart([one, two, three]), verifier(miss, alarm)
    )
    on_one = one * alarm + (1 - one) * (1 - miss)
    on_two = two * alarm + (1 - two) * (1 - miss)
    assert found.reached == pytest.approx((1.0, on_one, on_one * on_two))
    assert found.calls == pytest.approx(1 + on_one + on_one * on_two)
    assert found.cost == pytest.approx(1.1 + 3.1 * on_one + 5.1 * on_one * on_two)
    right = one * (1 - alarm) + on_one * two * (1 - alarm) + on_one * on_two * three
    assert found.right == pytest.approx(right), "of answers that nobody accepted the last is given"


def test_of_answers_that_nobody_accepts_an_unsure_one_is_given_before_a_rejected_one() -> None:
    def judged(answers: tuple[int, ...], rung: int) -> dict[str, float]:
        return {"unsure" if rung == 0 else "escalate": 1.0}

    found = Cascade((1.0, 1.0)).expected(apart([1.0, 0.0]), judged)  # type: ignore[arg-type]
    assert (found.right, found.accepted, found.calls) == (1.0, 0.0, 2.0)
    kept = Cascade((1.0, 1.0), unsure_goes_on=False).expected(apart([0.3, 1.0]), verifier(unsure=1.0))
    assert (kept.right, kept.calls) == (pytest.approx(0.3), 1.0)


def test_arms_that_fail_together_gain_nothing_from_each_other() -> None:
    rights = [0.6, 0.9]
    found = Cascade((1.0, 2.0)).expected(together(rights), verifier())
    assert (found.right, found.escalated) == (pytest.approx(0.9), pytest.approx(0.4))
    alone = Cascade((1.0, 2.0)).expected(apart(rights), verifier())
    assert alone.right == pytest.approx(0.96)
    # Who is wrong says the same, so a second opinion hears itself.
    echoed = Cascade((1.0, 2.0)).expected(together([0.6, 0.9, 0.6]), opinion_of(2))
    assert (echoed.right, echoed.escalated) == (pytest.approx(0.6), pytest.approx(0.0))


def test_a_second_opinion_and_a_check_of_form_are_what_algebra_says() -> None:
    weak, strong, voice, wrong, broken = 0.7, 0.9, 0.8, 4, 0.2
    found = Cascade((1.0, 5.0), (2.0, 2.0)).expected(apart([weak, strong, voice], wrong), opinion_of(2))
    agree = weak * voice + (1 - weak) * (1 - voice) / wrong
    assert found.escalated == pytest.approx(1 - agree)
    assert found.cost == pytest.approx(3 + (1 - agree) * 7)
    formed = Cascade((1.0, 5.0)).expected(apart([weak, strong], broken=[broken, 0.0]), readable)
    assert formed.escalated == pytest.approx(broken)
    assert formed.right == pytest.approx((1 - broken) * weak + broken * strong)
    free = Cascade((1.0, 5.0), broken_is_free=True).expected(
        apart([weak, strong], broken=[broken, 0.1]), readable
    )
    assert free.cost == pytest.approx((1 - broken) * 1 + broken * (1 - 0.1) * 5)


def drawn(
    chance: random.Random, rights: list[float], miss: float, alarm: float, unsure: float, goes_on: bool
) -> tuple[bool, int]:
    """One request, played: whether what is given is right, and how many were called."""
    held: tuple[int, bool] | None = None
    for rung, rate in enumerate(rights):
        right = chance.random() < rate
        if chance.random() < unsure:
            rank = 1
        else:
            fooled = chance.random() < (alarm if right else miss)
            rank = 2 if right != fooled else 0
        if held is None or rank >= held[0]:
            held = (rank, right)
        if rank == 2 or (rank == 1 and not goes_on) or rung == len(rights) - 1:
            return held[1], rung + 1
    raise AssertionError("a ladder has rungs")


@pytest.mark.parametrize("goes_on", [True, False])
def test_sums_are_what_ten_thousand_played_requests_come_to(goes_on: bool) -> None:
    chance, count = random.Random(7), 10_000
    costs = (1.0, 2.5, 6.0)
    for rights, miss, alarm, unsure in (
        ([0.7, 0.9], 0.1, 0.1, 0.0),
        ([0.4, 0.6, 0.8], 0.3, 0.2, 0.15),
        ([0.9, 0.2, 0.5], 0.05, 0.4, 0.3),
    ):
        expected = Cascade(costs[: len(rights)], unsure_goes_on=goes_on).expected(
            apart(rights), verifier(miss, alarm, unsure)
        )
        played = [drawn(chance, rights, miss, alarm, unsure, goes_on) for _ in range(count)]
        rate = sum(right for right, _ in played) / count
        assert abs(rate - expected.right) < 4 * math.sqrt(expected.right * (1 - expected.right) / count)
        for rung, reached in enumerate(expected.reached):
            share = sum(calls > rung for _, calls in played) / count
            assert abs(share - reached) <= 4 * math.sqrt(abs(reached * (1 - reached)) / count) + 1e-9
        spent = sum(sum(costs[:calls]) for _, calls in played) / count
        assert abs(spent - expected.cost) < 4 * expected.cost_sd / math.sqrt(count)


@given(st.lists(RATE, min_size=1, max_size=3), RATE, RATE, RATE, RATE)
def test_probabilities_of_all_ways_come_to_one(
    rights: list[float], broken: float, miss: float, alarm: float, unsure: float
) -> None:
    for worlds in (apart(rights, 3, [broken] * len(rights)), together(rights)):
        assert math.isclose(sum(chance for chance, _ in worlds), 1.0)
        assert {answer for _, answers in worlds for answer in answers} <= {BROKEN, RIGHT, 1, 2, 3}
        for judged in (verifier(miss, alarm, unsure), readable):
            found = Cascade((1.0,) * len(rights)).expected(worlds, judged)
            assert -1e-9 <= found.right <= 1 + 1e-9
            assert found.reached[0] == pytest.approx(1.0)
            assert list(found.reached) == sorted(found.reached, reverse=True)
