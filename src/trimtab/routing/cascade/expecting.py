"""What a cascade is expected to cost, how often its rungs are expected to fail, and where it breaks even.

What it is not: a decision, or a measurement. Pure arithmetic. Invariants: money is integer nano-dollars and never
below zero; a rate lies strictly between 0 and 1 whatever was counted, so one lucky or unlucky answer decides nothing.

The algebra, for rungs 0 .. T that are called one after another until an answer is accepted:

    t_i = cost_i + checks_i + switch_i
    A_T = h_T x t_T                            what the last one costs where those below it failed
    A_i = h_i x t_i + q_i x A_(i+1)            ... and one between
    E_i = t_i + p_i x A_(i+1)                  what a cascade is expected to cost that begins at i; E_T = t_T

`p_i` is the share of arm i's answers that were not accepted, of requests that began with it; `q_i` the same of
requests on which a lower rung had failed, and `h_i` what a call costs on those against its mean. Hard requests are hard
for all arms, so q > p and h > 1; where they are not measured q = p and h = 1 are taken, and E_i = t_i + p_i x E_(i+1),
which is somewhat less than a cascade comes to. With two rungs q does not enter: what is paid does not depend on whether
the last answer is accepted.
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
    fails_again: float | None = None
    """The share that is not accepted where a lower rung failed; `None`: as `fails`."""


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


def following(rungs: Sequence[Rung]) -> list[float]:
    """What comes after each of these where it fails, in nano-dollars: nothing after the last."""
    costs = [0.0] * len(rungs)
    for n in range(len(rungs) - 2, -1, -1):
        above = rungs[n + 1]
        again = above.fails if above.fails_again is None else above.fails_again
        costs[n] = above.harder * above.total + again * costs[n + 1]
    return costs


def expected(rungs: Sequence[Rung]) -> list[int]:
    """What a cascade is expected to cost that begins at each of these and goes on to the last, in nano-dollars."""
    after = following(rungs)
    return [rung.total + round(rung.fails * after[n]) for n, rung in enumerate(rungs)]


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
        wider = failure.wider.judged if failure.wider is not None else 0
        by = f" by {wider:,} of all classes" if wider else ""
        return f"{work} has no judged answers of {rung.arm}, {percent(rung.fails)} are assumed to fail{by}"
    counted = percent(failure.failed / failure.judged)
    said = f"{work} fails {counted} of {failure.judged:,} judged at {rung.arm}"
    taken = percent(rung.fails)
    if failure.judged < FEW:
        return f"{said}, which are few, so {taken} is taken"
    return said if taken == counted else f"{said} ({taken} is taken)"
