"""The operator's rules of where a request may go at all: a tier's platforms, regions of data, first days.

What it is not: a preference among those that remain (`choosing`). Invariant: a place that a rule leaves out is never
called, not even when no other is left; then the caller is told which rule it is.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from trimtab.catalogue import Catalogue, TierPlaces, Tiers
from trimtab.config import fail
from trimtab.errors import ConfigError, NotFound, PermissionDenied
from trimtab.routing.place import Candidate, Place, is_online, stays_in
from trimtab.routing.preferring import check_declared

ANYWHERE = TierPlaces()


class Permitted(msgspec.Struct, frozen=True):
    """The places that the rules leave, and what they leave out, for the reasons of a decision."""

    candidates: tuple[Candidate, ...]
    left_out: str | None = None


def permitted(
    candidates: Sequence[Candidate],
    model_id: str,
    tier: TierPlaces,
    data_regions: tuple[str, ...] | None,
    today: datetime.date,
    *,
    keep_order: bool = False,
) -> Permitted:
    """Those of the candidates that may be called today (UTC), a tier's in its order unless theirs is to be kept.

    Raises `PermissionDenied` or `NotFound` where none may, which says why each is left out.
    """
    if tier.platforms is not None:
        there = candidates
        candidates = (
            [one for one in candidates if one.place.name in tier.platforms]
            if keep_order
            else _in_order(candidates, tier.platforms)
        )
        if not candidates:
            raise PermissionDenied(
                f"model: {model_id!r} of this tier is served by {_all(tier.platforms)} only, and this request may use "
                f"{_all(dict.fromkeys(one.place.name for one in there))} only; name the model itself, or another tier"
            )
    kept: list[Candidate] = []
    out: dict[str, str] = {}
    by_region = False
    for candidate in candidates:
        place = candidate.place
        if not stays_in(place.data_region, data_regions, tier.data_regions):
            by_region = True
            out[place.name] = (
                f"{place.name} declares no data region"
                if place.data_region is None
                else f"the data region of {place.name} is {place.data_region}"
            )
        elif not is_online(place.online_from, today):
            out[place.name] = f"{place.name} is online from {place.online_from}"
        else:
            kept.append(candidate)
    if kept:
        return Permitted(tuple(kept), f"left out: {'; '.join(out.values())}" if out else None)
    whys = "; ".join(out.values())
    if by_region:
        regions = [one for one in (data_regions, tier.data_regions) if one is not None]
        allowed = sorted(set.intersection(*map(set, regions)))
        raise PermissionDenied(
            f"model: {model_id!r} may be served by no platform here: data may go to {_all(allowed)} only, and {whys}; "
            "ask the operator, or name another model"
        )
    raise NotFound(f"model: {model_id!r} is not served here yet: {whys}; name another model until then")


def next_day(places: Iterable[Place], today: datetime.date) -> datetime.date | None:
    """The next day on which a place comes online; `None` when all are."""
    return min(
        (
            place.online_from
            for place in places
            if place.online_from is not None and today < place.online_from
        ),
        default=None,
    )


def check_rules(
    tiers: Tiers,
    data_regions: tuple[str, ...] | None,
    declared: Mapping[str, str | None],
    where: Callable[[str], str],
) -> None:
    """Raises `ConfigError` for a rule that names what is not there. `declared`: each platform entry's data region."""
    check_declared(data_regions, declared.values(), where("choosing.data_regions"))
    for tier, places in tiers.places.items():
        at = where(f"tiers.{tier}.platforms")
        for name in places.platforms or ():
            if name not in declared:
                fail(at, name, f"no such platform entry; there are {_all(declared)}")
        named = {name: declared[name] for name in places.platforms or declared}
        at = where(f"tiers.{tier}.data_regions")
        check_declared(places.data_regions, named.values(), at)
        allowed = [one for one in (data_regions, places.data_regions) if one is not None]
        for region in places.data_regions or ():
            if data_regions is not None and region not in data_regions:
                fail(at, region, f"choosing.data_regions permits {_all(data_regions)} only; both must hold")
        if allowed and not any(all(region in one for one in allowed) for region in named.values()):
            regions = _all(sorted(set.intersection(*map(set, allowed))))
            raise ConfigError(
                where(f"tiers.{tier}.platforms"), f"none of {_all(named)} declares a data_region of {regions}"
            )


def check_served(
    tiers: Tiers, catalogue: Catalogue, served: Mapping[str, Mapping[str, str]], where: Callable[[str], str]
) -> None:
    """Raises `ConfigError` for a platform that a tier names and that does not serve its model. `served`: what each
    entry calls its models, by catalogue id."""
    for tier, arm in tiers.items():
        model = catalogue.find(arm.model)
        for name in tiers.places.get(tier, ANYWHERE).platforms or ():
            if model is not None and model.id not in served[name]:
                serving = [other for other, ids in served.items() if model.id in ids]
                fail(
                    where(f"tiers.{tier}.platforms"),
                    name,
                    f"does not serve {model.id}, which is tier {tier}; those that do: {_all(serving)}",
                )


def _in_order(candidates: Sequence[Candidate], names: tuple[str, ...]) -> list[Candidate]:
    return [candidate for name in names for candidate in candidates if candidate.place.name == name]


def _all(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
