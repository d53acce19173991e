"""Which rungs of a ladder may be called for a request, with what is known of each.

What it is not: which of them is called first (`beginning`). Pure. Invariants: at least one is left; limits of money and
time leave out before any rule is asked.
"""

from collections.abc import Sequence

from trimtab.catalogue.money import about_dollars, dollars
from trimtab.routing.cascade.expecting import Rung, assumed, expected, fails, total_of
from trimtab.routing.cascade.ladder import Facts, Known, Ladder
from trimtab.routing.cascade.rules import Rules, Value, because, holds


def available(ladder: Ladder, facts: Facts, known: Known, rules: Rules, reasons: list[str]) -> list[Rung]:
    """The rungs that may be called, in their order; why others may not goes into `reasons`."""
    rungs = _within_limits(ladder, _able(ladder, facts, known, reasons), reasons)
    return _in_time(ladder, facts, rungs, rules, reasons)


def begun_at(ladder: Ladder, facts: Facts, rungs: Sequence[Rung], start: int) -> int:
    """What the cascade is expected to cost that would be begun at this place, or where it pays above it."""
    costs = expected(rungs[start : start + (ladder.steps if facts.judged else 1)])
    return min(costs) if ladder.mode == "cost" else costs[0]


def _able(ladder: Ladder, facts: Facts, known: Known, reasons: list[str]) -> list[Rung]:
    """The rungs that can serve the request and differ from one another; where none can, all that differ."""
    differing: list[int] = []
    for at, arm in enumerate(ladder.rungs):
        if facts.effort is None or all(ladder.rungs[other].model != arm.model for other in differing):
            differing.append(at)
    if len(differing) < len(ladder.rungs):
        reasons.append(f"the client asks for effort {facts.effort}, so a model is one rung")
    fitting: list[int] = []
    for at in differing:
        lacks = _lacks(ladder, facts, at)
        if lacks is None:
            fitting.append(at)
        else:
            reasons.append(f"{ladder.rungs[at]} is left out: {lacks}")
    if not fitting:
        fitting = differing
        reasons.append("no rung takes the request as it is, so none is left out")
    return [_rung(ladder, known, at) for at in fitting]


def _lacks(ladder: Ladder, facts: Facts, at: int) -> str | None:
    if at >= len(ladder.fits):
        return None
    fit = ladder.fits[at]
    if facts.max_tokens is not None and facts.max_tokens > fit.max_output:
        return f"its answers end at {fit.max_output:,} tokens, and max_tokens is {facts.max_tokens:,}"
    if facts.input_tokens > fit.context:
        return f"about {facts.input_tokens:,} tokens are more than its context of {fit.context:,}"
    return "it takes no images" if facts.images and not fit.sees else None


def _rung(ladder: Ladder, known: Known, at: int) -> Rung:
    arm = ladder.rungs[at]
    estimate, failure = known.estimate(arm), known.failure(arm)
    share = fails(failure, assumed(at, len(ladder.rungs)), releases_unsure=ladder.unsure == "release")
    again = None
    if failure.later is not None:
        again = fails(failure.later, share, releases_unsure=ladder.unsure == "release")
    return Rung(at, arm, total_of(estimate), share, failure, estimate.ms, estimate.harder, again)


def _within_limits(ladder: Ladder, rungs: list[Rung], reasons: list[str]) -> list[Rung]:
    """Without the rungs that pass what the request may cost, or take, by themselves: no rule brings them back. Where
    all do, the cheapest stays, which is called under the same limits."""
    most, within_s = ladder.most_nanousd, ladder.within_s
    if most is None and within_s is None:
        return rungs
    kept: list[Rung] = []
    for rung in rungs:
        if most is not None and rung.total > most:
            cost = about_dollars(rung.total)
            reasons.append(
                f"{rung.arm} is left out: it is expected to cost {cost}, and the most is {dollars(most)}"
            )
        elif within_s is not None and rung.ms is not None and rung.ms > within_s * 1000:
            usual = f"it usually takes {rung.ms / 1000:.3g} s"
            reasons.append(f"{rung.arm} is left out: {usual}, and the request has {within_s:.3g} s")
        else:
            kept.append(rung)
    return kept or [min(rungs, key=lambda rung: rung.total)]


def _in_time(ladder: Ladder, facts: Facts, rungs: list[Rung], rules: Rules, reasons: list[str]) -> list[Rung]:
    """Without the rungs that a rule leaves out; where it leaves out all, the one that is usually the quickest."""
    leaving = [rule for rule in rules.by_rung if rule.then == "leave_out"]
    if not leaving:
        return rungs
    kept: list[Rung] = []
    out: list[str] = []
    for n, rung in enumerate(rungs):
        of_rung = OfRung(ladder, facts, rungs, n)
        rule = next((one for one in leaving if holds(one, facts, of_rung)), None)
        if rule is None:
            kept.append(rung)
        else:
            out.append(f"{rung.arm} is left out: {because(rule, facts, of_rung)}")
    if not kept:
        kept = [min(rungs, key=lambda rung: (rung.ms is None, rung.ms or 0.0))]
        out.append(f"{kept[0].arm} stays: it is usually the quickest")
    reasons += out
    return kept


class OfRung:
    """Facts of a rung as rules ask for them, worked out when one does: what its wrong answers cost, and what beginning
    at the rung after it costs more.

    risk = p_n x error cost; extra = E_(n+1) - E_n, each cascade as it would be begun there.
    """

    __slots__ = ("_at", "_facts", "_ladder", "_rungs")

    def __init__(self, ladder: Ladder, facts: Facts, rungs: Sequence[Rung], at: int) -> None:
        self._ladder = ladder
        self._facts = facts
        self._rungs = rungs
        self._at = at

    def get(self, name: str) -> Value:
        """The value of one of `RUNG_FACTS`; `None` where it is not known."""
        ladder, facts, rung = self._ladder, self._facts, self._rungs[self._at]
        if name == "model":
            return rung.arm.model
        if name == "usual_ms":
            return rung.ms
        if name == "latency_ms":
            latency_s = facts.latency_s if facts.latency_s is not None else ladder.latency_s
            return None if latency_s is None else latency_s * 1000
        error_cost = facts.error_cost_nanousd
        if error_cost is None:
            error_cost = ladder.error_cost_nanousd
        if name == "error_cost_usd" or error_cost is None or self._at + 1 == len(self._rungs):
            return error_cost if name == "error_cost_usd" else None
        return round(rung.fails * error_cost) if name == "risk_usd" else self._extra()

    def _extra(self) -> int:
        here = begun_at(self._ladder, self._facts, self._rungs, self._at)
        return max(0, begun_at(self._ladder, self._facts, self._rungs, self._at + 1) - here)
