"""Logging in: who gets a session, and when it is over. On both engines."""

import secrets
from collections.abc import Callable

import argon2
import pytest
from key_store import CLI

from trimtab.admin import UserAdmin
from trimtab.identity.logins import (
    AHEAD_MS,
    IDLE_MS,
    LONGEST_MS,
    MOST_SESSIONS,
    TOKEN_CHARS,
    TOUCH_MS,
    Logins,
    Session,
    digest_of_token,
)
from trimtab.identity.passwords import MEMORY_KIB, PASSES
from trimtab.store import Database
from trimtab.store.users import User, session_of, user_named

PASSWORD = "correct horse battery"


@pytest.fixture
def door(database: Database) -> UserAdmin:
    admin = UserAdmin(database)
    admin.add(CLI, "ann", "operator", PASSWORD)
    return admin


@pytest.fixture
def logins(database: Database) -> Logins:
    return Logins(database, secrets.token_bytes)


def logged_in(logins: Logins) -> str:
    token = logins.log_in("ann", PASSWORD).token
    assert token is not None
    return token


def age(database: Database, token: str, column: str, by_ms: int) -> None:
    """Let a session be older than it is; the clock of PostgreSQL cannot be moved."""
    database.write(
        lambda tx: tx.change(
            f"UPDATE console_sessions SET {column} = {column} - ? WHERE digest = ?",
            (by_ms, digest_of_token(token)),
        )
    )


def test_the_right_password_begins_a_session_with_a_token_of_its_own_each_time(
    logins: Logins, door: UserAdmin, database: Database
) -> None:
    first, second = logged_in(logins), logged_in(logins)
    assert first != second
    assert len(first) == TOKEN_CHARS
    assert logins.find(first) == logins.find(second) == Session("ann", "operator")
    stored = database.read(lambda tx: tx.rows("SELECT * FROM console_sessions"))
    assert len(stored) == 2
    assert not any(first in str(row) or second in str(row) for row in stored)


@pytest.mark.parametrize("column", ["created_ms", "seen_ms"])
def test_a_clock_that_goes_back_ends_sessions_instead_of_lengthening_them(
    logins: Logins, door: UserAdmin, database: Database, column: str
) -> None:
    near, far = logged_in(logins), logged_in(logins)
    age(database, near, column, -(AHEAD_MS - 60_000))
    age(database, far, column, -(AHEAD_MS + 60_000))
    assert logins.find(near) is not None
    assert logins.find(far) is None


def test_a_hash_of_weaker_days_is_made_anew_by_the_right_password_and_ends_no_session(
    logins: Logins, door: UserAdmin, database: Database
) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    before = logged_in(logins)
    database.write(lambda tx: tx.change("UPDATE console_users SET password = ?", (weak,)))

    def kept() -> User:
        user = database.read(lambda tx: user_named(tx, "ann"))
        assert user is not None
        return user

    was = kept()
    assert logins.log_in("ann", "wrong horse battery").token is None
    assert kept() == was
    assert logged_in(logins)
    parameters = argon2.extract_parameters(kept().password)
    assert (parameters.time_cost, parameters.memory_cost) == (PASSES, MEMORY_KIB)
    assert (kept().password_ms, kept().role) == (was.password_ms, was.role)
    assert logins.find(before) is not None
    renewed = kept()
    assert logged_in(logins)
    assert kept() == renewed, "once is enough"


@pytest.mark.parametrize(
    ("name", "password", "known"),
    [
        ("ann", "wrong horse battery", True),
        ("ann", "", True),
        ("Ann", PASSWORD, False),
        ("bob", PASSWORD, False),
        ("", "", False),
        ("a\0b", PASSWORD, False),
        ("x" * 1000, PASSWORD, False),
        ("' OR 1=1 --", PASSWORD, False),
    ],
)
def test_nobody_else_gets_one(logins: Logins, door: UserAdmin, name: str, password: str, known: bool) -> None:
    done = logins.log_in(name, password)
    assert (done.token, done.known) == (None, known)


@pytest.mark.parametrize(
    "end",
    [
        lambda door: door.disable(CLI, "ann"),
        lambda door: door.remove(CLI, "ann"),
        lambda door: door.log_out(CLI, "ann"),
        lambda door: door.set_password(CLI, "ann", "another horse battery"),
    ],
)
def test_what_takes_rights_away_ends_all_sessions_of_the_user_and_no_others(
    logins: Logins, door: UserAdmin, end: Callable[[UserAdmin], object]
) -> None:
    door.add(CLI, "bob", "viewer", PASSWORD)
    tokens = [logged_in(logins), logged_in(logins)]
    other = logins.log_in("bob", PASSWORD).token
    end(door)
    assert [logins.find(token) for token in tokens] == [None, None]
    assert other is not None
    assert logins.find(other) == Session("bob", "viewer")


def test_a_disabled_user_cannot_log_in_and_an_enabled_one_can_but_not_by_the_old_session(
    logins: Logins, door: UserAdmin
) -> None:
    token = logged_in(logins)
    door.disable(CLI, "ann")
    assert logins.log_in("ann", PASSWORD).token is None
    door.enable(CLI, "ann")
    assert logins.find(token) is None
    assert logins.find(logged_in(logins)) is not None


def test_a_user_made_anew_under_an_old_name_does_not_inherit_its_sessions(
    logins: Logins, door: UserAdmin
) -> None:
    token = logged_in(logins)
    door.remove(CLI, "ann")
    door.add(CLI, "ann", "admin", PASSWORD)
    assert logins.find(token) is None


def test_a_session_has_the_role_that_its_user_has_now(logins: Logins, door: UserAdmin) -> None:
    token = logged_in(logins)
    door.set_role(CLI, "ann", "viewer")
    assert logins.find(token) == Session("ann", "viewer")


def test_a_role_that_this_version_does_not_know_is_none(
    logins: Logins, door: UserAdmin, database: Database
) -> None:
    token = logged_in(logins)
    database.write(lambda tx: tx.change("UPDATE console_users SET role = 'owner'"))
    assert logins.find(token) is None
    assert logins.log_in("ann", PASSWORD).token is None


def test_a_session_ends_when_it_is_not_used_and_when_it_is_old(
    logins: Logins, door: UserAdmin, database: Database
) -> None:
    idle, old, fresh = logged_in(logins), logged_in(logins), logged_in(logins)
    age(database, idle, "seen_ms", IDLE_MS)
    age(database, old, "created_ms", LONGEST_MS)
    assert logins.find(idle) is None
    assert logins.find(old) is None
    assert logins.find(fresh) is not None
    logged_in(logins)  # which also forgets those that are over
    assert database.read(lambda tx: tx.row("SELECT count(*) FROM console_sessions")) == (2,)


def test_using_a_session_keeps_it_but_writes_only_now_and_then(
    logins: Logins, door: UserAdmin, database: Database
) -> None:
    def seen() -> int:
        found = database.read(lambda tx: session_of(tx, digest_of_token(token)))
        assert found is not None
        return found.seen_ms

    token = logged_in(logins)
    age(database, token, "seen_ms", 5)
    before = seen()
    logins.find(token)
    assert seen() == before
    age(database, token, "seen_ms", TOUCH_MS)
    logins.find(token)
    assert seen() > before


def test_logging_out_ends_one_session_and_is_no_error_twice(logins: Logins, door: UserAdmin) -> None:
    first, second = logged_in(logins), logged_in(logins)
    logins.end(first)
    logins.end(first)
    assert logins.find(first) is None
    assert logins.find(second) is not None


def test_one_user_has_a_bounded_number_of_sessions_and_the_newest_stay(
    logins: Logins, door: UserAdmin, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.identity.logins.MOST_SESSIONS", 3)
    assert MOST_SESSIONS > 3
    tokens = []
    for n in range(5):
        tokens.append(logged_in(logins))
        for token in tokens:
            age(database, token, "created_ms", 1000 * (n + 1))
    assert [logins.find(token) is not None for token in tokens] == [False, False, True, True, True]


def test_a_password_that_is_changed_while_it_is_checked_begins_no_session(
    logins: Logins, door: UserAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = logins._passwords.fits

    def slowly(password: str, hashed: str | None) -> bool:
        right = checks(password, hashed)
        door.set_password(CLI, "ann", "another horse battery")
        return right

    monkeypatch.setattr(logins._passwords, "fits", slowly)
    assert logins.log_in("ann", PASSWORD).token is None


@pytest.mark.parametrize("token", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "=", "ä" * 43, "a" * 42 + "\0"])
def test_what_cannot_be_a_token_is_nobody(logins: Logins, door: UserAdmin, token: str) -> None:
    assert logins.find(token) is None
    logins.end(token)


def test_whether_there_is_any_user_counts_disabled_ones(logins: Logins, database: Database) -> None:
    assert not logins.any_user()
    admin = UserAdmin(database)
    admin.add(CLI, "ann", "viewer", PASSWORD)
    admin.disable(CLI, "ann")
    assert logins.any_user()
    admin.remove(CLI, "ann")
    assert not logins.any_user()
