"""What the server, the protocol and the application share while serving."""

from trimtab.gateway.settings import ServerSettings
from trimtab.records import RequestId


class ServingState:
    """Requests in flight, and whether new ones are still taken. Owned by one event loop; outlives reloads."""

    __slots__ = ("answering", "draining", "limits")

    def __init__(self, limits: ServerSettings) -> None:
        self.limits = limits
        """Those in force now; a connection takes them anew for each request."""
        self.draining = False
        self.answering: set[RequestId] = set()

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return len(self.answering)
