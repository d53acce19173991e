"""Builds what decides about requests under one configuration: routes, tiers and efforts, and what chooses among places.

What it is not: the choice (`routing`), or what is spent (`spending`).
"""

import datetime
import time
from collections.abc import Callable, Iterable

from trimtab.app.live import today
from trimtab.app.settings import Settings
from trimtab.app.spending import commitments
from trimtab.catalogue import Catalogue
from trimtab.normaliser import EffortPolicy, Normaliser, Rule
from trimtab.routing import Chooser, Homes, Place, Spent, Standings, TierRouter
from trimtab.routing.decide import Costs


def open_router(settings: Settings, places: tuple[Place, ...], costs: Costs | None = None) -> TierRouter:
    """The router of one configuration. `costs`: what is known of earlier requests."""
    return TierRouter(
        settings.catalogue,
        settings.tiers,
        places,
        settings.choosing.data_regions,
        today,
        effort=settings.effort,
        scenarios=settings.scenarios,
        routes=settings.routes,
        costs=costs,
    )


def open_normaliser(settings: Settings, rules: tuple[Rule, ...]) -> Normaliser:
    """The normaliser of one configuration."""
    catalogue = settings.catalogue
    policy = EffortPolicy(settings.effort, catalogue.efforts)
    return Normaliser(settings.normaliser, rules, catalogue.platforms, policy)


def open_chooser(
    settings: Settings, standings: Standings, homes: Homes, spent: Callable[[str], Spent | None]
) -> Chooser:
    """The chooser of one configuration."""
    return Chooser(
        settings.choosing,
        settings.catalogue,
        standings,
        homes,
        monotonic=time.monotonic,
        now=lambda: datetime.datetime.now(datetime.UTC),
        commitments=commitments(settings),
        spent=spent,
    )


def shared_limits(catalogue: Catalogue, places: Iterable[Place]) -> dict[tuple[str, str], str]:
    """Which rate limit a model has at each place, by key of the place and id of the model, where it shares one."""
    return {
        (place.key, model.id): bucket
        for place in places
        for model in catalogue.models
        if model.id in place.ids and (bucket := model.rate_bucket_on(place.platform)) != model.id
    }
