"""Places in order of preference, from what is known of them: pure, the same facts give the same order.

What it is not: health (a place that should not be called now is put last by `choosing`), or which conversation goes to
which of several equals. Invariants: every place is ranked, none twice; places that differ by no more than `NEAR` count
as equal; what was measured by few calls is drawn towards the mean of all.
"""

import math
from collections.abc import Sequence

import msgspec

from trimtab.messages import Usage
from trimtab.routing.commitments import Pace
from trimtab.routing.place import Candidate
from trimtab.routing.preferring import ChoosingSettings

USUAL_OUTPUT = 800
USUAL = Usage(
    input_tokens=2000,
    cache_creation_input_tokens=2000,
    cache_read_input_tokens=18_000,
    output_tokens=USUAL_OUTPUT,
)
"""What prices are compared by: a turn of an agent, as its conversation stands after some ten of them. Platforms differ
by one factor on all rates, so the mix only matters where an overlay names single prices."""

NEAR = math.log(1.05)
"""Places within 5 % of the best one are as good as it: differences below that are noise of the measurements."""

PRIOR_CALLS = 2.0
"""A measurement counts against the mean of all places as so many calls there: two slow calls condemn nobody."""
PRIOR_MS, PRIOR_TOKENS_PER_S = 1000.0, 60.0
"""Where nothing was measured at all; then all are alike, so the figures do not matter."""

TIGHT = 0.05
"""A place with less than a twentieth of its rate limit left comes after the others."""


class Facts(msgspec.Struct, frozen=True):
    """What is known of one place for one model."""

    candidate: Candidate
    price_nanousd: int
    """Of the usual mix there, with regional premium and discount."""
    pace: Pace | None = None
    """Of its commitment, where it has one."""
    first_content_ms: float | None = None
    tokens_per_s: float | None = None
    measured: float = 0.0
    """How many calls the two are worth by now."""
    room: float | None = None
    """The part of its rate limit that is left."""

    @property
    def key(self) -> str:
        """Of the place."""
        return self.candidate.place.key


class Ranked(msgspec.Struct, frozen=True):
    """One place with its rank."""

    facts: Facts
    group: int
    """0 is the best; places in one group are equal."""
    score: float
    """Less is better; what it means depends on the preference."""
    why: str
    """Why it has this rank, for the reasons of a choice."""
    weight: float
    """Its share among equals, against theirs: the keys of a pool share the weight of their entry."""


def rank(facts: Sequence[Facts], settings: ChoosingSettings) -> tuple[Ranked, ...]:
    """All places, best group first, within a group as configured."""
    if settings.prefer == "order":
        return by_order(facts)
    weights = _weights(facts)
    if settings.prefer == "weights":
        total = sum(weights)
        return tuple(
            Ranked(one, 0, 0.0, f"its share is {weight / total:.0%} of the conversations", weight)
            for one, weight in zip(facts, weights, strict=True)
        )
    scores = _scores(facts, settings)
    tight = [one.room is not None and one.room < TIGHT for one in facts]
    if all(tight):
        tight = [False] * len(facts)
    by_score = sorted(range(len(facts)), key=lambda at: (tight[at], scores[at]))
    groups: list[list[int]] = []
    for at in by_score:
        first = groups[-1][0] if groups else None
        if first is not None and tight[first] == tight[at] and scores[at] - scores[first] <= NEAR:
            groups[-1].append(at)
        else:
            groups.append([at])
    by_cost = settings.prefer == "cost" or (settings.prefer == "balanced" and settings.weights[0] > 0)
    ranked: list[Ranked] = []
    for number, group in enumerate(groups):
        after = facts[groups[number + 1][0]] if number + 1 < len(groups) else None
        lead = scores[groups[number + 1][0]] - scores[group[0]] if after is not None else 0.0
        for at in sorted(group):
            why = _why(facts, group, at, number, after, lead, settings.prefer)
            why += _beside(facts[at], tight[at], by_cost)
            ranked.append(Ranked(facts[at], number, scores[at], why, weights[at]))
    return tuple(ranked)


def by_order(facts: Sequence[Facts]) -> tuple[Ranked, ...]:
    """As they come; the keys of one entry's pool are equal."""
    names = list(dict.fromkeys(one.candidate.place.name for one in facts))
    keys = [sum(one.candidate.place.name == name for one in facts) for name in names]
    ranked: list[Ranked] = []
    for one in sorted(facts, key=lambda one: names.index(one.candidate.place.name)):
        at = names.index(one.candidate.place.name)
        why = "first in order" if at == 0 else f"number {at + 1} in order"
        if keys[at] > 1:
            why += f", one of {keys[at]} keys"
        ranked.append(Ranked(one, at, float(at), why, one.candidate.place.weight))
    return tuple(ranked)


def _weights(facts: Sequence[Facts]) -> list[float]:
    names = [one.candidate.place.name for one in facts]
    return [one.candidate.place.weight / names.count(one.candidate.place.name) for one in facts]


def _scores(facts: Sequence[Facts], settings: ChoosingSettings) -> list[float]:
    """Logarithms, so that a difference of 0.05 is about 5 %, whatever it is of."""
    cost = [
        math.log(max(one.price_nanousd, 1) * (one.pace.factor if one.pace is not None else 1))
        for one in facts
    ]
    if settings.prefer == "cost":
        return cost
    waits = _estimates([(one.first_content_ms, one.measured) for one in facts], PRIOR_MS)
    speeds = _estimates([(one.tokens_per_s, one.measured) for one in facts], PRIOR_TOKENS_PER_S)
    if settings.prefer == "speed":
        return [
            math.log(math.exp(wait) / 1000 + USUAL_OUTPUT / math.exp(speed))
            for wait, speed in zip(waits, speeds, strict=True)
        ]
    told = [one.room for one in facts if one.room is not None]
    mean_room = sum(told) / len(told) if told else 1.0
    for_cost, for_wait, for_speed, for_room = settings.weights
    return [
        for_cost * (cost[at] - min(cost))
        + for_wait * (waits[at] - min(waits))
        + for_speed * (max(speeds) - speeds[at])
        + for_room * (1 - (mean_room if one.room is None else one.room))
        for at, one in enumerate(facts)
    ]


def _estimates(measured: Sequence[tuple[float | None, float]], prior: float) -> list[float]:
    """Logarithms of figures; those of few calls are drawn towards the mean of all, those of none are it."""
    known = [
        (math.log(max(value, 1e-3)), calls) for value, calls in measured if value is not None and calls > 0
    ]
    calls_all = sum(calls for _, calls in known)
    mean = sum(value * calls for value, calls in known) / calls_all if calls_all else math.log(prior)
    return [
        mean
        if value is None
        else (math.log(max(value, 1e-3)) * calls + mean * PRIOR_CALLS) / (calls + PRIOR_CALLS)
        for value, calls in measured
    ]


def _why(
    facts: Sequence[Facts],
    group: Sequence[int],
    at: int,
    number: int,
    after: Facts | None,
    lead: float,
    prefer: str,
) -> str:
    if len(group) > 1:
        others = ", ".join(facts[other].key for other in group if other != at)
        return f"as good as {others} within 5 % by {_BY[prefer]}, so conversations are shared out"
    if number or after is None:
        return f"number {number + 1} by {_BY[prefer]}"
    if prefer == "balanced":
        return f"the best by {_BY[prefer]}, {lead:.2f} before {after.key}"
    more = f"{math.expm1(lead):.0%}"
    return f"{'the cheapest' if prefer == 'cost' else 'the fastest'}, {after.key} takes {more} more"


_BY = {"cost": "cost", "speed": "speed", "balanced": "cost, speed and room"}


def _beside(one: Facts, tight: bool, by_cost: bool) -> str:
    said = ""
    if by_cost and one.pace is not None and one.pace.factor < 1:
        would, counts = f"{one.pace.forecast:.0%}", f"{one.pace.factor:.0%}"
        said += f"; {would} of its commitment would be used, so {counts} of its price counts"
    if tight and one.room is not None:
        said += f"; {one.room:.0%} of its rate limit is left"
    return said
