"""The pages of a serving process: what they are made of once, and for each configuration.

What it is not: the pages (`console`), or who may see them beyond the choice of the doorkeeper.
"""

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

from trimtab.admin import BudgetAdmin
from trimtab.app.clock import unix_ms
from trimtab.app.ground import Ground
from trimtab.app.settings import Settings
from trimtab.app.spending import commitments
from trimtab.console import (
    Asking,
    BudgetsPage,
    ConfigPage,
    Console,
    ContentPolicy,
    Doorkeeper,
    Entries,
    Figures,
    Files,
    ForPrograms,
    InForce,
    ListPage,
    Meaning,
    OverviewPage,
    PlatformsAsked,
    PlatformShown,
    PlatformsPage,
    Situation,
    StoryPage,
    Templates,
)
from trimtab.content import days_kept
from trimtab.providers import Provider
from trimtab.routing import Place, Standing, Standings

THREADS = 2
"""Pages made at a time, in each process. More would only share the same cores with requests to models."""

LOOP_S = 1.0
"""How long a page waits for the event loop; a loop that is busy for longer has other worries than a page."""


class StandingsSeen:
    """Standings for pages: they are kept on the event loop, and pages are made in threads."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """The running loop is theirs."""
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> tuple[Standing, ...]:
        """As they are now; nothing where the loop has no time to tell. For threads; blocks for milliseconds."""
        if self._loop is None or self._loop.is_closed():
            return ()
        told: Future[tuple[Standing, ...]] = Future()
        self._loop.call_soon_threadsafe(lambda: told.set_result(self._standings.snapshot()))
        try:
            return told.result(LOOP_S)
        except FutureTimeout:
            return ()


class ConsoleParts:
    """What is there once, whatever configuration is in force."""

    def __init__(self, ground: Ground, standings: Standings) -> None:
        self._ground = ground
        self._standings = StandingsSeen(standings)
        self._figures = Figures(ground.database, ground.store, clock_ms=unix_ms, monotonic=time.monotonic)
        self._files = Files()
        self._templates = Templates(self._files)
        self._threads = ThreadPoolExecutor(THREADS, "pages")
        self._asking = Asking(self._threads)

    def start(self) -> None:
        """The running event loop is that of the requests."""
        self._standings.start()

    def for_programs(
        self, settings: Settings, entries: dict[str, Provider], places: tuple[Place, ...]
    ) -> ForPrograms:
        """The figures for programs under one configuration."""
        asked = self._platforms(settings, entries, places)
        return ForPrograms(self._figures, self._meaning(settings), asked, self._asking)

    def _meaning(self, settings: Settings) -> Meaning:
        return Meaning(self._ground.database, settings.catalogue)

    def _platforms(
        self, settings: Settings, entries: dict[str, Provider], places: tuple[Place, ...]
    ) -> PlatformsAsked:
        return PlatformsAsked(
            entries_shown(settings, entries, places),
            self._figures,
            clock_ms=unix_ms,
            spent=self._ground.spending,
            standings=self._standings,
        )

    def pages(
        self,
        settings: Settings,
        entries: dict[str, Provider],
        places: tuple[Place, ...],
        doorkeeper: Doorkeeper,
        budgets: BudgetAdmin,
    ) -> Console:
        """The pages under one configuration; `entries` by their names."""
        situation = _situation(settings, entries, self._ground)
        return Console(
            {
                "budgets": BudgetsPage(budgets, situation, time.monotonic),
                "overview": OverviewPage(self._figures, situation, unix_ms),
                "platforms": PlatformsPage(self._platforms(settings, entries, places), situation),
                "requests": ListPage(self._figures, self._meaning(settings), situation, unix_ms),
                "configurations/": ConfigPage(self._figures),
                "requests/": StoryPage(self._figures, situation, self._ground.content, self._ground.feedback),
            },
            doorkeeper,
            situation,
            self._files,
            self._templates,
            self._asking,
        )

    def close(self) -> None:
        """Let the pages that are being made be finished. Blocks."""
        self._threads.shutdown()


def entries_shown(settings: Settings, entries: dict[str, Provider], places: tuple[Place, ...]) -> Entries:
    """The platform entries as people are told of them."""
    return Entries(
        places=places,
        simulated=frozenset(name for name, provider in entries.items() if provider.simulated),
        commitments=commitments(settings),
        workers=settings.server.workers,
    )


def _situation(settings: Settings, providers: dict[str, Provider], ground: Ground) -> Situation:
    tiers = settings.tiers
    settled = InForce(
        config_name=settings.document.name,
        config_version=settings.document.version,
        catalogue_version=settings.catalogue.version,
        catalogue_as_of=str(settings.catalogue.as_of),
        platforms=tuple(
            PlatformShown(name, provider.platform, provider.simulated) for name, provider in providers.items()
        ),
        tiers={
            role: str(arm)
            for role, arm in (
                ("default", tiers.default),
                ("escalation", tiers.escalation),
                ("control", tiers.control),
                ("fast", tiers.fast),
            )
        },
        store=settings.store.url,
        keep_days=settings.store.keep_days,
        workers=settings.server.workers,
        url=settings.listen.advice,
        keys_required=settings.server.require_keys or not settings.listen.is_local,
        content=_content_policy(settings),
    )
    return Situation(settled, ground.conditions)


def _content_policy(settings: Settings) -> ContentPolicy:
    policy = settings.content
    if policy.keep == "off":
        return ContentPolicy()
    return ContentPolicy(policy.keep, days_kept(policy.days, settings.store.keep_days))
