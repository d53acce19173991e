"""The pages of a serving process: what they are made of once, and for each configuration.

What it is not: the pages (`console`), or who may see them beyond the choice of the doorkeeper.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from trimtab.app.clock import unix_ms
from trimtab.app.ground import Ground
from trimtab.app.settings import Settings
from trimtab.console import (
    Asking,
    ConfigPage,
    Console,
    ContentPolicy,
    Doorkeeper,
    Figures,
    Files,
    ForPrograms,
    InForce,
    ListPage,
    Meaning,
    OverviewPage,
    PlatformShown,
    Situation,
    StoryPage,
    Templates,
)
from trimtab.content import days_kept
from trimtab.providers import Provider

THREADS = 2
"""Pages made at a time, in each process. More would only share the same cores with requests to models."""


class ConsoleParts:
    """What is there once, whatever configuration is in force."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._figures = Figures(ground.database, ground.store, clock_ms=unix_ms, monotonic=time.monotonic)
        self._files = Files()
        self._templates = Templates(self._files)
        self._threads = ThreadPoolExecutor(THREADS, "pages")
        self._asking = Asking(self._threads)

    def for_programs(self, settings: Settings) -> ForPrograms:
        """The figures for programs under one configuration."""
        return ForPrograms(self._figures, self._meaning(settings), self._asking)

    def _meaning(self, settings: Settings) -> Meaning:
        return Meaning(self._ground.database, settings.catalogue)

    def pages(self, settings: Settings, providers: dict[str, Provider], doorkeeper: Doorkeeper) -> Console:
        """The pages under one configuration."""
        situation = _situation(settings, providers, self._ground)
        return Console(
            {
                "overview": OverviewPage(self._figures, situation, unix_ms),
                "requests": ListPage(self._figures, self._meaning(settings), situation, unix_ms),
                "configurations/": ConfigPage(self._figures),
                "requests/": StoryPage(self._figures, situation, self._ground.content),
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
