"""The pages of a serving process: what they are made of once, and for each configuration.

What it is not: the pages (`console`), or who may see them beyond the choice of the doorkeeper.
"""

import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor

from trimtab.app.ground import Ground
from trimtab.app.settings import Settings
from trimtab.console import (
    Console,
    ContentPolicy,
    Files,
    OverviewPage,
    PlatformShown,
    Role,
    Situation,
    Templates,
    Visitor,
)
from trimtab.errors import PermissionDenied
from trimtab.providers import Headers, Provider

THREADS = 2
"""Pages made at a time, in each process. More would only share the same cores with requests to models."""


class ConsoleParts:
    """What is there once, whatever configuration is in force."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._files = Files()
        self._templates = Templates(self._files)
        self._threads = ThreadPoolExecutor(THREADS, "pages")
        self._csrf = secrets.token_urlsafe(32)

    def pages(self, settings: Settings, providers: dict[str, Provider]) -> Console:
        """The pages under one configuration."""
        situation = _situation(settings, providers, self._ground)
        return Console(
            {"overview": OverviewPage(situation)},
            OpenDoorkeeper(settings.listen.is_local, self._csrf),
            situation,
            self._files,
            self._templates,
            self._threads,
        )

    def close(self) -> None:
        """Let the pages that are being made be finished. Blocks."""
        self._threads.shutdown()


class OpenDoorkeeper:
    """Lets everybody in on a loopback address and nobody elsewhere."""

    def __init__(self, local: bool, csrf: str) -> None:
        self._visitor = Visitor(user="", role="admin", csrf=csrf) if local else None

    async def visitor(self, headers: Headers) -> Visitor | None:
        """See `Doorkeeper.visitor`."""
        return self._visitor

    async def program(self, headers: Headers) -> Visitor | None:
        """See `Doorkeeper.program`."""
        return None

    async def needs_user(self) -> bool:
        """See `Doorkeeper.needs_user`."""
        return self._visitor is None

    def check_post(
        self, headers: Headers, visitor: Visitor | None, token: str, role: Role = "viewer"
    ) -> None:
        """See `Doorkeeper.check_post`."""
        if visitor is None or not hmac.compare_digest(token.encode(), visitor.csrf.encode()):
            raise PermissionDenied("this form is not from a page of yours; open the page again")

    async def log_in(self, name: str, password: str, headers: Headers, client: str) -> bytes | None:
        """See `Doorkeeper.log_in`."""
        return None

    async def log_out(self, headers: Headers) -> bytes:
        """See `Doorkeeper.log_out`."""
        return b"trimtab_session=; Max-Age=0; Path=/console"


def _situation(settings: Settings, providers: dict[str, Provider], ground: Ground) -> Situation:
    tiers = settings.tiers
    return Situation(
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
        content=ContentPolicy(),
        conditions=ground.conditions,
    )
