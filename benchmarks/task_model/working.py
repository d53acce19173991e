"""One simulated agent at one task: it calls until each phase is done, its budget says otherwise, or it is refused.

What it is not: a model of any real agent; see `parameters`. The budget is the real one: `trimtab.budgets.tasks`.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from task_model.parameters import (
    ANALYSIS_WEIGHT,
    ASKED,
    BASE,
    CALL_SPREAD,
    CALL_TOKENS,
    LEAST_REPORT,
    MENDED,
    NOTE,
    PROGRESS_NOISE,
    RESERVE_PERCENT,
    RIGHT,
    SHARES,
    SIZE_SPREAD,
    Arm,
)
from trimtab.budgets.tasks import NewPhase, Task, new_task
from trimtab.budgets.tasks.asking import Ask, Granted, ask
from trimtab.budgets.tasks.settling import settle
from trimtab.records import TaskSpent

NAMES = ("analysis", "tools", "verification", "report")


@dataclass(frozen=True)
class Work:
    """What one task takes: tokens by phase, and the numbers from which its calls are drawn."""

    needs: tuple[float, ...]
    seed: int


def draw_work(shares: Sequence[float], spread: float, chance: random.Random) -> Work:
    """A task. The mean of a phase's need is its share of `BASE`, whatever the spread."""
    size = math.exp(chance.gauss(-(SIZE_SPREAD**2) / 2, SIZE_SPREAD))
    needs = tuple(BASE * share * size * math.exp(chance.gauss(-(spread**2) / 2, spread)) for share in shares)
    return Work(needs, chance.getrandbits(32))


def budget(arm: Arm, total: int) -> Task:
    """The task's budget as this arm divides it."""
    if arm.strategy is None:
        phases = [
            NewPhase("work", percent=100 - RESERVE_PERCENT),
            NewPhase("report", percent=RESERVE_PERCENT),
        ]
        return new_task("t", total, at_ms=0, phases=phases, floor_percent=100)[0]
    phases = [NewPhase(name, percent=share * 100) for name, share in zip(NAMES, SHARES, strict=True)]
    return new_task("t", total, at_ms=0, phases=phases, strategy=arm.strategy)[0]


def done(arm: Arm, work: Work, total: int, *, heeds: bool) -> tuple[float, ...]:
    """Which part of what each phase needed was done."""
    task, parts = budget(arm, total), []
    noise = random.Random(work.seed + 1)
    for n, (name, need) in enumerate(zip(NAMES, work.needs, strict=True)):
        chance = random.Random(work.seed + 10 * n)  # the same calls in all arms
        phase = name if arm.strategy is not None or name == "report" else "work"
        made, first = 0.0, arm.strategy is not None
        while made < need:
            if heeds and arm.strategy is not None and _free(task, phase) <= 0:
                break
            size = min(CALL_TOKENS * math.exp(chance.gauss(0, CALL_SPREAD)), max(need - made, 1.0))
            told = min(1.0, made / need * math.exp(noise.gauss(0, PROGRESS_NOISE))) if arm.progress else None
            used, task = _call(task, phase, size, NOTE if first else 0, told)
            if used is None:
                break
            made, first = made + used, False
        parts.append(min(1.0, made / need))
    return tuple(parts)


def _free(task: Task, phase: str) -> int:
    """What the agent is told that the phase has left."""
    at = next(n for n, one in enumerate(task.phases) if one.name == phase)
    before = (
        sum(max(0, one.free) for one in task.phases[:at]) if at > task.at else 0
    )  # it flows on as it begins
    return task.phases[at].free + before


def _call(task: Task, phase: str, size: float, note: int, told: float | None) -> tuple[float | None, Task]:
    """One call; how much of the work it did, `None` where it was refused."""
    output = max(1, int(size / 2))
    came_in = max(1, int(size) - output)
    wanted = Ask(
        id="r",
        phase=phase,
        progress=None if told is None else int(told * 1000),
        input_estimate=came_in + note,
        max_tokens=ASKED,
        at_ms=0,
    )
    made = ask(task, wanted)
    if not isinstance(made, Granted):
        return None, made.task
    written = min(output, made.max_tokens)
    after, _ = settle(made.task, "r", TaskSpent(came_in + note, written), 0)
    return (size if written == output else 0.0), after


def worth(parts: Sequence[float], curve: float) -> float:
    """The expected quality of what was delivered, from 0 to 1."""
    if parts[3] < LEAST_REPORT:
        return 0.0
    analysis, tools, verification, report = (1 - (1 - part) ** curve for part in parts)
    right = RIGHT * analysis**ANALYSIS_WEIGHT * tools
    right += (1 - right) * MENDED * verification * tools  # what is not there cannot be mended
    return float(right * report)
