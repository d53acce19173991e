"""Where a request begins on its ladder.

What it is not: whether it goes on (`going_on`), or the rules themselves (`rules`). Pure. Invariants: never more rungs
than steps, never none; mode `cost` never begins where it is expected to cost more than the rung that would be called
without a cascade; whatever is done has its reason.

In this order: the control tier's share; rungs that cannot serve the request, pass its limits or take too long; rules;
where the conversation was; what pays.
"""

from collections.abc import Sequence

import msgspec

from trimtab.catalogue import Arm
from trimtab.catalogue.money import about_dollars
from trimtab.routing.cascade.available import OfRung, available, begun_at
from trimtab.routing.cascade.expecting import Rung, break_even, expected, failing_said, following, percent
from trimtab.routing.cascade.ladder import Beginning, Facts, Known, Ladder
from trimtab.routing.cascade.rules import Rule, Rules, because, holds

AFTER_ESCALATING = 3.0
"""What was known of a lower rung counts as two answers once this conversation came up from it, and its failure there as
a third. Ours, not measured: a conversation on which a cheap arm failed is likely to be one on which it fails again."""

AFTER = ("after_last", "after_chain", "after_disliked")


def begin(ladder: Ladder, facts: Facts, known: Known, drawn: float, rules: Rules) -> Beginning:
    """On which rungs a request may be answered, the first one first. `drawn` is a number in [0, 1) that is the same for
    all requests of a conversation. Never raises, waits or spends.

    Cost: 40 us with four rungs and the shipped rules (`benchmarks/ladders.py`).
    """
    share = ladder.control_share if ladder.control is not None else 0.0
    if ladder.control is not None and drawn < share:
        return Beginning(
            rungs=(ladder.control,),
            reasons=(
                f"{ladder.control}: one of the {percent(share)} of conversations that are the baseline",
            ),
            propensity=share,
            baseline=True,
        )
    reasons: list[str] = []
    rungs = available(ladder, facts, known, rules, reasons)
    start, failed = _ruled(ladder, facts, rungs, rules, reasons)
    start = _sticky(ladder, facts, rungs, start, reasons)
    window = _window(ladder, facts, known, rungs, start, reasons)
    beginning = _paying(ladder, facts, window, reasons, 1.0 - share)
    return msgspec.structs.replace(beginning, after_failure=True) if failed else beginning


def _sticky(ladder: Ladder, facts: Facts, rungs: list[Rung], start: int, reasons: list[str]) -> int:
    """Where the conversation is, if that is above `start`, unless going back down there is expected to save more than
    its cold cache costs. Within a chain of tools it never goes down."""
    was = _place(ladder, rungs, facts.on_rung)
    if was is None or was <= start:
        return start
    if facts.chain:
        reasons.append(f"{rungs[was].arm}: this chain of tools is there")
        return was
    if facts.escalated:
        rungs = [
            rung._replace(fails=(2 * rung.fails + 1) / AFTER_ESCALATING) if n < was else rung
            for n, rung in enumerate(rungs)
        ]
    down, stay = begun_at(ladder, facts, rungs, start), begun_at(ladder, facts, rungs, was)
    lowest = begun_at(ladder, facts, rungs, 0) if start else down  # so that no rule makes it begin lower
    if max(down, lowest) < stay and (facts.judged or not facts.escalated):
        reasons.append(
            f"this conversation was at {rungs[was].arm}; back at {rungs[start].arm} it is expected to cost "
            f"{about_dollars(down)} instead of {about_dollars(stay)}, a cold cache counted"
        )
        return start
    reasons.append(f"{rungs[was].arm}: this conversation is there")
    return was


def _place(ladder: Ladder, rungs: Sequence[Rung], arm: Arm | None) -> int | None:
    """The place of an arm among these rungs; of one that is left out, that of the next above it; of one that is no
    rung, as after a change of the configuration, that of its model."""
    if arm is None:
        return None
    same = (one == arm for one in ladder.rungs), (one.model == arm.model for one in ladder.rungs)
    at = next((at for found in same for at, is_it in enumerate(found) if is_it), None)
    if at is None:
        return None
    return next((n for n, rung in enumerate(rungs) if rung.at >= at), len(rungs) - 1)


def _ruled(
    ladder: Ladder, facts: Facts, rungs: list[Rung], rules: Rules, reasons: list[str]
) -> tuple[int, bool]:
    """The highest place at which a rule begins, else the first; and whether it is above an answer that failed."""
    top = len(rungs) - 1
    highest, failed = 0, False
    for rule in rules.rules:
        if holds(rule, facts):
            at = min(top, _begins(rule, ladder, facts, rungs))
            if at > 0:
                reasons.append(f"{rungs[at].arm}: {because(rule, facts)}")
                failed = failed or rule.then in AFTER
            highest = max(highest, at)
    lifting = [rule for rule in rules.by_rung if rule.then != "leave_out"]
    while lifting and highest < top:
        of_rung = OfRung(ladder, facts, rungs, highest)
        lifts = [
            (min(top, _begins(rule, ladder, facts, rungs, highest)), rule)
            for rule in lifting
            if holds(rule, facts, of_rung)
        ]
        found, why = next(((at, rule) for at, rule in lifts if at > highest), (highest, None))
        if why is None:
            break
        reasons.append(f"{rungs[found].arm}: {because(why, facts, of_rung)}")
        highest = found
    return highest, failed


def _begins(rule: Rule, ladder: Ladder, facts: Facts, rungs: Sequence[Rung], at: int = 0) -> int:
    if rule.then in ("+1", "+2"):
        return at + int(rule.then)
    if rule.then == "top":
        return len(rungs) - 1
    if rule.then in AFTER:
        arms = facts.disliked_on if rule.then == "after_disliked" else ()
        if rule.then != "after_disliked":
            arm = facts.on_rung if rule.then == "after_last" else facts.chain_on
            arms = (arm,) if arm is not None else ()
        places = [place for arm in arms if (place := _place(ladder, rungs, arm)) is not None]
        return max(places, default=0) + 1
    return next((n for n, rung in enumerate(rungs) if rung.arm.model == rule.model), len(rungs) - 1)


def _window(
    ladder: Ladder, facts: Facts, known: Known, rungs: list[Rung], start: int, reasons: list[str]
) -> list[Rung]:
    """The rungs that are called one after another from `start` on, as many as steps permit."""
    steps = ladder.steps if facts.judged else 1
    window: list[Rung] = []
    skipping: str | None = None
    for rung in rungs[start:]:
        if len(window) == steps:
            break
        if rung.arm.model == skipping:
            continue
        window.append(rung)
        skipping = None
        if any(other.arm.model != rung.arm.model for other in rungs[start:] if other.at > rung.at) and (
            known.prefers_model(rung.arm)
        ):
            skipping = rung.arm.model
            reasons.append(f"after {rung.arm} another model: the table of efforts says so for this class")
    return window


def _paying(
    ladder: Ladder, facts: Facts, window: list[Rung], reasons: list[str], propensity: float
) -> Beginning:
    costs = expected(window)
    first, direct = 0, window[-1]
    if len(window) > 1:
        if ladder.mode == "cost":
            first = min(range(len(window)), key=lambda n: (costs[n], -n))
            reasons.append(_cost_said(facts, window, costs, first))
        else:
            reasons.append(_quality_said(window, costs))
    elif not facts.judged and len(ladder.rungs) > 1:
        reasons.append(f"{window[0].arm}: one step, for no answer is held back until it is judged")
    return Beginning(
        rungs=tuple(rung.arm for rung in window[first:]),
        reasons=tuple(reasons),
        propensity=propensity,
        expected_nanousd=costs[first],
        direct_nanousd=direct.total,
    )


def _cost_said(facts: Facts, window: Sequence[Rung], costs: Sequence[int], first: int) -> str:
    direct, lowest = window[-1], window[0]
    if first == 0:
        return (
            f"cascade from {lowest.arm} to {direct.arm}: {_against(costs[0], direct)}; "
            f"{failing_said(lowest, facts.task_class)}, break-even is {_break_even(window, costs, first)}"
        )
    begun = "cascade refused" if first == len(window) - 1 else f"cascade not begun at {lowest.arm}"
    going = (
        f"going to {direct.arm} directly"
        if first == len(window) - 1
        else f"beginning at {window[first].arm}, {_against(costs[first], direct)}"
    )
    figures = f"{failing_said(lowest, facts.task_class)}, break-even is {_break_even(window, costs, first)}"
    return f"{begun}: {figures}; {going}"


def _break_even(window: Sequence[Rung], costs: Sequence[int], first: int) -> str:
    """Of the lowest rung: against the direct one where it is begun with, else against where it is begun instead."""
    instead = window[-1].total if first == 0 else costs[first]
    share = break_even(window[0].total, following(window)[0], instead)
    if share < 0:
        return f"never reached: {window[0].arm} alone costs {about_dollars(window[0].total)}, not less"
    return percent(min(share, 1.0))


def _quality_said(window: Sequence[Rung], costs: Sequence[int]) -> str:
    return f"cascade from {window[0].arm} to {window[-1].arm} for quality: {_against(costs[0], window[-1])}"


def _against(cost: int, direct: Rung) -> str:
    more = f", {100 * (cost / direct.total - 1):+.0f} %" if direct.total > 0 else ""
    return f"{about_dollars(cost)} expected against {about_dollars(direct.total)} for {direct.arm} directly{more}"
