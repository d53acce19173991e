"""The configured platform entries, opened: as providers, as places of the router, and as people know them.

What it is not: a caller of any of them. Invariant: each key of a pool is a provider and a place of its own, by its key
(`claude#2`); to people, permits, records and metrics all of them are the one entry (`claude`).
"""

import datetime
from collections.abc import Mapping

from trimtab.app.platform_settings import PlatformSettings
from trimtab.app.settings import Settings
from trimtab.catalogue import Catalogue
from trimtab.providers import Provider
from trimtab.providers.anthropic import AnthropicSettings, open_anthropic
from trimtab.providers.aws import BedrockSettings, ClaudeOnAwsSettings, open_bedrock, open_claude_on_aws
from trimtab.providers.azure import FoundrySettings, open_foundry
from trimtab.providers.google import VertexSettings, open_vertex
from trimtab.providers.key_pool import Keyed, accounts
from trimtab.providers.openai import OpenAISettings, open_openai
from trimtab.providers.simulator import Simulator, SimulatorProvider
from trimtab.routing import Place, check_served, is_online, stays_in

Providers = Mapping[str, Provider]
"""By the key of their place, in the order of the configuration."""


def open_providers(settings: Settings) -> dict[str, Provider]:
    """All platform entries as providers; opens no connection yet. Raises `ConfigError`, also where a tier names an
    entry that does not serve its model."""
    found = {key: one for name in settings.platforms for key, one in open_entry(settings, name).items()}
    if settings.tiers.places:
        served = ids_served(one_of_each(found), settings.catalogue)
        check_served(settings.tiers, settings.catalogue, served, settings.document.where)
    return found


def open_entry(settings: Settings, name: str) -> dict[str, Provider]:
    """One platform entry: as many providers as its pool has keys, else one. Raises `ConfigError`."""
    entry = settings.platforms[name]
    return {
        f"{name}#{account}" if account else name: _opened(settings, name, one)
        for account, one in (accounts(entry) if isinstance(entry, Keyed) else (("", entry),))
    }


def _opened(settings: Settings, name: str, entry: PlatformSettings) -> Provider:
    def where(key: str) -> str:
        return settings.document.where(f"platforms.{name}.{key}")

    if isinstance(entry, AnthropicSettings):
        return open_anthropic(name, entry, where)
    if isinstance(entry, BedrockSettings):
        return open_bedrock(name, entry, where, settings.catalogue)
    if isinstance(entry, ClaudeOnAwsSettings):
        return open_claude_on_aws(name, entry, where)
    if isinstance(entry, FoundrySettings):
        return open_foundry(name, entry, where, settings.catalogue)
    if isinstance(entry, VertexSettings):
        return open_vertex(name, entry, where, settings.catalogue)
    if isinstance(entry, OpenAISettings):
        return open_openai(name, entry, where, settings.catalogue)
    return SimulatorProvider(name, Simulator(entry, settings.catalogue))


def one_of_each(providers: Providers) -> dict[str, Provider]:
    """The entries by their names: of a pool, the first key."""
    found: dict[str, Provider] = {}
    for provider in providers.values():
        found.setdefault(provider.name, provider)
    return found


def for_other_paths(settings: Settings, providers: Providers, today: datetime.date) -> Provider | None:
    """Where the vendor's paths that bill nothing go: the first entry that speaks the vendor's API, if any does, and
    that the operator's rules permit; `None` where they permit none. Of a pool always the first key, for files and
    batches belong to the workspace of a key."""

    def permitted(provider: Provider) -> bool:
        terms = settings.platforms[provider.name]
        return is_online(terms.online_from, today) and stays_in(
            terms.data_region, settings.choosing.data_regions
        )

    every = [provider for provider in providers.values() if permitted(provider)]
    return next((one for one in every if one.platform != "openai"), every[0] if every else None)


def places_of(settings: Settings, providers: Providers) -> tuple[Place, ...]:
    """All places that requests may go to, with what the operator says of them."""
    served = ids_served(providers, settings.catalogue)
    return tuple(
        _place(key, provider, settings.platforms[provider.name], served[key])
        for key, provider in providers.items()
    )


def _place(key: str, provider: Provider, terms: PlatformSettings, ids: Mapping[str, str]) -> Place:
    return Place(
        name=provider.name,
        platform=provider.platform,
        ids=ids,
        account=key.removeprefix(provider.name).removeprefix("#"),
        weight=terms.weight,
        data_region=terms.data_region,
        hardware=terms.hardware,
        online_from=terms.online_from,
        regional=provider.regional,
        discount=provider.discount,
        simulated=provider.simulated,
        takes_effort=not isinstance(terms, OpenAISettings) or terms.reasoning_effort,
    )


def ids_served(providers: Providers, catalogue: Catalogue) -> dict[str, dict[str, str]]:
    """What each place calls the models that it serves, by catalogue id.

    A platform that goes by the catalogue's own ids would take any model of the overlay for its own. One that an entry
    of kind `openai` names is served by such entries only.
    """
    served = {
        key: {model.id: own for model in catalogue.models if (own := provider.model_id(model)) is not None}
        for key, provider in providers.items()
    }
    on_chat = {
        model for key, ids in served.items() if providers[key].platform == "openai" for model in ids
    } & catalogue.own
    for key, ids in served.items():
        if on_chat and providers[key].platform != "openai":
            served[key] = {model: own for model, own in ids.items() if model not in on_chat}
    return served
