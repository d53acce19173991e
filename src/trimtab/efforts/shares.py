"""How often tasks succeeded, by the shares of their phases: what was told of tasks, joined with what they were given.

What it is not: what phases need (`phases`), or a proposal. Pure. Invariants: each task is one outcome; a rate is there
only where `CONVERSATIONS_MIN` tasks were told of, and always with its interval; what nobody told of is neither a
success nor a failure.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trimtab.efforts.table import CONVERSATIONS_MIN, Success
from trimtab.stats import Interval
from trimtab.stats.clusters import difference, rate_of

FAILED_BELOW = 0.5
"""A task of a lower score is known to have failed: what it spent is not what such work needs."""

ALIKE = 2
"""Points of the total in each phase within which shares count as the same: whole percent are rounded."""

Shares = tuple[int, ...]
"""Whole percent of the total, in the order of the phases."""


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
    score: float | None = None
    """What was told of it as a whole, from 0 to 1: the mean of its sources; `None` where nobody told."""

    @property
    def failed(self) -> bool:
        """Whether it is known to have."""
        return self.score is not None and self.score < FAILED_BELOW

    @property
    def had_enough(self) -> bool:
        """Whether every phase did, without a move."""
        return all(self.spent.get(phase, 0) <= tokens for phase, tokens in self.planned.items())


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """Shares that tasks of a class were made with."""

    shares: Shares
    present: bool
    """Whether they are those that new tasks get."""
    tasks: int
    told: int
    success: Success | None
    """`None`: no data."""
    difference: Interval | None = None
    """Of success: these minus the present ones, at 95 % over all of the other shares together; `None`: no data."""


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """How often the tasks of a class succeeded."""

    told: int
    success: Success | None
    """`None`: no data."""
    enough_told: int
    enough: Success | None
    """Of tasks in which every phase had enough without a move. That is no experiment: hard work fits less often and
    fails more often."""
    short_told: int
    short: Success | None
    """Of the others."""
    tried: tuple[Tried, ...]
    """The present shares first, then those of most tasks."""


def shares_of(task: TaskUse) -> Shares:
    """Those that the task was made with."""
    return tuple(round(100 * tokens / task.total) for tokens in task.planned.values())


def succeeded(tasks: Sequence[TaskUse], present: Shares, sure: float) -> Succeeded:
    """What was told of tasks that have the same phases. `sure`: of the intervals of all differences together."""
    by_shares: dict[Shares, list[TaskUse]] = {}
    for task in tasks:
        by_shares.setdefault(_known(shares_of(task), present), []).append(task)
    whole = {shares: success_of(found) for shares, found in by_shares.items()}
    others = [shares for shares, rate in whole.items() if rate is not None and shares != present]
    reference = whole.get(present)
    confidence = 1 - (1 - sure) / max(len(others), 1)
    shown = sorted(by_shares, key=lambda shares: (shares != present, -len(by_shares[shares])))
    tried = []
    for shares in shown:
        rate, against = whole[shares], None
        if reference is not None and rate is not None and shares != present:
            against = difference(reference.rate, rate.rate, confidence)
        tried.append(
            Tried(
                shares=shares,
                present=shares == present,
                tasks=len(by_shares[shares]),
                told=_told(by_shares[shares]),
                success=rate,
                difference=against,
            )
        )
    fitting = [task for task in tasks if task.had_enough]
    others_short = [task for task in tasks if not task.had_enough]
    return Succeeded(
        told=_told(tasks),
        success=success_of(tasks),
        enough_told=_told(fitting),
        enough=success_of(fitting),
        short_told=_told(others_short),
        short=success_of(others_short),
        tried=tuple(tried),
    )


def success_of(tasks: Iterable[TaskUse]) -> Success | None:
    """How often they succeeded, of those that were told of; `None` where these are too few."""
    scores = [task.score for task in tasks if task.score is not None]
    if len(scores) < CONVERSATIONS_MIN:
        return None
    rate = rate_of([(1, score) for score in scores])
    interval = rate.interval()
    return Success(rate.value, interval.low, interval.high, rate.effective, len(scores), len(scores))


def alike(one: Shares, other: Shares) -> bool:
    """Whether they are the same but for rounding."""
    return len(one) == len(other) and all(abs(a - b) <= ALIKE for a, b in zip(one, other, strict=True))


def _known(shares: Shares, present: Shares) -> Shares:
    """The present ones where these are the same but for rounding of a small total."""
    return present if alike(shares, present) else shares


def _told(tasks: Iterable[TaskUse]) -> int:
    return sum(task.score is not None for task in tasks)
