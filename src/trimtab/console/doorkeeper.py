"""The doorkeeper: lets people in by a name and a password, and knows them afterwards by a cookie.

What it is not: what a session or a password is (`identity`), pages, or keys for callers of models.
Invariants: whoever was logged out, disabled or given another role is treated so within 2 s, in every process; a cookie
that a visitor brings to the login is never the one that it leaves with; a form acts only if a page of ours sent it,
with the visitor's own token; without a login nobody is more than a viewer.
"""

import asyncio
import concurrent.futures
import hashlib
import hmac
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec

from trimtab.console.tries import Tries
from trimtab.console.visitors import Role, Visitor
from trimtab.errors import (
    AuthenticationFailed,
    PermissionDenied,
    RateLimited,
    StoreError,
    Unavailable,
    printable,
)
from trimtab.identity.logins import Login, Session, digest_of_token, is_token
from trimtab.providers import Headers
from trimtab.records import Caller

KNOWN_S = 1.0
"""How long what the store said is believed. The bar for what was taken away is 2 s."""

MOST_KNOWN = 4096
MOST_WAITING = 8
"""Logins that wait for their turn: passwords are checked one at a time, so that memory (32 MiB each) and one core are
all that strangers can take from the requests."""

RETRY_S = 5
OPEN_ROLE: Role = "viewer"
"""What whoever looks may do while the console is open. Not more: everything on this machine can reach a loopback
address, also what may not run `trimtab` on this store: other accounts, containers, forwarded ports."""

_SECURE = "__Host-trimtab"
"""Browsers take and send such a cookie over TLS only, and from no other host of a domain (Source: RFC 6265bis)."""
_PLAIN = "trimtab"
PATH = "/console"
MAX_PORT_DIGITS = 5

_log = logging.getLogger("trimtab.console")

T = TypeVar("T")


class Sessions(Protocol):
    """What the doorkeeper needs of `identity`; every method blocks and raises `StoreError`."""

    def any_user(self) -> bool:
        """Whether any user is configured."""
        ...

    def log_in(self, name: str, password: str) -> Login:
        """Begin a session, if the password is right."""
        ...

    def find(self, token: str) -> Session | None:
        """Who is logged in with this token."""
        ...

    def end(self, token: str) -> None:
        """End the session of this token."""
        ...


class Callers(Protocol):
    """The keys of programs."""

    async def caller(self, shown: str) -> Caller:
        """Who shows this secret. Raises `AuthenticationFailed`, `Unavailable`."""
        ...


class _Known(msgspec.Struct, frozen=True):
    session: Session
    until: float


class LoginDoorkeeper:
    """Implements `visitors.Doorkeeper`. One for each version of the configuration, used from one event loop."""

    def __init__(
        self,
        sessions: Sessions,
        callers: Callers,
        *,
        may_be_open: bool,
        instance: str,
        monotonic: Callable[[], float],
    ) -> None:
        """`may_be_open`: while there is no user, whoever can reach the server may look. `instance` names the store."""
        self._sessions = sessions
        self._callers = callers
        self._may_be_open = may_be_open
        self._monotonic = monotonic
        self._tries = Tries(monotonic)
        # The same in every process, and known to no page of somebody else's.
        self._open = Visitor("", OPEN_ROLE, _digest("trimtab console open", instance))
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._any_user: tuple[bool, float] = (True, float("-inf"))
        """Whether there are users, and until when that is believed."""
        # A thread of its own: whoever goes away in the middle leaves the work behind, and it must not pile up.
        self._checking = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="trimtab-login")
        self._waiting = 0
        self._counting = threading.Lock()

    async def visitor(self, headers: Headers) -> Visitor | None:
        """See `Doorkeeper`. Asks the store at most about once in a second for each session."""
        token = _shown(headers)[1]
        if token is not None:
            session = await self._session(token)
            if session is not None:
                return Visitor(session.user, session.role, _digest("trimtab console form", token))
        return self._open if await self.is_open() else None

    async def is_open(self) -> bool:
        """Whether whoever reaches this server may look without a login. Raises `Unavailable`."""
        return self._may_be_open and not await self._has_users()

    async def program(self, headers: Headers) -> Visitor | None:
        """See `Doorkeeper`."""
        secret = _key(headers)
        if secret is None:
            return None
        caller = await self._callers.caller(secret)
        if not caller.admin:
            raise PermissionDenied(
                f"the key shown ({caller.key}) was not made with --admin, so the console's figures are not for it"
            )
        return Visitor(f"key:{caller.key}", "viewer", "", caller.organisation)

    async def needs_user(self) -> bool:
        """See `Doorkeeper`."""
        return not self._may_be_open and not await self._has_users()

    def check_post(
        self, headers: Headers, visitor: Visitor | None, token: str, role: Role = "viewer"
    ) -> None:
        """See `Doorkeeper`. Cost: microseconds."""
        _check_own_page(headers)
        if visitor is None:
            return
        # The token's length is known to everybody, so the time that this takes tells nothing.
        if not visitor.csrf or not hmac.compare_digest(token.encode(errors="replace"), visitor.csrf.encode()):
            raise PermissionDenied("this form is out of date; load its page again and send it from there")
        if not visitor.may(role):
            who = f"{visitor.user!r} is {visitor.role!r}" if visitor.user else "nobody is logged in"
            raise PermissionDenied(
                f"this needs the role {role!r} and {who}; on the machine, `trimtab users` makes users and gives roles"
            )

    async def log_in(self, name: str, password: str, headers: Headers, client: str) -> bytes | None:
        """See `Doorkeeper`. Cost: 0.1 s of one core, one at a time."""
        if self._waiting >= MOST_WAITING:
            raise RateLimited("too many people log in at this moment; try again", 1)
        self._tries.take(name, client)
        with self._counting:
            self._waiting += 1
        checking = self._checking.submit(self._sessions.log_in, name, password)
        checking.add_done_callback(self._checked)  # also where whoever tries goes away before its turn
        done = await self._asked(asyncio.wrap_future(checking))
        if done.token is None:
            # A name that nobody has may be a password, typed into the wrong field.
            whom = repr(printable(name, 64)) if done.known else "a name that no user has"
            _log.warning("a login failed: %s, from %s", whom, printable(client, 64))
            return None
        self._tries.succeeded(name, client)
        _log.info("%r logged in from %s", printable(name, 64), printable(client, 64))
        await self._end(_shown(headers)[1])
        return _set_cookie(headers, done.token)

    async def log_out(self, headers: Headers) -> bytes:
        """See `Doorkeeper`. Raises `Unavailable`; the session goes on then."""
        name, token = _shown(headers)
        await self._end(token)
        return _cookie(name, "", "Max-Age=0")

    def _checked(self, _: object) -> None:
        with self._counting:
            self._waiting -= 1

    async def _session(self, token: str) -> Session | None:
        digest, now = digest_of_token(token), self._monotonic()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known.session
        session = await self._asked(asyncio.to_thread(self._sessions.find, token))
        self._known.pop(digest, None)
        if session is not None:
            self._known[digest] = _Known(session, now + KNOWN_S)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return session

    async def _has_users(self) -> bool:
        answer, until = self._any_user
        now = self._monotonic()
        if now >= until:
            answer = await self._asked(asyncio.to_thread(self._sessions.any_user))
            self._any_user = (answer, now + KNOWN_S)
        return answer

    async def _end(self, token: str | None) -> None:
        if token is not None:
            await self._asked(asyncio.to_thread(self._sessions.end, token))
            self._known.pop(digest_of_token(token), None)

    async def _asked(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except StoreError as problem:
            _log.warning("the store cannot be asked who is logged in: %s", problem)
            raise Unavailable("the store cannot be used now; try again", RETRY_S) from None


def _digest(purpose: str, secret: str) -> str:
    """What may be shown in a page: nobody finds the secret from it, nor it without the secret."""
    return hashlib.sha256(f"{purpose} {secret}".encode()).hexdigest()


# Headers


def _first(headers: Headers, wanted: bytes) -> bytes:
    return next((value for name, value in headers if name == wanted), b"")


def _check_own_page(headers: Headers) -> None:
    """Whether a page of ours sends this, as far as a browser says. Raises `PermissionDenied`.

    `sec-fetch-site` comes over TLS and to this machine, and counts alone: a proxy may have changed `host`, and the
    gateway has refused every `origin` that is neither this server's nor permitted. Elsewhere `origin` must be `host`.
    """
    site = _first(headers, b"sec-fetch-site")
    origin = _first(headers, b"origin")
    own = not origin or origin.partition(b"://")[2] == _first(headers, b"host") != b""
    if (site and site != b"same-origin") or (not site and not own):
        raise PermissionDenied(
            "a page of another site sent this form, so nothing was done. Behind a proxy see docs/users.md"
        )


def _port(headers: Headers) -> str:
    """Browsers keep cookies by host, not by port: two servers on one machine must not overwrite each other's."""
    port = _first(headers, b"host").rpartition(b":")[2]
    return f"-{port.decode()}" if port.isdigit() and len(port) <= MAX_PORT_DIGITS else ""


def _shown(headers: Headers) -> tuple[str, str | None]:
    """The name of the cookie by which the visitor is known, and the token in it, if it can be one.

    A cookie that only TLS brings counts before one that anybody on the way may have set. Two of one name are none:
    somebody else has set one of them.
    """
    port = _port(headers)
    for name in (_SECURE + port, _PLAIN + port):
        mark = name.encode() + b"="
        values = {
            part.strip().removeprefix(mark)
            for header, value in headers
            if header == b"cookie"
            for part in value.split(b";")
            if part.strip().startswith(mark)
        }
        if values:
            token = values.pop().decode("latin-1")
            return name, token if not values and is_token(token) else None
    return _PLAIN + port, None


def _set_cookie(headers: Headers, token: str) -> bytes:
    """For a session that ends with the browser at the latest. A login's `origin` is how the browser sees us."""
    port = _port(headers)
    secure = _first(headers, b"origin").startswith(b"https://")
    return _cookie((_SECURE if secure else _PLAIN) + port, token)


def _cookie(name: str, value: str, *more: str) -> bytes:
    place = ("Path=/", "Secure") if name.startswith(_SECURE) else (f"Path={PATH}",)
    return "; ".join((f"{name}={value}", *place, "HttpOnly", "SameSite=Strict", *more)).encode()


def _key(headers: Headers) -> str | None:
    """The key that a program shows. Raises `AuthenticationFailed` for two."""
    shown = {value.strip() for name, value in headers if name == b"x-api-key"}
    for name, value in headers:
        scheme, _, rest = value.strip().partition(b" ")
        if name == b"authorization" and scheme.lower() == b"bearer":
            shown.add(rest.strip())
    shown.discard(b"")
    if len(shown) > 1:
        raise AuthenticationFailed("two different keys are shown, in x-api-key and authorization; send one")
    return shown.pop().decode("latin-1") if shown else None
