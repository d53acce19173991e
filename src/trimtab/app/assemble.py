"""Builds the objects of one process and knows how to stop them."""

import random
import time
from collections.abc import Callable

from prometheus_client import disable_created_metrics

from trimtab.app.settings import Settings
from trimtab.engine import Ledger, Metered, Pipeline, Recorder, Runtime
from trimtab.errors import ConfigError
from trimtab.gateway import Gateway, GatewayServer, ModelList, ServingState, Surroundings, openapi_document
from trimtab.providers import Provider
from trimtab.providers.anthropic import AnthropicSettings, open_anthropic
from trimtab.providers.simulator import Simulator, SimulatorProvider, SimulatorSettings
from trimtab.records import RequestId, new_request_id
from trimtab.routing import Place, TierRouter
from trimtab.store import Store, open_store
from trimtab.telemetry import Metrics, names


def unix_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def id_source() -> Callable[[], RequestId]:
    """Makes request ids from the wall clock and a generator of its own."""
    generator = random.Random()  # noqa: S311 - ids are names, not secrets
    return lambda: new_request_id(unix_ms(), generator.getrandbits)


class Application:
    """All objects of a gateway process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        providers: dict[str, Provider],
        server: GatewayServer,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.store = store
        self.providers = providers
        self.server = server
        self.metrics = metrics

    async def aclose(self) -> int:
        """Close connections, drain the store; the number of records that could not be kept."""
        for provider in self.providers.values():
            await provider.aclose()
        return self.store.close(timeout_s=10)


def assemble(settings: Settings, on_problem: Callable[[str], None]) -> Application:
    """Open the store and build everything. Raises `ConfigError` or `StoreError`, each one clear line."""
    providers = {
        name: open_provider(name, platform, settings) for name, platform in settings.platforms.items()
    }
    new_id = id_source()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second line for every counter, read by nobody
    metrics = Metrics()
    store = open_records(settings, on_problem)
    store.note_config(settings.document.version, settings.document.content, unix_ms())
    ledger = Ledger()
    state = ServingState()
    _watch(metrics, store, ledger, state)
    places = tuple(Place(provider.name, provider.platform) for provider in providers.values())
    router = TierRouter(settings.catalogue, settings.tiers, places)
    runtime = Runtime(
        monotonic=time.monotonic,
        config_version=settings.document.version,
        catalogue_version=settings.catalogue.version,
        validate_streams=settings.server.validate_streams,
    )
    metered = Metered(settings.catalogue, ledger, Recorder(store, metrics), runtime)
    gateway = Gateway(
        Surroundings(
            pipeline=Pipeline(metered, router, providers),
            models=ModelList(
                settings.catalogue,
                settings.tiers,
                router.virtual_models,
                frozenset(place.platform for place in places),
            ),
            passthrough=next(iter(providers.values())),
            metrics=metrics,
            state=state,
            find_record=store.find,
            unready=lambda: store.status().problem,
            new_id=new_id,
            clock_ms=unix_ms,
            monotonic=time.monotonic,
            max_body_bytes=settings.server.max_body_bytes,
            openapi=openapi_document(),
        )
    )
    server = GatewayServer(gateway, settings.server, state, new_id)
    return Application(settings, store, providers, server, metrics)


def open_provider(name: str, platform: AnthropicSettings | SimulatorSettings, settings: Settings) -> Provider:
    """One platform entry as a provider. Raises `ConfigError`."""

    def where(key: str) -> str:
        return settings.document.where(f"platforms.{name}.{key}")

    if isinstance(platform, AnthropicSettings):
        return open_anthropic(name, platform, where)
    return SimulatorProvider(name, Simulator(platform, settings.catalogue))


def open_records(settings: Settings, on_problem: Callable[[str], None] | None) -> Store:
    """The record store that the configuration names. Raises `ConfigError`, `StoreError`."""
    try:
        return open_store(settings.store, clock_ms=unix_ms, on_problem=on_problem)
    except ConfigError as problem:
        raise ConfigError(settings.document.where(problem.where), problem.problem) from None


def _watch(metrics: Metrics, store: Store, ledger: Ledger, state: ServingState) -> None:
    metrics.watch(names.IN_FLIGHT, lambda: state.in_flight)
    metrics.watch(names.STORE_WRITABLE, lambda: store.status().writable)
    metrics.watch(names.RECORDS_QUEUED, lambda: store.status().queued)
    metrics.watch(names.RECORDS_WRITTEN, lambda: store.status().written)
    metrics.watch(names.RECORDS_DROPPED, lambda: store.status().dropped)
    metrics.watch(names.HELD_USD, lambda: ledger.held() / 1e9)
    metrics.watch(names.HELD_SIMULATED_USD, lambda: ledger.held(simulated=True) / 1e9)
