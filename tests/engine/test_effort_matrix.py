"""Every model, on every platform, at every effort, whoever names it: native, another level, a budget, words, or a 400.

The tables are written by hand from the vendor's page on effort (2026-11), not made from the catalogue. What goes out
is shown to the simulator, which knows the vendor's rules from another reading.
"""

import json
from typing import Any

import pytest
from effort_bench import CATALOGUE, SOURCES, EffortBench, named_by, sent
from normaliser_drive import simulated

from trimtab.catalogue import EFFORTS, Effort, Model
from trimtab.catalogue.effort import EffortSettings
from trimtab.engine.job import Job
from trimtab.errors import RequestError

PLATFORMS = (
    "anthropic",
    "anthropic_on_aws",
    "bedrock",
    "bedrock_mantle",
    "bedrock_converse",
    "vertex",
    "foundry",
)

LACKS: dict[str, dict[str, str | None]] = {
    "claude-opus-4-6": {"xhigh": "high"},
    "claude-sonnet-4-6": {"xhigh": "high"},
    "claude-opus-4-5-20251101": {"xhigh": "high", "max": "high"},
    **{
        model: dict.fromkeys(EFFORTS)
        for model in (
            "claude-sonnet-4-5-20250929",
            "claude-haiku-4-5-20251001",
            "claude-3-5-sonnet-20241022",
            "claude-3-5-haiku-20241022",
        )
    },
}
"""What the model lacks, with the next lower level that it has; without one it has no levels. Others have all five."""

LACKS_UP = {"claude-opus-4-6": {"xhigh": "max"}, "claude-sonnet-4-6": {"xhigh": "max"}}
"""Where `clamp = "up"` makes a difference."""

BUDGETED = ("claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001")
BUDGETS = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}


def answered(job: Job, model: Model) -> None:
    """The simulator takes it, as the vendor's API would."""
    body = json.dumps({**sent(job), "model": model.id}).encode()
    assert simulated(body, job.call.headers) == (200, ""), (model.id, job.adaptations)


def asked(source: str, model: Model, level: Effort, platform: str = "anthropic", **more: Any) -> Job:
    settings, name, own, fields = named_by(source, model, level)
    return EffortBench(platform, **settings, **more).job(name, own, **fields)


def check_said(job: Job, effort: Effort) -> None:
    """In words behind the system prompt, and nothing else is different."""
    body = sent(job)
    assert "output_config" not in body
    assert "thinking" not in body
    assert body["system"] == CATALOGUE.efforts.guidance[effort]
    assert job.adaptations[-1] == f"system=says effort {effort}"
    assert str(job.plan.arm).endswith(f"@{effort}")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("source", SOURCES)
def test_each_level_reaches_each_model_or_is_said_to_have_become_another(platform: str, source: str) -> None:
    for model in CATALOGUE.models:
        if model.platform_id(platform) is None:
            continue
        lacks = LACKS.get(model.id, {})
        for effort in EFFORTS:
            job = asked(source, model, effort, platform)
            becomes = lacks.get(effort, effort)
            if becomes is None:
                check_said(job, effort)
            else:
                assert sent(job)["output_config"] == {"effort": becomes}
                assert "system" not in sent(job)
                change = f"output_config.effort={becomes}"
                assert (change in job.adaptations) is (source != "client" or becomes != effort)
                assert job.plan.arm.effort == becomes
                if becomes != effort and source != "client":
                    assert any(f"{model.id} has no {effort}" in reason for reason in job.plan.reasons)
            if platform == "anthropic":
                answered(job, model)


@pytest.mark.parametrize("source", SOURCES)
def test_in_mode_strict_a_level_that_the_model_lacks_is_a_400_whoever_names_it(source: str) -> None:
    for model in CATALOGUE.models:
        for effort in EFFORTS:
            if effort in LACKS.get(model.id, {}):
                with pytest.raises(RequestError, match=r"takes|does not support"):
                    asked(source, model, effort, mode="strict")
            else:
                job = asked(source, model, effort, mode="strict")
                assert sent(job)["output_config"] == {"effort": effort}


@pytest.mark.parametrize("mode", ["observe", "off"])
@pytest.mark.parametrize("source", SOURCES)
def test_where_nothing_is_adapted_the_clients_own_effort_passes_and_what_others_name_still_holds(
    source: str, mode: str
) -> None:
    for model in CATALOGUE.models:
        for effort in EFFORTS:
            job = asked(source, model, effort, mode=mode)
            if source == "client":
                assert (sent(job)["output_config"], job.adaptations) == ({"effort": effort}, ())
                continue
            becomes = LACKS.get(model.id, {}).get(effort, effort)
            if becomes is None:
                check_said(job, effort)
            else:
                assert sent(job)["output_config"] == {"effort": becomes}
            answered(job, model)


@pytest.mark.parametrize("source", SOURCES)
def test_a_level_that_is_lacking_is_the_next_higher_one_where_the_operator_says_so(source: str) -> None:
    for model in CATALOGUE.models:
        for effort in EFFORTS:
            job = asked(source, model, effort, effort=EffortSettings(clamp="up"))
            becomes = {**LACKS.get(model.id, {}), **LACKS_UP.get(model.id, {})}.get(effort, effort)
            if becomes is not None:
                assert sent(job)["output_config"] == {"effort": becomes}


@pytest.mark.parametrize("source", SOURCES)
def test_a_model_without_levels_gets_a_thinking_budget_or_nothing_where_the_operator_says_so(
    source: str,
) -> None:
    for model_id in [model for model, lacks in LACKS.items() if None in lacks.values()]:
        model = CATALOGUE.find(model_id)
        assert model is not None
        for effort in EFFORTS:
            settings, name, own, fields = named_by(source, model, effort)
            bench = EffortBench(effort=EffortSettings(without="budget"), **settings)
            job = bench.job(name, own, **fields)
            if model_id in BUDGETED:
                assert sent(job)["thinking"] == {"type": "enabled", "budget_tokens": BUDGETS[effort]}
                assert job.adaptations[-1] == f"thinking=enabled({BUDGETS[effort]})"
                assert job.plan.arm.effort == effort
                assert job.may_think
            else:
                check_said(job, effort)
            answered(job, model)
            job = EffortBench(effort=EffortSettings(without="off"), **settings).job(name, own, **fields)
            assert "output_config" not in sent(job)
            assert "system" not in sent(job)
            assert job.plan.arm.effort is None
            assert any("removed" in text for text in job.adaptations)


@pytest.mark.parametrize("source", SOURCES)
def test_a_cap_holds_on_every_model_whoever_names_the_effort_and_in_every_mode(source: str) -> None:
    for mode in ("adapt", "observe", "strict"):
        for model in CATALOGUE.models:
            lacks = LACKS.get(model.id, {})
            for effort in EFFORTS:
                for most in ("medium", "xhigh"):
                    if mode == "strict" and (effort in lacks or most in lacks):
                        continue
                    job = asked(
                        source, model, effort, mode=mode, effort=EffortSettings(most=most, clamp="up")
                    )  # fmt: skip
                    said = job.plan.arm.effort
                    if model.effort_levels:
                        level = sent(job)["output_config"]["effort"]
                        refused = source == "client" and mode in ("observe", "off") and effort in lacks
                        if not refused:
                            assert EFFORTS.index(level) <= EFFORTS.index(most), (model.id, mode, effort, most)
                            assert said == level
                            answered(job, model)
                    elif source != "client" or mode == "adapt":
                        assert said is not None
                        assert EFFORTS.index(said) <= EFFORTS.index(most)
