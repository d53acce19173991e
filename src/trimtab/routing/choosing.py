"""Which of several places is called, in which order the others follow, and why.

What it is not: who may be called at all (`decide`), or what is done after a failure (the engine's). Pure over what it
is given: standings, prices, commitments, a clock. Invariants: every candidate is in the order, once; those that should
not be called now come last; the same conversation gets the same place in every process that knows the same, without a
word between them; a conversation that had to leave its place does not come back before its prompt cache there is gone.

Cost: 3 us where each place has a rank of its own, 2 us more for each one among equals; once a second 10 us a place.
"""

import datetime
import math
from collections.abc import Callable, Mapping
from hashlib import blake2b

import msgspec

from trimtab.catalogue import Catalogue, Model
from trimtab.routing.commitments import Commitment, Spent, pace
from trimtab.routing.homes import Home, Homes
from trimtab.routing.place import Candidate
from trimtab.routing.preferring import ChoosingSettings
from trimtab.routing.ranking import USUAL, Facts, Ranked, by_order, rank
from trimtab.routing.standing import Standings

RANKED_S = 1.0
"""A ranking holds for so long. Health is asked for every request."""

KNOWN_MOST = 1024
"""Rankings that are kept, of about 2 KB; as many as decisions."""

TRY_ONE_IN = 32
"""Where speed counts, so many conversations go by what is known for one that goes to a place not measured lately."""
MEASURED_LEAST = 1.0
"""Calls, decayed, below which a place is not measured."""

_WHOLE = 1 << 64


class Choice(msgspec.Struct, frozen=True):
    """The places for one request, the first one first, and why so, in short sentences."""

    order: tuple[Candidate, ...]
    reasons: tuple[str, ...]


class _Seat:
    """One ranked place, ready for use."""

    __slots__ = ("candidate", "key", "mark", "unmeasured", "weight", "why")

    def __init__(self, ranked: Ranked) -> None:
        place = ranked.facts.candidate.place
        self.candidate = ranked.facts.candidate
        self.key = place.key
        self.why = f"{self.key}: {ranked.why}"
        self.weight = ranked.weight
        self.mark = blake2b(self.key.encode(), digest_size=16).digest()
        self.unmeasured = ranked.facts.measured < MEASURED_LEAST


class _Ranking:
    __slots__ = ("candidates", "groups", "seats", "trying", "until")

    def __init__(
        self, candidates: tuple[Candidate, ...], until: float, ranked: tuple[Ranked, ...], measures: bool
    ) -> None:
        self.candidates = candidates
        """Held, so that its identity is nobody else's."""
        self.until = until
        groups: dict[int, list[_Seat]] = {}
        for one in ranked:
            groups.setdefault(one.group, []).append(_Seat(one))
        self.groups = tuple(groups.values())
        self.seats = [seat for group in self.groups for seat in group]
        new = [seat for seat in self.seats if seat.unmeasured] if measures else []
        self.trying = new if len(new) < len(self.seats) else []
        """Places to be measured, unless none is and they are all tried anyway."""


class Chooser:
    """Chooses by one version of the configuration. Used on the event loop only."""

    def __init__(
        self,
        settings: ChoosingSettings,
        catalogue: Catalogue,
        standings: Standings,
        homes: Homes,
        *,
        monotonic: Callable[[], float],
        now: Callable[[], datetime.datetime],
        commitments: Mapping[str, Commitment] | None = None,
        spent: Callable[[str], Spent | None] | None = None,
    ) -> None:
        """`commitments` and `spent` by the name of the entry; one whose spending is not known has no effect."""
        self._settings = settings
        self._catalogue = catalogue
        self._standings = standings
        self._homes = homes
        self._monotonic = monotonic
        self._now = now
        self._commitments = commitments or {}
        self._spent = spent
        self._measures = settings.prefer == "speed" or (
            settings.prefer == "balanced" and bool(settings.weights[1] or settings.weights[2])
        )
        self._rankings: dict[tuple[int, str, bool], _Ranking] = {}

    def choose(
        self, model: Model, candidates: tuple[Candidate, ...], conversation: str, *, in_order: bool = False
    ) -> Choice:
        """All candidates, the one to call first, and why; `in_order`: as they come, for the caller named the order.

        Never waits, never spends. Give the same tuple for the same question: rankings are kept by it.
        """
        now = self._monotonic()
        asked = (id(candidates), model.id, in_order)
        ranking = self._rankings.get(asked)
        if ranking is None or now >= ranking.until:
            ranking = self._ranking(model, candidates, in_order, now)
            if len(self._rankings) >= KNOWN_MOST:
                self._rankings.clear()
            self._rankings[asked] = ranking
        seats = _spread(ranking, conversation)
        sticky = self._settings.sticky and not in_order and bool(conversation)
        home = self._homes.of(conversation, model.id, now) if sticky else None
        first, why = self._begin(ranking, seats, home, conversation)
        if first is not seats[0]:
            seats = [first, *(seat for seat in seats if seat is not first)]
        kept_away = self._standings.keeps_away
        free: list[_Seat] = []
        kept: list[_Seat] = []
        reasons = [why]
        for seat in seats:
            away = kept_away(seat.key, model.id)
            if away is None:
                free.append(seat)
            else:
                kept.append(seat)
                reasons.append(f"{seat.key} is left out for now: {away}")
        if kept:
            if len(kept) > 1:  # one that only failed may answer; one that refused will refuse
                kept.sort(key=lambda seat: not self._standings.is_last_resort(seat.key, model.id))
            if not free:
                reasons[0] = f"{kept[0].key}: no other place is left"
            elif free[0] is not first:
                reasons[0] = free[0].why
        order = [*free, *kept]
        if sticky:
            self._settle(conversation, model.id, home, order[0], order[0] is not first, now)
        return Choice(tuple([seat.candidate for seat in order]), tuple(reasons))

    def _begin(
        self, ranking: _Ranking, seats: list[_Seat], home: Home | None, conversation: str
    ) -> tuple[_Seat, str]:
        """Where it would go if every place may be called."""
        if home is not None:
            for seat in seats:
                if seat.key == home.place:
                    because = (
                        "this conversation went there when it had to leave"
                        if home.away
                        else "this conversation is there"
                    )
                    return seat, f"{seat.key}: {because}"
        if ranking.trying and _share(conversation, b"try") < _WHOLE // TRY_ONE_IN:
            seat = _by_share(ranking.trying, conversation)[0]
            return seat, f"{seat.key}: not measured lately, so one conversation in {TRY_ONE_IN} goes there"
        return seats[0], seats[0].why

    def _settle(
        self, conversation: str, model_id: str, home: Home | None, seat: _Seat, displaced: bool, now: float
    ) -> None:
        until = now + self._settings.sticky_s
        if home is not None and home.place == seat.key:
            self._homes.stay(conversation, model_id, home, until)
        else:
            self._homes.settle(conversation, model_id, Home(seat.key, until, displaced))

    def _ranking(
        self, model: Model, candidates: tuple[Candidate, ...], in_order: bool, now: float
    ) -> _Ranking:
        facts = self._facts(model, candidates)
        ranked = by_order(facts) if in_order else rank(facts, self._settings)
        return _Ranking(candidates, now + RANKED_S, ranked, self._measures and not in_order)

    def _facts(self, model: Model, candidates: tuple[Candidate, ...]) -> list[Facts]:
        now = self._now()
        return [self._fact(model, candidate, now) for candidate in candidates]

    def _fact(self, model: Model, candidate: Candidate, now: datetime.datetime) -> Facts:
        place = candidate.place
        key = place.key
        commitment = self._commitments.get(place.name)
        spent = self._spent(place.name) if commitment is not None and self._spent is not None else None
        waited_ms, tokens_per_s, measured = self._standings.speed(key, model.id)
        return Facts(
            candidate,
            self._catalogue.price(
                model,
                USUAL,
                now,
                platform=place.platform,
                regional=place.regional,
                discount=place.discount,
            ),
            pace(commitment, spent, now) if commitment is not None and spent is not None else None,
            waited_ms,
            tokens_per_s,
            measured,
            self._standings.room(key, model.id),
        )


def _spread(ranking: _Ranking, conversation: str) -> list[_Seat]:
    """Best group first; within a group each conversation has an order of its own, by weight."""
    if len(ranking.groups) == len(ranking.seats):
        return ranking.seats
    order: list[_Seat] = []
    for group in ranking.groups:
        order += group if len(group) == 1 else _by_share(group, conversation)
    return order


def _by_share(seats: list[_Seat], conversation: str) -> list[_Seat]:
    """Weighted rendezvous hashing: each seat draws a number for the conversation, exponentially distributed at the
    rate of its weight, and the least one wins. When a seat is added or goes, no other conversation moves.

    Source: Schindelhauer and Schomaker, Weighted Distributed Hash Tables (2005), the logarithmic method.
    """
    drawn = [
        (-math.log((_share(conversation, seat.mark) + 1) / (_WHOLE + 1)) / seat.weight, at)
        for at, seat in enumerate(seats)
    ]
    drawn.sort()
    return [seats[at] for _, at in drawn]


def _share(conversation: str, mark: bytes) -> int:
    """A number below 2**64 that everybody finds for a conversation."""
    return int.from_bytes(
        blake2b(conversation.encode("utf-8", "replace"), digest_size=8, key=mark).digest(), "big"
    )
