"""The one seam to everything that serves a model: `Provider.send(call) -> Reply`.

A provider owns *platform* matters only: address, authentication, framing. What a model accepts is the catalogue's,
which model to call is the router's, and money and records are the engine's.
"""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Literal, Protocol

import msgspec

from trimtab.catalogue import Model

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in order, repeated names allowed."""


class Call(msgspec.Struct, frozen=True):
    """One HTTP exchange as the platform shall see it, less address and authentication."""

    method: str
    path: str
    """Vendor path, such as `/v1/messages`."""
    headers: Headers
    """End-to-end headers only: no authentication, framing or connection headers."""
    body: bytes | AsyncIterator[bytes] = b""
    query: bytes = b""
    content_length: int | None = None
    """Needed with an iterator body; a `bytes` body knows its own length."""
    stream: bool = False
    """The caller expects an event stream, so the first-event deadline applies after the head."""
    endpoint: Literal["messages", "count_tokens", "chat", "other"] = "other"
    """Which of the vendor's operations this is, for platforms that have another address for each. `other` goes to its
    `path` as it is."""
    model: str = ""
    """The platform's id of the model that the body names, for platforms that want it in the address. Empty where the
    body names none."""


Sink = Callable[[bytes], bool]
"""Takes a piece at once, without waiting; whether more may come just now."""


class Reply(Protocol):
    """A response whose head has arrived. Read it to the end or `close` it; both free the connection."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """The bytes that have arrived since the last call, at least one; `b""` at the proper end.

        Raises `UpstreamTimeout` (first_event, idle) or `UpstreamBroken` when the end is not a proper one.
        """
        ...

    async def pump(self, sink: Sink) -> bool:
        """Give the bytes to `sink` as they arrive, without waking a task for each. `True` at the proper end; `False`
        once the sink took a piece but wants no more just now: call again later.

        Raises as `read` does, and what the sink raises.
        """
        ...

    def close(self) -> None:
        """Give up at once: an unfinished exchange is cut, so that the platform stops working. Idempotent."""
        ...


class Provider(Protocol):
    """A platform. Tests run one conformance suite against each implementation."""

    name: str
    """The operator's name for it, shown in headers and records."""
    platform: str
    """The catalogue's name for the kind of platform (`anthropic`), which picks model ids and prices."""
    simulated: bool
    api_versions: tuple[str, ...]
    """Values of `anthropic-version` that it takes, oldest first."""
    regional: bool
    """Whether its calls may be served at a regional endpoint, which costs more on some platforms; where it depends on
    the model, whether any does."""
    discount: Decimal
    """What a contract takes off the price of its tokens, as a part of it: 0 to less than 1."""

    def model_id(self, model: Model) -> str | None:
        """What the platform calls a model of the catalogue; `None` where it does not serve it."""
        ...

    async def send(self, call: Call) -> Reply:
        """Send the call and wait for the response head; an error status is a `Reply` like any other.

        Spends money. Raises `UpstreamRefused` (nothing sent), `UpstreamTimeout`, `UpstreamBroken`.
        """
        ...

    async def aclose(self) -> None:
        """Close pooled connections."""
        ...
