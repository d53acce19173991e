"""The tables of the people who use the console, and of where they are logged in.

What it is not: what a password or a role means (`identity`), who may change them (`admin`), or the users whom keys
were made for (`store.keys`). Invariants: a password is here as its argon2id hash only, a session's token as its SHA-256
only; a session whose user is gone opens nothing, because it is read together with its user.
"""

import msgspec

from trimtab.store.database import Row, Transaction


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may use the console. Times in Unix milliseconds."""

    name: str
    role: str
    password: str
    """In argon2's own text form, salt and parameters included."""
    password_ms: int
    """When it was set."""
    created_ms: int
    disabled_ms: int | None = None


class UserSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session, and its user as it is now."""

    user: User
    created_ms: int
    seen_ms: int
    """When it was last used, to a minute or so."""


_USER = "name, role, password, password_ms, created_ms, disabled_ms"


def _user(row: Row) -> User:
    return User(
        name=row[0], role=row[1], password=row[2], password_ms=row[3], created_ms=row[4], disabled_ms=row[5]
    )


def user_named(tx: Transaction, name: str) -> User | None:
    """One user, disabled or not."""
    row = tx.row(f"SELECT {_USER} FROM console_users WHERE name = ?", (name,))  # noqa: S608 (our own names)
    return None if row is None else _user(row)


def has_users(tx: Transaction) -> bool:
    """Whether there is any user, disabled ones included."""
    return tx.row("SELECT 1 FROM console_users LIMIT 1") is not None


def all_users(tx: Transaction) -> list[User]:
    """All users by name. People, so there are few."""
    return [_user(row) for row in tx.rows(f"SELECT {_USER} FROM console_users ORDER BY name")]  # noqa: S608


def insert_user(tx: Transaction, user: User) -> None:
    """Add a user; the name must be free."""
    tx.change(
        f"INSERT INTO console_users ({_USER}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 (our own names)
        (user.name, user.role, user.password, user.password_ms, user.created_ms, user.disabled_ms),
    )


def update_user(tx: Transaction, user: User) -> None:
    """Store what may change of a user: role, password, and whether it is disabled."""
    tx.change(
        "UPDATE console_users SET role = ?, password = ?, password_ms = ?, disabled_ms = ? WHERE name = ?",
        (user.role, user.password, user.password_ms, user.disabled_ms, user.name),
    )


def delete_user(tx: Transaction, name: str) -> None:
    """Remove a user with all its sessions."""
    end_sessions_of(tx, name)
    tx.change("DELETE FROM console_users WHERE name = ?", (name,))


def insert_session(tx: Transaction, digest: bytes, user_name: str, *, most: int) -> None:
    """Begin a session now; beyond `most` of this user, its oldest ones end."""
    now_ms = tx.now_ms()
    tx.change(
        "INSERT INTO console_sessions (digest, user_name, created_ms, seen_ms) VALUES (?, ?, ?, ?)",
        (digest, user_name, now_ms, now_ms),
    )
    tx.change(
        "DELETE FROM console_sessions WHERE user_name = ? AND digest <> ? AND digest NOT IN ("
        "SELECT digest FROM console_sessions WHERE user_name = ? AND digest <> ? "
        "ORDER BY created_ms DESC, digest LIMIT ?)",
        (user_name, digest, user_name, digest, most - 1),
    )


def session_of(tx: Transaction, digest: bytes) -> UserSession | None:
    """The session whose token has this digest, however old, with its user."""
    row = tx.row(
        "SELECT s.created_ms, s.seen_ms, u.name, u.role, u.password, u.password_ms, u.created_ms, u.disabled_ms "
        "FROM console_sessions s JOIN console_users u ON u.name = s.user_name WHERE s.digest = ?",
        (digest,),
    )
    return None if row is None else UserSession(created_ms=row[0], seen_ms=row[1], user=_user(row[2:]))


def touch_session(tx: Transaction, digest: bytes) -> None:
    """Note that it was used now."""
    tx.change("UPDATE console_sessions SET seen_ms = ? WHERE digest = ?", (tx.now_ms(), digest))


def end_session(tx: Transaction, digest: bytes) -> None:
    """End one session, if it is there."""
    tx.change("DELETE FROM console_sessions WHERE digest = ?", (digest,))


def end_sessions_of(tx: Transaction, user_name: str) -> int:
    """End all sessions of a user; how many there were."""
    return tx.change("DELETE FROM console_sessions WHERE user_name = ?", (user_name,))


def end_old_sessions(tx: Transaction, *, created_until_ms: int, seen_until_ms: int) -> None:
    """Forget sessions that are over anyway."""
    tx.change(
        "DELETE FROM console_sessions WHERE created_ms <= ? OR seen_ms <= ?",
        (created_until_ms, seen_until_ms),
    )


def sessions_by_user(tx: Transaction, *, created_from_ms: int, seen_from_ms: int) -> dict[str, int]:
    """How many sessions each user has that began and were used from these moments on."""
    rows = tx.rows(
        "SELECT user_name, count(*) FROM console_sessions WHERE created_ms >= ? AND seen_ms >= ? GROUP BY user_name",
        (created_from_ms, seen_from_ms),
    )
    return {row[0]: int(row[1]) for row in rows}
