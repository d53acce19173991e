"""What the server, the protocol and the application share while serving."""

import asyncio

from trimtab.gateway.settings import ServerSettings
from trimtab.records import RequestId


class ServingState:
    """Requests in flight, and whether new ones are still taken. Owned by one event loop; outlives reloads."""

    __slots__ = ("answering", "calls", "draining", "leaving", "limits", "relays")

    def __init__(self, limits: ServerSettings) -> None:
        self.limits = limits
        """Those in force now; a connection takes them anew for each request."""
        self.draining = False
        """The whole server stops: new requests are refused."""
        self.leaving = False
        """This process ends and others go on: requests on open connections are answered, and each answer closes its
        connection, so that the client's next one reaches another process."""
        self.answering: set[RequestId] = set()
        """Requests of clients that are here."""
        self.calls: dict[RequestId, asyncio.Task[None]] = {}
        """Calls with an idempotency key, which others may hear after the client that began them has gone. Each stays
        here until it is settled and the store has been told of its end."""
        self.relays: set[asyncio.Task[None]] = set()
        """Answers on their way to other processes of this machine, whose clients joined them."""

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return len(self.answering.union(self.calls) if self.calls else self.answering)

    @property
    def busy(self) -> bool:
        """Whether somebody still waits for something of this process."""
        return bool(self.answering or self.calls or self.relays)
