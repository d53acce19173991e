"""Who looks at the pages: the seam between the pages and the login.

What it is not: the login itself, or a check of what a key may do.
"""

from typing import Protocol

import msgspec

from trimtab.identity.roles import ROLES, Role, includes
from trimtab.providers import Headers

__all__ = ["ROLES", "Doorkeeper", "Role", "Visitor"]


class Visitor(msgspec.Struct, frozen=True):
    """Somebody whom the doorkeeper let in."""

    user: str
    """Name; empty where the console is open: on a loopback address while no user is configured."""
    role: Role
    csrf: str
    """Every form that changes something carries it; bound to the session."""
    organisation: str | None = None
    """May see what belongs to this one only: a program with an admin key. `None`: everything, as every user may."""

    def may(self, role: Role) -> bool:
        """Whether the visitor has this role or a higher one."""
        return includes(self.role, role)


class Doorkeeper(Protocol):
    """Knows visitors by their session cookie."""

    async def visitor(self, headers: Headers) -> Visitor | None:
        """Who sends these headers; `None` is somebody who must log in first. Raises `Unavailable`."""
        ...

    async def program(self, headers: Headers) -> Visitor | None:
        """Who shows an admin key (x-api-key, or authorization: Bearer): for JSON only, and never for a change.

        `None` where no key is shown. Raises `AuthenticationFailed`, `PermissionDenied` (not an admin key),
        `Unavailable`.
        """
        ...

    async def needs_user(self) -> bool:
        """Whether nobody can come in: there is no user, and the console is not open either. Say how to make one.

        Raises `Unavailable`.
        """
        ...

    def check_post(
        self, headers: Headers, visitor: Visitor | None, token: str, role: Role = "viewer"
    ) -> None:
        """Whether a form may act: sent by a page of ours, with this visitor's token, by somebody of that role.

        To be called before anything else for every request that is not GET or HEAD; `visitor` is `None` for the form
        that logs in only, which has no token yet. Raises `PermissionDenied`.
        """
        ...

    async def log_in(self, name: str, password: str, headers: Headers, client: str) -> bytes | None:
        """A `set-cookie` value for a new session, `None` where name and password do not fit or no user may log in.

        Takes about the same time either way. `client` is the address that it comes from. Raises `RateLimited` after too
        many tries, `Unavailable`.
        """
        ...

    async def log_out(self, headers: Headers) -> bytes:
        """End the session, if there is one; a `set-cookie` value that removes the cookie."""
        ...
