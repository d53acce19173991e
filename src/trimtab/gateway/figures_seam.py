"""What the gateway needs of the console's figures.

What it is not: an import of the console, which is the gateway's sibling; `app` brings the two together.
"""

from typing import Protocol

from trimtab.records import Caller


class FiguresDoor(Protocol):
    """Answers in JSON. Raises `RequestError`, and `Unavailable` where the store cannot be asked now."""

    async def overview(self, query: bytes, caller: Caller, now_ms: int) -> bytes:
        """Figures over time."""
        ...

    async def requests(self, query: bytes, caller: Caller) -> bytes:
        """A page of the list."""
        ...

    async def live(self, query: bytes, caller: Caller) -> bytes:
        """What happens now."""
        ...

    async def platforms(self, query: bytes, caller: Caller) -> bytes:
        """What each platform entry did, and how it does. Raises `PermissionDenied` for who may not see everybody's."""
        ...
