"""The door for users of the console: what it lets pass, what the trail says, and who may not. On both engines."""

import json

import pytest
from key_store import CLI, admin_of

from trimtab.admin import Actor, UserAdmin
from trimtab.errors import Conflict, NotFound, PermissionDenied, RequestError
from trimtab.store import Database

PASSWORD = "correct horse battery"


@pytest.fixture
def door(database: Database) -> UserAdmin:
    return UserAdmin(database)


def test_every_change_is_in_the_trail_and_nothing_of_a_password_is(
    door: UserAdmin, database: Database
) -> None:
    door.add(CLI, "ann", "viewer", PASSWORD)
    door.set_role(CLI, "ann", "admin")
    door.set_password(CLI, "ann", "another horse battery")
    door.disable(CLI, "ann")
    door.enable(CLI, "ann")
    door.remove(CLI, "ann")
    keys = admin_of(database)
    rows = keys.audit(CLI, most=100)
    assert [row.action.removeprefix("console_users.") for row in reversed(rows)] == [
        "add", "role", "password", "disable", "enable", "remove",
    ]  # fmt: skip
    assert {(row.actor, row.subject, row.organisation) for row in rows} == {("cli:tester", "user:ann", "")}
    said = b"".join(bytes(part) for row in rows for part in (row.before, row.after) if part is not None)
    for secret in (b"horse", b"argon2"):
        assert secret not in said
    role = rows[-2]
    assert role.before is not None
    assert role.after is not None
    assert (json.loads(bytes(role.before))["role"], json.loads(bytes(role.after))["role"]) == (
        "viewer",
        "admin",
    )
    assert keys.verify().problem is None


def test_doing_a_thing_twice_is_one_row_and_no_error(door: UserAdmin, database: Database) -> None:
    door.add(CLI, "ann", "viewer", PASSWORD)
    for _ in range(2):
        door.set_role(CLI, "ann", "operator")
        door.disable(CLI, "ann")
    assert door.log_out(CLI, "ann") == 0
    assert len(admin_of(database).audit(CLI, most=100)) == 3


def test_users_of_the_console_are_not_the_users_that_keys_were_made_for(
    door: UserAdmin, database: Database
) -> None:
    door.add(CLI, "ann", "viewer", PASSWORD)
    assert database.read(lambda tx: tx.row("SELECT count(*) FROM users")) == (0,)


@pytest.mark.parametrize(
    ("name", "role", "password", "why"),
    [
        ("", "viewer", PASSWORD, "name: ''"),
        (" ann", "viewer", PASSWORD, "no space at either end"),
        ("a\x1bb", "viewer", PASSWORD, "printable"),
        ("x" * 65, "viewer", PASSWORD, "1 to 64"),
        ("key:1", "viewer", PASSWORD, "must not hold ':'"),
        ("ann", "owner", PASSWORD, "role: 'owner': must be one of viewer, operator, admin"),
        ("ann", "Admin", PASSWORD, "role: 'Admin'"),
        ("ann", "viewer", "short", "it must have 12"),
    ],
)
def test_what_cannot_be_a_user_is_refused_with_what_is_wrong(
    door: UserAdmin, name: str, role: str, password: str, why: str
) -> None:
    with pytest.raises(RequestError, match=why):
        door.add(CLI, name, role, password)
    assert door.users() == []


def test_a_name_is_given_once_and_a_name_that_nobody_has_is_told(door: UserAdmin) -> None:
    door.add(CLI, "ann", "viewer", PASSWORD)
    with pytest.raises(Conflict, match="there is a user 'ann' already"):
        door.add(CLI, "ann", "admin", "another horse battery")
    for work in (
        lambda: door.remove(CLI, "bob"),
        lambda: door.disable(CLI, "bob\0"),
        lambda: door.log_out(CLI, "user:ann"),
    ):
        with pytest.raises(NotFound, match="there is no user"):
            work()


@pytest.mark.parametrize(
    "actor", [Actor("key:key_1", "default", "key_1"), Actor("key:key_1", None, "key_1"), Actor("x", "acme")]
)
def test_no_key_changes_users_however_much_of_an_admin_it_is(door: UserAdmin, actor: Actor) -> None:
    door.add(CLI, "ann", "viewer", PASSWORD)
    before = door.users()
    for work in (
        lambda: door.add(actor, "eve", "admin", PASSWORD),
        lambda: door.set_role(actor, "ann", "admin"),
        lambda: door.set_password(actor, "ann", "another horse battery"),
        lambda: door.enable(actor, "ann"),
        lambda: door.disable(actor, "ann"),
        lambda: door.remove(actor, "ann"),
        lambda: door.log_out(actor, "ann"),
    ):
        with pytest.raises(PermissionDenied, match="may not change users of the console"):
            work()
    assert door.users() == before
