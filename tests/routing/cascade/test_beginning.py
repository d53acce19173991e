"""Where a request begins, what is said of it, and that mode cost never runs a cascade that cannot pay."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Arm
from trimtab.routing.cascade import (
    Beginning,
    Condition,
    Estimate,
    Facts,
    Failure,
    Fit,
    Ladder,
    Rule,
    Rules,
    begin,
)
from trimtab.routing.cascade.expecting import Rung, expected

CENT = 10_000_000
MED, HIGH, OPUS, TOP = (
    Arm.parse(text)
    for text in (
        "claude-sonnet-4-6@medium",
        "claude-sonnet-4-6@high",
        "claude-opus-4-7@high",
        "claude-opus-4-7@xhigh",
    )
)
FOUR = (MED, HIGH, OPUS, TOP)
NONE = Rules()


class Table:
    """What is known, as tables."""

    def __init__(
        self,
        costs: Mapping[Arm, int],
        failing: Mapping[Arm, tuple[int, int]] | None = None,
        ms: Mapping[Arm, float] | None = None,
        switch: Mapping[Arm, int] | None = None,
        checks: int = 0,
        prefers: tuple[Arm, ...] = (),
        harder: float = 1.0,
    ) -> None:
        self.costs, self.failing, self.ms, self.switch = costs, failing or {}, ms or {}, switch or {}
        self.checks, self.prefers, self.harder = checks, prefers, harder

    def estimate(self, arm: Arm) -> Estimate:
        return Estimate(
            cost_nanousd=self.costs.get(arm, 0),
            ms=self.ms.get(arm),
            checks_nanousd=self.checks,
            switch_nanousd=self.switch.get(arm, 0),
            harder=self.harder,
        )

    def failure(self, arm: Arm) -> Failure:
        return Failure(*self.failing.get(arm, (0, 0)))

    def prefers_model(self, arm: Arm) -> bool:
        return arm in self.prefers


def two(mode: str, weak: float, failed: int, judged: int, task_class: str = "coding") -> Beginning:
    """A cheap arm at a part of the dear one's cost."""
    known = Table({MED: round(weak * 100 * CENT), OPUS: 100 * CENT}, {MED: (failed, judged)})
    ladder = Ladder(rungs=(MED, OPUS), mode=mode)  # type: ignore[arg-type]
    return begin(ladder, Facts(task_class=task_class), known, 0.5, NONE)


@pytest.mark.parametrize(
    ("weak", "fails", "said", "runs", "times"),
    # Source: reference on routing, section 3.3: real agent dollars of four pairs.
    [
        (0.774, 0.294, "22.6 %", False, 1.068),
        (0.33, 0.35, "67.0 %", True, 0.68),
        (0.05, 0.40, "95.0 %", True, 0.45),
        (0.04, 0.40, "96.0 %", True, 0.44),
    ],
)
def test_the_pairs_that_were_measured_on_agents_break_even_where_they_did(
    weak: float, fails: float, said: str, runs: bool, times: float
) -> None:
    judged = 100_000
    cost = two("cost", weak, round(fails * judged), judged)
    assert cost.rungs == ((MED, OPUS) if runs else (OPUS,))
    assert f"break-even is {said}" in cost.reasons[0]
    quality = two("quality", weak, round(fails * judged), judged)
    assert quality.rungs == (MED, OPUS)
    assert quality.expected_nanousd is not None
    assert quality.direct_nanousd == 100 * CENT
    assert quality.expected_nanousd / quality.direct_nanousd == pytest.approx(times, abs=0.002)


@pytest.mark.parametrize(
    ("weak", "fails", "times"),
    [(0.774, 0.294, 1.18), (0.33, 0.35, 0.77), (0.05, 0.40, 0.60), (0.04, 0.40, 0.58)],
)
def test_what_these_cascades_came_to_follows_from_hard_requests_costing_a_third_more(
    weak: float, fails: float, times: float
) -> None:
    """One figure for all four pairs: where the cheap arm failed, the dear one cost 1.34 times its mean."""
    known = Table(
        {MED: round(weak * 100 * CENT), OPUS: 100 * CENT}, {MED: (round(fails * 10**5), 10**5)}, harder=1.34
    )
    found = begin(Ladder(rungs=(MED, OPUS)), Facts(), known, 0.5, NONE)
    assert found.expected_nanousd is not None
    assert found.expected_nanousd / (100 * CENT) == pytest.approx(times, abs=0.03)


def test_a_cascade_that_cannot_pay_is_refused_with_its_figures_and_quality_says_what_it_costs() -> None:
    assert two("cost", 0.774, 121, 412).reasons == (
        "cascade refused: class coding fails 29.4 % of 412 judged at claude-sonnet-4-6@medium (29.5 % is taken), "
        "break-even is 22.6 %; going to claude-opus-4-7@high directly",
    )
    assert two("quality", 0.774, 121, 412).reasons == (
        "cascade from claude-sonnet-4-6@medium to claude-opus-4-7@high for quality: $1.069 expected against $1 for "
        "claude-opus-4-7@high directly, +7 %",
    )


def test_with_few_answers_what_is_assumed_decides_and_the_reason_says_so() -> None:
    assert (
        "fails 0.0 % of 3 judged at claude-sonnet-4-6@medium, which are few, so 27.7 % is taken"
        in (two("cost", 0.774, 0, 3).reasons[0])
    )
    assert two("cost", 0.774, 0, 3).rungs == (OPUS,)
    assert (
        "no judged answers of claude-sonnet-4-6@medium, 36.0 % are assumed to fail"
        in (two("cost", 0.5, 0, 0, "").reasons[0])
    )


def test_of_a_longer_ladder_as_many_rungs_as_steps_are_called_from_where_it_pays() -> None:
    costs = {MED: 10 * CENT, HIGH: 12 * CENT, OPUS: 40 * CENT, TOP: 60 * CENT}
    judged = dict.fromkeys(FOUR, (300, 1000))
    ladder = Ladder(rungs=FOUR)
    assert begin(ladder, Facts(), Table(costs, judged), 0.5, NONE).rungs == (MED, HIGH, OPUS)
    cost = msgspec.structs.replace(ladder, mode="cost")
    assert begin(cost, Facts(), Table(costs, judged), 0.5, NONE).rungs == (MED, HIGH, OPUS)
    hopeless = {**judged, MED: (995, 1000)}
    found = begin(cost, Facts(), Table(costs, hopeless), 0.5, NONE)
    assert found.rungs == (HIGH, OPUS)
    assert found.reasons[0].startswith(
        "cascade not begun at claude-sonnet-4-6@medium: this work fails 99.5 %"
    )
    assert begin(msgspec.structs.replace(ladder, steps=1), Facts(), Table(costs), 0.5, NONE).rungs == (MED,)


def test_where_nothing_is_held_back_there_is_one_step() -> None:
    found = begin(Ladder(rungs=FOUR), Facts(judged=False), Table({}), 0.5, NONE)
    assert found.rungs == (MED,)
    assert "one step" in found.reasons[-1]


def test_the_baselines_share_is_one_rung_with_its_propensity_and_the_rest_has_the_other() -> None:
    control = Arm.parse("claude-opus-4-6@high")
    ladder = Ladder(rungs=FOUR, control=control, control_share=0.05)
    found = begin(ladder, Facts(), Table({}), 0.049, NONE)
    assert (found.rungs, found.baseline, found.propensity) == ((control,), True, 0.05)
    assert begin(ladder, Facts(), Table({}), 0.05, NONE).propensity == 0.95


def test_rungs_that_cannot_take_the_request_are_left_out_unless_none_can() -> None:
    fits = (
        Fit(64_000, 200_000, False),
        Fit(64_000, 200_000),
        Fit(128_000, 1_000_000),
        Fit(128_000, 1_000_000),
    )
    ladder = Ladder(rungs=FOUR, fits=fits)
    assert begin(ladder, Facts(max_tokens=64_001), Table({}), 0.5, NONE).rungs == (OPUS, TOP)
    assert begin(ladder, Facts(input_tokens=200_001), Table({}), 0.5, NONE).rungs == (OPUS, TOP)
    found = begin(ladder, Facts(images=1), Table({}), 0.5, NONE)
    assert (found.rungs, found.reasons[0]) == (
        (HIGH, OPUS, TOP),
        "claude-sonnet-4-6@medium is left out: it takes no images",
    )
    assert begin(ladder, Facts(max_tokens=200_000), Table({}), 0.5, NONE).rungs == (MED, HIGH, OPUS)


def test_limits_of_money_and_time_win_over_every_rule() -> None:
    costs = {MED: 10 * CENT, HIGH: 12 * CENT, OPUS: 40 * CENT, TOP: 60 * CENT}
    known = Table(costs, ms={OPUS: 50_000.0, TOP: 50_000.0})
    to_the_top = rule("top", "top", "images", ">=", 1)
    money = Ladder(rungs=FOUR, most_nanousd=40 * CENT)
    assert begin(money, Facts(images=1), known, 0.5, to_the_top).rungs == (OPUS,)
    time = Ladder(rungs=FOUR, within_s=49.0)
    found = begin(time, Facts(images=1), known, 0.5, to_the_top)
    assert found.rungs == (HIGH,)
    assert found.reasons[0] == (
        "claude-opus-4-7@high is left out: it usually takes 50 s, and the request has 49 s"
    )
    assert begin(Ladder(rungs=FOUR, most_nanousd=CENT), Facts(), known, 0.5, NONE).rungs == (MED,)


def test_a_conversation_of_another_configuration_is_at_its_model() -> None:
    costs = {MED: 30 * CENT, OPUS: 31 * CENT}
    here = Facts(on_rung=Arm.parse("claude-opus-4-7@max"), chain=1)
    assert begin(Ladder(rungs=(MED, OPUS)), here, Table(costs), 0.5, NONE).rungs == (OPUS,)
    gone = Facts(on_rung=Arm("claude-3-opus"), chain=1)
    assert begin(Ladder(rungs=(MED, OPUS)), gone, Table(costs), 0.5, NONE).rungs == (MED, OPUS)


def test_rungs_that_differ_by_effort_only_are_one_where_the_client_names_its_effort() -> None:
    assert begin(Ladder(rungs=FOUR), Facts(effort="low"), Table({}), 0.5, NONE).rungs == (MED, OPUS)


def test_another_model_comes_before_more_effort_where_the_table_of_the_class_says_so() -> None:
    assert begin(Ladder(rungs=FOUR), Facts(), Table({}, prefers=(MED,)), 0.5, NONE).rungs == (MED, OPUS, TOP)
    # ... but not where there is no other model.
    assert begin(Ladder(rungs=FOUR[:2]), Facts(), Table({}, prefers=(MED,)), 0.5, NONE).rungs == (MED, HIGH)


def test_a_conversation_begins_where_it_was_and_goes_down_only_where_that_saves_more_than_a_cold_cache() -> (
    None
):
    costs = {MED: 10 * CENT, OPUS: 60 * CENT}
    judged = {MED: (300, 1000), OPUS: (250, 1000)}
    ladder = Ladder(rungs=(MED, OPUS))
    here = Facts(on_rung=OPUS, cached_tokens=100_000)
    assert begin(ladder, here, Table(costs, judged), 0.5, NONE).rungs == (MED, OPUS)
    cold = Table(costs, judged, switch={MED: 40 * CENT})
    assert begin(ladder, here, cold, 0.5, NONE).rungs == (OPUS,)
    chain = msgspec.structs.replace(here, chain=2)
    assert begin(ladder, chain, Table(costs, judged), 0.5, NONE).rungs == (OPUS,)
    # Where it came up from a failure, that failure counts: 30 % become 53 %.
    narrow = {MED: 36 * CENT, OPUS: 60 * CENT}
    assert begin(ladder, here, Table(narrow, judged), 0.5, NONE).rungs == (MED, OPUS)
    up = msgspec.structs.replace(here, escalated=True)
    assert begin(ladder, up, Table(narrow, judged), 0.5, NONE).rungs == (OPUS,)


def rule(name: str, then: str, fact: str, op: str, value: float = 0, other: str | None = None) -> Rules:
    one = Rule(name, (Condition(fact, op, value, other),), then)  # type: ignore[arg-type]
    return Rules(by_rung=(one,)) if one.by_rung else Rules(rules=(one,))


@pytest.mark.parametrize(
    ("rules", "facts", "first"),
    [
        (rule("long", "+1", "chain", ">=", 20), Facts(chain=20), HIGH),
        (rule("long", "+1", "chain", ">=", 20), Facts(chain=19), MED),
        (rule("out", "top", "max_tokens", ">", 64_000), Facts(max_tokens=64_001), TOP),
        (rule("out", "top", "max_tokens", ">", 64_000), Facts(), MED),
        (rule("again", "after_last", "repeated", ">=", 1), Facts(repeated=1, on_rung=HIGH), OPUS),
        (rule("again", "after_last", "repeated", ">=", 1), Facts(repeated=1), HIGH),
        (rule("again", "after_last", "repeated", ">=", 1), Facts(repeated=1, on_rung=TOP), TOP),
        (rule("bad", "after_disliked", "disliked", "=", 1), Facts(disliked=True, disliked_on=(MED,)), HIGH),
        (rule("errors", "after_chain", "tool_errors", ">=", 3), Facts(tool_errors=3, chain_on=HIGH), OPUS),
        (rule("class", "+2", "task_class", "=", "law"), Facts(task_class="law"), OPUS),  # type: ignore[arg-type]
        (rule("slow", "leave_out", "usual_ms", ">", other="latency_ms"), Facts(latency_s=10), HIGH),
        (rule("slow", "leave_out", "usual_ms", ">", other="latency_ms"), Facts(latency_s=1), TOP),
        (rule("slow", "leave_out", "usual_ms", ">", other="latency_ms"), Facts(), MED),
        (rule("risk", "+1", "risk_usd", ">", other="extra_usd"), Facts(error_cost_nanousd=CENT), MED),
        (rule("risk", "+1", "risk_usd", ">", other="extra_usd"), Facts(error_cost_nanousd=1000 * CENT), TOP),
    ],
)
def test_rules_say_where_it_begins(rules: Rules, facts: Facts, first: Arm) -> None:
    costs = {MED: 10 * CENT, HIGH: 20 * CENT, OPUS: 40 * CENT, TOP: 60 * CENT}
    known = Table(costs, ms={MED: 30_000, HIGH: 9000, OPUS: 9000, TOP: 8000})
    found = begin(Ladder(rungs=FOUR), facts, known, 0.5, rules)
    assert found.rungs[0] == first
    assert any("rule " in reason for reason in found.reasons) == (first != MED)


def test_a_rule_never_brings_a_conversation_down() -> None:
    """Back at the first rung it would cost more than where it is, but at the second less."""
    known = Table(
        {MED: 50 * CENT, HIGH: 10 * CENT, OPUS: 20 * CENT, TOP: 55 * CENT},
        {MED: (900, 1000), HIGH: (300, 1000), OPUS: (300, 1000)},
    )
    up = Facts(on_rung=TOP, code_tokens=60_000)
    for rules in (NONE, rule("code", "+1", "code_tokens", ">=", 50_000)):
        assert begin(Ladder(rungs=FOUR), up, known, 0.5, rules).rungs == (TOP,)


arms = st.lists(st.sampled_from(FOUR), min_size=1, max_size=4, unique=True).map(
    lambda some: tuple(arm for arm in FOUR if arm in some)
)


@given(
    arms,
    st.lists(st.integers(0, 10**12), min_size=4, max_size=4),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=4, max_size=4),
    st.integers(1, 3),
    st.sampled_from(["quality", "cost"]),
    st.builds(
        Facts,
        on_rung=st.none() | st.sampled_from(FOUR),
        escalated=st.booleans(),
        chain=st.integers(0, 2),
        judged=st.booleans(),
        effort=st.sampled_from([None, "low"]),
        error_cost_nanousd=st.none() | st.integers(0, 10**12),
        latency_s=st.none() | st.floats(0.1, 100),
    ),
)
def test_never_more_than_steps_never_money_below_zero_and_cost_mode_never_dearer_than_direct(
    rungs: tuple[Arm, ...],
    costs: list[int],
    counted: list[tuple[int, int]],
    steps: int,
    mode: str,
    facts: Facts,
) -> None:
    known = Table(
        dict(zip(FOUR, costs, strict=True)),
        {arm: (min(pair), max(pair)) for arm, pair in zip(FOUR, counted, strict=True)},
        {MED: 1000.0},
    )
    rules = rule("risk", "+1", "risk_usd", ">", other="extra_usd")
    found = begin(Ladder(rungs=rungs, mode=mode, steps=steps), facts, known, 0.5, rules)  # type: ignore[arg-type]
    assert 1 <= len(found.rungs) <= steps
    assert list(found.rungs) == [arm for arm in rungs if arm in found.rungs]
    assert found.expected_nanousd is not None
    assert found.direct_nanousd is not None
    assert found.expected_nanousd >= 0
    if mode == "cost":
        assert found.expected_nanousd <= found.direct_nanousd


@given(
    st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.integers(0, 2),
    st.floats(0, 1),
)
def test_a_cascade_never_gets_cheaper_when_a_rung_fails_more_often(
    totals: list[int], shares: list[float], worse: int, by: float
) -> None:
    rungs = [
        Rung(n, FOUR[n], total, share, Failure(), None)
        for n, (total, share) in enumerate(zip(totals, shares, strict=True))
    ]
    after = list(rungs)
    after[worse] = rungs[worse]._replace(fails=min(1.0, rungs[worse].fails + by))
    assert all(b >= a for a, b in zip(expected(rungs), expected(after), strict=True))
