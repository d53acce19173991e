"""Who decides the effort: each step of the order, caps over all of them, and what a thinking policy puts in."""

import itertools
import json

import pytest
from effort_bench import CATALOGUE, EffortBench, level, sent
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import EFFORTS, Effort
from trimtab.catalogue.effort import EffortSettings, Scenario, fitted, is_plain_name
from trimtab.catalogue.tiers import TierBinding
from trimtab.errors import RequestError
from trimtab.routing import RouteSettings

O47, O46, S46, H45, O5, O55 = (
    "claude-opus-4-7",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-opus-5",
    "claude-opus-5-5",
)


@given(
    wanted=st.sampled_from(EFFORTS),
    levels=st.sets(st.sampled_from(EFFORTS), min_size=1),
    clamp=st.sampled_from(["down", "up"]),
    most=st.none() | st.sampled_from(EFFORTS),
)
def test_a_fitted_level_is_one_that_the_model_has_and_is_dearer_only_where_that_is_said(
    wanted: Effort, levels: set[Effort], clamp: str, most: Effort | None
) -> None:
    found = fitted(wanted, tuple(levels), clamp, most)  # type: ignore[arg-type]
    rank = EFFORTS.index
    assert found in levels
    least = min(map(rank, levels))
    ceiling = rank(wanted) if clamp == "down" else len(EFFORTS)
    if most is not None:
        ceiling = min(ceiling, rank(most))
    assert rank(found) <= max(ceiling, least)
    if wanted in levels and (most is None or rank(wanted) <= rank(most)):
        assert found == wanted


def test_the_first_who_names_an_effort_wins_and_the_reason_says_who() -> None:
    """Each source alone, then with all below it."""
    scenarios = {
        "w0": Scenario("low"),
        "w1": Scenario("medium"),
        "w2": Scenario("high"),
        "w3": Scenario("xhigh"),
    }

    def asked(first: int) -> tuple[str | None, str]:
        """With the sources from this one on."""
        has = [n >= first for n in range(8)]
        tier = TierBinding(f"{O47}@low" if has[6] else O47, scenario="w3" if has[7] else None)
        route = RouteSettings(
            tier="default", effort="max" if has[4] else None, scenario="w2" if has[5] else None
        )
        own = {"x-trimtab-effort": "xhigh"} if has[1] else {}
        own |= {"x-trimtab-scenario": "w1"} if has[2] else {}
        own |= {"x-trimtab-task": "w0"} if has[3] else {}
        fields = {"output_config": {"effort": "high"}} if has[0] else {}
        job = EffortBench(tier=tier, routes={"r": route}, scenarios=scenarios).job("trimtab/r", own, **fields)
        return level(job), job.plan.reasons[-1]

    assert [asked(n) for n in range(9)] == [
        ("high", "effort as the client sent it"),
        ("xhigh", "effort xhigh from the x-trimtab-effort header"),
        ("medium", "effort medium from scenario w1 of the x-trimtab-scenario header"),
        ("low", "effort low from scenario w0 of the task"),
        ("max", "effort max from route r"),
        ("high", "effort high from scenario w2 of route r"),
        ("low", "effort low from tier default"),
        ("xhigh", "effort xhigh from scenario w3 of tier default"),
        (None, "route r serves this request by tier default"),
    ]


def test_in_mode_strict_only_the_effort_that_wins_is_refused_and_the_scenario_of_a_task_wins_over_its_tiers() -> (
    None
):
    bench = EffortBench(
        mode="strict",
        tier=TierBinding("claude-sonnet-4-6", scenario="w3"),
        scenarios={"w3": Scenario("xhigh"), "w0": Scenario("low")},
    )
    assert level(bench.job("trimtab/default", {"x-trimtab-task": "w0"})) == "low"
    for own in ({"x-trimtab-task": "w3"}, {"x-trimtab-task": ""}, {}):
        with pytest.raises(RequestError, match="takes low, medium, high, max"):
            bench.job("trimtab/default", own)


def test_the_least_cap_holds_over_the_client_and_the_models_own_default_and_says_whose_it_is() -> None:
    bench = EffortBench(
        tier=TierBinding(O47, most_effort="high"),
        routes={"r": RouteSettings(tier="default", most_effort="medium")},
        effort=EffortSettings(most="xhigh"),
    )
    for model, asked, becomes, why in (
        ("trimtab/r", "max", "medium", "effort medium: the client asks for max, and route r allows medium"),
        ("trimtab/r", None, "medium", "effort medium: the model's own is high, and route r allows medium"),
        ("trimtab/default", "max", "high", "effort high: the client asks for max, and tier default allows high"),
        (O47, "max", "xhigh", "effort xhigh: the client asks for max, and effort.most allows xhigh"),
        (O46, "max", "high", "effort high: the client asks for max, and effort.most allows xhigh; claude-opus-4-6 has no xhigh"),
    ):  # fmt: skip
        fields = {"output_config": {"effort": asked, "format": {"a": 1}}} if asked else {}
        job = bench.job(model, **fields)
        assert (level(job), job.plan.reasons[-1], job.plan.arm.effort) == (becomes, why, becomes)
        assert "output_config.effort=" + becomes in job.adaptations
        if asked:
            assert sent(job)["output_config"]["format"] == {"a": 1}
    job = bench.job(O47, output_config={"effort": None})
    assert sent(job)["output_config"] == {"effort": None}, (
        "null is the client's word, and high is below the cap"
    )
    capped = EffortBench(effort=EffortSettings(most="low")).job(O47, output_config={"effort": None})
    assert sent(capped)["output_config"] == {"effort": "low"}
    untouched = bench.job(O47, output_config={"effort": "high"})
    assert (untouched.adaptations, level(untouched)) == ((), "high")


def test_a_cap_bounds_a_thinking_budget_and_the_effort_that_a_budget_becomes() -> None:
    thinking = {"type": "enabled", "budget_tokens": 30_000}
    for mode in ("adapt", "observe"):
        bench = EffortBench(mode=mode, effort=EffortSettings(most="medium"))  # type: ignore[arg-type]
        job = bench.job(H45, thinking=thinking)
        assert sent(job)["thinking"]["budget_tokens"] == 8192
        assert "thinking.budget_tokens=8192" in job.adaptations
    moved = EffortBench(tier=O55, effort=EffortSettings(most="medium")).job(
        "trimtab/default", thinking=thinking
    )
    assert (sent(moved)["thinking"]["type"], level(moved)) == ("adaptive", "medium")
    small = bench.job(H45, thinking={"type": "enabled", "budget_tokens": 2000})
    assert small.adaptations == ()


def test_words_stand_behind_everything_else_and_every_other_byte_stays() -> None:
    words = CATALOGUE.efforts.guidance["high"]
    cached = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
    for system, becomes in (
        (None, words),
        ("", words),
        ("Be kind.", f"Be kind.\n\n{words}"),
        (cached, [*cached, {"type": "text", "text": words}]),
        ([], [{"type": "text", "text": words}]),
    ):
        for mode in ("adapt", "observe", "off"):
            job = EffortBench(mode=mode).job(H45, {"x-trimtab-effort": "high"}, system=system)  # type: ignore[arg-type]
            assert sent(job)["system"] == becomes
            assert job.adaptations == ("system=says effort high",)
    bench = EffortBench()
    plain = bench.job(H45, system=cached).call.body
    said = bench.job(H45, {"x-trimtab-effort": "high"}, system=cached).call.body
    addition = b',{"type":"text","text":%b}' % json.dumps(words).encode()
    assert isinstance(said, bytes)
    assert said.replace(addition, b"", 1) == plain


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": "any"}, "tools": [{"name": "t", "input_schema": {"type": "object"}}]},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{"}]},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "{"}]}]},
        {"temperature": 0.2},
        {"top_p": 0.99},
        {"max_tokens": 2047},
        {"thinking": {"type": "disabled"}},
    ],
    ids=["forced tool", "prefill", "prefilled block", "temperature", "top_p", "no room", "client says no"],
)  # fmt: skip
def test_no_budget_is_added_to_a_request_that_would_be_refused_or_lose_something(
    fields: dict[str, object],
) -> None:
    for mode in ("adapt", "observe"):
        bench = EffortBench(mode=mode, effort=EffortSettings(without="budget"))  # type: ignore[arg-type]
        job = bench.job(H45, {"x-trimtab-effort": "high"}, **fields)
        assert job.adaptations == ("system=says effort high",)
        assert sent(job).get("thinking") == fields.get("thinking")


def test_thinking_that_a_policy_asks_for_and_cannot_be_is_said_in_the_record() -> None:
    bench = EffortBench(routes={"r": RouteSettings(model=f"{H45}@low", thinking="adaptive")})
    forced = {"tool_choice": {"type": "any"}, "tools": [{"name": "t", "input_schema": {"type": "object"}}]}
    job = bench.job("trimtab/r", **forced)
    assert ("thinking" in sent(job), job.adaptations) == (False, ("system=says effort low",))
    assert job.observations[0] == "thinking is not added: a tool call is forced"
    odd = bench.job("trimtab/r", system={"a": 1}, temperature=0.3)
    assert (odd.observations[0], odd.observations[1], odd.plan.arm.effort) == (
        "thinking is not added: the client sets how to sample",
        "effort low is not said: system is in a form that cannot be added to",
        None,
    )


def test_adaptive_thinking_on_a_model_that_has_only_budgets_gets_that_of_the_effort() -> None:
    bench = EffortBench(tier=H45)
    for effort, budget in (("low", 2048), ("high", 16384), (None, 8192)):
        own = {"x-trimtab-effort": effort} if effort else {}
        job = bench.job("trimtab/default", own, thinking={"type": "adaptive"})
        assert sent(job)["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert "system" not in sent(job)
        assert job.plan.arm.effort == effort


def test_a_thinking_policy_fills_in_what_the_client_left_out_and_nothing_else() -> None:
    for model, policy, thinking, effort in (
        (O47, "off", {"type": "disabled"}, None),
        (O47, "adaptive", {"type": "adaptive"}, None),
        (O47, "summarized", {"type": "adaptive", "display": "summarized"}, None),
        ("claude-sonnet-5-5", "off", {"type": "between_tools"}, None),
        (O55, "off", None, None),
        ("claude-3-5-haiku-20241022", "adaptive", None, None),
        (O5, "off", {"type": "disabled"}, "high"),
    ):
        routes = {"r": RouteSettings(model=model, thinking=policy, effort="xhigh" if effort else None)}  # type: ignore[arg-type]
        for mode in ("adapt", "observe", "strict"):
            bench = EffortBench(mode=mode, routes=routes)  # type: ignore[arg-type]
            job = bench.job("trimtab/r", max_tokens=4000)
            assert (sent(job).get("thinking"), level(job)) == (thinking, effort), (model, policy, mode)
            if thinking is not None:
                assert f"thinking={thinking['type']}" in job.adaptations
                assert bench.job("trimtab/r", max_tokens=4000, thinking={"type": "adaptive"}).adaptations[
                    :1
                ] != (f"thinking={thinking['type']}",)
    assert any("cannot stop thinking" in text for text in EffortBench(routes={"r": RouteSettings(model=O55, thinking="off")}).job("trimtab/r").plan.reasons)  # fmt: skip
    sampling = EffortBench(pinned="observe", routes={"r": RouteSettings(match=None, model=O46, thinking="adaptive")}, mode="observe")  # fmt: skip
    job = sampling.job("trimtab/r", temperature=0.2)
    assert ("thinking" in sent(job), job.adaptations) == (False, ())
    assert job.plan.reasons[-1] == "but no thinking is added: the client sets how to sample"


def test_an_effort_at_which_thinking_cannot_be_off_is_lowered_where_the_client_switched_it_off() -> None:
    """Otherwise the header would break a request that the model answers without it."""
    for model, off in (
        (O5, "disabled"),
        ("claude-sonnet-5-5", "between_tools"),
        ("claude-haiku-5-5", "disabled"),
    ):
        for mode in ("adapt", "observe", "off"):
            job = EffortBench(mode=mode).job(model, {"x-trimtab-effort": "max"}, thinking={"type": off})  # type: ignore[arg-type]
            assert (level(job), job.adaptations) == ("high", ("output_config.effort=high",))
            assert (
                job.plan.reasons[-1]
                == f"effort high: at max {model} cannot stop thinking, as the client asks"
            )
        with pytest.raises(RequestError, match="is not supported when thinking is"):
            EffortBench(mode="strict").job(model, {"x-trimtab-effort": "max"}, thinking={"type": off})
    assert level(EffortBench().job(O47, {"x-trimtab-effort": "max"}, thinking={"type": "disabled"})) == "max"


def test_effort_and_model_stay_the_same_in_a_conversation_until_the_client_says_something_else() -> None:
    routes = {"r": RouteSettings(tier="default", scenario="coding", thinking="adaptive")}
    bench = EffortBench(tier=O46, routes=routes)
    turns: list[dict[str, str]] = []
    arms = []
    for n in range(6):
        turns += [{"role": "user", "content": f"question {n}"}]
        own = {"x-trimtab-effort": "low"} if n >= 4 else {}
        job = bench.job("trimtab/r", own, messages=list(turns))
        arms.append(str(job.plan.arm))
        turns += [{"role": "assistant", "content": "answer"}]
    assert [(arm, len(list(same))) for arm, same in itertools.groupby(arms)] == [
        (f"{O46}@high+adaptive", 4),
        (f"{O46}@low+adaptive", 2),
    ]


def test_token_counting_gets_no_effort_and_is_refused_for_no_level() -> None:
    bench = EffortBench(tier=f"{O46}@xhigh", mode="strict", effort=EffortSettings(most="low"))
    for model in ("trimtab/default", H45):
        body = sent(bench.job(model, {"x-trimtab-effort": "max"}, counting=True))
        assert "output_config" not in body
        assert "system" not in body


@pytest.mark.parametrize("name", ["", "-a", "a b", "Ä", "a" * 65, "A", "a.b"])
def test_a_name_that_could_not_stand_in_a_header_is_none(name: str) -> None:
    assert not is_plain_name(name)
    assert is_plain_name("night_shift-2")
    with pytest.raises(RequestError, match="is no scenario here"):
        EffortBench().job(O47, {"x-trimtab-scenario": name or "x"})
