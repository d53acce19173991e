"""Making, changing and removing the people who use the console.

What it is not: logging in (`identity`), or the users whom keys were made for (`keys`).
Every method blocks on the store and raises `StoreError`; `RequestError` (400), `PermissionDenied`, `NotFound` and
`Conflict` are the caller's. Invariants: each change is in the audit trail, in the same transaction, with nothing of a
password; a session is worth what its user is, so what is taken away is gone within 2 s; no key may change anything
here, admin or not, because a user sees the whole instance and a key its organisation.
"""

from typing import Literal

import msgspec

from trimtab.admin.rules import check_name
from trimtab.admin.words import Actor
from trimtab.errors import Conflict, NotFound, PermissionDenied, RequestError, shortened
from trimtab.identity.logins import IDLE_MS, LONGEST_MS
from trimtab.identity.passwords import Passwords, check_password
from trimtab.identity.roles import ROLES, Role
from trimtab.store import Database, Transaction
from trimtab.store.keys import audit as chain
from trimtab.store.users import (
    User,
    all_users,
    delete_user,
    end_sessions_of,
    insert_user,
    sessions_by_user,
    update_user,
    user_named,
)


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the console as people may see it. Times in Unix milliseconds."""

    name: str
    role: str
    state: Literal["active", "disabled"]
    created_ms: int
    password_ms: int
    """When the password was set."""
    disabled_ms: int | None
    sessions: int | msgspec.UnsetType = msgspec.UNSET
    """Where it is logged in now. Unset in the audit trail, which tells of changes that people make."""


class UserAdmin:
    """The door for users of the console. Keeps nothing, safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._passwords = Passwords()

    def add(self, actor: Actor, name: str, role: str, password: str) -> UserView:
        """Make a user. Raises `Conflict` where there is one of this name, disabled or not."""
        _check_user_name(name)
        checked = check_role(role)
        check_password(password, name)
        hashed = self._passwords.hash(password)

        def work(tx: Transaction) -> UserView:
            _begin(tx, actor)
            if user_named(tx, name) is not None:
                raise Conflict(
                    f"name: there is a user {name!r} already; choose another name, or change that one with "
                    "`trimtab users passwd`, `role` or `enable`"
                )
            now_ms = tx.now_ms()
            user = User(name=name, role=checked, password=hashed, password_ms=now_ms, created_ms=now_ms)
            insert_user(tx, user)
            after = view(user)
            _note(tx, actor, "add", name, None, after)
            return after

        return self._database.write(work)

    def show(self, name: str) -> UserView:
        """One user, with the sessions that it has now. Raises `NotFound`."""
        found = next((user for user in self.users() if user.name == name), None)
        if found is None:
            raise _unknown(name)
        return found

    def users(self) -> list[UserView]:
        """All users by name, disabled ones included."""

        def work(tx: Transaction) -> list[UserView]:
            now_ms = tx.now_ms()
            logged_in = sessions_by_user(
                tx, created_from_ms=now_ms - LONGEST_MS + 1, seen_from_ms=now_ms - IDLE_MS + 1
            )
            return [view(user, logged_in.get(user.name, 0)) for user in all_users(tx)]

        return self._database.read(work)

    def set_password(self, actor: Actor, name: str, password: str) -> UserView:
        """Give a user another password and log it out everywhere."""
        check_password(password, name)
        hashed = self._passwords.hash(password)

        def work(tx: Transaction) -> UserView:
            user = _found(tx, actor, name)
            changed = msgspec.structs.replace(user, password=hashed, password_ms=tx.now_ms())
            end_sessions_of(tx, name)
            return _change(tx, actor, "password", user, changed)

        return self._database.write(work)

    def set_role(self, actor: Actor, name: str, role: str) -> UserView:
        """Give a user another role, in sessions that it has too, within 2 s. Idempotent."""
        checked = check_role(role)

        def work(tx: Transaction) -> UserView:
            user = _found(tx, actor, name)
            return _change(tx, actor, "role", user, msgspec.structs.replace(user, role=checked))

        return self._database.write(work)

    def disable(self, actor: Actor, name: str) -> UserView:
        """Log a user out everywhere, within 2 s, and let it in no more until it is enabled. Idempotent."""

        def work(tx: Transaction) -> UserView:
            user = _found(tx, actor, name)
            end_sessions_of(tx, name)
            if user.disabled_ms is not None:
                return view(user)
            return _change(tx, actor, "disable", user, msgspec.structs.replace(user, disabled_ms=tx.now_ms()))

        return self._database.write(work)

    def enable(self, actor: Actor, name: str) -> UserView:
        """Let a disabled user in again, with the password and role that it had. Idempotent."""

        def work(tx: Transaction) -> UserView:
            user = _found(tx, actor, name)
            return _change(tx, actor, "enable", user, msgspec.structs.replace(user, disabled_ms=None))

        return self._database.write(work)

    def remove(self, actor: Actor, name: str) -> UserView:
        """Remove a user and end its sessions, within 2 s; the audit trail still tells of it."""

        def work(tx: Transaction) -> UserView:
            before = view(_found(tx, actor, name))
            delete_user(tx, name)
            _note(tx, actor, "remove", name, before, None)
            return before

        return self._database.write(work)

    def log_out(self, actor: Actor, name: str) -> int:
        """End all sessions of a user, within 2 s; how many there were. It may log in again."""

        def work(tx: Transaction) -> int:
            shown = view(_found(tx, actor, name))
            ended = end_sessions_of(tx, name)
            if ended:
                _note(tx, actor, "log_out", name, shown, shown)
            return ended

        return self._database.write(work)


def view(user: User, sessions: int | msgspec.UnsetType = msgspec.UNSET) -> UserView:
    """What people may see of a user."""
    return UserView(
        name=user.name,
        role=user.role,
        state="active" if user.disabled_ms is None else "disabled",
        created_ms=user.created_ms,
        password_ms=user.password_ms,
        disabled_ms=user.disabled_ms,
        sessions=sessions,
    )


def check_role(text: str) -> Role:
    """Raises `RequestError`."""
    for role in ROLES:
        if role == text:
            return role
    raise RequestError(f"role: {shortened(text, 40)!r}: must be one of {', '.join(ROLES)}")


def _check_user_name(name: str) -> None:
    check_name("name", name)
    if ":" in name:
        raise RequestError(f"name: {name!r}: must not hold ':', which marks what is no person, as key:...")


def _begin(tx: Transaction, actor: Actor) -> None:
    """Let changes come one after another, by those only who may make them. Raises `PermissionDenied`."""
    chain.hold(tx)
    if actor.key or actor.organisation is not None:
        raise PermissionDenied(
            f"{actor.name} may not change users of the console, who see every organisation; on the machine use "
            "`trimtab users`"
        )


def _found(tx: Transaction, actor: Actor, name: str) -> User:
    _begin(tx, actor)
    user = user_named(tx, name) if name.isprintable() else None
    if user is None:
        raise _unknown(name)
    return user


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no user {shortened(name, 80)!r}; `trimtab users list` shows those there are")


def _change(tx: Transaction, actor: Actor, action: str, before: User, after: User) -> UserView:
    shown = view(after)
    if before == after:
        return shown
    update_user(tx, after)
    _note(tx, actor, action, after.name, view(before), shown)
    return shown


def _note(
    tx: Transaction, actor: Actor, action: str, name: str, before: UserView | None, after: UserView | None
) -> None:
    def text(shown: UserView | None) -> str | None:
        return None if shown is None else msgspec.json.encode(shown, order="sorted").decode()

    chain.add_row(
        tx,
        actor=actor.name,
        action=f"console_users.{action}",
        organisation="",
        subject=f"user:{name}",
        before=text(before),
        after=text(after),
    )
