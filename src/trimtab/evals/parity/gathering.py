"""What differs in the same way in every case is said once, so that it does not hide what differs in some.

What it is not: a judgement; it moves differences, and loses none. Pure.
"""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from trimtab.evals.parity.facts import Observed
from trimtab.evals.parity.judging import Difference, Judged

LEAST_CASES = 3
"""Fewer are no rule."""

Runs = tuple[Sequence[Observed], Sequence[Observed]]


class Everywhere(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that every case has in which both sides show the fact."""

    model: str
    difference: Difference
    cases: int


def gathered(
    found: Sequence[tuple[Judged, Runs]],
) -> tuple[list[tuple[Judged, Runs]], tuple[Everywhere, ...]]:
    """The cases without what differs everywhere, and that."""
    having: dict[tuple[str, str], set[int]] = defaultdict(set)
    differing: dict[tuple[str, Difference], set[int]] = defaultdict(set)
    odd: set[tuple[str, str]] = set()
    for place, (judged, runs) in enumerate(found):
        names = [{name for run in side if not run.unclear for name in run.facts} for side in runs]
        for name in names[0] & names[1]:
            having[judged.model, _plain(name)].add(place)
        told = {difference.fact for difference in judged.differences}
        odd |= {(judged.model, _plain(name)) for name in names[0] & names[1] if name not in told}
        for difference in judged.differences:
            plain = msgspec.structs.replace(difference, fact=_plain(difference.fact))
            differing[judged.model, plain].add(place)
    everywhere = {
        (model, difference): places
        for (model, difference), places in differing.items()
        if len(places) >= LEAST_CASES
        and (model, difference.fact) not in odd
        and places == having[model, difference.fact]
        and sum(other == model and one.fact == difference.fact for other, one in differing) == 1
    }
    return (
        [(_without(judged, everywhere), runs) for judged, runs in found],
        tuple(
            Everywhere(model=model, difference=difference, cases=len(places))
            for (model, difference), places in everywhere.items()
        ),
    )


def _without(judged: Judged, everywhere: dict[tuple[str, Difference], set[int]]) -> Judged:
    left = tuple(
        difference
        for difference in judged.differences
        if (judged.model, msgspec.structs.replace(difference, fact=_plain(difference.fact))) not in everywhere
    )
    if len(left) == len(judged.differences):
        return judged
    outcome = "different" if left else "inconclusive" if judged.doubts else "same"
    return msgspec.structs.replace(judged, differences=left, outcome=outcome)


def _plain(fact: str) -> str:
    """Without the step."""
    return fact.rpartition(": ")[2]
