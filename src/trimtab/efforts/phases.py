"""Advice on the phases of tasks: which share of its budget each phase of a class of work needs. Pure.

What it is not: the budget's own moves between phases, which help whatever the shares are. Invariants: each task is one
observation; a need that was cut off by a budget, or of a task that is known to have failed, is never taken for a need;
shares are proposed only where tasks that had them succeeded more often, or where more tasks fit into them on tasks that
they were not made from and nothing told speaks against them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

import msgspec

from trimtab.efforts.comparing import MARGIN
from trimtab.efforts.shares import Shares, Succeeded, TaskUse, alike, shares_of, succeeded
from trimtab.efforts.table import CONVERSATIONS_MIN, Figure, figure
from trimtab.stats import Interval, wilson
from trimtab.stats.clusters import mean_of, quantile_of

SHARE = 0.95
"""Of tasks whose need a phase's share is made for."""

CUT_OFF_MOST = 0.05
"""Where more tasks than this ran out of budget, nobody knows what 95 % of them would have needed."""

WRONG_MOST = 0.05
"""The chance to propose other shares that are no better. Where success cannot be compared, all of it is that of the
exact McNemar test (one-sided) of how many tasks fit; else each of the two tests has half of it: `benchmarks/advice.py`.
"""

Kind = Literal["change", "keep", "no data"]


class PhaseNeed(msgspec.Struct, frozen=True, kw_only=True):
    """One phase."""

    name: str
    present_percent: float
    """Its share as new tasks of the class get it: by the configuration, else as most tasks have it, else the mean."""
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
    succeeded: Succeeded | None = None
    """What was told of them; `None` where nothing is said of their phases either."""
    left_out: int = 0
    """Tasks that are known to have failed: their spending is no need, so `phases`, `present`, `proposed` and `tokens`
    are without them."""
    tokens: Figure | None = None
    """Of a whole task: 95 % of them spent no more."""
    cost_nanousd: Figure | None = None
    """Of a whole task: the mean."""


def advise_phases(
    tasks: Iterable[TaskUse],
    configured: Mapping[str, Mapping[str, float]] | None = None,
    margin: float = MARGIN,
) -> tuple[PhaseAdvice, ...]:
    """Advice for every class, by its name. The tasks in the order in which they were made; `configured`: the shares in
    percent that new tasks of a class get, where its scenario says so; `margin`: how much more often tasks with other
    shares must have succeeded at the least."""
    classes: dict[str, list[TaskUse]] = {}
    for task in tasks:
        classes.setdefault(task.task_class, []).append(task)
    given = configured or {}
    return tuple(_advice(name, classes[name], given.get(name, {}), margin) for name in sorted(classes))


def _advice(
    name: str, tasks: Sequence[TaskUse], configured: Mapping[str, float], margin: float
) -> PhaseAdvice:
    names = _usual_phases(tasks)
    tasks = [task for task in tasks if tuple(task.planned) == names]
    ran_out = sum(task.ran_out for task in tasks)
    advice = PhaseAdvice(task_class=name, kind="no data", why="", tasks=len(tasks), ran_out=ran_out)
    if len(tasks) < 2 * CONVERSATIONS_MIN:
        return msgspec.structs.replace(
            advice,
            why=f"{len(tasks)} {'task that has' if len(tasks) == 1 else 'tasks that have'} ended, and "
            f"{2 * CONVERSATIONS_MIN} are needed",
        )
    if len(names) < 2:
        return msgspec.structs.replace(advice, why="its tasks have one phase")
    present = _present(names, tasks, configured)
    told = succeeded(tasks, tuple(round(present[phase]) for phase in names), 1 - WRONG_MOST)
    needing = [task for task in tasks if not task.failed]
    advice = msgspec.structs.replace(advice, succeeded=told, left_out=len(tasks) - len(needing))
    if len(needing) < 2 * CONVERSATIONS_MIN:
        return msgspec.structs.replace(
            advice, why=f"{len(needing)} tasks that did not fail, and {2 * CONVERSATIONS_MIN} are needed"
        )
    advice = _with_needs(advice, names, needing, present)
    if ran_out > CUT_OFF_MOST * len(tasks):
        return msgspec.structs.replace(
            advice,
            why=f"{ran_out} of {len(tasks)} tasks ran out of budget, so their needs are not known: raise totals first",
        )
    better = _better(told, margin)
    if better is not None:
        return _with_shares(
            advice,
            better,
            "tasks that had the proposed shares succeeded more often than those with the present ones",
        )
    return _by_need(advice, names, needing, present, told)


def _with_needs(
    advice: PhaseAdvice, names: Sequence[str], tasks: Sequence[TaskUse], present: Mapping[str, float]
) -> PhaseAdvice:
    """What these tasks spent, and the shares that follow from it."""
    proposed = _shares(names, tasks)
    costs = mean_of([(1, float(task.nanousd)) for task in tasks])
    return msgspec.structs.replace(
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


def _by_need(
    advice: PhaseAdvice,
    names: Sequence[str],
    tasks: Sequence[TaskUse],
    present: Mapping[str, float],
    told: Succeeded,
) -> PhaseAdvice:
    """Whether the shares that follow from needs are proposed."""
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
    compared = any(tried.difference is not None for tried in told.tried)
    if _chance(more, more + fewer) < (WRONG_MOST / 2 if compared else WRONG_MOST):
        wanted = tuple(phase.proposed_percent for phase in advice.phases)
        worse = [one for one in told.tried if one.difference is not None and one.difference.high < 0]
        if any(alike(wanted, one.shares) for one in worse):
            return msgspec.structs.replace(
                advice,
                why="more tasks fit into the proposed shares, but tasks that had them succeeded less often",
            )
        return msgspec.structs.replace(
            advice, kind="change", why="more tasks fit into the proposed shares without a move"
        )
    return msgspec.structs.replace(
        advice, why="inconclusive: the proposed shares are not shown to fit more tasks than the present ones"
    )


def _better(told: Succeeded, margin: float) -> Shares | None:
    """Of the shares that succeeded more often than the present ones, by the margin and beyond doubt, the best."""
    reference = next((one.success for one in told.tried if one.present), None)
    found = [
        (one.success.value, one.shares)
        for one in told.tried
        if one.difference is not None
        and one.success is not None
        and reference is not None
        and one.difference.low > 0
        and one.success.value - reference.value >= margin
    ]
    return max(found)[1] if found else None


def _with_shares(advice: PhaseAdvice, shares: Shares, why: str) -> PhaseAdvice:
    """Proposing these, whatever was spent."""
    whole = _whole({phase.name: share for phase, share in zip(advice.phases, shares, strict=True)})
    phases = tuple(
        msgspec.structs.replace(phase, proposed_percent=whole[phase.name]) for phase in advice.phases
    )
    return msgspec.structs.replace(advice, kind="change", why=why, phases=phases)


def _present(
    names: Sequence[str], tasks: Sequence[TaskUse], configured: Mapping[str, float]
) -> dict[str, float]:
    """The share in percent that new tasks get of each phase."""
    if set(configured) == set(names):
        whole = sum(configured.values())
        return {name: 100 * configured[name] / whole for name in names}
    counts = Counter(shares_of(task) for task in tasks)
    usual, count = counts.most_common(1)[0]
    if 2 * count >= len(tasks):
        tasks = [task for task in tasks if shares_of(task) == usual]
    return {name: 100 * sum(t.planned[name] / t.total for t in tasks) / len(tasks) for name in names}


def _usual_phases(tasks: Sequence[TaskUse]) -> tuple[str, ...]:
    """Those that most of the tasks have."""
    counts: dict[tuple[str, ...], int] = {}
    for task in tasks:
        counts[tuple(task.planned)] = counts.get(tuple(task.planned), 0) + 1
    return max(counts, key=lambda names: counts[names])


def _shares(names: Sequence[str], tasks: Sequence[TaskUse]) -> dict[str, int]:
    """Whole percent in the proportion of what 95 % of the tasks spent in each phase at most."""
    place = math.ceil(SHARE * len(tasks)) - 1
    needs = {name: max(sorted(task.spent.get(name, 0) for task in tasks)[place], 1) for name in names}
    return _whole(needs)


def _whole(parts: Mapping[str, int]) -> dict[str, int]:
    """Whole percent in these proportions that add up to 100; nothing gets less than 1."""
    whole = sum(parts.values())
    exact = {name: 100 * part / whole for name, part in parts.items()}
    shares = {name: max(1, math.floor(share)) for name, share in exact.items()}
    by_rest = sorted(parts, key=lambda name: shares[name] - exact[name])
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
