"""What the server, the protocol and the application share while serving."""

from trimtab.gateway.settings import ServerSettings
from trimtab.records import RequestId


class ServingState:
    """Requests in flight, and whether new ones are still taken. Owned by one event loop; outlives reloads."""

    __slots__ = ("answering", "draining", "leaving", "limits")

    def __init__(self, limits: ServerSettings) -> None:
        self.limits = limits
        """Those in force now; a connection takes them anew for each request."""
        self.draining = False
        """The whole server stops: new requests are refused."""
        self.leaving = False
        """This process ends and others go on: requests on open connections are answered, and each answer closes its
        connection, so that the client's next one reaches another process."""
        self.answering: set[RequestId] = set()

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return len(self.answering)
