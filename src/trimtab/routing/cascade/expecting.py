"""What a cascade is expected to cost, how often its rungs are expected to fail, and where it breaks even.

What it is not: a decision, or a measurement. Pure arithmetic. Invariants: money is integer nano-dollars and never
below zero; a rate lies strictly between 0 and 1 whatever was counted, so one lucky or unlucky answer decides nothing.

The algebra, for rungs i = 0 .. T that are called one after another until an answer is accepted:

    t_i = cost_i + checks_i + switch_i
    E_T = t_T
    E_i = t_i + p_i x h_(i+1) x E_(i+1)

`h_i` is what a call of arm i costs on requests on which a lower rung failed, against its mean: 1 where it is not known.
`p_i` is the share of arm i's answers that were not accepted in the class. That it holds also for requests on which a
lower rung failed is an assumption: rungs fail on the same requests more often than by chance, so a cascade of three
costs somewhat more than this says. With two rungs it does not enter: what is paid does not depend on whether the last
answer is accepted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from trimtab.catalogue import Arm
from trimtab.routing.cascade.ladder import Estimate, Failure

PRIOR_STRENGTH = 10
"""As many judged answers as what is assumed beforehand counts for. Source: reference table of the design, R1 (~10)."""

PRIOR_FIRST, PRIOR_LAST = 0.36, 0.27
"""Assumed shares of answers that fail, on a ladder's first and last rung; between them in equal steps. Source: agent
tasks with real dollars, four pairs of a cheaper and a dearer arm: the cheaper fail 29.4, 35, 40 and 40 %, the dearer
25.6, 32.2, 25.4 and 25.6 % (docs/cascade.md)."""

FEW = 30
"""Judged answers below which what is assumed weighs a quarter and more, and reasons say so."""


class Rung(NamedTuple):
    """One rung with what is known of it for a request."""

    at: int
    """Its place on the whole ladder."""
    arm: Arm
    total: int
    """What calling it comes to in nano-dollars: the call, its checks, and a cold cache."""
    fails: float
    """The share of its answers that is expected not to be accepted."""
    failure: Failure
    ms: float | None
    harder: float = 1.0
    """What it costs where a lower rung failed, against what it costs on average."""


def total_of(estimate: Estimate) -> int:
    """What a step comes to, in nano-dollars; never below zero."""
    return max(0, estimate.cost_nanousd + estimate.checks_nanousd + estimate.switch_nanousd)


def assumed(at: int, of: int) -> float:
    """The share that fails on rung `at` of `of`, before anything was judged."""
    return PRIOR_FIRST - (PRIOR_FIRST - PRIOR_LAST) * at / (of - 1) if of > 1 else PRIOR_LAST


def fails(failure: Failure, before: float, *, releases_unsure: bool = False) -> float:
    """The share of answers that is expected not to be accepted: what was counted, shrunk towards all classes of the
    route, and that towards what is assumed beforehand. The mean of a Beta distribution."""
    if failure.wider is not None:
        before = fails(failure.wider, before, releases_unsure=releases_unsure)
    failed = max(0, failure.failed - failure.unsure if releases_unsure else failure.failed)
    judged = max(failed, failure.judged)
    return (failed + PRIOR_STRENGTH * before) / (judged + PRIOR_STRENGTH)


def expected(rungs: Sequence[Rung]) -> list[int]:
    """What a cascade is expected to cost that begins at each of these and goes on to the last, in nano-dollars."""
    costs = [0] * len(rungs)
    after = 0.0
    for n in range(len(rungs) - 1, -1, -1):
        costs[n] = rungs[n].total + round(rungs[n].fails * after)
        after = rungs[n].harder * costs[n]
    return costs


def break_even(total: int, after: float, instead: int) -> float:
    """The share of a rung's answers that may fail before calling it first costs more than `instead`.

    `total` is what the rung costs, `after` what follows where it fails: 1 - total / after where that is what would be
    called instead (and no harder). Below 0: it costs more alone. All in nano-dollars.
    """
    if after <= 0:
        return 1.0 if total <= instead else -1.0
    return (instead - total) / after


def percent(share: float) -> str:
    """As reasons say it."""
    return f"{100 * share:.1f} %"


def failing_said(rung: Rung, task_class: str) -> str:
    """How often a rung fails and how well that is known, as `class coding fails 29.4 % of 412 judged`."""
    work = f"class {task_class}" if task_class else "this work"
    failure = rung.failure
    if failure.judged <= 0:
        return f"{work} has no judged answers of {rung.arm}, {percent(rung.fails)} are assumed to fail"
    counted = percent(failure.failed / failure.judged)
    said = f"{work} fails {counted} of {failure.judged:,} judged at {rung.arm}"
    taken = percent(rung.fails)
    if failure.judged < FEW:
        return f"{said}, which are few, so {taken} is taken"
    return said if taken == counted else f"{said} ({taken} is taken)"
