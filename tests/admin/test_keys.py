"""Changes of keys: each checked, each in the audit trail, none for somebody else's organisation."""

import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from key_store import CLI, DAY_MS, NOW_MS, admin_of, make

from trimtab.admin import Actor, KeyAdmin, NewKey
from trimtab.errors import Conflict, NotFound, PermissionDenied, RequestError
from trimtab.identity import digest_of
from trimtab.records import Limits
from trimtab.store import Database, Transaction

ACME = Actor("key:key_1", "acme")


def actions(admin: KeyAdmin) -> list[tuple[str, str]]:
    return [(entry.action, entry.subject) for entry in reversed(admin.audit(CLI))]


def test_a_new_key_says_what_was_asked_for_and_its_secret_is_shown_once(database: Database) -> None:
    admin = admin_of(database)
    made = admin.add(
        CLI,
        NewKey(
            name="ci",
            organisation="acme",
            team="red",
            user="ann@example.com",
            expires_ms=NOW_MS + DAY_MS,
            models=("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
            tiers=("fast", "default"),
            platforms=("claude",),
            default_tier="fast",
            limits=Limits(requests_per_minute=60),
            labels={"cost-centre": "42"},
        ),
    )
    key = made.key
    assert (key.state, key.organisation, key.team, key.user) == ("active", "acme", "red", "ann@example.com")
    assert key.models == ("claude-haiku-4-5-20251001",), "an alias becomes the catalogue's id, once"
    assert (key.tiers, key.default_tier, key.platforms) == (("fast", "default"), "fast", ("claude",))
    assert (key.labels, key.limits.requests_per_minute) == ({"cost-centre": "42"}, 60)
    secret = made.secret.reveal()
    assert key.secrets[0].prefix == secret[:9]
    assert secret not in repr(made)
    assert admin.show(CLI, "ci") == admin.show(ACME, key.id) == admin.keys(CLI)[0] == key

    def everything(tx: Transaction) -> str:
        tables = ("organisations", "teams", "users", "keys", "key_secrets", "audit", "audit_head")
        return repr([tx.rows(f"SELECT * FROM {table}") for table in tables])

    stored = database.read(everything)
    assert secret[9:] not in stored
    assert repr(digest_of(secret)) in stored
    assert actions(admin) == [
        ("organisations.add", "acme"),
        ("teams.add", "red"),
        ("users.add", "ann@example.com"),
        ("keys.add", key.id),
    ]


def test_organisations_teams_and_users_are_made_once(database: Database) -> None:
    admin = admin_of(database)
    make(admin, "one", organisation="acme", team="red", user="ann")
    make(admin, "two", organisation="acme", team="red", user="ann")
    make(admin, "three", organisation="other", team="red")
    assert [action for action, _ in actions(admin)] == [
        "organisations.add", "teams.add", "users.add", "keys.add", "keys.add",
        "organisations.add", "teams.add", "keys.add",
    ]  # fmt: skip


def test_a_name_is_taken_until_its_key_is_revoked(database: Database) -> None:
    admin = admin_of(database)
    first, _ = make(admin, "ci")
    make(admin, "ci", organisation="other")
    with pytest.raises(Conflict, match="has a key 'ci' already"):
        make(admin, "ci")
    with pytest.raises(Conflict, match="several keys have this name"):
        admin.show(CLI, "ci")
    admin.revoke(CLI, first)
    second, _ = make(admin, "ci")
    assert admin.show(CLI, first).state == "revoked"
    assert admin.show(Actor("key:x", "default"), "ci").id == second


def test_revoking_twice_is_revoking_once(database: Database) -> None:
    admin = admin_of(database)
    key_id, _ = make(admin)
    first = admin.revoke(CLI, "ci")
    assert first.state == "revoked"
    assert admin.revoke(CLI, key_id) == first
    assert [action for action, _ in actions(admin)].count("keys.revoke") == 1
    for change in (
        lambda: admin.rotate(CLI, key_id),
        lambda: admin.set_limits(CLI, key_id, Limits(concurrency=1)),
    ):
        with pytest.raises(Conflict, match="was revoked, and that is for ever"):
            change()


def test_limits_are_replaced_as_a_whole_and_the_trail_has_both(database: Database) -> None:
    admin = admin_of(database)
    key_id, _ = make(admin, limits=Limits(concurrency=2, requests_per_minute=10))
    after = admin.set_limits(CLI, key_id, Limits(total_nanousd=25_000_000_000))
    assert after.limits == Limits(total_nanousd=25_000_000_000)
    assert admin.set_limits(CLI, key_id, after.limits) == after
    entries = admin.audit(CLI, key=key_id)
    assert [entry.action for entry in entries] == ["keys.limits", "keys.add"]
    assert entries[0].before is not None
    assert entries[0].after is not None
    assert json.loads(bytes(entries[0].before))["limits"] == {"concurrency": 2, "requests_per_minute": 10}
    assert json.loads(bytes(entries[0].after))["limits"] == {"total_nanousd": 25_000_000_000}


def test_rotation_adds_a_secret_and_lets_the_old_one_end(database: Database) -> None:
    admin = admin_of(database)
    key_id, old = make(admin)
    rotated = admin.rotate(CLI, key_id, grace_ms=DAY_MS)
    before, after = rotated.key.secrets
    assert (before.prefix, after.prefix) == (old[:9], rotated.secret.reveal()[:9])
    assert before.ends_ms is not None
    assert after.ends_ms is None
    sooner = admin.rotate(CLI, key_id, grace_ms=0).key.secrets
    assert sooner[0].ends_ms is not None
    assert sooner[0].ends_ms < before.ends_ms, "no time of grace ends all that came before"
    later = admin.rotate(CLI, key_id, grace_ms=2 * DAY_MS).key.secrets
    assert later[0].ends_ms == sooner[0].ends_ms, "what has ended does not begin again"
    with pytest.raises(RequestError, match="0 to 90 days"):
        admin.rotate(CLI, key_id, grace_ms=-1)


def test_a_rotation_in_a_loop_is_stopped(database: Database) -> None:
    admin = admin_of(database)
    key_id, _ = make(admin)
    for _ in range(9):
        admin.rotate(CLI, key_id)
    with pytest.raises(Conflict, match="10 secrets open it already"):
        admin.rotate(CLI, key_id)
    admin.rotate(CLI, key_id, grace_ms=0)


def test_a_key_with_admin_touches_its_own_organisation_only(database: Database) -> None:
    admin = admin_of(database)
    theirs, _ = make(admin, "theirs", organisation="other")
    ours, _ = make(admin, "ours", actor=ACME)
    assert admin.show(ACME, ours).organisation == "acme"
    assert [key.id for key in admin.keys(ACME)] == [ours]
    assert {entry.organisation for entry in admin.audit(ACME)} == {"acme"}
    for change in (
        lambda: admin.show(ACME, theirs),
        lambda: admin.revoke(ACME, theirs),
        lambda: admin.rotate(ACME, theirs),
        lambda: admin.set_limits(ACME, theirs, Limits()),
        lambda: admin.show(ACME, "theirs"),
    ):
        with pytest.raises(NotFound):
            change()
    with pytest.raises(PermissionDenied, match="of its own organisation only, 'acme'"):
        make(admin, "more", actor=ACME, organisation="other")
    assert admin.show(CLI, theirs).state == "active"


BAD = {
    "models: 'claude-opus-4-77': no such model in the catalogue; did you mean 'claude-opus-4-7'": {
        "models": ("claude-opus-4-77",)
    },
    "models: 'trimtab/fast' is a tier, not a model": {"models": ("trimtab/fast",)},
    "tiers: 'fats': no such tier; did you mean 'fast'": {"tiers": ("fats",)},
    "tiers: 'zzz': no such tier; there are default, escalation, control, fast": {"tiers": ("zzz",)},
    "platforms: 'cloud': no such platform entry in the configuration; did you mean 'claude'": {
        "platforms": ("cloud",)
    },
    "default_tier: 'slow': no such tier": {"default_tier": "slow"},
    "default_tier: 'default' is not among the tiers of this key": {"default_tier": "default", "tiers": ("fast",)},
    "expires_ms: 5: must be Unix milliseconds in the future": {"expires_ms": 5},
    "limits.concurrency: 0: must be 1 to": {"limits": Limits(concurrency=0)},
    "limits.total_nanousd: -1: must be 1 to": {"limits": Limits(total_nanousd=-1)},
    "limits.requests_per_minute: 99999999999: must be": {"limits": Limits(requests_per_minute=99_999_999_999)},
    "team: 'a\\\\nb': must be 1 to 64 printable": {"team": "a\nb"},
    "user: ' x': must be": {"user": " x"},
    "organisation: begins like a secret": {"organisation": "tt-abcdefghijkl"},
    "labels: 21 labels; at most 20": {"labels": {f"l{n}": "" for n in range(21)}},
    "labels.a: must have at most 256": {"labels": {"a": "x" * 257}},
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_what_a_key_cannot_say_is_refused_with_a_remedy(database: Database, message: str) -> None:
    admin = admin_of(database)
    with pytest.raises(RequestError, match=message):
        make(admin, **BAD[message])  # type: ignore[arg-type]
    assert admin.keys(CLI) == []
    assert admin.audit(CLI) == [], "what was refused leaves nothing behind"


def test_changes_that_come_together_all_stand_in_one_unbroken_trail(database: Database) -> None:
    admin = admin_of(database)
    key_id, _ = make(admin)
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            mine = admin_of(database, seed=100 + number)
            for n in range(5):
                make(mine, f"{number}-{n}", organisation=f"org{n}", team=f"team{number % 2}")
                mine.set_limits(CLI, key_id, Limits(concurrency=number * 10 + n + 1))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    # 21 keys, 20 changes of limits, 6 organisations, 10 teams.
    verified = admin.verify()
    assert (verified.rows, verified.problem) == (57, None)


def test_the_trail_is_read_in_pages(database: Database) -> None:
    admin = admin_of(database)
    for number in range(5):
        make(admin, f"k{number}")
    first = admin.audit(CLI, most=4)
    second = admin.audit(CLI, most=4, before=first[-1].n)
    assert [entry.n for entry in first + second] == [6, 5, 4, 3, 2, 1]
    keys = admin.keys(CLI, most=3)
    assert len({key.id for key in keys + admin.keys(CLI, after=keys[-1].id)}) == 5


TAMPERING = {
    "UPDATE audit SET actor = 'cli:nobody' WHERE n = 2": (1, "row 2 is not what was written"),
    "UPDATE audit SET after_json = replace(after_json, 'ci', 'xx') WHERE n = 2": (1, "row 2 is not"),
    "UPDATE audit SET at_ms = at_ms + 1 WHERE n = 1": (0, "row 1 is not"),
    "DELETE FROM audit WHERE n = 2": (1, "row 2 is missing"),
    "DELETE FROM audit WHERE n = 3": (2, "the trail ends at row 2, but row 3 was written"),
    "DELETE FROM audit": (0, "the trail ends at row 0"),
    "UPDATE audit SET hash = 'x' WHERE n = 3": (2, "row 3 is not"),
    "UPDATE audit_head SET n = 2": (3, "the trail ends at row 3, but row 2"),
}


@pytest.mark.parametrize("statement", TAMPERING)
def test_a_trail_that_was_tampered_with_is_found_out(database: Database, statement: str) -> None:
    admin = admin_of(database)
    make(admin)
    admin.revoke(CLI, "ci")
    assert (admin.verify().rows, admin.verify().problem) == (3, None)
    database.write(lambda tx: tx.change(statement))
    rows, problem = TAMPERING[statement]
    found = admin.verify()
    assert found.rows == rows
    assert found.problem is not None
    assert problem in found.problem


def test_an_empty_trail_is_whole(database: Database) -> None:
    assert admin_of(database).verify().problem is None


def test_the_door_shows_no_secret_of_any_key(database: Database) -> None:
    admin = admin_of(database)
    key_id, first = make(admin)
    second = admin.rotate(CLI, key_id).secret.reveal()
    shown = msgspec.json.encode([admin.keys(CLI), admin.audit(CLI), admin.show(CLI, key_id)]).decode()
    for secret in (first, second):
        assert secret[:9] in shown
        assert secret[9:] not in shown
        assert digest_of(secret).hex() not in shown


def test_limits_change_one_at_a_time_and_the_trail_holds_no_money(database: Database) -> None:
    admin = admin_of(database)
    key_id, _ = make(admin, limits=Limits(concurrency=2, requests_per_minute=10))
    changed = admin.change_limits(CLI, key_id, {"requests_per_minute": None, "total_nanousd": 5})
    assert changed.was == Limits(concurrency=2, requests_per_minute=10)
    assert changed.key.limits == Limits(concurrency=2, total_nanousd=5)
    assert admin.change_limits(CLI, key_id, {"total_nanousd": 5}).was == changed.key.limits
    entries = admin.audit(CLI, key=key_id)
    assert [entry.action for entry in entries] == ["keys.limits", "keys.add"]
    assert "money" not in json.loads(bytes(entries[0].after or b"{}"))
    with pytest.raises(RequestError, match=r"limits\.concurrency: 0"):
        admin.change_limits(CLI, key_id, {"concurrency": 0})


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "\n"])
def test_names_that_no_key_can_have_are_not_known_on_any_engine(database: Database, text: str) -> None:
    admin = admin_of(database)
    make(admin)
    with pytest.raises(NotFound, match="is known"):
        admin.show(CLI, text)
    with pytest.raises(RequestError, match=r"after: .* must be the id of a key"):
        admin.keys(CLI, after=text)
    with pytest.raises(RequestError, match=r"key: .* must be the id of a key"):
        admin.audit(CLI, key=text)
    with pytest.raises(NotFound, match="there is no organisation"):
        admin.keys(Actor("cli:x", text))


def test_a_list_of_keys_asks_for_their_money_once(database: Database) -> None:
    admin = admin_of(database)
    ids = [make(admin, f"k{n}")[0] for n in range(5)]
    database.write(
        lambda tx: tx.change_many("INSERT INTO key_spend VALUES (?, 0, ?)", [(key, 7) for key in ids])
    )
    asked: list[str] = []
    read = database.read

    def counting(work: Callable[[Transaction], Any]) -> Any:
        def counted(tx: Transaction) -> Any:
            rows = tx.rows
            tx.rows = lambda sql, values=(): asked.append(sql) or rows(sql, values)  # type: ignore[func-returns-value, method-assign]
            try:
                return work(tx)
            finally:
                del tx.rows

        return read(counted)

    database.read = counting  # type: ignore[method-assign]
    assert {key.money.spent_nanousd for key in admin.keys(CLI)} == {7}  # type: ignore[union-attr]
    assert len([sql for sql in asked if "key_spend" in sql]) == 1
