"""`trimtab.toml` as a whole: each package's settings, read once and checked against the catalogue."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from trimtab.app.platform_settings import PlatformSettings, beside, read_platforms
from trimtab.budgets.settings import BudgetSettings, check_budgets, webhook_of
from trimtab.cache import CacheSettings, check_cache
from trimtab.catalogue import Catalogue, CatalogueSettings, Effort, Tiers, TierSettings, resolve_tiers
from trimtab.catalogue.effort import EffortSettings, Scenario, with_own
from trimtab.catalogue.tiers import check_scenario, resolve_arm
from trimtab.config import Document, fail, load_document, read_file
from trimtab.content import ContentSettings
from trimtab.engine import RetrySettings, check_retries
from trimtab.errors import ConfigError
from trimtab.gateway import Listen, ServerSettings, check_server
from trimtab.jobs import JobSettings, check_jobs
from trimtab.normaliser import NormaliserSettings
from trimtab.routing import (
    ChoosingSettings,
    Route,
    RouteSettings,
    check_choosing,
    check_rules,
    resolve_routes,
)
from trimtab.routing.cascade import EscalationSettings, Rules, resolve_rules
from trimtab.routing.ladders import Around
from trimtab.sandbox import SandboxSettings, check_sandbox
from trimtab.store import StoreSettings
from trimtab.telemetry import TelemetrySettings, check_telemetry
from trimtab.verification import VerificationSettings, Verifiers, check_verification
from trimtab.vision import ImageSettings, check_images

DEFAULT_FILE = "trimtab.toml"

T = TypeVar("T")


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
    learns_tokens: bool
    """Whether serving processes learn corrections of token estimates."""
    tiers: Tiers
    effort: EffortSettings
    scenarios: dict[str, Scenario]
    """The shipped ones, and the operator's own above them."""
    routes: tuple[Route, ...]
    """In the order in which they are asked."""
    escalation: Rules
    """Where requests of routes with a ladder begin."""
    sandbox: SandboxSettings
    verification: VerificationSettings
    verifiers: Verifiers
    """Those that routes and requests may name; the configured ones are built."""
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
    server, address = _server(document, listen, workers)
    store = document.section("store", StoreSettings)
    _check_kept(store, document)
    telemetry = _checked(document, "telemetry", TelemetrySettings, check_telemetry)
    jobs = _checked(document, "jobs", JobSettings, check_jobs)
    normaliser = document.section("normaliser", NormaliserSettings)
    content = document.section("content", ContentSettings)
    retries = _checked(document, "retries", RetrySettings, check_retries)
    catalogue, overlay, overlay_bytes = _catalogue(path, document, held)
    tiers = resolve_tiers(document.section("tiers", TierSettings), catalogue, document.where)
    effort = document.section("effort", EffortSettings)
    scenarios = _scenarios(document, catalogue, tiers)
    _check_strict(tiers, catalogue, normaliser, document)
    sandbox = _checked(document, "sandbox", SandboxSettings, check_sandbox)
    verification, verifiers = _verification(path, document, tiers, catalogue)
    routes, escalation = _routes(document, Around(catalogue, tiers, effort, scenarios), verifiers)
    tier_names, route_names = [name for name, _ in tiers.items()], [route.name for route in routes]
    cache = _checked(
        document, "cache", CacheSettings, partial(check_cache, tiers=tier_names, routes=route_names)
    )
    platforms, platforms_from = read_platforms(path, document)
    choosing = _checked(document, "choosing", ChoosingSettings, check_choosing)
    images = _checked(
        document, "images", ImageSettings, partial(check_images, tiers=tier_names, routes=route_names)
    )
    declared = {name: entry.data_region for name, entry in platforms.items()}
    check_rules(tiers, choosing.data_regions, declared, document.where)
    budgets = read_budgets(document, resolve=True)
    document.finish()
    return Settings(
        origin=Origin(path=None if path is None else str(path), listen=listen, workers=workers),
        held=Held(document.content, overlay_bytes),
        overlay=overlay,
        document=document,
        server=server,
        listen=address,
        store=store,
        telemetry=telemetry,
        jobs=jobs,
        normaliser=normaliser,
        content=content,
        cache=cache,
        retries=retries,
        catalogue=catalogue,
        learns_tokens=document.section("catalogue", CatalogueSettings).learn_tokens == "daily",
        tiers=tiers,
        effort=effort,
        scenarios=scenarios,
        routes=routes,
        escalation=escalation,
        sandbox=sandbox,
        verification=verification,
        verifiers=verifiers,
        choosing=choosing,
        budgets=budgets,
        images=images,
        platforms=platforms,
        platforms_from=platforms_from,
    )


def _checked(
    document: Document, name: str, kind: type[T], check: Callable[[T, Callable[[str], str]], object]
) -> T:
    """A section of the file, checked by the package whose settings these are."""
    settings = document.section(name, kind)
    check(settings, lambda key: document.where(f"{name}.{key}"))
    return settings


def _verification(
    path: Path | None, document: Document, tiers: Tiers, catalogue: Catalogue
) -> tuple[VerificationSettings, Verifiers]:
    """What holds for all verifiers, and those that the file names; arms and files among their options as anywhere."""
    settings = _checked(document, "verification", VerificationSettings, check_verification)
    named: dict[str, dict[str, Any]] = document.named("verifiers", dict)
    placed: dict[str, dict[str, Any]] = {name: dict(options) for name, options in named.items()}
    for name, options in named.items():
        for key, value in options.items():
            where = document.where(f"verifiers.{name}.{key}")
            if key == "arm" and isinstance(value, str) and tiers.by_name(value) is None:
                resolve_arm(value, catalogue, where)
            elif key.endswith("_file") and isinstance(value, str):
                placed[name][key] = str(beside(path, value, where))
    return settings, Verifiers(settings, placed, document.where)


def _routes(document: Document, around: Around, verifiers: Verifiers) -> tuple[tuple[Route, ...], Rules]:
    """The routes, whose checks are built, and the rules of where their requests begin."""
    routes = resolve_routes(
        document.named("routes", RouteSettings),
        around.catalogue,
        around.scenarios,
        document.where,
        tiers=around.tiers,
        effort=around.effort,
    )
    for route in routes:
        for name in route.verify:
            verifiers.check(name, document.where(f"routes.{route.name}.verify"))
    escalation = resolve_rules(
        document.section("escalation", EscalationSettings),
        around.tiers,
        lambda key: document.where(f"escalation.{key}"),
    )
    return routes, escalation


def _server(document: Document, listen: str | None, workers: int | None) -> tuple[ServerSettings, Listen]:
    """Those of the file, and those of the command line above them."""
    server = document.section("server", ServerSettings)
    address = check_server(server, lambda key: document.where(f"server.{key}"))
    if listen is not None:
        address = Listen.parse(listen, "--listen")
    if workers is not None:
        server = msgspec.structs.replace(server, workers=workers)
    return server, address


def _scenarios(document: Document, catalogue: Catalogue, tiers: Tiers) -> dict[str, Scenario]:
    """The shipped ones and the file's own; every tier's scenario is one of them."""
    scenarios = read_scenarios(document, catalogue)
    for tier, policy in tiers.policies.items():
        check_scenario(policy.scenario, scenarios, document.where(f"tiers.{tier}.scenario"))
    return scenarios


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


def read_scenarios(document: Document, catalogue: Catalogue) -> dict[str, Scenario]:
    """The shipped scenarios with those of `[scenarios]` above them. Raises `ConfigError`."""
    own = document.named("scenarios", Scenario, Effort)
    return with_own(catalogue.scenarios, own, document.where("scenarios"))


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


def _catalogue(
    path: Path | None, document: Document, held: Held | None
) -> tuple[Catalogue, Path | None, bytes | None]:
    """The catalogue, and its overlay with the bytes of it, where the file names one."""
    named = document.section("catalogue", CatalogueSettings).overlay
    overlay = beside(path, named, document.where("catalogue.overlay"))
    if overlay is None:
        return Catalogue.load(), None, None
    try:
        content = held.overlay if held is not None else None
        if content is None:
            content = read_file(overlay, "correct the path of the overlay")
        return Catalogue.load(overlay, content), overlay, content
    except ConfigError as problem:
        raise ConfigError(document.where("catalogue.overlay"), str(problem)) from None
