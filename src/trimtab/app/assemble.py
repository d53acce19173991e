"""Builds the objects of one process and knows how to stop them."""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from prometheus_client import disable_created_metrics

from trimtab.admin import TaskAdmin
from trimtab.app.callers import Callers
from trimtab.app.choosing import open_chooser, open_normaliser, open_router, shared_limits
from trimtab.app.clock import unix_ms
from trimtab.app.console import ConsoleParts
from trimtab.app.doorkeeping import open_doorkeeper
from trimtab.app.ground import Ground
from trimtab.app.judging import open_judges
from trimtab.app.live import today
from trimtab.app.places_watched import watch_places
from trimtab.app.platforms import for_other_paths, one_of_each, open_providers, places_of
from trimtab.app.repeating import open_repeats
from trimtab.app.repricing import keep_prices
from trimtab.app.settings import Settings
from trimtab.app.spending import spending_wanted
from trimtab.app.tasks import without_task_budget
from trimtab.app.telemetry import open_observer, open_tracer
from trimtab.budgets import Ledger
from trimtab.config import secrets_in
from trimtab.content import days_kept, edited_under
from trimtab.engine import Conversations, Metered, Observer, Pipeline, Recorder, Runtime, Surviving
from trimtab.engine.cascade import Afterwards, Memory
from trimtab.engine.tasking import Tasking
from trimtab.gateway import (
    Gateway,
    GatewayServer,
    ModelList,
    Once,
    Opinion,
    ServingState,
    Surroundings,
    openapi_document,
)
from trimtab.normaliser import Rule, shipped_rules
from trimtab.providers import Headers, Provider
from trimtab.records import RequestId, new_request_id
from trimtab.routing import Homes, Place, Standings, TierRouter
from trimtab.store import Store, open_store
from trimtab.telemetry import LogOutput, Metrics, names
from trimtab.telemetry.processes import ConfigMetrics
from trimtab.telemetry.tracing import Propagation
from trimtab.vision import Images, Workshop

MIB = 1024 * 1024

AFTERWARDS_S = 10.0
"""For answers that are being judged when the process stops; what is not judged by then is recorded as such."""


def id_source() -> Callable[[], RequestId]:
    """Makes request ids from the wall clock and a generator of its own."""
    generator = random.Random()  # noqa: S311 - ids are names, not secrets
    return lambda: new_request_id(unix_ms(), generator.getrandbits)


def _remember(memory: Memory, opinion: Opinion) -> None:
    """What a conversation was told of an answer decides where its next request begins."""
    if opinion.disliked:
        memory.disliked(RequestId(opinion.request))


def _chance() -> Callable[[], float]:
    """Numbers from 0 to 1, for jitter."""
    return random.Random().random  # noqa: S311 - no secret depends on it


class Edition:
    """What one version of the configuration is built into; a reload makes another beside it."""

    def __init__(
        self,
        settings: Settings,
        providers: dict[str, Provider],
        surroundings: Surroundings,
        limits: dict[tuple[str, str], str],
    ) -> None:
        self.settings = settings
        self.providers = providers
        self.surroundings = surroundings
        self.limits = limits
        """Rate limits that models share, by place and model."""

    async def aclose(self) -> None:
        """Close its connections to the platforms."""
        for provider in self.providers.values():
            await provider.aclose()


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a serving process has once, whatever configuration is in force: every edition is built around these."""

    ground: Ground
    once: Once
    callers: Callers
    store: Store
    ledger: Ledger
    metrics: Metrics
    state: ServingState
    conversations: Conversations
    standings: Standings
    """How every place does; learnt where there is more than one."""
    homes: Homes
    """Where conversations are."""
    workshop: Workshop
    """Where images are resized."""
    rules: tuple[Rule, ...]
    new_id: Callable[[], RequestId]
    memory: Memory
    """Where conversations are on their ladders."""
    afterwards: Afterwards
    """Answers that are judged after they went out."""
    exposition: Callable[[], Awaitable[bytes]]
    openapi: bytes
    console: ConsoleParts
    observer: Observer | None = None
    """Tells of finished requests in the access log and the traces, where the settings ask for one of them."""
    outgoing: Callable[[RequestId, Headers], Headers] | None = None
    """Puts our trace context on calls, where the settings ask for it."""
    logs: LogOutput | None = None
    """The log of this process, which must show no secret of any edition."""


class Application:
    """All objects of one serving process."""

    def __init__(self, worker_id: str, parts: Parts, edition: Edition, gateway: Gateway) -> None:
        self.worker_id = worker_id
        """Names this process among all that share the store, for as long as it lives: 32 hexadecimal characters."""
        self.parts = parts
        self.store = parts.store
        self.metrics = parts.metrics
        self.config_metrics = ConfigMetrics(parts.metrics.registry)
        self.gateway = gateway
        self.server = GatewayServer(gateway, parts.state, parts.new_id)
        self._edition = edition
        self._leaving: set[asyncio.Task[None]] = set()
        self._note()

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._edition.settings

    @property
    def providers(self) -> dict[str, Provider]:
        """Those in force."""
        return self._edition.providers

    def put_in_force(self, edition: Edition) -> None:
        """Every request that arrives from now on uses this edition; those in flight keep theirs, to their end.

        Never waits: the old edition is closed by a task, after its last request.
        """
        old, self._edition = self._edition, edition
        in_use = self.gateway.put_in_force(edition.surroundings)
        self.parts.state.limits = edition.settings.server
        self.parts.once.keep_answers = edition.settings.server.keep_answers
        self.parts.ground.keeper.settings = edition.settings.content
        self.parts.workshop.cache_bytes = edition.settings.images.cache_mib * MIB
        self._note()

        async def close() -> None:
            await in_use.unused()
            await self.parts.afterwards.begun_so_far()  # its answers are judged with its platforms
            await old.aclose()

        task = asyncio.create_task(close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _note(self) -> None:
        settings = self.settings
        document = settings.document
        self.store.note_config(document.version, document.content, unix_ms())
        self.config_metrics.in_force(document.version, settings.catalogue.version)
        self.parts.ground.learning.keep_to(settings)
        self.parts.ground.spending.watch(spending_wanted(settings))
        self.parts.ground.budgets.follow(self._edition.surroundings.budget_admin, self._keep_prices())
        self.parts.standings.use_buckets(self._edition.limits)

    def _keep_prices(self) -> Callable[[], None]:
        settings, providers = self.settings, self.providers
        return lambda: keep_prices(self.parts.ground.database, settings, providers)

    async def start(self) -> None:
        """Begin what goes on beside the requests."""
        self.parts.console.start()
        await self.parts.ground.start(self.parts.once)

    async def aclose(self) -> int:
        """Close connections, drain the store; the number of records that could not be kept."""
        await self.parts.afterwards.aclose(AFTERWARDS_S)  # before what it works with
        for task in list(self._leaving):
            await task
        await self._edition.aclose()
        await self.parts.workshop.aclose()
        if self.parts.observer is not None:
            self.parts.observer.close(timeout_s=2)
        await asyncio.to_thread(self.parts.console.close)
        await asyncio.to_thread(self.parts.callers.close)
        return await self.parts.ground.aclose()


def assemble(
    settings: Settings,
    on_problem: Callable[[str], None],
    exposition: Callable[[], Awaitable[bytes]] | None = None,
    worker: str = "",
    logs: LogOutput | None = None,
) -> Application:
    """Open the store and build everything. Raises `ConfigError` or `StoreError`, each one clear line.

    `exposition` gives the metrics of all processes where there are several; else this one speaks for itself. `worker`
    names this one among them. `logs` is the log of this process, where there is one.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second line for every counter, read by nobody
    metrics = Metrics()

    async def own() -> bytes:
        return metrics.render()

    # The store is opened after everything that may be refused, so that a refusal leaves nothing open.
    worker_id = secrets.token_hex(16)
    state = ServingState(settings.server)
    rules = shipped_rules()
    providers = open_providers(settings)
    tracer = open_tracer(settings, metrics, worker)
    callers: Callers | None = None
    try:
        callers = Callers(settings)
        ground = open_ground(settings, worker_id, on_problem)
        ground.keeper.settings = settings.content
    except BaseException:
        if callers is not None:
            callers.close()
        if tracer is not None:
            tracer.close(timeout_s=0)
        raise
    callers.start()
    _watch(metrics, ground, callers, state)
    workshop = Workshop(settings.images.cache_mib * MIB)
    _watch_images(metrics, workshop)
    standings = Standings(time.monotonic, time.time, _chance())
    watch_places(metrics, standings)
    parts = Parts(
        ground=ground,
        once=Once(ground.claims, state, keep_answers=settings.server.keep_answers),
        callers=callers,
        store=ground.store,
        ledger=ground.ledger,
        metrics=metrics,
        state=state,
        conversations=Conversations(),
        standings=standings,
        homes=Homes(),
        workshop=workshop,
        rules=rules,
        new_id=id_source(),
        memory=Memory(time.monotonic),
        afterwards=Afterwards(),
        exposition=exposition if exposition is not None else own,
        openapi=openapi_document(),
        console=ConsoleParts(ground, standings),
        observer=open_observer(settings, metrics, tracer),
        outgoing=Propagation(tracer) if tracer is not None and settings.telemetry.propagate else None,
        logs=logs,
    )
    edition = build(settings, parts, providers)
    ground.budgets.follow(edition.surroundings.budget_admin, None)
    ground.budgets.load()
    gateway = Gateway(state, edition.surroundings, parts.once)
    return Application(worker_id, parts, edition, gateway)


def build(settings: Settings, parts: Parts, providers: dict[str, Provider] | None = None) -> Edition:
    """Build what one version of the configuration needs, beside what is in force. Cost: a few milliseconds.

    Raises `ConfigError`; nothing has changed then. May run in a thread.
    """
    if parts.logs is not None:
        parts.logs.hide(secrets_in(settings))
    if providers is None:
        providers = open_providers(settings)
    entries = one_of_each(providers)
    places = places_of(settings, providers)
    router = open_router(settings, places, parts.ground.usual.expectations)
    doorkeeper = open_doorkeeper(settings, parts.ground.database, parts.callers.keys)
    budgets = parts.callers.budget_admin(settings)
    surroundings = Surroundings(
        config_version=settings.document.version,
        pipeline=_pipeline(settings, parts, providers, places, router),
        models=ModelList(
            settings.catalogue,
            settings.tiers,
            router.virtual_models,
            places,
            settings.choosing.data_regions,
            settings.routes,
        ),
        access=parts.callers.access(settings),
        key_admin=parts.callers.admin(settings),
        budget_admin=budgets,
        passthrough=for_other_paths(settings, providers, today()),
        exposition=parts.exposition,
        find_record=parts.store.find,
        find_content=parts.ground.content.find,
        is_open=doorkeeper.is_open,
        content_admin=parts.ground.content_admin,
        task_admin=TaskAdmin(
            parts.ground.database,
            parts.new_id,
            scenarios=settings.scenarios,
            most=settings.store.tasks_per_key,
        ),
        feedback=parts.ground.feedback,
        keep_edited=partial(
            edited_under, settings.content, days_kept(settings.content.days, settings.store.keep_days)
        ),
        on_opinion=partial(_remember, parts.memory),
        conditions=parts.ground.conditions,
        new_id=parts.new_id,
        clock_ms=unix_ms,
        monotonic=time.monotonic,
        max_body_bytes=settings.server.max_body_bytes,
        openapi=parts.openapi,
        pages=parts.console.pages(settings, entries, places, doorkeeper, budgets),
        figures=parts.console.for_programs(settings, entries, places),
    )
    return Edition(settings, providers, surroundings, shared_limits(settings.catalogue, places))


def _pipeline(
    settings: Settings,
    parts: Parts,
    providers: dict[str, Provider],
    places: tuple[Place, ...],
    router: TierRouter,
) -> Pipeline:
    """What every request passes through. Places are learnt about and chosen among where there is more than one."""
    several = len(places) > 1
    metered = _metered(settings, parts, providers, parts.standings if several else None)
    return Pipeline(
        metered,
        router,
        providers,
        open_normaliser(settings, parts.rules),
        parts.conversations,
        open_chooser(settings, parts.standings, parts.homes, parts.ground.spending) if several else None,
        surviving=Surviving(metered, settings.retries, _chance(), time.time),
        images=Images(settings.images, parts.workshop, settings.catalogue.platforms),
        repeating=open_repeats(settings, parts.ground.shelves),
        judges=open_judges(
            settings,
            parts.memory,
            parts.afterwards,
            parts.ground.judged.measured,
            parts.ground.efforts.stepping,
            parts.ground.usual.expectations.cost,
            parts.new_id,
            parts.metrics,
        ),
    )


def _metered(
    settings: Settings, parts: Parts, providers: dict[str, Provider], standings: Standings | None
) -> Metered:
    """What a call passes through wherever it goes: budgets, records, what is kept, and how places do."""
    runtime = Runtime(
        monotonic=time.monotonic,
        config_version=settings.document.version,
        catalogue_version=settings.catalogue.version,
        validate_streams=settings.server.validate_streams,
        outgoing=parts.outgoing,
        keep=parts.ground.keeper.under(settings.content),
        warned=parts.ground.budgets.warnings,
    )
    observe = None
    if parts.observer is not None:
        observe = parts.observer.among(
            {name: entry.platform for name, entry in one_of_each(providers).items()}
        )
    return Metered(
        settings.catalogue,
        parts.ledger,
        Recorder(parts.store, parts.metrics, observe),
        runtime,
        standings,
        Tasking(parts.ground.tasks, settings.catalogue, without_task_budget(settings.catalogue)),
        parts.ground.usual.expectations,
    )


def open_ground(settings: Settings, worker_id: str, on_problem: Callable[[str], None]) -> Ground:
    """Store, journal and limits of one process. Raises `ConfigError`, `StoreError`."""
    with settings.document.placing():
        return Ground(settings.store, worker_id, on_problem)


def open_records(settings: Settings, on_problem: Callable[[str], None] | None) -> Store:
    """The record store that the configuration names. Raises `ConfigError`, `StoreError`."""
    with settings.document.placing():
        return open_store(settings.store, clock_ms=unix_ms, on_problem=on_problem)


def _watch_images(metrics: Metrics, workshop: Workshop) -> None:
    metrics.watch(names.IMAGES_RESIZED, lambda: workshop.resized)
    metrics.watch(names.IMAGES_REUSED, lambda: workshop.again)
    metrics.watch(names.IMAGES_LEFT, lambda: workshop.left)


def _watch(metrics: Metrics, ground: Ground, callers: Callers, state: ServingState) -> None:
    store, ledger, keeper = ground.store, ground.ledger, ground.keeper
    metrics.watch(names.IN_FLIGHT, lambda: state.in_flight)
    metrics.watch(names.KEYS_AGE_SECONDS, callers.keys.age_s)
    metrics.watch(names.KEYS_REFUSED, lambda: callers.keys.refused)
    metrics.watch(names.STORE_WRITABLE, lambda: store.status().writable)
    metrics.watch(names.RECORDS_QUEUED, lambda: store.status().queued)
    metrics.watch(names.RECORDS_SPILLED, lambda: store.status().spilled)
    metrics.watch(names.RECORDS_WRITTEN, lambda: store.status().written)
    metrics.watch(names.RECORDS_DROPPED, lambda: store.status().dropped)
    metrics.watch(names.RECORDS_DELETED, lambda: ground.retention.deleted)
    metrics.watch(names.CONTENT_KEPT, lambda: keeper.kept)
    metrics.watch(names.CONTENT_DROPPED, lambda: keeper.dropped)
    metrics.watch(names.CONTENT_WAITING_BYTES, lambda: keeper.waiting_bytes)
    shelves = ground.shelves
    metrics.watch_each(names.CACHE_ANSWERS, shelves.asked)
    metrics.watch_each(names.CACHE_SAVED_USD, shelves.saved_usd)
    metrics.watch(names.CACHE_KEPT, lambda: shelves.stored)
    metrics.watch(names.CACHE_DROPPED, lambda: shelves.dropped)
    metrics.watch(names.CACHE_TROUBLES, lambda: shelves.troubles)
    metrics.watch(names.CACHE_WAITING_BYTES, lambda: shelves.waiting_bytes)
    metrics.watch(names.CHORE_FAILURES, ground.chore_failures)
    metrics.watch(names.HELD_USD, lambda: ledger.held() / 1e9)
    metrics.watch(names.HELD_SIMULATED_USD, lambda: ledger.held(simulated=True) / 1e9)
