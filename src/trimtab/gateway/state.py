"""What the server, the protocol and the application share while serving."""

from trimtab.records import RequestId


class ServingState:
    """Requests in flight, and whether new ones are still taken. Owned by one event loop."""

    __slots__ = ("answering", "draining")

    def __init__(self) -> None:
        self.draining = False
        self.answering: set[RequestId] = set()

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return len(self.answering)
