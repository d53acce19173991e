"""Which platform entry serves which model, under which id, and what it does not take.

For `trimtab models --platforms` and `trimtab doctor`. What it is not: live. It asks nobody; it opens the entries as
`serve` would, reads the catalogue, and closes them.
"""

import datetime

import msgspec

from trimtab.app.platforms import ids_served, one_of_each, open_providers
from trimtab.app.process import run_loop
from trimtab.app.settings import Settings
from trimtab.catalogue import Arm, Model, TierPlaces
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.routing import is_online, stays_in

TASK_BUDGET = "output_config.task_budget"


class Entry(msgspec.Struct, frozen=True):
    """One configured platform entry."""

    name: str
    """The operator's."""
    platform: str
    """The catalogue's name for its kind."""
    regional: bool
    """Whether its calls are priced as regional."""
    simulated: bool
    models: dict[str, str]
    """What it calls each model that it serves, by catalogue id."""
    profile: PlatformProfile | None
    """What it takes; `None`: nothing is known to be refused."""


class TierServed(msgspec.Struct, frozen=True):
    """Where the requests of a tier go."""

    tier: str
    arm: Arm
    entries: tuple[Entry, ...]
    """Those that serve its model and that the operator's rules permit for it, in its order."""
    later: tuple[tuple[str, datetime.date], ...]
    """Entries that would be among them and are not online yet, with their first day."""
    lacks: tuple[tuple[str, ...], ...]
    """For each of `entries`: what the model has, or the tier asks for, and its platform does not take."""


def entries(settings: Settings) -> list[Entry]:
    """All entries, in the order of the configuration. Raises `ConfigError` where one cannot be opened."""
    providers = open_providers(settings)

    async def close() -> None:
        for provider in providers.values():
            await provider.aclose()

    catalogue = settings.catalogue
    found = []
    shown = one_of_each(providers)
    for name, ids in ids_served(shown, catalogue).items():
        provider = shown[name]
        profile = next((p for kind, p in catalogue.platforms.items() if kind == provider.platform), None)
        found.append(
            Entry(provider.name, provider.platform, provider.regional, provider.simulated, ids, profile)
        )
    run_loop(close())
    return found


def tiers_served(settings: Settings, found: list[Entry], today: datetime.date) -> list[TierServed]:
    """Each tier with the entries that serve it. `today` is the day in UTC."""
    served = []
    for tier, arm in settings.tiers.items():
        model = settings.catalogue.find(arm.model)
        now, later = [], []
        for one in _permitted(settings, tier, found):
            first_day = settings.platforms[one.name].online_from
            if model is None or model.id not in one.models:
                continue
            if first_day is not None and not is_online(first_day, today):
                later.append((one.name, first_day))
            else:
                now.append(one)
        lacks = tuple(
            () if model is None or one.profile is None else lacking(one.profile, model, arm) for one in now
        )
        served.append(TierServed(tier, arm, tuple(now), tuple(later), lacks))
    return served


def _permitted(settings: Settings, tier: str, found: list[Entry]) -> list[Entry]:
    """The entries that the rules permit for a tier, in its order, whatever their first days."""
    bound = settings.tiers.places.get(tier, TierPlaces())
    regions = (settings.choosing.data_regions, bound.data_regions)
    names = bound.platforms or tuple(one.name for one in found)
    return [
        one
        for name in names
        for one in found
        if one.name == name and stays_in(settings.platforms[name].data_region, *regions)
    ]


def lacking(profile: PlatformProfile, model: Model, arm: Arm) -> tuple[str, ...]:
    """What a platform does not take of what an arm asks for, or its model has elsewhere."""
    lacks = []
    levels = profile.efforts.get(model.id)
    if arm.effort is not None and levels is not None and arm.effort not in levels:
        lacks.append(f"effort {arm.effort} (it has {', '.join(levels) or 'none'})")
    if TASK_BUDGET in profile.no_fields and model.features.task_budgets:
        lacks.append(f"task budgets ({TASK_BUDGET})")
    has_formats = model.features.structured_outputs is not False
    if profile.structured_outputs is not None and has_formats and model.id not in profile.structured_outputs:
        lacks.append("structured outputs (output_config.format)")
    if "speed" in profile.no_fields and model.features.fast_mode == "sold":
        lacks.append("fast mode (speed)")
    return tuple(lacks)
