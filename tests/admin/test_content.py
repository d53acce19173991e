"""Deletions of kept prompts and answers: each audited, each only of what is one's own."""

import json
from collections.abc import Callable

import pytest
from kept_content import content, keep, kept_ids
from key_store import CLI, NOW_MS, admin_of, make

from trimtab.admin import Actor, ContentAdmin, ContentDeleted
from trimtab.errors import Conflict, NotFound, PermissionDenied, RequestError, TrimtabError
from trimtab.store import Database

BEFORE_MS = NOW_MS - 60_000


class Filled:
    """A store with four keys of two organisations, and a request of each."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.keys = admin_of(database)
        self.door = ContentAdmin(database)
        self.boss_id, _ = make(self.keys, "boss", organisation="acme", admin=True)
        self.boss = Actor(f"key:{self.boss_id}", "acme", self.boss_id)
        self.ids: dict[str, str] = {}
        for name, organisation, user in (
            ("ci", "acme", "ann"),
            ("cd", "acme", "ann"),
            ("web", "acme", "bob"),
            ("ext", "other", "ann"),
        ):
            key, _ = make(self.keys, name, organisation=organisation, user=user)
            self.ids[name] = key
            keep(database, content(f"r-{name}", BEFORE_MS, key=key, user=user, organisation=organisation))

    @property
    def kept(self) -> set[str]:
        return {one.removeprefix("r-") for one in kept_ids(self.database)}


@pytest.fixture
def filled(database: Database) -> Filled:
    return Filled(database)


def told(done: ContentDeleted) -> tuple[int, int]:
    return done.requests, done.answers


def test_each_deletion_is_one_row_of_the_audit_trail_that_says_who_what_and_how_many(filled: Filled) -> None:
    assert told(filled.door.delete_request(CLI, "r-ci")) == (1, 0)
    assert told(filled.door.delete_key(filled.boss, "cd")) == (1, 0)
    assert told(filled.door.delete_user(filled.boss, "bob", before_ms=NOW_MS)) == (1, 0)
    assert told(filled.door.delete_before(CLI, NOW_MS)) == (1, 0)
    assert filled.kept == set()
    entries = [one for one in filled.keys.audit(CLI, most=100) if one.action == "content.delete"]
    assert [(one.actor, one.organisation, one.subject) for one in reversed(entries)] == [
        ("cli:tester", "acme", "r-ci"),
        (f"key:{filled.boss_id}", "acme", filled.ids["cd"]),
        (f"key:{filled.boss_id}", "acme", "bob"),
        ("cli:tester", "", "everything"),
    ]
    assert entries[0].after is not None
    assert json.loads(bytes(entries[0].after)) == {
        "answers": 0,
        "before_ms": NOW_MS,
        "by": "everything",
        "cached": 0,
        "edited": 0,
        "requests": 1,
    }
    assert filled.keys.verify().problem is None


def test_an_admin_key_reaches_its_own_organisation_only(filled: Filled) -> None:
    refused: list[Callable[[], object]] = [
        lambda: filled.door.delete_request(filled.boss, "r-ext"),
        lambda: filled.door.delete_key(filled.boss, "ext"),
        lambda: filled.door.delete_key(filled.boss, filled.ids["ext"]),
        lambda: filled.door.delete_user(filled.boss, "nobody"),
        lambda: filled.door.delete_user(filled.boss, "ann", organisation="other"),
    ]
    for attempt in refused:
        with pytest.raises(NotFound):
            attempt()
    assert filled.kept == {"ci", "cd", "web", "ext"}
    assert told(filled.door.delete_user(filled.boss, "ann")) == (2, 0)
    assert told(filled.door.delete_before(filled.boss, NOW_MS)) == (1, 0)
    assert filled.kept == {"ext"}


def test_a_key_that_is_admin_no_more_deletes_nothing(filled: Filled) -> None:
    filled.keys.revoke(CLI, "boss")
    with pytest.raises(PermissionDenied):
        filled.door.delete_key(filled.boss, "ci")
    stranger = Actor(f"key:{filled.ids['ci']}", "acme", filled.ids["ci"])
    with pytest.raises(PermissionDenied):
        filled.door.delete_request(stranger, "r-ci")
    assert filled.kept == {"ci", "cd", "web", "ext"}


def test_a_user_that_two_organisations_have_must_be_named_with_one(filled: Filled) -> None:
    with pytest.raises(Conflict, match="'acme', 'other' have one"):
        filled.door.delete_user(CLI, "ann")
    assert told(filled.door.delete_user(CLI, "ann", organisation="other")) == (1, 0)
    assert filled.kept == {"ci", "cd", "web"}


def test_a_revoked_keys_content_goes_by_its_id(filled: Filled) -> None:
    filled.keys.revoke(CLI, "ci")
    with pytest.raises(NotFound):
        filled.door.delete_key(CLI, "ci")
    assert told(filled.door.delete_key(CLI, filled.ids["ci"])) == (1, 0)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda door: door.delete_request(CLI, "nobody"),
        lambda door: door.delete_request(CLI, "a\0b"),
        lambda door: door.delete_request(CLI, "ü"),
        lambda door: door.delete_request(CLI, ""),
        lambda door: door.delete_key(CLI, ""),
        lambda door: door.delete_key(CLI, "\x1b[2J"),
        lambda door: door.delete_user(CLI, ""),
        lambda door: door.delete_user(CLI, "a\nb"),
        lambda door: door.delete_before(CLI, -1),
        lambda door: door.delete_before(CLI, 2**60),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_one_line_and_changes_nothing(
    filled: Filled, attempt: Callable[[ContentAdmin], object]
) -> None:
    with pytest.raises((NotFound, RequestError)) as raised:
        attempt(filled.door)
    assert isinstance(raised.value, TrimtabError)
    assert "\n" not in str(raised.value)
    assert filled.kept == {"ci", "cd", "web", "ext"}
    assert not [one for one in filled.keys.audit(CLI, most=100) if one.action == "content.delete"]


def test_a_request_without_a_key_is_the_machines_not_an_organisations(filled: Filled) -> None:
    keep(filled.database, content("r-none", BEFORE_MS, key="", user="", team="", organisation=""))
    with pytest.raises(NotFound):
        filled.door.delete_request(filled.boss, "r-none")
    filled.door.delete_before(filled.boss, NOW_MS)
    assert filled.kept == {"ext", "none"}
    assert told(filled.door.delete_request(CLI, "r-none")) == (1, 0)
