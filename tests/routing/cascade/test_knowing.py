"""What is known of an arm for a request: measured where all rungs are, else by list prices, with what a switch costs."""

import datetime
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Arm, Catalogue, NanoUSD
from trimtab.routing.cascade import Facts, Failure, Knowing, Known, Ladder, NothingMeasured, Rules, begin

CATALOGUE = Catalogue.load()
DAY = datetime.date(2026, 11, 22)
MED, HIGH, OPUS = (
    Arm.parse(f"claude-{text}") for text in ("sonnet-4-6@medium", "sonnet-4-6@high", "opus-4-7@high")
)
LADDER = Ladder(rungs=(MED, HIGH, OPUS))
TEXT = 1.421
"""Tokens of v4.7 for each of v3, English documents: docs/catalogue.md."""


class Measured(NothingMeasured):
    """Some of it."""

    def __init__(self, costs: Mapping[Arm, int], prefers: bool = False) -> None:
        self.costs, self.prefers = costs, prefers

    def cost(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        found = next(
            (cost for arm, cost in self.costs.items() if (arm.model, arm.effort) == (model, effort)), None
        )
        return None if found is None or simulated else NanoUSD(found)

    def failure(self, route: str, task_class: str, arm: Arm, simulated: bool) -> Failure:
        return Failure(9, 90, wider=Failure(200, 1000))

    def ms(self, task_class: str, arm: Arm, simulated: bool) -> float | None:
        return 1500.0

    def checks(self, route: str, simulated: bool) -> NanoUSD:
        return NanoUSD(77)

    def harder(self, task_class: str, arm: Arm, simulated: bool) -> float:
        return 1.34

    def prefers_model(self, task_class: str, arm: Arm, effort: Arm, model: Arm) -> bool:
        return self.prefers and (effort, model) == (HIGH, OPUS)


def known(facts: Facts, measured: Measured | None = None, *, simulated: bool = False) -> Known:
    return Knowing(CATALOGUE, lambda: DAY, measured).of(LADDER, facts, route="r", simulated=simulated)


def test_where_nothing_was_measured_list_prices_and_usual_answers_decide() -> None:
    facts = Facts(input_tokens=10_000)
    sonnet, high, opus = (known(facts).estimate(arm) for arm in LADDER.rungs)
    # $3 and $15, $5 and $25 a million; 4,000 and 8,000 tokens of answer; the older vocabulary has fewer tokens.
    assert sonnet.cost_nanousd == pytest.approx((10_000 * 3000 + 4000 * 15_000) / TEXT, abs=2)
    assert high.cost_nanousd == pytest.approx((10_000 * 3000 + 8000 * 15_000) / TEXT, abs=2)
    assert opus.cost_nanousd == 10_000 * 5000 + 8000 * 25_000
    assert (opus.measured, opus.ms, opus.checks_nanousd, opus.switch_nanousd) == (False, None, 0, 0)
    short = known(msgspec.structs.replace(facts, max_tokens=100)).estimate(OPUS)
    assert short.cost_nanousd == 10_000 * 5000 + 100 * 25_000
    low = known(msgspec.structs.replace(facts, effort="low")).estimate(OPUS)
    assert low.cost_nanousd == 10_000 * 5000 + 1500 * 25_000
    assert known(facts).estimate(Arm("nobody-knows")).cost_nanousd == 0
    assert known(facts).failure(MED) == Failure()
    assert not known(facts).prefers_model(MED)


def test_measured_costs_hold_where_every_rung_has_one_and_never_beside_list_prices() -> None:
    facts = Facts(input_tokens=10_000, task_class="coding")
    costs = {MED: 11, HIGH: 22, OPUS: 33}
    whole = known(facts, Measured(costs))
    assert [whole.estimate(arm).cost_nanousd for arm in LADDER.rungs] == [11, 22, 33]
    found = whole.estimate(OPUS)
    assert (found.measured, found.ms, found.checks_nanousd, found.harder) == (True, 1500.0, 77, 1.34)
    for some in ({MED: 11}, {}):
        partly = known(facts, Measured(some))
        assert [partly.estimate(arm) for arm in LADDER.rungs if partly.estimate(arm).measured] == []
        assert partly.estimate(MED).cost_nanousd == known(facts).estimate(MED).cost_nanousd
    assert not known(facts, Measured(costs), simulated=True).estimate(MED).measured


def test_a_switch_costs_the_prefix_times_what_writing_it_here_costs_more_than_reading_it_there() -> None:
    here = Facts(input_tokens=50_000, on_rung=MED, cached_tokens=20_000)
    stays, more, switches = (known(here).estimate(arm) for arm in LADDER.rungs)
    assert stays.switch_nanousd == more.switch_nanousd == 0  # effort is of one cache family
    # Written at $6.25 a million in 1.42 times as many tokens, instead of read at $0.30.
    assert switches.switch_nanousd == pytest.approx(20_000 * TEXT * 6250 - 20_000 * 300, abs=2)
    whole = switches.cost_nanousd + switches.switch_nanousd
    assert whole == pytest.approx(
        (50_000 - 20_000 * TEXT) * 5000 + 20_000 * TEXT * 6250 + 8000 * 25_000, abs=2
    )
    back = known(Facts(input_tokens=50_000, on_rung=OPUS, cached_tokens=20_000)).estimate(MED)
    assert back.switch_nanousd == pytest.approx(20_000 / TEXT * 3750 - 20_000 * 500, abs=2)
    assert (
        known(here, Measured({MED: 1, HIGH: 2, OPUS: 3})).estimate(OPUS).switch_nanousd
        == switches.switch_nanousd
    )


def test_a_conversation_stays_up_for_its_cache_and_goes_down_without_one() -> None:
    facts = Facts(input_tokens=60_000, on_rung=OPUS, max_tokens=500)
    warm = msgspec.structs.replace(facts, cached_tokens=58_000)
    ladder = Ladder(rungs=(MED, OPUS))
    knowing = Knowing(CATALOGUE, lambda: DAY, None)
    assert begin(ladder, facts, knowing.of(ladder, facts, route="", simulated=False), 0.5, Rules()).rungs == (
        MED,
        OPUS,
    )
    assert begin(ladder, warm, knowing.of(ladder, warm, route="", simulated=False), 0.5, Rules()).rungs == (
        OPUS,
    )


def test_another_model_comes_first_only_where_there_is_a_choice_and_the_table_says_so() -> None:
    assert known(Facts(), Measured({}, prefers=True)).prefers_model(MED)
    assert not known(Facts(), Measured({}, prefers=True)).prefers_model(HIGH)
    assert not known(Facts(), Measured({}, prefers=True)).prefers_model(Arm("nobody-knows"))


def test_prices_are_those_of_the_day() -> None:
    """Long prompts on Sonnet 4.6 cost twice as much until 13 March 2026."""
    day = datetime.date(2026, 3, 12)
    knowing = Knowing(CATALOGUE, lambda: day, None)
    facts = Facts(input_tokens=400_000)

    def cost() -> int:
        return knowing.of(LADDER, facts, route="", simulated=False).estimate(MED).cost_nanousd

    before = cost()
    day = DAY
    assert before > 1.9 * cost()


@given(
    st.builds(
        Facts,
        max_tokens=st.none() | st.integers(0, 10**6),
        input_tokens=st.integers(0, 10**7),
        code_tokens=st.integers(0, 10**7),
        on_rung=st.none() | st.sampled_from([*LADDER.rungs, Arm("gone")]),
        cached_tokens=st.integers(0, 10**7),
        effort=st.sampled_from([None, "low", "max"]),
    )
)
def test_whatever_is_asked_money_is_never_below_zero(facts: Facts) -> None:
    for arm in LADDER.rungs:
        found = known(facts).estimate(arm)
        assert found.cost_nanousd >= 0
        assert found.cost_nanousd + found.switch_nanousd >= 0
