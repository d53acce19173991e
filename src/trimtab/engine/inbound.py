"""A client's request as the gateway took it in, and what is asked of a router; the same on all surfaces.

What it is not: the body, which each surface reads its own way.
"""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Protocol

import msgspec

from trimtab.catalogue.money import NANO
from trimtab.engine.pictures import IMAGE_HEADERS
from trimtab.engine.task_call import TaskCall
from trimtab.errors import RequestError, shortened
from trimtab.providers import Headers
from trimtab.records import NOBODY, Caller, Endpoint, RequestId, Surface
from trimtab.routing import Ask, Decision, Taken, Wanted

TASK, PHASE = "x-trimtab-task", "x-trimtab-phase"
SCENARIO = "x-trimtab-scenario"
CACHE = "x-trimtab-cache"
VERIFY = "x-trimtab-verify"
ERROR_COST = "x-trimtab-error-cost-usd"
LATENCY = "x-trimtab-latency-s"
OWN_HEADERS = (
    "x-trimtab-session",
    "x-trimtab-effort",
    SCENARIO,
    "x-trimtab-platform",
    "x-trimtab-tags",
    TASK,
    PHASE,
    *IMAGE_HEADERS,
    CACHE,
    VERIFY,
    ERROR_COST,
    LATENCY,
)
MOST_LATENCY_S = 86_400.0
MOST_ERROR_USD = Decimal(10**6)
MAX_TAGS = 20
MAX_TAG_CHARS = 64


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """A client's request as the gateway took it in."""

    id: RequestId
    endpoint: Endpoint
    path: str
    query: bytes
    body: bytes
    headers: Headers
    """End-to-end headers for the platform: no authentication, framing or `x-trimtab-` ones."""
    own: Mapping[str, str]
    """The `x-trimtab-` headers."""
    arrived_ms: int
    arrived: float
    caller: Caller = NOBODY
    task: TaskCall | None = None
    """Its part of a task's budget, once leave was given."""

    @property
    def names_task(self) -> bool:
        """Whether a header of a task is there."""
        return TASK in self.own or PHASE in self.own

    @property
    def awaits_task(self) -> bool:
        """Whether its scenario is that of its task, which is known once leave was given."""
        return TASK in self.own and SCENARIO not in self.own


class Decide(Protocol):
    """What the pipeline needs of a router."""

    @property
    def has_routes(self) -> bool:
        """Whether `taken` needs to be asked."""
        ...

    def taken(self, wanted: Wanted) -> Taken | None:
        """Pure: the route that takes this request."""
        ...

    def decide(self, ask: Ask) -> Decision:
        """Pure: a plan for this request, or `RequestError`."""
        ...


def check_own(own: Mapping[str, str]) -> None:
    """Refuse headers in our name that nothing acts on, and figures that are none. Raises `RequestError`."""
    for name in own:
        if name == ERROR_COST:
            error_cost_of(own[name])
        elif name == LATENCY:
            latency_of(own[name])
        elif name not in OWN_HEADERS:
            raise RequestError(
                f"{shortened(name)}: nothing in this version acts on this header; remove it "
                f"(known: {', '.join(OWN_HEADERS)})"
            )


def platforms_of(header: str | None) -> tuple[str, ...] | None:
    """The entries that an `x-trimtab-platform` header names, in its order; the router judges them.

    Raises `RequestError`.
    """
    if header is None:
        return None
    names = tuple(dict.fromkeys(name for part in header.split(",") if (name := part.strip())))
    if not names:
        raise RequestError("x-trimtab-platform: names no platform entry; name one, or several with commas")
    return names


def wanted_of(inbound: Inbound, model: str) -> Wanted:
    """What of a request a route may go by. Raises `RequestError` for tags that cannot be kept."""
    surface: Surface = "chat" if inbound.endpoint == "chat" else "messages"
    return Wanted(model, surface, inbound.caller, tags_of(inbound.own.get("x-trimtab-tags")))


def tags_of(header: str | None) -> tuple[str, ...]:
    """The tags of an `x-trimtab-tags` header. Raises `RequestError`."""
    if header is None:
        return ()
    tags = tuple(tag for part in header.split(",") if (tag := part.strip()))
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARS or not tag.isprintable() for tag in tags):
        raise RequestError(
            f"x-trimtab-tags: at most {MAX_TAGS} tags of at most {MAX_TAG_CHARS} printable characters"
        )
    return tags


def error_cost_of(header: str | None) -> int | None:
    """Nano-dollars of an `x-trimtab-error-cost-usd` header. Raises `RequestError`."""
    if header is None:
        return None
    try:
        usd = Decimal(header)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd <= MOST_ERROR_USD:
        raise RequestError(
            f"{ERROR_COST}: {shortened(header, 80)!r}: must be what a wrong answer costs, in US dollars, from 0 to "
            f"{MOST_ERROR_USD:,}"
        )
    return int(usd * NANO)


def latency_of(header: str | None) -> float | None:
    """Seconds of an `x-trimtab-latency-s` header. Raises `RequestError`."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_LATENCY_S:  # so written that nan is refused
        raise RequestError(
            f"{LATENCY}: {shortened(header, 80)!r}: must be within how many seconds an answer is wanted, above 0 and "
            f"at most {MOST_LATENCY_S:,.0f}"
        )
    return seconds
