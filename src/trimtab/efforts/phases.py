"""Advice on the phases of tasks: which share of its budget each phase of a class of work needs. Pure.

What it is not: the budget's own moves between phases, which help whatever the shares are. Invariants: each task is one
observation; a need that was cut off by a budget is never taken for a need; shares are proposed only where, on tasks
that they were not made from, more tasks fit into them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

import msgspec

from trimtab.efforts.table import CONVERSATIONS_MIN, Figure, figure
from trimtab.stats import Interval, wilson
from trimtab.stats.clusters import mean_of, quantile_of

SHARE = 0.95
"""Of tasks whose need a phase's share is made for."""

CUT_OFF_MOST = 0.05
"""Where more tasks than this ran out of budget, nobody knows what 95 % of them would have needed."""

SURE = 0.05
"""The chance to see so many more tasks fit where the shares are no better. Exact McNemar test, one-sided."""

Kind = Literal["change", "keep", "no data"]


class TaskUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one task came to."""

    task_class: str
    total: int
    """Tokens that it had."""
    ran_out: bool
    planned: Mapping[str, int]
    """Tokens of each phase, in order, as it was made."""
    spent: Mapping[str, int]
    nanousd: int


class PhaseNeed(msgspec.Struct, frozen=True, kw_only=True):
    """One phase."""

    name: str
    present_percent: float
    """Its share as most tasks of the class have it."""
    proposed_percent: int
    half: Figure | None
    """What half of the tasks spent there at most, in tokens."""
    most: Figure | None
    """What 95 % of them did. Its interval needs some 80 tasks."""


class Fit(msgspec.Struct, frozen=True):
    """How many tasks had enough in every phase without a move."""

    fitting: int
    of: int
    interval: Interval


class PhaseAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """One class of work."""

    task_class: str
    kind: Kind
    why: str
    tasks: int
    ran_out: int
    phases: tuple[PhaseNeed, ...] = ()
    present: Fit | None = None
    proposed: Fit | None = None
    """Both on the newer half of the tasks, with shares that were made from the older one."""
    tokens: Figure | None = None
    """Of a whole task: 95 % of them spent no more."""
    cost_nanousd: Figure | None = None
    """Of a whole task: the mean."""


def advise_phases(tasks: Iterable[TaskUse]) -> tuple[PhaseAdvice, ...]:
    """Advice for every class, by its name. The tasks in the order in which they were made."""
    classes: dict[str, list[TaskUse]] = {}
    for task in tasks:
        classes.setdefault(task.task_class, []).append(task)
    return tuple(_advice(name, classes[name]) for name in sorted(classes))


def _advice(name: str, tasks: Sequence[TaskUse]) -> PhaseAdvice:
    names = _usual_phases(tasks)
    tasks = [task for task in tasks if tuple(task.planned) == names]
    ran_out = sum(task.ran_out for task in tasks)
    advice = PhaseAdvice(task_class=name, kind="no data", why="", tasks=len(tasks), ran_out=ran_out)
    if len(tasks) < 2 * CONVERSATIONS_MIN:
        return msgspec.structs.replace(
            advice, why=f"{len(tasks)} tasks that have ended, and {2 * CONVERSATIONS_MIN} are needed"
        )
    if len(names) < 2:
        return msgspec.structs.replace(advice, why="its tasks have one phase")
    proposed = _shares(names, tasks)
    present = {phase: 100 * sum(t.planned[phase] / t.total for t in tasks) / len(tasks) for phase in names}
    costs = mean_of([(1, float(task.nanousd)) for task in tasks])
    advice = msgspec.structs.replace(
        advice,
        kind="keep",
        phases=tuple(
            PhaseNeed(
                name=phase,
                present_percent=present[phase],
                proposed_percent=proposed[phase],
                half=_quantile(tasks, phase, 0.5),
                most=_quantile(tasks, phase, SHARE),
            )
            for phase in names
        ),
        tokens=_quantile(tasks, None, SHARE),
        cost_nanousd=figure(costs.value, costs.interval()),
    )
    if ran_out > CUT_OFF_MOST * len(tasks):
        return msgspec.structs.replace(
            advice,
            why=f"{ran_out} of {len(tasks)} tasks ran out of budget, so their needs are not known: raise totals first",
        )
    half = len(tasks) // 2
    made, newer = _shares(names, tasks[:half]), tasks[half:]
    fits = [(_fits(task, present), _fits(task, made)) for task in newer]
    more = sum(after and not before for before, after in fits)
    fewer = sum(before and not after for before, after in fits)
    advice = msgspec.structs.replace(
        advice,
        present=_fit([before for before, _ in fits]),
        proposed=_fit([after for _, after in fits]),
    )
    if _chance(more, more + fewer) < SURE:
        return msgspec.structs.replace(
            advice, kind="change", why="more tasks fit into the proposed shares without a move"
        )
    return msgspec.structs.replace(
        advice, why="inconclusive: the proposed shares are not shown to fit more tasks than the present ones"
    )


def _usual_phases(tasks: Sequence[TaskUse]) -> tuple[str, ...]:
    """Those that most of the tasks have."""
    counts: dict[tuple[str, ...], int] = {}
    for task in tasks:
        counts[tuple(task.planned)] = counts.get(tuple(task.planned), 0) + 1
    return max(counts, key=lambda names: counts[names])


def _shares(names: Sequence[str], tasks: Sequence[TaskUse]) -> dict[str, int]:
    """Whole percent that add up to 100, in the proportion of what 95 % of the tasks spent in each phase at most; no
    phase gets less than 1."""
    place = math.ceil(SHARE * len(tasks)) - 1
    needs = {name: max(sorted(task.spent.get(name, 0) for task in tasks)[place], 1) for name in names}
    whole = sum(needs.values())
    exact = {name: 100 * need / whole for name, need in needs.items()}
    shares = {name: max(1, math.floor(share)) for name, share in exact.items()}
    by_rest = sorted(names, key=lambda name: shares[name] - exact[name])
    for n in range(100 - sum(shares.values())):
        shares[by_rest[n % len(by_rest)]] += 1
    while sum(shares.values()) > 100:
        shares[max(shares, key=lambda name: shares[name])] -= 1
    return shares


def _fits(task: TaskUse, percent: Mapping[str, float]) -> bool:
    return all(task.spent.get(name, 0) <= share / 100 * task.total for name, share in percent.items())


def _fit(fits: Sequence[bool]) -> Fit:
    return Fit(sum(fits), len(fits), wilson(sum(fits), len(fits)))


def _chance(more: int, changed: int) -> float:
    """Of so many or more of these changes to be for the better, where either is as likely."""
    if changed == 0:
        return 1.0
    ways: int = sum(math.comb(changed, n) for n in range(more, changed + 1))
    return float(Fraction(ways, 2**changed))


def _quantile(tasks: Sequence[TaskUse], phase: str | None, share: float) -> Figure | None:
    spent = [sum(t.spent.values()) if phase is None else t.spent.get(phase, 0) for t in tasks]
    found = quantile_of([(n, float(tokens)) for n, tokens in enumerate(spent)], share)
    return None if found is None else Figure(found.value, found.low, found.high)
