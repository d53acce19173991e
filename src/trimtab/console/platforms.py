"""Platform entries: what the operator says of them, what they did for which model, and how they do now.

What it is not: the figures' source (`store.figures.platforms`), the health that routing goes by (`routing.standing`),
or the arithmetic of commitments (`routing.commitments`). Invariants: real and simulated are never on one page; figures
are those of everybody's requests, so who may see one organisation only is told nothing, unless it is the only one.
"""

import datetime
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

import trimtab.console.words as words
from trimtab.console.answers import Freshness
from trimtab.console.application import Shown
from trimtab.console.platform_answers import (
    CommitmentNow,
    EntryNow,
    ModelThere,
    PlaceNow,
    Platforms,
    Share,
)
from trimtab.console.questions import EVERYTHING, HOUR_MS, Question, Scope, Window
from trimtab.console.situation import InForce, Situation
from trimtab.console.visit import Visit
from trimtab.console.visitors import Visitor
from trimtab.errors import PermissionDenied, RequestError
from trimtab.routing import Commitment, Place, Spent, Standing
from trimtab.routing.commitments import pace
from trimtab.store.figures.platforms import Calls, PlatformFigures, together


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of one configuration."""

    places: tuple[Place, ...]
    simulated: frozenset[str]
    """Names of entries that no real model answers."""
    commitments: Mapping[str, Commitment]
    workers: int = 1


class Source(Protocol):
    """Where figures come from; `Figures` is one. Blocks, and raises `StoreError`."""

    def platforms(self, from_ms: int, to_ms: int, *, simulated: bool) -> tuple[PlatformFigures, ...]:
        """What each entry did in these hours."""
        ...

    def is_everything(self, scope: Scope) -> bool:
        """Whether who may see this scope may see everybody's figures."""
        ...

    def freshness(self) -> Freshness:
        """How far figures go that are read now."""
        ...


class PlatformsAsked:
    """Answers for one configuration: for the page, for programs, and for the command line."""

    def __init__(
        self,
        entries: Entries,
        figures: Source,
        *,
        clock_ms: Callable[[], int],
        spent: Callable[[str], Spent | None],
        standings: Callable[[], tuple[Standing, ...]],
    ) -> None:
        """`spent` and `standings` do not ask the store; they may be called from any thread."""
        self._entries = entries
        self._figures = figures
        self._clock_ms = clock_ms
        self._spent = spent
        self._standings = standings

    def read(self, question: Question, scope: Scope) -> Callable[[], Platforms]:
        """What is asked for, and how to answer it, which blocks. Raises `RequestError`."""
        if question.text("purposes") is not None:
            raise RequestError(
                "purposes: what a platform did is told for all purposes together; leave it out"
            )
        window = question.window(self._clock_ms())
        question.done()
        return lambda: self.answer(window, scope)

    def answer(self, window: Window, scope: Scope) -> Platforms:
        """Blocks. Raises `StoreError`, `PermissionDenied` for who may not see everybody's."""
        if scope != EVERYTHING and not self._figures.is_everything(scope):
            raise PermissionDenied(
                "what platforms did is told of everybody's requests together, and this key may see those of one "
                "organisation; look at the console, or on the machine at `trimtab models --platforms`"
            )
        now_ms = self._clock_ms()
        lately_ms = (now_ms - HOUR_MS) // HOUR_MS * HOUR_MS
        window = msgspec.structs.replace(
            window,
            from_ms=window.from_ms // HOUR_MS * HOUR_MS,
            to_ms=-(-window.to_ms // HOUR_MS) * HOUR_MS,
        )
        read = self._figures.platforms
        found = read(window.from_ms, window.to_ms, simulated=window.simulated)
        lately = read(lately_ms, lately_ms + 2 * HOUR_MS, simulated=window.simulated)
        return Platforms(
            window=window,
            lately_from_ms=lately_ms,
            workers=self._entries.workers,
            entries=self._told(window.simulated, found, lately, now_ms),
            freshness=self._figures.freshness(),
        )

    def _told(
        self,
        simulated: bool,
        found: Sequence[PlatformFigures],
        lately: Sequence[PlatformFigures],
        now_ms: int,
    ) -> tuple[EntryNow, ...]:
        now = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
        by_name: dict[str, list[Place]] = {}
        for place in self._entries.places:
            by_name.setdefault(place.name, []).append(place)
        recorded = {one.platform for one in found}
        standings: dict[str, list[Standing]] = {}
        for one in self._standings():
            standings.setdefault(one.place.partition("#")[0], []).append(one)
        told = []
        for name in [*by_name, *sorted(recorded - set(by_name))]:
            if (name in self._entries.simulated) is not simulated and name not in recorded:
                continue
            models = _models(
                [one for one in found if one.platform == name],
                {one.model: one.calls for one in lately if one.platform == name},
                standings.get(name, ()) if (name in self._entries.simulated) is simulated else (),
                by_name.get(name, ()),
            )
            told.append(self._entry(name, by_name.get(name, ()), models, simulated, now))
        return tuple(told)

    def _entry(
        self,
        name: str,
        places: Sequence[Place],
        models: tuple[ModelThere, ...],
        simulated: bool,
        now: datetime.datetime,
    ) -> EntryNow:
        place = places[0] if places else Place(name, "", {})
        committed = self._entries.commitments.get(name)
        return EntryNow(
            name=name,
            kind=place.platform,
            simulated=simulated,
            in_force=bool(places),
            hardware=place.hardware,
            data_region=place.data_region,
            online_from=place.online_from,
            online=place.online_from is None or place.online_from <= now.date(),
            weight=place.weight,
            discount=float(place.discount),
            regional=place.regional,
            accounts=tuple(one.account for one in places if one.account),
            serves=len({model for one in places for model in one.ids}),
            commitment=None
            if committed is None or (name in self._entries.simulated) is not simulated
            else _commitment(committed, self._spent(name), now),
            by_account=_by_account(models),
            models=models,
        )


def _by_account(models: Sequence[ModelThere]) -> dict[str, Calls]:
    found: dict[str, list[Calls]] = {}
    for there in models:
        for account, calls in there.accounts.items():
            found.setdefault(account, []).append(calls)
    return {account: together(*calls) for account, calls in found.items()}


def _models(
    found: Sequence[PlatformFigures],
    lately: Mapping[str, Calls],
    standings: Sequence[Standing],
    places: Sequence[Place],
) -> tuple[ModelThere, ...]:
    sent_as = {model: sent for place in places for model, sent in place.ids.items()}
    now: dict[str, list[PlaceNow]] = {}
    for one in standings:
        now.setdefault(one.model, []).append(_place_now(one))
    figures = {one.model: one for one in found}
    return tuple(
        _model(model, figures.get(model), lately.get(model, Calls()), now.get(model, ()), sent_as.get(model))
        for model in sorted(figures.keys() | now.keys())
    )


def _model(
    model: str,
    found: PlatformFigures | None,
    lately: Calls,
    now: Sequence[PlaceNow],
    sent_as: str | None,
) -> ModelThere:
    calls = Calls() if found is None else found.calls
    return ModelThere(
        model=model,
        sent_as=sent_as,
        now=tuple(now),
        lately=share(lately.answered, lately.decided),
        calls=calls,
        answered=share(calls.answered, calls.decided),
        limited=share(calls.limited, calls.decided),
        price_nanousd=calls.price_nanousd,
        tokens_per_s=calls.tokens_per_s,
        first_p50_ms=None if found is None else found.first_p50_ms,
        first_p95_ms=None if found is None else found.first_p95_ms,
        last_error=None if found is None else found.last_error,
        accounts={} if found is None else found.accounts,
    )


def _place_now(one: Standing) -> PlaceNow:
    return PlaceNow(
        account=one.place.partition("#")[2],
        state=one.state,
        away=one.away,
        away_for_s=one.away_for_s,
        calls=one.calls,
        failures=one.failures,
        room=one.room,
        limits=one.limits,
    )


def _commitment(promised: Commitment, spent: Spent | None, now: datetime.datetime) -> CommitmentNow:
    stands = None if spent is None else pace(promised, spent, now)
    return CommitmentNow(
        nanousd=promised.nanousd,
        starts=promised.starts,
        until=promised.until,
        spent_nanousd=None if spent is None else spent.nanousd,
        lately_nanousd=None if spent is None else spent.lately_nanousd,
        lately_days=None if spent is None else spent.lately_days,
        state=None if stands is None else stands.state,
        passed=None if stands is None else stands.passed,
        used=None if stands is None else stands.used,
        forecast=None if stands is None else stands.forecast,
    )


def share(part: int, whole: int) -> Share:
    """With its 95 % interval."""
    return Share(part, whole, *(words.wilson(part, whole) if whole else (None, None)))


class PlatformsData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    platforms: Platforms
    in_force: InForce


class Row(msgspec.Struct, frozen=True):
    """One model at one entry, to be compared with the same model at others."""

    entry: EntryNow
    there: ModelThere
    cheapest: bool
    """Of several entries with a price, the lowest."""
    fastest: bool


class PlatformsPage:
    """Shows all entries."""

    def __init__(self, asked: PlatformsAsked, situation: Situation) -> None:
        self._asked = asked
        self._situation = situation

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown | None:
        """See `Page`."""
        question = Question(self._situation.completed(visit.query))
        found = self._asked.read(question, Scope(organisation=visitor.organisation))()
        in_force = self._situation.in_force()
        # Waits and fillings go on by themselves; a page is not drawn again for them every two seconds.
        state = hashlib.sha256(msgspec.json.encode(_steady(found))).hexdigest()[:16]
        if visit.shows(state):
            return None
        return Shown(
            template="platforms.html",
            title="Platforms",
            data=PlatformsData(platforms=found, in_force=in_force),
            values={"models": _by_model(found.entries)},
            simulated=found.window.simulated,
            state=state,
        )


def _by_model(entries: Sequence[EntryNow]) -> list[tuple[str, list[Row]]]:
    """Models with the entries that were called for them, so that these can be compared."""
    found: dict[str, list[tuple[EntryNow, ModelThere]]] = {}
    for entry in entries:
        for there in entry.models:
            found.setdefault(there.model, []).append((entry, there))
    told = []
    for model, rows in sorted(found.items()):
        prices = [there.price_nanousd for _, there in rows if there.price_nanousd is not None]
        speeds = [there.tokens_per_s for _, there in rows if there.tokens_per_s is not None]
        told.append(
            (
                model,
                [
                    Row(
                        entry,
                        there,
                        len(prices) > 1 and there.price_nanousd == min(prices),
                        len(speeds) > 1 and there.tokens_per_s == max(speeds),
                    )
                    for entry, there in rows
                ],
            )
        )
    return told


def _steady(found: Platforms) -> object:
    """What is shown, without what changes with time alone."""
    entries = []
    for entry in found.entries:
        models = [
            msgspec.structs.replace(there, now=tuple(_rounded(one) for one in there.now))
            for there in entry.models
        ]
        commitment = entry.commitment
        if commitment is not None:
            commitment = msgspec.structs.replace(
                commitment,
                lately_days=None,
                passed=_thousandths(commitment.passed),
                forecast=_thousandths(commitment.forecast),
            )
        entries.append(msgspec.structs.replace(entry, models=tuple(models), commitment=commitment))
    return [found.window.name, found.lately_from_ms, entries]


def _rounded(one: PlaceNow) -> PlaceNow:
    return msgspec.structs.replace(
        one,
        away=one.away and one.away.rpartition(" in ")[0],
        away_for_s=round(one.away_for_s / 5),
        room=None if one.room is None else round(one.room, 1),
        limits=(),
    )


def _thousandths(part: float | None) -> float | None:
    return None if part is None else round(part, 3)
