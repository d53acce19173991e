"""What the gateway is given by `app`, one immutable set for each version of the configuration.

What it is not: a place for what outlives a reload; that is `state`. Invariant: a request uses one `Surroundings` from
its first byte to its last, whatever is put in force meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from trimtab.admin import BudgetAdmin, ContentAdmin, KeyAdmin, TaskAdmin
from trimtab.engine import Pipeline
from trimtab.gateway.access import Access
from trimtab.gateway.figures_seam import FiguresDoor
from trimtab.gateway.models import ModelList
from trimtab.gateway.opinion import Opinion
from trimtab.providers import Headers, Provider
from trimtab.records import RequestId
from trimtab.store.content import Content
from trimtab.store.feedback import FeedbackStore, Keep

LOOKS_AT_ONCE = 2
"""A process has at least five threads for work on the store, and a look takes about a millisecond of one."""


class Pages(Protocol):
    """Pages for people, at /console and below. They know who looks at them by a login of their own, not by a key."""

    async def answer(
        self, method: str, path: str, query: bytes, headers: Headers, body: bytes, client: str
    ) -> tuple[int, Headers, bytes]:
        """Status, headers (content-type among them, no content-length) and body. Raises nothing but defects.

        `client` is the address at the other end of the connection, of a proxy where there is one.
        """
        ...


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a request needs besides itself."""

    config_version: str
    pipeline: Pipeline
    models: ModelList
    access: Access
    """Who is let in."""
    key_admin: KeyAdmin
    """Changes keys; blocks, so it runs in a thread."""
    budget_admin: BudgetAdmin
    """Changes budgets; blocks, so it runs in a thread."""
    passthrough: Provider | None
    """Serves the vendor paths that bill nothing."""
    exposition: Callable[[], Awaitable[bytes]]
    """The metrics of the whole server as text. Raises `Unavailable` when they cannot be had."""
    find_record: Callable[[str], bytes | None]
    """Reads one record; blocks, so it runs in a thread. Raises `StoreError`."""
    find_content: Callable[[str], Content | None]
    """Reads what is kept of a request's prompt and answer; blocks, so it runs in a thread. Raises `StoreError`."""
    is_open: Callable[[], Awaitable[bool]]
    """Whether whoever reaches this server may read what it keeps without a key or a login: on this machine, while no
    user of the console is configured. Asks the store once in a second at most. Raises `Unavailable`."""
    content_admin: ContentAdmin
    """Deletes what is kept; blocks, so it runs in a thread."""
    feedback: FeedbackStore
    """What became of requests, as told; blocks, so it runs in a thread."""
    keep_edited: Keep
    """What the policy lets be kept of an edited answer; takes milliseconds, so it runs in a thread."""
    on_opinion: Callable[[Opinion], None] = lambda opinion: None
    """Hears of each outcome that this process is told, on the event loop; must not block or raise."""
    task_admin: TaskAdmin
    """Makes and changes tasks; blocks, so it runs in a thread."""
    looks: asyncio.Semaphore = msgspec.field(default_factory=lambda: asyncio.Semaphore(LOOKS_AT_ONCE))
    """Who follows a task takes turns here: thousands of them leave threads to everybody else."""
    conditions: Callable[[], Mapping[str, str | None]]
    """Each part that can be in trouble while requests are still answered, with its trouble or `None`."""
    new_id: Callable[[], RequestId]
    clock_ms: Callable[[], int]
    monotonic: Callable[[], float]
    max_body_bytes: int
    openapi: bytes
    """The description of this surface, JSON."""
    pages: Pages | None = None
    figures: FiguresDoor | None = None


class InForce:
    """One version while requests use it: counts them, so that what it holds can be closed after the last one."""

    __slots__ = ("_replaced", "_unused", "_users", "around")

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self._users = 0
        self._replaced = False
        self._unused = asyncio.Event()

    def enter(self) -> Surroundings:
        """A request begins; it must `leave`."""
        self._users += 1
        return self.around

    def leave(self) -> None:
        """A request has ended."""
        self._users -= 1
        if self._replaced and self._users == 0:
            self._unused.set()

    def replace(self) -> None:
        """No request will enter any more."""
        self._replaced = True
        if self._users == 0:
            self._unused.set()

    async def unused(self) -> None:
        """Wait until it is replaced and its last request has ended."""
        await self._unused.wait()
