"""Who is let in: what `callers` goes by, data only."""

from typing import Protocol

import msgspec

from trimtab.records import Caller

OPEN_PATHS = ("/healthz", "/readyz")
"""What load balancers and service managers ask without a key."""


PAGES = "/console"
"""Pages for people lie here and below; who may see them is decided there, by a login."""


def is_page(path: str) -> bool:
    """Whether a path is one of the pages for people."""
    return path == PAGES or path.startswith(PAGES + "/")


class Recognise(Protocol):
    """What the gateway needs of `identity`."""

    async def caller(self, shown: str) -> Caller:
        """Who shows this secret. Raises `AuthenticationFailed`, `Unavailable`."""
        ...


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who is let in, in one version of the configuration."""

    keys: Recognise
    required: bool
    """Every request must show a key, except on `OPEN_PATHS`."""
    local: bool
    """The server listens for this machine only, so a foreign `Host` is an attack."""
    origins: frozenset[bytes] = frozenset()
    """Origins of web pages that may call."""
