"""Who looks at the pages: the seam between the pages and the login.

What it is not: the login itself, or a check of what a key may do.
"""

from typing import Literal, Protocol

import msgspec

from trimtab.providers import Headers

Role = Literal["viewer", "operator", "admin"]

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From least to most; each may do what those before it may."""


class Visitor(msgspec.Struct, frozen=True):
    """Somebody whom the doorkeeper let in."""

    user: str
    """Name; empty where the console is open: on a loopback address while no user is configured."""
    role: Role
    csrf: str
    """Every form that changes something carries it; bound to the session."""

    def may(self, role: Role) -> bool:
        """Whether the visitor has this role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Doorkeeper(Protocol):
    """Knows visitors by their session cookie."""

    async def visitor(self, headers: Headers) -> Visitor | None:
        """Who sends these headers; `None` is somebody who must log in first. Raises `Unavailable`."""
        ...

    async def log_in(self, name: str, password: str, headers: Headers) -> bytes | None:
        """A `set-cookie` value for a new session, `None` where name and password do not fit or no user may log in.

        Takes about the same time either way. Raises `RateLimited` after too many tries, `Unavailable`.
        """
        ...

    async def log_out(self, headers: Headers) -> bytes:
        """End the session, if there is one; a `set-cookie` value that removes the cookie."""
        ...
