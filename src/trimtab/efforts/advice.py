"""Advice on effort: start high, watch, adjust. Pure.

What it is not: a change; a person applies it or does not. Invariants: a lower effort is proposed only where outcomes
show, at 95 % over all steps together, that it succeeds at most the margin less often, and that it costs less; a higher
one only where they show that it succeeds more often; where they do not decide, the present effort is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from trimtab.catalogue import EFFORTS, Effort
from trimtab.efforts.building import RECORDS_MAX, build_table
from trimtab.efforts.comparing import MARGIN, needed
from trimtab.efforts.table import Cell, ClassTable
from trimtab.stats.clusters import difference, ratio
from trimtab.store.figures.efforts import AskedOnce

Kind = Literal["lower", "raise", "keep", "no data"]

MINOR = 0.05
"""Of a place's requests: a model with less is tried out, or left over, and says nothing of the place."""

SURE = 0.95
"""Of the two-sided interval that decides a step, so each side is at 97.5 %. At 95 %, a truth right at the margin was
proposed in up to 7 % of simulated classes (50 conversations of alike requests), so here the bar of 5 % holds with room:
`benchmarks/advice.py`."""

Place = tuple[str, str]
"""The route whose effort decides (empty: none), and the class of work."""


class StepTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison on the way: another effort against the present one."""

    effort: str
    difference: float
    """Of success: this one minus the present one."""
    low: float
    high: float
    """Its interval of 95 %, which decides."""
    cost_ratio: float | None
    cost_high: float | None
    """How many times the present cost it may be, by an interval of 95 %."""
    passed: bool
    needed: int | None = None
    """Outcomes of each with which one as good would probably pass."""


class EffortAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """What is proposed for one place and model."""

    route: str
    task_class: str
    model: str
    kind: Kind
    present: str
    """The effort that is worked at, as it is recorded; empty where nothing is known."""
    proposed: str
    """The same where nothing is proposed."""
    why: str
    unit: str = "request"
    present_cell: Cell | None = None
    proposed_cell: Cell | None = None
    steps: tuple[StepTaken, ...] = ()


def advise(
    requests: Iterable[AskedOnce],
    place_of: Callable[[AskedOnce], Place],
    present_of: Callable[[Place, str], Effort | None],
    *,
    margin: float = MARGIN,
    most: int = RECORDS_MAX,
) -> tuple[EffortAdvice, ...]:
    """Advice for every place, and in it for every model that more than `MINOR` of its requests went to.

    `place_of` says what decides a request's effort; `present_of` which effort a place gives to a model now.
    """
    keys: dict[str, Place] = {}

    def key(asked: AskedOnce) -> str:
        place = place_of(asked)
        text = "\0".join(place)
        keys[text] = place
        return text

    renamed = (msgspec.structs.replace(asked, task_class=key(asked)) for asked in requests)
    table = build_table(renamed, from_ms=0, to_ms=0, simulated=False, most=most)
    found = []
    for one in table.classes:
        place = keys[one.task_class]
        for model in _models(one):
            found.append(advise_on(one, place, model, present_of(place, model), margin))
    return tuple(found)


def advise_on(
    table: ClassTable, place: Place, model: str, present: Effort | None, margin: float = MARGIN
) -> EffortAdvice:
    """Advice for one place and model. Where nothing is known of the present effort, the highest that was tried is what
    others are compared with."""
    cells = {cell.effort: cell for cell in table.cells if cell.model == model and cell.effort in EFFORTS}
    known = [effort for effort in EFFORTS if effort in cells and cells[effort].success is not None]
    reference = present if present in known else known[-1] if known and present is None else None
    advice = EffortAdvice(
        route=place[0],
        task_class=place[1],
        model=model,
        kind="no data",
        present=present or reference or "",
        proposed=present or reference or "",
        why="",
        unit=table.unit,
    )
    if reference is None:
        if known:
            told = cells[present].told_conversations if present in cells else 0
            why = (
                f"{present}, which is worked at now, has outcomes of {told} conversations, and 20 are needed"
            )
        else:
            told = max((cell.told_conversations for cell in cells.values()), default=0)
            why = f"no effort has outcomes of 20 conversations (the most: {told}); tell outcomes, and start high"
        return msgspec.structs.replace(advice, why=why)
    advice = msgspec.structs.replace(
        advice, kind="keep", present_cell=cells[reference], proposed_cell=cells[reference]
    )
    lower = [cells[effort] for effort in reversed(known) if EFFORTS.index(effort) < EFFORTS.index(reference)]
    higher = [cells[effort] for effort in known if EFFORTS.index(effort) > EFFORTS.index(reference)]
    steps = _descent(cells[reference], lower, margin)
    passed = [cell for cell, step in zip(lower, steps, strict=False) if step.passed]
    if passed:
        return msgspec.structs.replace(
            advice,
            kind="lower",
            proposed=passed[-1].effort,
            proposed_cell=passed[-1],
            steps=tuple(steps),
            why=f"succeeds at most {100 * margin:g} points less often, and costs less",
        )
    if higher:
        up = _step(cells[reference], higher[0], margin)
        steps.append(msgspec.structs.replace(up, passed=up.low > 0 and up.difference >= margin, needed=None))
        if steps[-1].passed:
            return msgspec.structs.replace(
                advice,
                kind="raise",
                proposed=higher[0].effort,
                proposed_cell=higher[0],
                steps=tuple(steps),
                why="succeeds more often",
            )
    return msgspec.structs.replace(advice, steps=tuple(steps), why=_why_kept(lower, higher, steps, margin))


def _descent(reference: Cell, lower: Sequence[Cell], margin: float) -> list[StepTaken]:
    """One effort after the other, downwards, until one does not pass: in an order fixed beforehand, each test may be
    at 5 % and all of them together are.

    Source: W. Maurer, L. A. Hothorn and W. Lehmacher, "Multiple comparisons in drug clinical trials" (1995): fixed
    sequences.
    """
    steps = []
    for cell in lower:
        steps.append(_step(reference, cell, margin))
        if not steps[-1].passed:
            break
    return steps


def _step(reference: Cell, cell: Cell, margin: float) -> StepTaken:
    assert reference.success is not None
    assert cell.success is not None
    interval = difference(reference.success.rate, cell.success.rate, SURE)
    costs = None
    if reference.cost is not None and cell.cost is not None:
        costs = ratio(reference.cost, cell.cost, SURE)
    passed = interval.low > -margin and costs is not None and costs.high < 1
    return StepTaken(
        effort=cell.effort,
        difference=cell.success.value - reference.success.value,
        low=interval.low,
        high=interval.high,
        cost_ratio=None
        if costs is None or reference.cost is None or cell.cost is None
        else cell.cost.value / reference.cost.value,
        cost_high=None if costs is None else costs.high,
        passed=passed,
        needed=needed(reference, cell, margin, SURE) if not passed and interval.high >= -margin else None,
    )


def _why_kept(
    lower: Sequence[Cell], higher: Sequence[Cell], steps: Sequence[StepTaken], margin: float
) -> str:
    if not lower and not higher:
        return (
            "no other effort has outcomes of 20 conversations; to learn whether less does, give a part of this work a "
            "lower effort by chance (a tag and a route)"
        )
    if not lower:
        return "no lower effort has outcomes of 20 conversations, and the next higher one is not shown to do better"
    first = steps[0]
    if first.high < -margin:
        return f"{first.effort} succeeds more than {100 * margin:g} points less often"
    if first.low > -margin:
        return f"{first.effort} does as well but is not shown to cost less"
    return f"inconclusive: {first.effort} may succeed up to {-100 * first.low:.0f} points less often"


def _models(table: ClassTable) -> list[str]:
    """Those that more than a minor part of its requests went to, the most used first."""
    asked: dict[str, int] = {}
    for cell in table.cells:
        asked[cell.model] = asked.get(cell.model, 0) + cell.asked
    least = MINOR * sum(asked.values())
    return sorted(
        (model for model in asked if asked[model] > least), key=lambda model: (-asked[model], model)
    )
