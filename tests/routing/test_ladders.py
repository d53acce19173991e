"""Which ladder a route has: the one that it names, checked, or the one that follows from what it verifies."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from effort_bench import CATALOGUE, EffortBench

from trimtab.app.settings import load_settings
from trimtab.catalogue import Arm, Effort, TierSettings, resolve_tiers
from trimtab.catalogue.effort import EffortSettings
from trimtab.catalogue.tiers import TierBinding
from trimtab.errors import ConfigError
from trimtab.records import NOBODY
from trimtab.routing import Route, RouteSettings, Wanted, resolve_routes
from trimtab.routing.cascade import Ladder
from trimtab.routing.cascade.ladder import within

VERIFY = ("json",)
DESIGNED = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high", "claude-opus-4-7@xhigh"]
verify = ["json_schema", "tool_calls", "not_truncated"]
mode = "quality"
"""


def route(tiers: TierSettings | None = None, most: Effort | None = None, **own: Any) -> Route:
    """The route of these settings. `most` is that of `[effort]`."""
    found = resolve_routes(
        {"r": msgspec.convert(own, RouteSettings)},
        CATALOGUE,
        CATALOGUE.scenarios,
        str,
        tiers=resolve_tiers(tiers or TierSettings(), CATALOGUE, str),
        effort=EffortSettings(most=most),
    )
    return found[0]


def test_a_ladder_has_the_rungs_that_its_caller_may_use() -> None:
    arms = (Arm("a", "low"), Arm("a", "high"), Arm("b"))
    ladder = Ladder(
        rungs=arms, tiers=("default", None, "escalation"), steps=3, control=Arm("c"), control_share=0.1
    )
    assert within(ladder, None, None) is ladder
    assert within(ladder, ("a", "b", "c"), ("default", "escalation", "control")) is ladder
    only = within(ladder, ("a",), None)
    assert (only.rungs, only.tiers, only.steps, only.control) == (arms[:2], ("default", None), 2, None)
    assert within(ladder, None, ("default", "control")).rungs == arms[:2]
    assert within(ladder, ("d",), None) is ladder


def test_the_configuration_of_the_readme_loads_and_serves_from_its_first_rung(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text(DESIGNED)
    (found,) = load_settings(file).routes
    assert found.ladder is not None
    assert [str(arm) for arm in found.ladder.rungs] == tomllib.loads(DESIGNED)["routes"]["auto"]["ladder"]
    assert (found.ladder.mode, found.ladder.steps, found.verify_when) == ("quality", 3, "before")
    assert found.verify == ("json_schema", "tool_calls", "not_truncated")
    bench = EffortBench(
        routes={"auto": RouteSettings(ladder=("claude-sonnet-4-6@low", "escalation"), verify=VERIFY)}
    )
    plan = bench.job("trimtab/auto").plan
    assert (plan.arm.model, plan.tier) == ("claude-sonnet-4-6", None)
    assert plan.reasons[0] == "route auto serves this request by its ladder, from claude-sonnet-4-6@low on"


def test_figures_of_a_ladder_are_carried_in_its_units() -> None:
    found = route(
        ladder=("default", "claude-opus-4-7@low"),
        verify=VERIFY,
        mode="cost",
        steps=2,
        unsure="release",
        within_s=30,
        most_usd=0.25,
        latency_s=5.5,
        error_cost_usd=Decimal("1.5"),
        control_share=0.02,
    ).ladder
    assert found is not None
    assert (found.tiers, found.mode, found.steps, found.unsure) == (("default", None), "cost", 2, "release")
    assert (found.within_s, found.latency_s, found.control_share) == (30, 5.5, 0.02)
    assert (found.most_nanousd, found.error_cost_nanousd) == (250_000_000, 1_500_000_000)
    assert str(found.control) == "claude-opus-4-6"
    assert [(fit.max_output, fit.context, fit.sees) for fit in found.fits] == [(128_000, 1_000_000, True)] * 2


BY_SCENARIO = TierSettings(fast=TierBinding("claude-sonnet-4-6", scenario="quick"))
CAPPED = TierSettings(fast=TierBinding("claude-sonnet-4-6@low", most_effort="low"))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        # Effort before model, and the escalation tier within reach.
        ({}, ["sonnet-4-6", "opus-4-7"]),
        ({"effort": "medium"}, ["sonnet-4-6@medium", "sonnet-4-6@high", "opus-4-7@high"]),
        ({"effort": "low"}, ["sonnet-4-6@low", "sonnet-4-6@high", "opus-4-7@high"]),
        ({"effort": "low", "steps": 2}, ["sonnet-4-6@low", "opus-4-7@high"]),
        ({"effort": "low", "steps": 1}, ["sonnet-4-6@low"]),
        ({"model": "claude-opus-4-7@low"}, ["opus-4-7@low", "opus-4-7@high", "opus-4-7@xhigh"]),
        ({"model": "claude-opus-4-7@high"}, ["opus-4-7@high", "opus-4-7@xhigh"]),
        ({"tier": "escalation"}, ["opus-4-7", "opus-4-7@xhigh"]),
        # A model without levels has no effort to try, and nothing cheaper stands above.
        ({"tier": "fast"}, ["haiku-4-5-20251001", "opus-4-7"]),
        ({"model": "claude-fable-5"}, ["fable-5", "fable-5@xhigh"]),
        # What a scenario says of effort is where it begins, and what is capped is not tried.
        ({"scenario": "quick"}, ["sonnet-4-6", "sonnet-4-6@high", "opus-4-7@high"]),
        ({"scenario": "agent"}, ["sonnet-4-6", "opus-4-7@xhigh"]),
        ({"tiers": BY_SCENARIO, "tier": "fast"}, ["sonnet-4-6", "sonnet-4-6@high", "opus-4-7"]),
        ({"effort": "low", "most_effort": "medium"}, ["sonnet-4-6@low", "opus-4-7@high"]),
        ({"tiers": CAPPED, "tier": "fast"}, ["sonnet-4-6@low", "opus-4-7"]),
        ({"most": "medium", "effort": "low"}, ["sonnet-4-6@low", "opus-4-7@high"]),
        # For the record, nothing is escalated; a baseline alone needs no ladder of its own.
        ({"verify_when": "after"}, []),
        ({"verify": None, "control_share": 0.05}, ["sonnet-4-6"]),
        ({"verify": None}, []),
        ({"ladder": ["claude-opus-4-7@low"], "verify_when": "after"}, ["opus-4-7@low"]),
        ({"ladder": ["claude-sonnet-4-6@max", "claude-opus-4-7@low"]}, ["sonnet-4-6@max", "opus-4-7@low"]),
    ],
)
def test_the_ladder_of_a_route_follows_from_what_serves_it_unless_it_names_one(
    own: dict[str, Any], expected: list[str]
) -> None:
    ladder = route(**{"verify": VERIFY, **own}).ladder
    found = [] if ladder is None else [str(arm).removeprefix("claude-") for arm in ladder.rungs]
    assert found == expected


@pytest.mark.parametrize(
    ("own", "key", "words"),
    [
        ({"ladder": []}, "ladder", "is empty"),
        ({"ladder": ["claude-sonnet-4-6", "claude-opus-9"]}, "ladder", "no such model"),
        ({"ladder": ["claude-sonnet-4-6@hihg"]}, "ladder", "effort must be one of"),
        ({"ladder": ["claude-sonnet-4-6@low"] * 2}, "ladder", "stands there twice"),
        ({"ladder": ["claude-sonnet-4-6", "claude-sonnet-4-6@high"]}, "ladder", "comes to the same"),
        ({"ladder": ["claude-sonnet-4-6@high", "claude-sonnet-4-6@xhigh"]}, "ladder", "comes to the same"),
        ({"ladder": ["default", "claude-sonnet-4-6"]}, "ladder", "comes to the same as 'default'"),
        ({"ladder": ["claude-sonnet-4-6@high", "claude-sonnet-4-6@low"]}, "ladder", "a ladder goes up"),
        ({"ladder": ["claude-opus-4-7@low", "claude-sonnet-4-6@max"]}, "ladder", "begins with the cheapest"),
        ({"ladder": ["claude-opus-4-7", "fast"]}, "ladder", "begins with the cheapest"),
        ({"ladder": [f"claude-opus-4-7@{n}" for n in "123456789"]}, "ladder", "has 9 rungs"),
        ({"ladder": ["claude-opus-4-7@max"], "most_effort": "high"}, "ladder", "above most_effort, high"),
        ({"ladder": ["default"], "tier": "fast"}, "tier", "beside ladder"),
        ({"ladder": ["default"], "model": "claude-opus-4-7"}, "model", "beside ladder"),
        ({"ladder": ["default"], "effort": "low"}, "effort", "beside ladder"),
        ({"ladder": ["default", "escalation"], "verify": VERIFY, "verify_when": "after"}, "verify_when", "none of the 2"),
        ({"verify_when": "after"}, "verify_when", "without verify"),
        ({"verify": []}, "verify", "is empty"),
        ({"verify": ["json", "json"]}, "verify", "twice"),
        ({"verify": VERIFY, "verify_when": "after", "mode": "cost"}, "mode", 'verify_when = "after"'),
        ({"steps": 2}, "steps", "without verify or ladder"),
        ({"verify": VERIFY, "steps": 4}, "steps", "from 1 to 3"),
        ({"verify": VERIFY, "within_s": float("nan")}, "within_s", "greater than 0"),
        ({"verify": VERIFY, "latency_s": 0}, "latency_s", "greater than 0"),
        ({"verify": VERIFY, "most_usd": -1}, "most_usd", "US dollars above 0"),
        ({"verify": VERIFY, "error_cost_usd": Decimal("inf")}, "error_cost_usd", "US dollars above 0"),
        ({"verify": VERIFY, "most_usd": Decimal("0.0000000001")}, "most_usd", "ninth place"),
        ({"control_share": 1.0}, "control_share", "less than 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_key(own: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        route(**own)
    assert str(refused.value).startswith(f"routes.r.{key}: ")


def test_a_pinned_model_and_a_named_tier_do_not_climb() -> None:
    for own, climbing in (({"tier": "fast"}, True), ({}, True), ({"ladder": ["default"]}, True)):
        bench = EffortBench(
            routes={"r": msgspec.convert({"match": {"teams": ["t"]}, "verify": VERIFY, **own}, RouteSettings)}
        )
        caller = msgspec.structs.replace(NOBODY, team="t")
        for model, climbs in (
            ("trimtab/auto", climbing),
            ("trimtab/r", climbing),
            ("claude-sonnet-4-6", False),
            ("trimtab/fast", False),
        ):
            taken = bench.router.taken(Wanted(model, "messages", caller, ()))
            assert taken is not None
            assert taken.climbs is climbs, (own, model)
