"""`trimtab.toml` as a whole: each package's settings, read once and checked against the catalogue."""

import os
from pathlib import Path
from typing import TypeAlias

import msgspec

from trimtab.budgets.settings import BudgetSettings, check_budgets, webhook_of
from trimtab.cache import CacheSettings, check_cache
from trimtab.catalogue import Catalogue, CatalogueSettings, Effort, Tiers, TierSettings, resolve_tiers
from trimtab.catalogue.effort import EffortSettings, Scenario, with_own
from trimtab.catalogue.tiers import check_scenario
from trimtab.config import Document, Secret, fail, load_document, read_file
from trimtab.content import ContentSettings
from trimtab.engine import RetrySettings, check_retries
from trimtab.errors import ConfigError
from trimtab.gateway import Listen, ServerSettings, check_server
from trimtab.jobs import JobSettings, check_jobs
from trimtab.normaliser import NormaliserSettings
from trimtab.providers.anthropic import AnthropicSettings
from trimtab.providers.aws import BedrockSettings, ClaudeOnAwsSettings
from trimtab.providers.azure import FoundrySettings
from trimtab.providers.connecting import Connecting
from trimtab.providers.google import VertexSettings
from trimtab.providers.key_pool import Keyed, check_keys
from trimtab.providers.openai import OpenAISettings
from trimtab.providers.simulator import SimulatorSettings
from trimtab.providers.terms import check_terms
from trimtab.routing import (
    ChoosingSettings,
    Route,
    RouteSettings,
    check_choosing,
    check_rules,
    resolve_routes,
)
from trimtab.store import StoreSettings
from trimtab.telemetry import TelemetrySettings, check_telemetry
from trimtab.vision import ImageSettings, check_images

DEFAULT_FILE = "trimtab.toml"
KEY_VARIABLE = "ANTHROPIC_API_KEY"

PlatformSettings: TypeAlias = (
    AnthropicSettings
    | ClaudeOnAwsSettings
    | BedrockSettings
    | FoundrySettings
    | VertexSettings
    | OpenAISettings
    | SimulatorSettings
)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a configuration comes from: the file, and what the command line said, which wins."""

    path: str | None
    listen: str | None = None
    workers: int | None = None


class Held(msgspec.Struct, frozen=True):
    """The bytes that one version was read from, so that several processes work by the very same."""

    document: bytes
    overlay: bytes | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one version of the configuration says, checked."""

    origin: Origin
    held: Held
    overlay: Path | None
    """The catalogue overlay that it names."""
    document: Document
    server: ServerSettings
    listen: Listen
    store: StoreSettings
    telemetry: TelemetrySettings
    jobs: JobSettings
    normaliser: NormaliserSettings
    content: ContentSettings
    cache: CacheSettings
    retries: RetrySettings
    catalogue: Catalogue
    tiers: Tiers
    effort: EffortSettings
    scenarios: dict[str, Scenario]
    """The shipped ones, and the operator's own above them."""
    routes: tuple[Route, ...]
    """In the order in which they are asked."""
    choosing: ChoosingSettings
    budgets: dict[str, BudgetSettings]
    """By name; those that the store has come on top."""
    images: ImageSettings
    platforms: dict[str, PlatformSettings]
    platforms_from: str
    """Where the platforms come from, for the banner."""


def config_path(given: Path | None) -> Path | None:
    """The file to read: the one given, else `trimtab.toml` here if there is one, else none."""
    if given is not None:
        return given
    here = Path(DEFAULT_FILE)
    return here if here.exists() else None


def load_settings(
    path: Path | None,
    *,
    listen: str | None = None,
    workers: int | None = None,
    held: Held | None = None,
) -> Settings:
    """Read and check. `listen` and `workers` are the command line's and win. Raises `ConfigError`.

    With `held` the file and its overlay are not read again: these are their bytes.
    """
    document = load_document(path, held.document if held is not None else None)
    server = document.section("server", ServerSettings)
    address = check_server(server, lambda key: document.where(f"server.{key}"))
    if listen is not None:
        address = Listen.parse(listen, "--listen")
    if workers is not None:
        server = msgspec.structs.replace(server, workers=workers)
    store = document.section("store", StoreSettings)
    _check_kept(store, document)
    telemetry = document.section("telemetry", TelemetrySettings)
    check_telemetry(telemetry, lambda key: document.where(f"telemetry.{key}"))
    jobs = document.section("jobs", JobSettings)
    check_jobs(jobs, lambda key: document.where(f"jobs.{key}"))
    normaliser = document.section("normaliser", NormaliserSettings)
    content_settings = document.section("content", ContentSettings)
    retries = document.section("retries", RetrySettings)
    check_retries(retries, lambda key: document.where(f"retries.{key}"))
    named = document.section("catalogue", CatalogueSettings).overlay
    overlay = _beside(path, named, document.where("catalogue.overlay"))
    catalogue, content = _catalogue(overlay, document, held)
    tiers = resolve_tiers(document.section("tiers", TierSettings), catalogue, document.where)
    effort = document.section("effort", EffortSettings)
    scenarios = with_own(
        catalogue.scenarios, document.named("scenarios", Scenario, Effort), document.where("scenarios")
    )
    for tier, policy in tiers.policies.items():
        check_scenario(policy.scenario, scenarios, document.where(f"tiers.{tier}.scenario"))
    _check_strict(tiers, catalogue, normaliser, document)
    routes = resolve_routes(document.named("routes", RouteSettings), catalogue, scenarios, document.where)
    cache = document.section("cache", CacheSettings)
    check_cache(
        cache,
        lambda key: document.where(f"cache.{key}"),
        tiers=[name for name, _ in tiers.items()],
        routes=[route.name for route in routes],
    )
    platforms, origin = _platforms(document)
    platforms = {
        name: _placed(path, entry, document.where(f"platforms.{name}")) for name, entry in platforms.items()
    }
    for name, entry in platforms.items():
        _check_entry(entry, document, name)
    choosing = document.section("choosing", ChoosingSettings)
    check_choosing(choosing, lambda key: document.where(f"choosing.{key}"))
    images = document.section("images", ImageSettings)
    check_images(
        images,
        [name for name, _ in tiers.items()],
        [route.name for route in routes],
        lambda key: document.where(f"images.{key}"),
    )
    declared = {name: entry.data_region for name, entry in platforms.items()}
    check_rules(tiers, choosing.data_regions, declared, document.where)
    budgets = read_budgets(document, resolve=True)
    document.finish()
    return Settings(
        origin=Origin(path=_text(path), listen=listen, workers=workers),
        held=Held(document.content, content),
        overlay=overlay,
        document=document,
        server=server,
        listen=address,
        store=store,
        telemetry=telemetry,
        jobs=jobs,
        normaliser=normaliser,
        content=content_settings,
        cache=cache,
        retries=retries,
        catalogue=catalogue,
        tiers=tiers,
        effort=effort,
        scenarios=scenarios,
        routes=routes,
        choosing=choosing,
        budgets=budgets,
        images=images,
        platforms=platforms,
        platforms_from=origin,
    )


def read_budgets(document: Document, *, resolve: bool) -> dict[str, BudgetSettings]:
    """The budgets of a file, checked. `resolve` also follows the references of their webhooks. Raises `ConfigError`."""
    budgets = document.named("budgets", BudgetSettings)
    check_budgets(budgets, lambda key: document.where(f"budgets.{key}"))
    if resolve:
        for name, budget in budgets.items():
            where = document.where(f"budgets.{name}.webhook")
            try:
                webhook_of(budget)
            except ValueError as problem:
                raise ConfigError(where, str(problem)) from None
    return budgets


def _check_strict(
    tiers: Tiers, catalogue: Catalogue, normaliser: NormaliserSettings, document: Document
) -> None:
    """Where requests to tiers are refused rather than changed, an effort that a tier's model lacks refuses them all."""
    for tier, arm in tiers.items():
        model = catalogue.find(arm.model)
        if normaliser.tiers == "strict" and model is not None and arm.effort is not None:
            levels = model.effort_levels
            if arm.effort not in levels:
                takes = f"takes effort {', '.join(levels)}" if levels else "takes no effort"
                fail(
                    document.where(f"tiers.{tier}"),
                    str(arm),
                    f'{model.id} {takes}, and normaliser.tiers = "strict" makes no other of it; name one that it takes',
                )


def _check_entry(entry: PlatformSettings, document: Document, name: str) -> None:
    def where(key: str) -> str:
        return document.where(f"platforms.{name}.{key}")

    check_terms(entry, where)
    if isinstance(entry, Keyed):
        check_keys(entry, where, required=isinstance(entry, AnthropicSettings))


def placed_at(settings: Settings, address: Listen) -> Settings:
    """The same at the address that port 0 came to, which workers and reloads go by, and pages and hints show."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    origin = msgspec.structs.replace(settings.origin, listen=f"{host}:{address.port}")
    return msgspec.structs.replace(settings, listen=address, origin=origin)


def _check_kept(store: StoreSettings, document: Document) -> None:
    """Sums that end before the records they are sums of would give totals that are wrong."""
    days, sums = store.keep_days, store.keep_rollups_days
    if sums and (not days or sums < days):
        records = f"{days} days" if days else "for ever (store.keep_days = 0)"
        raise ConfigError(
            document.where("store.keep_rollups_days"),
            f"{sums}: must not be shorter than records are kept, {records}; 0 keeps sums for ever",
        )


def reload_settings(settings: Settings) -> Settings:
    """Read again what these settings were read from, or the file that is there by now. Raises `ConfigError`."""
    origin = settings.origin
    return load_settings(
        config_path(Path(origin.path) if origin.path is not None else None),
        listen=origin.listen,
        workers=origin.workers,
    )


def refuse_restart_needed(old: Settings, new: Settings) -> None:
    """Refuse what a running server cannot take over. Raises `ConfigError` for the first such setting."""
    differing = [
        name
        for name, before, after in (
            ("server.listen", old.listen, new.listen),
            ("server.workers", old.server.workers, new.server.workers),
            *(
                (f"store.{key}", getattr(old.store, key), getattr(new.store, key))
                for key in _fields(old.store)
            ),
            *(
                (f"telemetry.{key}", getattr(old.telemetry, key), getattr(new.telemetry, key))
                for key in _fields(old.telemetry)
            ),
        )
        if before != after
    ]
    if differing:
        raise ConfigError(
            new.document.where(differing[0]),
            "differs from what is running, and that needs a restart; restart, or set it back",
        )


def _fields(struct: msgspec.Struct) -> tuple[str, ...]:
    return struct.__struct_fields__


def _catalogue(overlay: Path | None, document: Document, held: Held | None) -> tuple[Catalogue, bytes | None]:
    """The catalogue and the bytes of its overlay."""
    if overlay is None:
        return Catalogue.load(), None
    try:
        content = held.overlay if held is not None else None
        if content is None:
            content = read_file(overlay, "correct the path of the overlay")
        return Catalogue.load(overlay, content), content
    except ConfigError as problem:
        raise ConfigError(document.where("catalogue.overlay"), str(problem)) from None


def _beside(path: Path | None, name: str | None, where: str) -> Path | None:
    """A file named in the configuration is found relative to the configuration."""
    if name is None:
        return None
    if "\0" in name:
        fail(where, name, "no file name holds a NUL character; correct the path")
    return (path.parent if path is not None else Path()) / name


def _placed(path: Path | None, entry: PlatformSettings, where: str) -> PlatformSettings:
    if isinstance(entry, VertexSettings):
        named = _beside(path, entry.credentials_file, f"{where}.credentials_file")
        entry = msgspec.structs.replace(entry, credentials_file=_text(named))
    if isinstance(entry, FoundrySettings):
        named = _beside(path, entry.federated_token_file, f"{where}.federated_token_file")
        entry = msgspec.structs.replace(entry, federated_token_file=_text(named))
    if isinstance(entry, Connecting):
        ca_file = _beside(path, entry.ca_file, f"{where}.ca_file")
        return msgspec.structs.replace(entry, ca_file=_text(ca_file))
    return msgspec.structs.replace(entry, script=_text(_beside(path, entry.script, f"{where}.script")))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _platforms(document: Document) -> tuple[dict[str, PlatformSettings], str]:
    if document.has("platforms"):
        kinds: dict[str, type[PlatformSettings]] = {
            "anthropic": AnthropicSettings,
            "anthropic_on_aws": ClaudeOnAwsSettings,
            "bedrock": BedrockSettings,
            "foundry": FoundrySettings,
            "openai": OpenAISettings,
            "simulator": SimulatorSettings,
            "vertex": VertexSettings,
        }
        table = document.table("platforms", kinds)
        if not table:
            raise ConfigError(document.where("platforms"), "is empty; add an entry, as [platforms.claude]")
        for name in table:
            if (
                not name.isascii()
                or not name.isprintable()
                or not 0 < len(name) <= 64
                or set(",#") & set(name)
            ):
                raise ConfigError(
                    document.where("platforms"),
                    f"{name!r}: a name has 1 to 64 plain ASCII characters, none of them ',' or '#'",
                )
        return table, document.name
    if os.environ.get(KEY_VARIABLE):
        try:
            secret = Secret.resolve(f"env:{KEY_VARIABLE}")
        except ValueError as problem:
            raise ConfigError("environment", str(problem)) from None
        return {"claude": AnthropicSettings(api_key=secret)}, f"{KEY_VARIABLE} in the environment"
    return {"simulator": SimulatorSettings()}, "no platform is configured"
