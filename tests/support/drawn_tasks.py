"""Tasks with phases, drawn from known needs and success. SIMULATED; for tests of advice and benchmarks/advice.py."""

import random
from collections.abc import Mapping, Sequence

from trimtab.efforts.shares import TaskUse

NEEDS = {"analysis": 0.10, "tools": 0.60, "report": 0.10}
"""Of the total; each task needs `LEAST_NEED` to `MOST_NEED` times as much of each phase, evenly and each for itself."""

LEAST_NEED, MOST_NEED = 0.6, 1.2

FITTING = {"analysis": 13, "tools": 74, "report": 13}
"""Percent in the proportion of what 95 % of such tasks need."""

UNFIT = {"analysis": 40, "tools": 40, "report": 20}


def drawn_tasks(
    draw: random.Random,
    count: int,
    tried: Sequence[tuple[Mapping[str, int], float]],
    *,
    told: float = 1.0,
    ran_out: int = 0,
) -> list[TaskUse]:
    """So many tasks; each has one of the shares that were tried, with their rates of success; `told`: how many of them
    are told of. Success does not depend on what a task needs."""
    tasks = []
    for n in range(count):
        planned, rate = tried[n % len(tried)]
        known = draw.random() < told
        tasks.append(
            TaskUse(
                task_class="agent",
                total=100_000,
                ran_out=n < ran_out,
                planned={name: share * 1000 for name, share in planned.items()},
                spent={
                    name: round(100_000 * need * draw.uniform(LEAST_NEED, MOST_NEED))
                    for name, need in NEEDS.items()
                },
                nanousd=10**6 + draw.randrange(10**6),
                score=float(draw.random() < rate) if known else None,
            )
        )
    return tasks
