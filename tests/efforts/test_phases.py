"""Shares of phases are proposed where tasks need other ones, and kept where they do not. Simulated tasks."""

import random

from trimtab.efforts.phases import PhaseAdvice, TaskUse, advise_phases

NEEDS = {"analysis": 0.10, "tools": 0.60, "report": 0.10}
"""Of the total, in the middle; each task needs more or less of each."""


def advised(seed: int, planned: dict[str, int], count: int = 200, ran_out: int = 0) -> PhaseAdvice:
    draw = random.Random(seed)
    tasks = [
        TaskUse(
            task_class="agent",
            total=100_000,
            ran_out=n < ran_out,
            planned={name: share * 1000 for name, share in planned.items()},
            spent={name: round(100_000 * need * draw.uniform(0.6, 1.2)) for name, need in NEEDS.items()},
            nanousd=10**6 + draw.randrange(10**6),
        )
        for n in range(count)
    ]
    (found,) = advise_phases(tasks)
    return found


def test_shares_that_do_not_fit_the_work_are_changed_to_those_that_do() -> None:
    found = advised(1, {"analysis": 40, "tools": 40, "report": 20})
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


def test_shares_that_fit_already_are_kept_in_nineteen_classes_of_twenty() -> None:
    changed = sum(
        advised(seed, {"analysis": 13, "tools": 74, "report": 13}, 120).kind == "change"
        for seed in range(200)
    )
    assert changed <= 10, changed


def test_needs_that_were_cut_off_and_few_tasks_are_no_reason_for_anything() -> None:
    bad = {"analysis": 40, "tools": 40, "report": 20}
    assert advised(1, bad, ran_out=30).kind == "keep"
    assert "raise totals first" in advised(1, bad, ran_out=30).why
    few = advised(1, bad, 39)
    assert (few.kind, few.phases) == ("no data", ())
    assert "39 tasks that have ended, and 40 are needed" in few.why
