"""Shares of phases are proposed where tasks need other ones or succeed with other ones, and kept where not. Simulated."""

import random

import pytest
from drawn_tasks import FITTING, UNFIT, drawn_tasks
from msgspec.structs import replace

from trimtab.efforts.phases import PhaseAdvice, advise_phases

OTHER = {"analysis": 20, "tools": 70, "report": 10}


def advised(
    seed: int,
    planned: dict[str, int],
    count: int = 200,
    ran_out: int = 0,
    *,
    rate: float = 1.0,
    told: float = 0.0,
) -> PhaseAdvice:
    (found,) = advise_phases(
        drawn_tasks(random.Random(seed), count, [(planned, rate)], told=told, ran_out=ran_out)
    )
    return found


def both(seed: int, count: int, first: float, second: float, told: float = 1.0) -> PhaseAdvice:
    """Of tasks with the present shares, which fit, and with others, and how often they succeed."""
    tasks = drawn_tasks(random.Random(seed), count, [(FITTING, first), (OTHER, second)], told=told)
    (found,) = advise_phases(tasks, {"agent": FITTING})
    return found


def test_shares_that_do_not_fit_the_work_are_changed_to_those_that_do() -> None:
    found = advised(1, UNFIT)
    assert found.kind == "change"
    shares = {phase.name: phase.proposed_percent for phase in found.phases}
    assert sum(shares.values()) == 100
    assert (10 <= shares["analysis"] <= 15, 70 <= shares["tools"] <= 80) == (True, True)
    assert found.present is not None
    assert found.proposed is not None
    assert found.proposed.fitting > found.present.fitting + 50
    tools = next(phase for phase in found.phases if phase.name == "tools")
    assert tools.most is not None
    assert tools.most.low < tools.most.value < tools.most.high
    assert found.cost_nanousd is not None
    assert found.succeeded is not None
    assert (found.succeeded.told, found.succeeded.success) == (0, None), "nobody told"


@pytest.mark.parametrize("told", [0.0, 1.0])
def test_shares_that_fit_already_are_kept_in_nineteen_classes_of_twenty(told: float) -> None:
    changed = sum(advised(seed, FITTING, 120, rate=0.8, told=told).kind == "change" for seed in range(200))
    assert changed <= 10, changed


def test_needs_that_were_cut_off_and_few_tasks_are_no_reason_for_anything() -> None:
    assert advised(1, UNFIT, ran_out=30).kind == "keep"
    assert "raise totals first" in advised(1, UNFIT, ran_out=30).why
    few = advised(1, UNFIT, 39)
    assert (few.kind, few.phases) == ("no data", ())
    assert "39 tasks that have ended, and 40 are needed" in few.why


def test_what_a_task_spent_that_failed_is_no_need_and_only_few_outcomes_are_no_rate() -> None:
    tasks = drawn_tasks(random.Random(1), 120, [(FITTING, 1.0)])
    wild = [
        replace(task, spent={**task.spent, "report": 90_000}, score=0.0) if n % 4 == 0 else task
        for n, task in enumerate(tasks)
    ]
    (found,) = advise_phases(wild)
    assert (found.left_out, found.kind) == (30, "keep")
    assert {phase.name: phase.proposed_percent for phase in found.phases}["report"] < 20
    assert found.succeeded is not None
    assert found.succeeded.success is not None
    assert (found.succeeded.told, round(found.succeeded.success.value, 2)) == (120, 0.75)
    assert found.succeeded.success.low < 0.75 < found.succeeded.success.high
    assert found.succeeded.short is not None
    assert found.succeeded.short.value == 0.0
    (untold,) = advise_phases([replace(task, score=None) for task in wild])
    assert {phase.name: phase.proposed_percent for phase in untold.phases}["report"] > 40, (
        "nobody knows better"
    )
    few = advised(1, FITTING, 120, told=0.1)
    assert few.succeeded is not None
    assert 0 < few.succeeded.told < 20
    assert few.succeeded.success is None
    (failing,) = advise_phases(drawn_tasks(random.Random(1), 60, [(FITTING, 0.0)]))
    assert (failing.kind, failing.phases) == ("no data", ())
    assert "0 tasks that did not fail, and 40 are needed" in failing.why
    assert failing.succeeded is not None


def test_shares_with_which_tasks_succeed_more_often_are_proposed_though_the_present_ones_fit() -> None:
    found = both(1, 240, 0.70, 0.92)
    assert found.kind == "change"
    assert {phase.name: phase.proposed_percent for phase in found.phases} == OTHER
    assert found.succeeded is not None
    present, other = found.succeeded.tried
    assert (present.present, other.present, other.shares) == (True, False, (20, 70, 10))
    assert other.difference is not None
    assert 0 < other.difference.low < other.difference.high
    assert both(1, 240, 0.70, 0.92, told=0.0).kind == "keep", "nobody told"
    assert both(1, 60, 0.80, 0.86).kind == "keep", "the outcomes do not decide it"
    assert both(1, 4000, 0.90, 0.93).kind == "keep", "less than the margin"


def test_shares_that_were_tried_and_succeeded_less_often_are_not_proposed_because_more_tasks_would_fit() -> (
    None
):
    def one(bad: float) -> PhaseAdvice:
        tried = [(UNFIT, 0.9), (FITTING, bad)]
        (found,) = advise_phases(drawn_tasks(random.Random(1), 400, tried), {"agent": UNFIT})
        return found

    assert one(0.9).kind == "change"
    assert one(0.6).kind == "keep"
    assert "tasks that had them succeeded less often" in one(0.6).why


def test_tried_shares_that_succeed_alike_are_changed_in_at_most_one_class_of_twenty() -> None:
    for told in (0.4, 1.0):
        changed = sum(both(seed, 160, 0.8, 0.8, told).kind == "change" for seed in range(200))
        assert changed <= 10, (told, changed)


def test_new_tasks_get_what_the_configuration_says_whatever_older_ones_had() -> None:
    tasks = drawn_tasks(random.Random(1), 120, [(UNFIT, 1.0)], told=0.0)
    (found,) = advise_phases(tasks, {"agent": FITTING})
    assert [phase.present_percent for phase in found.phases] == [13, 74, 13]
    assert found.kind == "keep"
    (other,) = advise_phases(tasks, {"agent": {"elsewhere": 100}})
    assert [round(phase.present_percent) for phase in other.phases] == [40, 40, 20]
