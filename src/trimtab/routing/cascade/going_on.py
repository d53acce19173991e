"""Whether a request goes on to the next rung after an answer was judged.

What it is not: where it begins (`beginning`). Pure. Invariants: an accepted answer is the answer; what is left of time
and money wins over every reason to go on; never more attempts than steps.

Declared risk: an answer of which the verifiers are unsure goes out where the operator says `unsure = "release"`, unless
the share of the arm's answers that fail, times what a wrong answer costs, exceeds what the next step costs:

    p_i x error cost > t_(i+1)
"""

from collections.abc import Sequence

from trimtab.catalogue import Arm
from trimtab.catalogue.money import about_dollars, dollars
from trimtab.routing.cascade.expecting import assumed, fails, percent, total_of
from trimtab.routing.cascade.ladder import Beginning, Estimate, Facts, Known, Ladder, Made, Next


def next_step(
    ladder: Ladder,
    beginning: Beginning,
    made: Sequence[Made],
    facts: Facts,
    known: Known,
    *,
    left_s: float | None,
    spent_nanousd: int,
) -> Next:
    """The next arm to call, or none, after the last step of `made`. Never raises, waits or spends.

    `left_s`: until no step may run any longer. `spent_nanousd`: what the request came to so far, checks included.
    Cost: 3 us (measured).
    """
    if not made:
        return Next(beginning.rungs[0], "the first step")
    called = [step for step in made if step.called]
    last = called[-1] if called else made[-1]
    if last.says == "accept":
        return Next(None, f"{last.arm} was accepted")
    if beginning.baseline:
        return Next(None, "the baseline's answer is not escalated")
    if len(called) >= ladder.steps and _after(beginning, made):
        return Next(None, f"{_failed(last)}; {_steps(ladder.steps)} made, and no more are allowed")
    rest = _after(beginning, made)
    if not rest:
        return Next(None, f"{_failed(last)}; there is no further rung")
    refused: list[str] = []
    for arm in rest:
        estimate = known.estimate(arm)
        why = _limited(ladder, arm, estimate, left_s, spent_nanousd)
        if why is None:
            return _wanted(ladder, last, arm, estimate, facts, known, refused)
        refused.append(why)
    return Next(None, f"{_failed(last)}; {'; '.join(refused)}")


def _steps(count: int) -> str:
    return "1 step was" if count == 1 else f"{count} steps were"


def _after(beginning: Beginning, made: Sequence[Made]) -> tuple[Arm, ...]:
    """The rungs above the last one that was called."""
    called = [n for n, arm in enumerate(beginning.rungs) if any(step.arm == arm for step in made)]
    return beginning.rungs[max(called, default=len(made) - 1) + 1 :]


def _limited(
    ladder: Ladder, arm: Arm, estimate: Estimate, left_s: float | None, spent_nanousd: int
) -> str | None:
    """Why time or money forbid this step; `None`: they do not."""
    if left_s is not None:
        if left_s <= 0:
            return "no time is left"
        if estimate.ms is not None and estimate.ms > left_s * 1000:
            return f"{arm} usually takes {estimate.ms / 1000:.3g} s, and {left_s:.3g} s are left"
    most, cost = ladder.most_nanousd, total_of(estimate)
    if most is not None and spent_nanousd + cost > most:
        return (
            f"{about_dollars(spent_nanousd)} are spent, {arm} is expected to cost {about_dollars(cost)}, and the most "
            f"is {dollars(most)}"
        )
    return None


def _wanted(
    ladder: Ladder,
    last: Made,
    arm: Arm,
    estimate: Estimate,
    facts: Facts,
    known: Known,
    refused: Sequence[str],
) -> Next:
    beside = f"; {'; '.join(refused)}" if refused else ""
    if last.says != "unsure" or ladder.unsure == "escalate":
        return Next(arm, f"{_failed(last)}{beside}")
    error_cost = facts.error_cost_nanousd
    if error_cost is None:
        error_cost = ladder.error_cost_nanousd
    if error_cost is None:
        return Next(None, f"{_failed(last)}, which is released as the route says")
    share = _share(ladder, last.arm, known)
    risk, extra = round(share * error_cost), total_of(estimate)
    figures = (
        f"{percent(share)} of its answers fail, which at {about_dollars(error_cost)} each comes to "
        f"{about_dollars(risk)}; {arm} costs {about_dollars(extra)}"
    )
    if risk > extra:
        return Next(arm, f"{_failed(last)}: {figures}{beside}")
    return Next(None, f"{_failed(last)}, which is released: {figures}")


def _share(ladder: Ladder, arm: Arm, known: Known) -> float:
    at = ladder.rungs.index(arm) if arm in ladder.rungs else 0
    return fails(known.failure(arm), assumed(at, len(ladder.rungs)))


def _failed(last: Made) -> str:
    if last.says is None:
        return f"{last.arm} gave no answer"
    return f"{last.arm} was not accepted" if last.says == "escalate" else f"of {last.arm} nobody is sure"
