"""The rules that come with Trimtab, and what operators write above them."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.app.settings import load_settings
from trimtab.catalogue import Arm, Catalogue, TierSettings, resolve_tiers
from trimtab.errors import ConfigError
from trimtab.routing.cascade import (
    Beginning,
    EscalationSettings,
    Estimate,
    Facts,
    Failure,
    Ladder,
    Rules,
    begin,
    resolve_rules,
)
from trimtab.routing.cascade.rules_file import FACTS, PLACES, shipped

TIERS = resolve_tiers(TierSettings(), Catalogue.load(), str)
LOW, MED, OPUS, TOP = (
    Arm.parse(f"claude-{text}")
    for text in ("haiku-4-5-20251001", "sonnet-4-6@medium", "opus-4-7@high", "opus-4-7@xhigh")
)
LADDER = Ladder(rungs=(LOW, MED, OPUS, TOP), latency_s=60)
USD = 10**9


class Usual:
    """Each rung costs twice as much as the one below it, and the first takes longest."""

    def estimate(self, arm: Arm) -> Estimate:
        at = LADDER.rungs.index(arm)
        return Estimate(cost_nanousd=USD // 100 * 2**at, ms=40_000.0 if at == 0 else 20_000.0)

    def failure(self, arm: Arm) -> Failure:
        return Failure(300, 1000)

    def prefers_model(self, arm: Arm) -> bool:
        return False


def rules(*own: dict[str, Any], shipped: bool = True) -> Rules:
    settings = msgspec.convert({"shipped": shipped, "rules": own}, EscalationSettings)
    return resolve_rules(settings, TIERS, lambda key: f"escalation.{key}")


def begun(facts: Facts, *own: dict[str, Any], shipped: bool = True) -> Beginning:
    return begin(LADDER, facts, Usual(), 0.5, rules(*own, shipped=shipped))


@pytest.mark.parametrize(
    ("facts", "first", "name"),
    [
        (Facts(), LOW, ""),
        (Facts(disliked=True, disliked_on=(LOW, MED)), OPUS, "disliked"),
        (Facts(repeated=1, on_rung=LOW), MED, "repeated"),
        (Facts(repeated=1, on_rung=LOW, chain=1), LOW, ""),  # within a chain the person's turn is the same
        (Facts(tool_errors=2), LOW, ""),
        (Facts(tool_errors=3, chain=4, chain_on=MED, on_rung=MED), OPUS, "tool-errors"),
        (
            Facts(tool_errors=9, chain=9, chain_on=LOW, on_rung=MED),
            MED,
            "tool-errors",
        ),  # it does not creep up
        (Facts(max_tokens=64_000), LOW, ""),
        (Facts(max_tokens=64_001), OPUS, "long-output"),
        (Facts(chain=24), LOW, ""),
        (Facts(chain=25), MED, "long-chain"),
        (Facts(code_tokens=50_000), MED, "large-code"),
        (Facts(images=1), OPUS, "vision"),
        (Facts(error_cost_nanousd=USD // 1000), LOW, ""),
        (Facts(error_cost_nanousd=10 * USD), TOP, "declared-risk"),
        (Facts(latency_s=30), MED, "latency-bound"),
        (Facts(latency_s=1), MED, "latency-bound"),  # the quickest stays
    ],
)
def test_the_shipped_rules_begin_where_they_say(facts: Facts, first: Arm, name: str) -> None:
    found = begun(facts)
    assert found.rungs[0] == first
    said = " ".join(found.reasons)
    assert f"rule {name}: " in said if name else "rule " not in said


def test_beginning_above_an_answer_that_failed_counts_as_escalated_and_other_rules_do_not() -> None:
    assert begun(Facts(repeated=1, on_rung=LOW)).after_failure
    assert begun(Facts(disliked=True, disliked_on=(LOW,))).after_failure
    assert not begun(Facts(images=1)).after_failure
    assert not begun(Facts()).after_failure


def test_what_a_rule_goes_by_stands_in_its_reason() -> None:
    assert begun(Facts(max_tokens=100_000)).reasons[0] == (
        "claude-opus-4-7@high: rule long-output: a long answer is asked for (max_tokens 100,000 > 64,000)"
    )
    risk = begun(Facts(error_cost_nanousd=USD)).reasons
    assert risk[0] == (
        "claude-sonnet-4-6@medium: rule declared-risk: wrong answers cost more than the higher rung "
        "(risk_usd $0.3006 > extra_usd $0.0196)"
    )


def test_risk_is_the_share_that_fails_times_its_cost_against_what_beginning_higher_costs_more() -> None:
    """p x error cost > E(i+1) - E(i), to the nano-dollar."""
    p = (300 + 10 * 0.36) / 1010
    upper = [USD // 100 * 2**at for at in range(4)]
    fails = [(300 + 10 * (0.36 - 0.03 * at)) / 1010 for at in range(4)]

    def cost(at: int) -> float:
        rest = range(at, min(at + 3, 4))
        total, reached = 0.0, 1.0
        for n in rest:
            total += reached * upper[n]
            reached *= fails[n]
        return total

    just = math.ceil((cost(1) - cost(0)) / p)
    assert begun(Facts(error_cost_nanousd=just - 10)).rungs[0] == LOW
    assert begun(Facts(error_cost_nanousd=just + 10)).rungs[0] == MED


def test_an_operator_changes_switches_off_and_adds_rules_by_name() -> None:
    images = Facts(images=5)
    assert begun(images, {"name": "vision", "off": True}).rungs[0] == LOW
    assert begun(images, {"name": "vision", "when": {"images": "> 5"}}).rungs[0] == LOW
    moved = begun(images, {"name": "vision", "then": "+1"})
    assert moved.rungs[0] == MED
    assert "images are in the context" in moved.reasons[0]
    law = {"name": "law", "when": {"task_class": "= law", "tools": ">= 2"}, "then": "top"}
    assert begun(Facts(task_class="law", tools=2), law).rungs == (TOP,)
    assert begun(Facts(task_class="law", tools=1), law).rungs[0] == LOW
    no_haiku = {"name": "no-haiku", "when": {"model": "= claude-haiku-4-5-20251001", "tools": ">= 1"}, "then": "leave_out"}  # fmt: skip
    assert begun(Facts(tools=1), no_haiku).rungs[0] == MED
    assert begun(images, shipped=False).rungs[0] == LOW
    dear = {"name": "dear", "when": {"error_cost_usd": "> 2.5"}, "then": "top"}
    for cents, first in ((250, LOW), (251, TOP)):
        facts = Facts(error_cost_nanousd=cents * USD // 100)
        assert begun(facts, dear, shipped=False).rungs[0] == first


def test_rules_are_read_from_the_configuration_and_versioned_by_what_they_say(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text(
        '[[escalation.rules]]\nname = "long-chain"\nwhen = {chain = ">= 9"}\n'
        '[[escalation.rules]]\nname = "risky"\nwhen = {error_cost_usd = "> 2.5"}\nthen = "top"\n'
    )
    found = load_settings(file).escalation
    assert begin(LADDER, Facts(chain=9), Usual(), 0.5, found).rungs[0] == MED
    assert (
        begin(LADDER, Facts(error_cost_nanousd=2 * USD), Usual(), 0.5, found).rungs[0] == TOP
    )  # declared-risk
    assert found.version == load_settings(file).escalation.version
    assert found.version != rules().version
    file.write_text('[[escalation.rules]]\nname = "vision"\nthn = "top"\n')
    with pytest.raises(ConfigError, match=r"escalation\.rules"):
        load_settings(file)


NEW = {"name": "new", "when": {"chain": "> 1"}, "then": "top"}


@pytest.mark.parametrize(
    ("own", "place", "words"),
    [
        ({"name": "New"}, "rules", "a rule's name has"),
        ({"name": "new", "off": True}, "rules.new.off", "no such rule to switch off; there are disliked, repeated"),
        ({"name": "new", "then": "top"}, "rules.new.when", "missing"),
        ({"name": "new", "when": {"chain": "> 1"}}, "rules.new.then", "missing"),
        ({**NEW, "when": {}}, "rules.new.when", "is empty"),
        ({**NEW, "when": {"image": "> 1"}}, "rules.new.when", "did you mean 'images'"),
        ({**NEW, "when": {"chain": "1"}}, "rules.new.when.chain", 'as ">= 3"'),
        ({**NEW, "when": {"chain": ">"}}, "rules.new.when.chain", 'as ">= 3"'),
        ({**NEW, "when": {"chain": "> nan"}}, "rules.new.when.chain", "no number and no fact"),
        ({**NEW, "when": {"chain": "> many"}}, "rules.new.when.chain", "no number and no fact"),
        ({**NEW, "when": {"chain": "> risk_usd"}}, "rules.new.when.chain", "another unit"),
        ({**NEW, "when": {"chain": "> task_class"}}, "rules.new.when.chain", "another unit"),
        ({**NEW, "when": {"task_class": "> a"}}, "rules.new.when.task_class", "compared with text"),
        ({**NEW, "then": "bottom"}, "rules.new.then", "must be one of"),
        ({**NEW, "then": "leave_out"}, "rules.new.then", "which rung"),
        ({**NEW, "when": {"risk_usd": "> 1"}, "then": "after_last"}, "rules.new.then", "one place for all rungs"),
        ({**NEW, "reason": "two\nlines"}, "rules.new.reason", "one line"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_read_is_refused_by_its_name(
    own: dict[str, Any], place: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        rules(own)
    assert str(refused.value).startswith(f"escalation.{place}: ")


def test_a_rule_that_is_named_twice_is_refused_and_every_shipped_one_says_where_its_figures_come_from() -> (
    None
):
    with pytest.raises(ConfigError, match="twice"):
        rules(NEW, NEW)
    assert all(one.source and one.reason for one in shipped())


facts_drawn = st.builds(
    Facts,
    max_tokens=st.none() | st.integers(0, 10**6),
    images=st.integers(0, 20),
    chain=st.integers(0, 50),
    tool_errors=st.integers(0, 9),
    repeated=st.integers(0, 3),
    on_rung=st.none() | st.sampled_from(LADDER.rungs),
)


@given(
    facts_drawn,
    st.lists(
        st.builds(
            lambda fact, op, value, then: {"name": "drawn", "when": {fact: f"{op} {value}"}, "then": then},
            st.sampled_from(FACTS),
            st.sampled_from([">", ">=", "<", "<=", "="]),
            st.integers(-9, 10**6) | st.sampled_from(FACTS) | st.text(max_size=5),
            st.sampled_from([*PLACES, "escalation"]),
        ),
        max_size=1,
    ),
)
def test_whatever_is_written_is_refused_by_name_or_begins_no_lower_than_without_it(
    facts: Facts, own: list[dict[str, Any]]
) -> None:
    plain = begun(facts)
    try:
        found = begun(facts, *own)
    except ConfigError as problem:
        refused = str(problem)
        assert refused.startswith("escalation.rules")
        return
    if own and own[0]["then"] != "leave_out":
        assert LADDER.rungs.index(found.rungs[0]) >= LADDER.rungs.index(plain.rungs[0])
    assert 1 <= len(found.rungs) <= LADDER.steps
