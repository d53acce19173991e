"""What is known of an arm for a request: measured where all rungs are, else by list prices, with what a switch costs."""

import datetime
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Arm, Catalogue, NanoUSD
from trimtab.routing.cascade import Facts, Failure, Knowing, Known, Ladder, Rules, begin

CATALOGUE = Catalogue.load()
DAY = datetime.date(2026, 11, 22)
MED, HIGH, OPUS = (
    Arm.parse(f"claude-{text}") for text in ("sonnet-4-6@medium", "sonnet-4-6@high", "opus-4-7@high")
)
LADDER = Ladder(rungs=(MED, HIGH, OPUS))
TEXT = 1.421
"""Tokens of v4.7 for each of v3, English documents: docs/catalogue.md."""


class Counts(msgspec.Struct, frozen=True):
    """As what was measured has them."""

    judged: int = 0
    not_accepted: int = 0
    unsure: int = 0


class Measured:
    """Some of it. Implements `Measured`."""

    def __init__(
        self,
        costs: Mapping[Arm, int],
        counts: Mapping[tuple[str, bool], Counts] | None = None,
        after_others: Mapping[Arm, int] | None = None,
    ) -> None:
        """`counts` by class and whether a lower rung had failed; `after_others`: costs where one had."""
        self.costs, self.counts, self.after_others = costs, counts or {}, after_others or {}

    def failure(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> Counts:
        return (
            self.counts.get((task_class, later), Counts()) if route == "r" and arm in self.costs else Counts()
        )

    def attempt_cost(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> NanoUSD | None:
        found = (self.after_others if later else self.costs).get(arm)
        return None if found is None or simulated else NanoUSD(found)

    def checks_cost(self, route: str, task_class: str, arm: Arm, simulated: bool) -> NanoUSD | None:
        return NanoUSD(77) if arm in self.costs else None

    def ms(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float | None:
        return 1500.0 if arm in self.costs else None

    def checks_ms(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float | None:
        return 25.0

    def harder(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float:
        return 1.34


def usual(model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
    return NanoUSD(500)


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


def test_measured_costs_hold_and_a_rung_without_one_is_put_on_their_scale() -> None:
    facts = Facts(input_tokens=10_000, task_class="coding")
    whole = known(facts, Measured({MED: 11, HIGH: 22, OPUS: 33}))
    assert [whole.estimate(arm).cost_nanousd for arm in LADDER.rungs] == [11, 22, 33]
    found = whole.estimate(OPUS)
    assert (found.measured, found.ms, found.checks_nanousd, found.harder) == (True, 1525.0, 77, 1.34)
    listed = known(facts)
    # Only the first was measured, at a tenth of its list price: the others are taken at a tenth of theirs.
    tenth = listed.estimate(MED).cost_nanousd // 10
    partly = known(facts, Measured({MED: tenth}))
    for arm in (HIGH, OPUS):
        one = partly.estimate(arm)
        assert one.cost_nanousd == pytest.approx(listed.estimate(arm).cost_nanousd / 10, rel=1e-6)
        assert (one.measured, one.checks_nanousd, one.ms) == (False, 77, None)
    # The nearest one that was measured is gone by.
    assert known(facts, Measured({MED: tenth, HIGH: 22})).estimate(OPUS).cost_nanousd < 100
    # Calls that nobody judged say what an arm costs where none was judged.
    knowing = Knowing(CATALOGUE, lambda: DAY, Measured({MED: 11}), usual_cost=usual)
    both = knowing.of(LADDER, facts, route="r", simulated=False)
    assert [both.estimate(arm).cost_nanousd for arm in LADDER.rungs] == [11, 500, 500]
    simulated = known(facts, Measured({MED: 11}), simulated=True)
    assert simulated.estimate(MED).cost_nanousd == listed.estimate(MED).cost_nanousd


def test_a_top_rung_that_costs_less_than_its_list_price_says_refuses_a_cascade_before_any_request_begins_there() -> (
    None
):
    """The weak one costs 0.77 of the strong one in fact, for it needs more tokens, and 0.6 by list prices; 29.4 % fail."""
    facts, ladder = Facts(input_tokens=1_000, task_class="coding"), Ladder(rungs=(MED, OPUS), mode="cost")
    counts = {("coding", False): Counts(1000, 294)}

    def begun(measured: Measured) -> tuple[Arm, ...]:
        now = Knowing(CATALOGUE, lambda: DAY, measured).of(ladder, facts, route="r", simulated=False)
        return begin(ladder, facts, now, 0.5, Rules()).rungs

    assert begun(Measured({MED: 770_000}, counts)) == (MED, OPUS), "by list prices it would pay"
    assert begun(Measured({MED: 770_000}, counts, {OPUS: 1_000_000})) == (OPUS,)
    assert begun(Measured({MED: 770_000}, counts, {OPUS: 9_000_000})) == (MED, OPUS), (
        "harder requests cost more"
    )
    measured = Measured({MED: 770_000, OPUS: 1_300_000}, counts, {OPUS: 1_000_000})
    assert begun(measured) == (MED, OPUS), "what was measured of all requests wins"


def test_failures_are_those_of_the_class_beside_all_classes_and_beside_requests_on_which_a_rung_had_failed() -> (
    None
):
    counts = {
        ("coding", False): Counts(90, 9, 2),
        ("*", False): Counts(1000, 200, 5),
        ("coding", True): Counts(30, 20),
        ("*", True): Counts(50, 30),
    }
    found = known(Facts(task_class="coding"), Measured({MED: 1}, counts)).failure(MED)
    assert (found.failed, found.judged, found.unsure) == (9, 90, 2)
    assert found.wider == Failure(200, 1000, 5)
    assert found.later == Failure(20, 30, 0, Failure(30, 50))
    # What the arm works at for this request is another arm: the client's own effort, thinking.
    thinking = Facts(task_class="coding", thinking="adaptive")
    assert known(thinking, Measured({MED: 1}, counts)).failure(MED).judged == 0
    open_arm = Facts(task_class="coding", other_effort="medium")
    assert known(open_arm, Measured({MED: 1}, counts)).failure(Arm(MED.model)).judged == 90
    lacking = Arm.parse("claude-sonnet-4-6@xhigh")
    assert known(Facts(task_class="coding"), Measured({HIGH: 1}, counts)).failure(lacking).judged == 90
    assert known(Facts(effort="low"), Measured({MED: 1}, counts)).failure(MED).judged == 0


def test_a_rung_that_fails_more_often_after_another_makes_the_cascade_dearer() -> None:
    facts, first = Facts(task_class="coding"), {("coding", False): Counts(1000, 300)}

    def cost(counts: dict[tuple[str, bool], Counts]) -> int | None:
        measured = Measured({MED: 10_000, HIGH: 20_000, OPUS: 40_000}, counts)
        knowing = Knowing(CATALOGUE, lambda: DAY, measured)
        now = knowing.of(LADDER, facts, route="r", simulated=False)
        return begin(LADDER, facts, now, 0.5, Rules()).expected_nanousd

    p, q = (300 + 10 * 0.36) / 1010, (300 + 10 * 0.315) / 1010
    # Each step with its checks; those after the first cost 1.34 times as much.
    assert cost(first) == pytest.approx(10_077 + p * 1.34 * (20_077 + q * 40_077), abs=2)
    again = (900 + 10 * q) / 1010
    worse = cost({**first, ("coding", True): Counts(1000, 900)})
    assert worse == pytest.approx(10_077 + p * 1.34 * (20_077 + again * 40_077), abs=2)


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
    asked: list[tuple[str, Arm, Arm, Arm, bool]] = []

    def says(task_class: str, arm: Arm, effort: Arm, model: Arm, simulated: bool) -> bool:
        asked.append((task_class, arm, effort, model, simulated))
        return True

    knowing = Knowing(CATALOGUE, lambda: DAY, None, says)
    found = knowing.of(LADDER, Facts(task_class="coding"), route="", simulated=False)
    assert found.prefers_model(MED)
    assert not found.prefers_model(HIGH)
    assert not found.prefers_model(Arm("nobody-knows"))
    assert asked == [("coding", MED, HIGH, OPUS, False)]


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
