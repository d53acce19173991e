"""An agent's configuration: the one everybody writes first, and every mistake in it."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest

import trimtab.agents
from trimtab import AgentConfig
from trimtab.admin.task_words import NewTask
from trimtab.budgets.tasks import phase_header, task_header
from trimtab.errors import ConfigError

BUDGETS = {
    "initial_analysis": 20_000,
    "tool_execution": 40_000,
    "verification": 30_000,
    "final_report": 10_000,
}


def config(**more: Any) -> AgentConfig:
    fields: dict[str, Any] = {"model": "claude-opus-4-7", "max_tokens": 100_000, **more}
    return AgentConfig(**fields)


def test_the_configuration_everybody_writes_first_means_what_it_says() -> None:
    agent = AgentConfig(
        model="claude-opus-4-7",
        effort="xhigh",
        max_tokens=100_000,
        task_budgets={
            "initial_analysis": 20_000,
            "tool_execution": 40_000,
            "verification": 30_000,
            "final_report": 10_000,
        },
        budget_strategy="prioritize_completion",
    )
    assert agent.phases() == {"analysis": 20_000, "tools": 40_000, "verification": 30_000, "report": 10_000}
    assert agent.call() == {
        "model": "claude-opus-4-7",
        "max_tokens": 64_000,  # of one call; the 100,000 are the task's
        "output_config": {"effort": "xhigh"},
    }
    sent = agent.headers("task_1", "tool_execution", 0.4)
    assert sent == {"x-trimtab-task": "task_1", "x-trimtab-phase": "tool_execution; progress=0.400"}
    assert task_header(sent["x-trimtab-task"]).task == "task_1"
    assert phase_header(sent["x-trimtab-phase"]) == ("tool_execution", 400)
    assert agent.headers("task_1") == {"x-trimtab-task": "task_1"}
    assert trimtab.agents.AgentConfig is AgentConfig


def test_what_phases_leave_of_the_total_is_divided_among_them_alike() -> None:
    assert config(task_budgets={"analysis": 20_000, "report": 20_000}).phases() == {
        "analysis": 50_000,
        "report": 50_000,
    }
    assert config().phases() == {
        "analysis": 20_000,
        "tools": 40_000,
        "verification": 30_000,
        "report": 10_000,
    }


def test_a_breakdown_replaces_the_phases() -> None:
    agent = config(
        budget_breakdown={"read": 0.25, "write": "50%", "check": 25_000},
        budget_strategy="prioritize_quality",
        guaranteed=("check",),
        max_usd=1.5,
        tags=("a",),
    )
    assert agent.phases() == {"read": 25_000, "write": 50_000, "check": 25_000}
    assert agent.task() == {
        "total": 100_000,
        "strategy": "prioritize_quality",
        "phases": [
            {"name": "read", "percent": 25.0},
            {"name": "write", "percent": 50.0},
            {"name": "check", "tokens": 25_000, "guaranteed": True},
        ],
        "usd": 1.5,
        "tags": ["a"],
    }
    assert msgspec.convert(agent.task(), NewTask).total == 100_000  # what the gateway takes


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"model": ""}, "AgentConfig.model: '': must be a model's id"),
        ({"effort": "extreme"}, "AgentConfig.effort: 'extreme': must be one of low, medium, high, xhigh, max"),
        ({"max_tokens": -5}, "AgentConfig.max_tokens: -5: must be a whole number of tokens"),
        ({"max_tokens": 1e5}, "AgentConfig.max_tokens: 100000.0: must be a whole number"),
        ({"max_tokens": True}, "AgentConfig.max_tokens: True"),
        ({"max_tokens": 500}, "AgentConfig.task_budgets.analysis: comes to 100 tokens of 500, less than one useful"),
        ({"task_budgets": {"tools": -1}}, "AgentConfig.task_budgets.tools: -1: must be a whole number of tokens"),
        ({"task_budgets": {**BUDGETS, "more": 1}}, "AgentConfig.task_budgets: together 100,001 tokens, above the total"),
        ({"task_budgets": {"tools": 1_000, "tool_execution": 1_000}}, "stands twice"),
        ({"task_budgets": {"tools": 0.5}}, "AgentConfig.task_budgets.tools: 0.5: must be whole tokens"),
        ({"task_budgets": {}}, "AgentConfig.task_budgets: 0 of them"),
        ({"budget_strategy": None}, "AgentConfig.budget_strategy: None: must be prioritize_completion or"),
        ({"max_usd": "5"}, "AgentConfig.max_usd: '5': must be a number of dollars"),
        ({"max_usd": True}, "AgentConfig.max_usd: True: must be a number of dollars"),
        ({"task_budgets": [1]}, "AgentConfig.task_budgets: [1]: must be phases by their names"),
        ({"budget_breakdown": {5: 0.1}}, "AgentConfig.budget_breakdown: {5: 0.1}: must be phases by their names"),
        ({"tags": 5}, "AgentConfig.tags: 5: must be a tuple of texts"),
        ({"name": 5}, "AgentConfig.name: 5: must be text"),
        ({"budget_strategy": "fast"}, "AgentConfig.budget_strategy: 'fast': must be prioritize_completion or"),
        ({"budget_breakdown": {"a": "much"}}, "AgentConfig.budget_breakdown.a: 'much': must be tokens"),
        ({"budget_breakdown": {"a": 1.5}}, "AgentConfig.budget_breakdown.a: 1.5"),
        ({"budget_breakdown": {"a": 1_000}, "task_budgets": BUDGETS}, "both name phases; leave one out"),
        ({"budget_breakdown": {"a": 0.5}, "budget_strategy": "prioritize_quality"}, "guarantees the phase that checks"),
        ({"guaranteed": ("b",), "budget_breakdown": {"a": 0.5}}, "AgentConfig.guaranteed: 'b': is none of the phases"),
        ({"max_tokens_per_call": 200_000}, "AgentConfig.max_tokens_per_call: 200000: must be 1 to the task's total"),
        ({"max_usd": 0}, "AgentConfig.max_usd: 0: must be a number of dollars above 0"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_when_it_is_written_and_names_the_field(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as problem:
        config(**more)
    assert says in str(problem.value)


def test_headers_of_phases_that_there_are_not_are_refused() -> None:
    with pytest.raises(ConfigError, match="'writing': must be one of analysis, tools, verification, report"):
        config().headers("task_1", "writing")
    with pytest.raises(ConfigError, match=r"progress: 1\.5: must be from 0 to 1"):
        config().headers("task_1", "tools", 1.5)


def test_programs_that_do_not_ask_for_agents_do_not_wait_for_them() -> None:
    code = "import sys, trimtab; assert 'trimtab.agents' not in sys.modules; trimtab.AgentConfig; assert 'trimtab.agents' in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="has no attribute 'Agent'"):
        trimtab.Agent  # type: ignore[attr-defined]  # noqa: B018
