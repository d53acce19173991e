"""What the server, the protocol and the application share while serving."""


class ServingState:
    """Requests in flight, and whether new ones are still taken. Owned by one event loop."""

    __slots__ = ("draining", "in_flight")

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0
