"""Who uses the console: a name and a password become a session, and a session's token becomes a user.

What it is not: cookies and forms (`console`), or a way to change users (`admin`).
Invariants: sessions live in the store, so every process knows each of them, and its end; a token is made anew for each
login and kept as its SHA-256 only; a session is worth what its user is now, not what it was when it began; a session is
begun only in the transaction that finds the password still the one that was checked.
"""

import base64
import hashlib
import string
from collections.abc import Callable
from typing import cast

import msgspec

from trimtab.identity.passwords import Passwords
from trimtab.identity.roles import ROLES, Role
from trimtab.store import Database, Transaction
from trimtab.store.users import (
    end_old_sessions,
    end_session,
    has_users,
    insert_session,
    session_of,
    touch_session,
    update_user,
    user_named,
)

IDLE_MS = 2 * 3_600_000
"""A session that is not used for so long is over. Pages that are open and renew themselves use it."""

LONGEST_MS = 12 * 3_600_000
"""A session is over then, however much it is used: a working day."""

AHEAD_MS = 5 * 60_000
"""A session that was begun or used so far in the future is over: the clock went back, and it would live that much
longer. Machines that share a database agree to a few seconds."""

TOUCH_MS = 60_000
"""That a session is used is noted once in so long, not with every page."""

MOST_SESSIONS = 20
"""Of one user; one more ends the oldest."""

TOKEN_CHARS = 43
MAX_NAME_CHARS = 64

_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")


class Session(msgspec.Struct, frozen=True):
    """Who is logged in."""

    user: str
    role: Role


class Login(msgspec.Struct, frozen=True):
    """What came of a try to log in."""

    token: str | None
    """Of the new session; `None` where there is none."""
    known: bool
    """Whether there is such a user; for the operator's log, never for whoever tries."""


class Logins:
    """Sessions of one store. Keeps nothing in memory; safe to use from any thread; every method blocks.

    All raise `StoreError`.
    """

    def __init__(self, database: Database, random_bytes: Callable[[int], bytes]) -> None:
        """`random_bytes` must be fit for keys (`secrets.token_bytes`)."""
        self._database = database
        self._random_bytes = random_bytes
        self._passwords = Passwords()

    def any_user(self) -> bool:
        """Whether any user is configured, disabled ones included."""
        return self._database.read(has_users)

    def log_in(self, name: str, password: str) -> Login:
        """Begin a session, if the password is the user's and the user is not disabled. Cost: 0.1 s of one core.

        A hash that was made with other parameters is made anew, which costs as much again, once.
        """
        user = None
        if 0 < len(name) <= MAX_NAME_CHARS and name.isprintable():
            user = self._database.read(lambda tx: user_named(tx, name))
        right = self._passwords.fits(password, None if user is None else user.password)
        if user is None or not right:
            return Login(None, user is not None)
        token = base64.urlsafe_b64encode(self._random_bytes(32)).decode().rstrip("=")
        checked = user.password
        renewed = None
        if self._passwords.is_old(checked) and _usable(user.role, user.disabled_ms):
            renewed = self._passwords.hash(password)

        def work(tx: Transaction) -> bool:
            now = user_named(tx, name)
            if now is None or now.password != checked or not _usable(now.role, now.disabled_ms):
                return False
            now_ms = tx.now_ms()
            end_old_sessions(tx, created_until_ms=now_ms - LONGEST_MS, seen_until_ms=now_ms - IDLE_MS)
            insert_session(tx, digest_of_token(token), name, most=MOST_SESSIONS)
            if renewed is not None:
                update_user(tx, msgspec.structs.replace(now, password=renewed))
            return True

        return Login(token if self._database.write(work) else None, known=True)

    def find(self, token: str) -> Session | None:
        """Who is logged in with this token. Cost: one read, and one write in a minute of use."""
        if not is_token(token):
            return None
        digest = digest_of_token(token)

        def look(tx: Transaction) -> tuple[Session | None, bool]:
            found, now_ms = session_of(tx, digest), tx.now_ms()
            if (
                found is None
                or now_ms - found.created_ms >= LONGEST_MS
                or now_ms - found.seen_ms >= IDLE_MS
                or max(found.created_ms, found.seen_ms) - now_ms >= AHEAD_MS
                or not _usable(found.user.role, found.user.disabled_ms)
            ):
                return None, False
            session = Session(found.user.name, cast(Role, found.user.role))
            return session, now_ms - found.seen_ms >= TOUCH_MS

        session, stale = self._database.read(look)
        if stale:
            self._database.write(lambda tx: touch_session(tx, digest), durable=False)
        return session

    def end(self, token: str) -> None:
        """End the session of this token, if there is one."""
        if is_token(token):
            self._database.write(lambda tx: end_session(tx, digest_of_token(token)))


def is_token(text: str) -> bool:
    """Whether this can be a session's token at all."""
    return len(text) == TOKEN_CHARS and _ALPHABET.issuperset(text)


def digest_of_token(token: str) -> bytes:
    """What the store keeps."""
    return hashlib.sha256(token.encode()).digest()


def _usable(role: str, disabled_ms: int | None) -> bool:
    return disabled_ms is None and role in ROLES
