"""What phases keep, give and take, as somebody who set a budget would check it by hand."""

import json
from typing import Any

import pytest

from trimtab.budgets.tasks.asking import Ask, Granted, Refused, ask
from trimtab.budgets.tasks.changing import cancel, close, extend, progress
from trimtab.budgets.tasks.making import NewPhase, new_task
from trimtab.budgets.tasks.model import MAX_CONVERSATIONS, Task
from trimtab.budgets.tasks.refusing import error_of
from trimtab.budgets.tasks.settling import settle
from trimtab.errors import RateLimited, RequestError, TaskBudgetSpent, TaskEnded
from trimtab.messages.chat import chat_error_body
from trimtab.records import TaskSpent


def made(total: int = 100_000, **more: Any) -> Task:
    return new_task("t", total, at_ms=0, **more)[0]


class Agent:
    """Makes calls of one task, one after the other."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.n = 0
        self.told: list[str] = []

    def take(self, step: tuple[Task, Any]) -> None:
        self.task = step[0]
        self.told += [f"{e.source}>{e.phase} {e.tokens}: {e.reason}" for e in step[1] if e.kind == "moved"]

    def asks(self, phase: str = "", estimate: int = 0, most: int = 1000, **more: Any) -> Granted | Refused:
        self.n += 1
        got = ask(
            self.task,
            Ask(id=f"r{self.n}", phase=phase, input_estimate=estimate, max_tokens=most, at_ms=self.n, **more),
        )
        self.take((got.task, got.events))
        return got

    def uses(self, phase: str, tokens: int, most: int | None = None, **more: Any) -> Granted:
        """A call that writes so much, and may write as much as it asks for."""
        got = self.asks(phase, most=most or tokens, **more)
        assert isinstance(got, Granted), got
        self.take(settle(self.task, f"r{self.n}", TaskSpent(0, tokens), self.n))
        return got

    @property
    def budgets(self) -> dict[str, int]:
        return {phase.name: phase.budget for phase in self.task.phases}


def test_a_task_is_divided_as_asked_and_what_is_not_named_is_divided_alike() -> None:
    def budgets(total: int, **more: Any) -> dict[str, int]:
        return Agent(made(total, **more)).budgets

    assert budgets(100_000) == {"analysis": 20_000, "tools": 40_000, "verification": 30_000, "report": 10_000}
    assert sum(budgets(100_003).values()) == 100_003
    tokens = [NewPhase("initial_analysis", tokens=20_000), NewPhase("final_report", tokens=20_000)]
    assert budgets(50_000, phases=tokens) == {"analysis": 25_000, "report": 25_000}
    thirds = [NewPhase(name, percent=33.3) for name in ("a", "b", "c")]
    assert budgets(10_000, phases=thirds) == {"a": 3334, "b": 3333, "c": 3333}


@pytest.mark.parametrize(
    ("total", "more", "says"),
    [
        (-5, {}, "total: -5: must be 1 to"),
        (0, {}, "total: 0"),
        (1000, {}, "phases.analysis: comes to 200 tokens of 1,000, less than one useful answer"),
        (10_000, {"strategy": "prioritise_speed"}, "strategy: 'prioritise_speed': must be prioritize_completion or"),
        (10_000, {"phases": [NewPhase("a", tokens=10_001)]}, "phases: together 10,001 tokens, above the total of 10,000"),
        (10_000, {"phases": [NewPhase("a", percent=60), NewPhase("b", percent=50)]}, "together 11,000 tokens"),
        (10_000, {"phases": [NewPhase("a", tokens=-5)]}, "phases.a.tokens: -5: must be 1 to"),
        (10_000, {"phases": [NewPhase("a", percent=float("nan"))]}, "phases.a.percent: nan: must be above 0"),
        (10_000, {"phases": [NewPhase("a")]}, "phases.a: say either tokens or percent"),
        (10_000, {"phases": []}, "phases: 0 of them"),
        (10_000, {"phases": [NewPhase("tools", percent=9), NewPhase("tool_execution", percent=9)]}, "stands twice"),
        (10_000, {"phases": [NewPhase("a b", percent=9)]}, "'a b': a phase's name has 1 to 64 letters"),
        (10_000, {"nanousd": 0}, "usd: $0: must be above 0"),
        (10_000, {"floor_percent": 101}, "floor_percent: 101: must be 0 to 100 percent"),
        (10_000, {"phases": [NewPhase("a", percent=9)], "strategy": "prioritize_quality"}, "guarantees the phase that checks"),
        (10_000, {"phases": [NewPhase("a", percent=9, guaranteed=True)]}, "only strategy prioritize_quality guarantees"),
    ],
)  # fmt: skip
def test_a_budget_that_makes_no_sense_is_refused_and_says_which_value(
    total: int, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(RequestError) as problem:
        made(total, **more)
    assert says in str(problem.value)


def test_a_phase_that_runs_out_takes_from_later_ones_down_to_their_floors_largest_first() -> None:
    agent = Agent(made())
    agent.uses("analysis", 20_000)
    agent.uses("", 19_000)
    assert agent.told == ["tools>analysis 19000: analysis ran out"]
    agent.uses("analysis", 10_000)
    assert agent.told[1:] == ["verification>analysis 10000: analysis ran out"]
    got = agent.asks("analysis", most=50_000)
    assert isinstance(got, Granted)
    # What is left but the floors: half of 40,000 and of 30,000, and the report's 10,000.
    assert (got.max_tokens, got.limited_by) == (100_000 - 49_000 - 45_000, "tokens")
    agent.take(settle(agent.task, f"r{agent.n}", TaskSpent(0, 6_000), 9))
    refused = agent.asks("analysis")
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.left, refused.phase_left) == ("phase_budget_exhausted", 45_000, 0)
    assert (refused.next_phase, refused.next_needs, refused.next_planned) == ("tools", 20_000, 40_000)
    for phase, least in (("tools", 20_000), ("verification", 15_000), ("report", 10_000)):
        agent.uses(phase, least)
    assert agent.task.state == "exhausted"
    refused = agent.asks("report")
    assert isinstance(refused, Refused)
    assert refused.reason == "task_budget_exhausted"


def test_a_long_max_tokens_moves_nothing_that_was_not_used() -> None:
    agent = Agent(made())
    got = agent.uses("analysis", 500, most=50_000)
    assert got.max_tokens == 50_000
    assert agent.told == []
    assert agent.budgets == Agent(made()).budgets


def test_quality_keeps_verification_whole_and_shrinks_the_report_first() -> None:
    agent = Agent(made(strategy="prioritize_quality"))
    agent.uses("tools", 60_000 + 5_000)
    assert agent.told == [
        "analysis>tools 20000: unused by analysis when tools began",
        "report>tools 5000: tools ran out",
    ]
    refused = agent.asks("tools")
    assert isinstance(refused, Refused)
    assert agent.budgets["verification"] == 30_000
    agent.uses("verification", 30_000)
    agent.uses("report", 5_000)
    assert agent.task.left == 0


def test_unused_tokens_flow_on_first_to_where_some_were_taken() -> None:
    agent = Agent(made())
    agent.uses("analysis", 5_000)
    agent.uses("tools", 1_000)
    assert agent.budgets == {"analysis": 5_000, "tools": 55_000, "verification": 30_000, "report": 10_000}
    agent.uses("tools", 64_000)  # 10,000 of it are verification's
    assert agent.budgets["verification"] == 20_000
    agent.take(extend(agent.task, 20_000, 0, 1, "tools"))
    agent.uses("report", 100)
    assert agent.told[-2:] == [
        "tools>report 20000: unused by tools when report began",
        "verification>report 20000: unused by verification when report began",
    ]


def test_going_back_to_an_earlier_phase_borrows_what_it_needs() -> None:
    agent = Agent(made())
    agent.uses("analysis", 5_000)
    agent.uses("tools", 5_000)
    got = agent.uses("analysis", 3_000)
    assert got.max_tokens == 3_000
    assert agent.told[-1] == "tools>analysis 3000: analysis ran out"
    assert agent.task.phases[agent.task.at].name == "tools"


def test_progress_moves_shares_early_and_says_why() -> None:
    agent = Agent(made())
    agent.uses("analysis", 2_000)
    agent.take(progress(agent.task, "initial_analysis", 100, 5))  # too early to tell
    assert agent.told == []
    agent.take(progress(agent.task, "analysis", 500, 5))
    why = "analysis is 50 % done after 2,000 tokens, so it needs 4,000"
    assert agent.told == [f"analysis>tools 10000: {why}"]  # not below its own floor of 10,000
    agent.uses("tools", 30_000, progress=0)
    agent.take(progress(agent.task, "tools", 400, 6))
    why = "tools is 40 % done after 30,000 tokens, so it needs 75,000"
    assert agent.told[-1] == f"verification>tools 7500: {why}"  # half of what it can spare
    assert agent.budgets["tools"] == 65_500


def test_history_that_is_sent_again_is_counted_once_and_a_shorter_one_starts_anew() -> None:
    agent = Agent(made())

    def turn(came_in: int, out: int) -> int:
        got = agent.asks(estimate=came_in, conversation="c")
        assert isinstance(got, Granted)
        before = agent.task.spent
        agent.take(settle(agent.task, f"r{agent.n}", TaskSpent(came_in, out, 0), agent.n))
        return agent.task.spent - before

    assert turn(1_000, 200) == 1_200
    assert turn(1_700, 300) == 500 + 300  # 1,200 of it were seen
    assert turn(400, 100) == 100  # compacted
    assert turn(600, 100) == 100 + 100
    refused = agent.asks(estimate=50_000, conversation="other")
    assert isinstance(refused, Granted)
    assert refused.new_input == 50_000


def test_estimates_are_corrected_by_the_last_call_of_the_conversation() -> None:
    agent = Agent(made())
    agent.asks(estimate=10_000, conversation="c")
    agent.take(settle(agent.task, "r1", TaskSpent(8_000, 0, 0), 1))
    got = agent.asks(estimate=12_500, conversation="c")
    assert isinstance(got, Granted)
    assert got.new_input == 10_000 - 8_000


def test_the_conversation_that_was_not_used_for_longest_is_forgotten_and_counts_again() -> None:
    agent = Agent(made(1_000_000))
    for n in [*range(MAX_CONVERSATIONS), 0, MAX_CONVERSATIONS]:
        agent.asks(estimate=100, conversation=f"c{n}")
        agent.take(settle(agent.task, f"r{agent.n}", TaskSpent(100, 1, 0), 1))
    names = [one.name for one in agent.task.conversations]
    assert len(names) == MAX_CONVERSATIONS
    assert "c1" not in names
    assert "c0" in names


def test_money_limits_the_answer_and_keeps_what_later_phases_need() -> None:
    agent = Agent(made(nanousd=10_000_000))
    price: dict[str, Any] = {"input_nanousd": 500_000, "output_nanousd": 1_000}
    got = agent.asks("analysis", most=64_000, **price)
    assert isinstance(got, Granted)
    # 10,000,000 less what the floors of tools, verification and report stand for (4,500,000), less the input.
    assert (got.max_tokens, got.limited_by) == (5_000, "usd")
    agent.take(settle(agent.task, "r1", TaskSpent(10, 5_000, 5_500_000), 1))
    refused = agent.asks("analysis", **price)
    assert isinstance(refused, Refused)
    assert refused.reason == "phase_usd_exhausted"
    assert isinstance(agent.asks("tools", **price), Granted)
    agent.take(settle(agent.task, f"r{agent.n}", TaskSpent(10, 400, 4_500_000), 1))
    refused = agent.asks("report", **price)
    assert isinstance(refused, Refused)
    assert refused.reason == "task_usd_exhausted"
    assert agent.task.state == "exhausted"
    agent.take(extend(agent.task, 0, 5_000_000, 1))
    assert isinstance(agent.asks("report", **price), Granted)


def test_what_is_only_held_is_worth_waiting_for() -> None:
    agent = Agent(made(10_000))
    assert isinstance(agent.asks("report", most=64_000), Granted)
    refused = agent.asks("report")
    assert isinstance(refused, Refused)
    assert refused.reason == "task_budget_held"
    assert isinstance(error_of("t", refused), RateLimited)


def test_a_phase_whose_calls_in_flight_hold_its_share_is_worth_waiting_for_and_a_spent_one_is_not() -> None:
    agent = Agent(made(20_000))
    for _ in range(20):
        if not isinstance(got := agent.asks("analysis", most=4_000), Granted):
            break
    assert isinstance(got, Refused)
    assert agent.task.left > 4_000  # kept for other phases
    assert got.reason == "task_budget_held"
    for hold in agent.task.holds:  # each uses all that it holds
        agent.take(
            settle(agent.task, hold.id, TaskSpent(0, hold.own + sum(one.tokens for one in hold.loans)), 1)
        )
    spent = agent.asks("analysis", most=4_000)
    assert isinstance(spent, Refused)
    assert spent.reason == "phase_budget_exhausted"


def test_money_that_calls_in_flight_of_a_phase_hold_is_worth_waiting_for() -> None:
    agent = Agent(made(100_000, nanousd=10_000_000))
    price: dict[str, Any] = {"input_nanousd": 500_000, "output_nanousd": 1_000}
    assert isinstance(agent.asks("analysis", most=64_000, **price), Granted)
    got = agent.asks("analysis", **price)
    assert isinstance(got, Refused)
    assert got.reason == "task_budget_held"


def test_what_a_refusal_says_names_what_this_phase_and_the_next_would_have_needed() -> None:
    agent = Agent(made(10_000))
    refused = agent.asks("analysis", estimate=50_000, most=4_000)
    assert isinstance(refused, Refused)
    problem = error_of("t", refused)
    assert isinstance(problem, TaskBudgetSpent)
    assert str(problem) == (
        "task t is out of budget (task_budget_exhausted): 10,000 tokens are left and phase analysis needs 50,256 for "
        "this call; the next phase, tools, needs 2,000 at the least and was planned with 4,000. Extend it, begin the "
        "next phase, or send less"
    )
    assert problem.more == {
        "reason": "task_budget_exhausted",
        "details": {
            "task": "t",
            "phase": "analysis",
            "left_tokens": 10_000,
            "phase_left_tokens": 5_500,
            "needed_tokens": 50_256,
            "wanted_tokens": 54_000,
            "next_phase": "tools",
            "next_phase_needs_tokens": 2_000,
            "next_phase_planned_tokens": 4_000,
        },
    }
    on_chat = json.loads(chat_error_body(problem))["error"]
    assert (on_chat["type"], on_chat["reason"]) == ("insufficient_quota", "task_budget_exhausted")
    assert on_chat["details"] == problem.details
    assert agent.budgets == Agent(made(10_000)).budgets  # a refused call changes nothing


def test_who_cancels_or_closes_stops_further_calls_and_nothing_else() -> None:
    agent = Agent(made())
    agent.asks("analysis")
    agent.take(cancel(agent.task, 1))
    refused = agent.asks("analysis")
    assert isinstance(refused, Refused)
    assert isinstance(error_of("t", refused), TaskEnded)
    agent.take(settle(agent.task, "r1", TaskSpent(0, 700), 1))
    assert (agent.task.spent, agent.task.held) == (700, 0)
    assert cancel(agent.task, 2) == (agent.task, ())
    for change in (
        lambda: close(agent.task, 1),
        lambda: extend(agent.task, 5, 0, 1),
        lambda: progress(agent.task, "tools", 5, 1),
    ):
        with pytest.raises(TaskEnded, match="was cancelled"):
            change()


def test_an_overshoot_is_listed_and_the_total_stands_before_what_phases_were_promised() -> None:
    agent = Agent(made(10_000))
    agent.asks("analysis", most=1_000)
    agent.take(settle(agent.task, "r1", TaskSpent(9_500, 400), 1))
    assert agent.task.spent == 9_900
    assert agent.task.overshoot == 9_900 - 5_500  # the floors of the others stay theirs
    refused = agent.asks("report")
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.left) == ("task_budget_exhausted", 100)
