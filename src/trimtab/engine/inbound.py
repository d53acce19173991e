"""A client's request as the gateway took it in, and what is asked of a router; the same on all surfaces.

What it is not: the body, which each surface reads its own way.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

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
    """Refuse headers in our name that nothing acts on. Raises `RequestError`."""
    for name in own:
        if name not in OWN_HEADERS:
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
