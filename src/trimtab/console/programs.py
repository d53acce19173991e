"""The figures for programs that show an API key: the same data as the pages, as JSON.

What it is not: the HTTP around it (`gateway.figures_api`), or the record of one request, which has a path of its own.
Invariant: a key sees its organisation if it is an admin's, else its team, else itself, as with single records.
"""

import logging
from collections.abc import Callable

import msgspec

from trimtab.console.asking import Asking
from trimtab.console.figures import Figures
from trimtab.console.meaning import Meaning
from trimtab.console.platforms import PlatformsAsked
from trimtab.console.questions import (
    BILLED,
    DIMENSIONS,
    EVERYTHING,
    LIMIT,
    LIMIT_MOST,
    TOP,
    TOP_MOST,
    Question,
    Scope,
)
from trimtab.errors import StoreError, Unavailable
from trimtab.records import NOBODY, Caller

RETRY_S = 5

_log = logging.getLogger("trimtab.console")


class ForPrograms:
    """Implements the gateway's `FiguresDoor`."""

    def __init__(self, figures: Figures, meaning: Meaning, platforms: PlatformsAsked, asking: Asking) -> None:
        self._figures = figures
        self._platforms = platforms
        self._meaning = meaning
        self._asking = asking

    async def overview(self, query: bytes, caller: Caller, now_ms: int) -> bytes:
        """Figures over time. Raises `RequestError`, `Unavailable`."""
        asked = Question(query, blanks=False)
        window = asked.window(now_ms)
        by = asked.one_of("by", DIMENSIONS)
        top = asked.number("top", 1, TOP_MOST) or TOP
        asked.done()
        scope = scope_of(caller)
        return await self._answer(lambda: self._figures.overview(window, by, top=top, scope=scope))  # type: ignore[arg-type]

    async def requests(self, query: bytes, caller: Caller) -> bytes:
        """A page of the list. Raises `RequestError`, `Unavailable`."""
        asked = Question(query, blanks=False)
        wanted = asked.filter()
        cursor = asked.text("cursor")
        limit = asked.number("limit", 1, LIMIT_MOST) or LIMIT
        asked.done()
        scope = scope_of(caller)
        return await self._answer(
            lambda: self._figures.requests(self._meaning.of(wanted, scope), cursor, limit, scope=scope)
        )

    async def platforms(self, query: bytes, caller: Caller) -> bytes:
        """What each platform entry did, and how it does. Raises `RequestError`, `Unavailable`."""
        asked = self._platforms.read(Question(query, blanks=False), scope_of(caller))
        return await self._answer(asked)

    async def live(self, query: bytes, caller: Caller) -> bytes:
        """What happens now. Raises `RequestError`, `Unavailable`."""
        asked = Question(query, blanks=False)
        simulated, purposes = asked.flag("simulated"), asked.purposes() or BILLED
        asked.done()
        scope = scope_of(caller)
        return await self._answer(
            lambda: self._figures.live(simulated=simulated, purposes=purposes, scope=scope)
        )

    async def _answer(self, ask: Callable[[], msgspec.Struct]) -> bytes:
        try:
            return await self._asking.ask(lambda: msgspec.json.encode(ask()))
        except StoreError as problem:
            _log.warning("figures: %s", problem)
            raise Unavailable("the store cannot be read now; try again", RETRY_S) from None


def scope_of(caller: Caller) -> Scope:
    """What a caller may see."""
    if caller is NOBODY:
        return EVERYTHING  # on this machine, where no key is required
    if caller.admin:
        return Scope(caller.organisation)
    if caller.team:
        return Scope(caller.organisation, caller.team)
    return Scope(caller.organisation, key=caller.key)
