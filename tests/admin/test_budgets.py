"""Changes of budgets: each checked, each in the audit trail, none for somebody else's organisation or the file's."""

from decimal import Decimal

import msgspec
import pytest
from key_store import CLI, Clock, admin_of, make

from trimtab.admin import Actor, BudgetAdmin, FileBudgets, NewKey
from trimtab.budgets.settings import BudgetSettings
from trimtab.errors import Conflict, NotFound, PermissionDenied, RequestError
from trimtab.store import Database


def door(database: Database, **budgets: BudgetSettings) -> BudgetAdmin:
    return BudgetAdmin(database, FileBudgets("trimtab.toml", budgets))


def usd(amount: str = "500", **fields: object) -> BudgetSettings:
    return BudgetSettings(usd_per_month=Decimal(amount), **fields)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def houses(database: Database) -> None:
    keys = admin_of(database)
    make(keys, "ci", organisation="acme", team="red", user="ann")
    make(keys, "desk", organisation="acme", team="blue", user="bob")
    make(keys, "ci", organisation="other", team="red")


def test_a_budget_is_made_changed_and_removed_and_each_change_is_in_the_trail(
    database: Database, clock: Clock
) -> None:
    admin = door(database)
    made = admin.put(CLI, "blue", usd("500.25", organisation="acme")).budget
    assert made is not None
    assert (made.scope, made.who, made.source) == ("organisation", "acme", "store")
    changed = admin.change(CLI, "blue", {"tokens_per_day": 10, "team": "blue"})
    assert changed.was == made
    assert changed.budget is not None
    assert (changed.budget.scope, changed.budget.who, changed.budget.organisation) == ("team", "blue", "acme")
    assert [(line.field, line.limit) for line in changed.budget.lines] == [
        ("usd_per_month", 500_250_000_000), ("tokens_per_day", 10),
    ]  # fmt: skip
    (account,) = changed.budget.lines[0].accounts
    assert account.scope == "team=acme/blue"
    assert account.account.startswith("team=acme/blue/usd/20")
    assert (account.real.spent, account.real.left) == (0, 500_250_000_000)
    assert (
        admin.put(CLI, "blue", usd("500.25", organisation="acme", team="blue", tokens_per_day=10)).budget
        == changed.budget
    )
    assert [one.name for one in admin.budgets(CLI)] == ["blue"]
    assert admin.remove(CLI, "blue").was is not None
    assert admin.budgets(CLI) == []
    with pytest.raises(NotFound, match="no budget 'blue' is known"):
        admin.remove(CLI, "blue")
    again = admin.put(CLI, "blue", usd(team="blue")).budget
    assert again is not None
    trail = [entry for entry in admin_of(database).audit(CLI) if entry.action.startswith("budgets.")]
    assert [(entry.action, entry.subject, entry.organisation) for entry in reversed(trail)] == [
        ("budgets.set", "blue", "acme"), ("budgets.set", "blue", "acme"), ("budgets.remove", "blue", "acme"),
        ("budgets.set", "blue", "acme"),
    ]  # fmt: skip
    assert admin_of(database).verify().problem is None


def test_the_names_team_is_meant_where_nobody_is_named_and_an_unknown_one_is_told_with_a_hint(
    database: Database,
) -> None:
    admin = door(database)
    made = admin.put(CLI, "blue", usd()).budget
    assert made is not None
    assert (made.scope, made.who, made.organisation) == ("team", "blue", "acme")
    with pytest.raises(
        NotFound, match="there is no team 'team-a' yet; teams come with the keys made for them"
    ):
        admin.put(CLI, "team-a", usd())
    with pytest.raises(NotFound, match="there is no team 'bleu' yet; did you mean 'blue'"):
        admin.put(CLI, "x", usd(team="bleu"))
    with pytest.raises(NotFound, match="there is no user 'bob' of organisation 'other' yet"):
        admin.put(CLI, "x", usd(user="bob", organisation="other"))
    with pytest.raises(NotFound, match="there is no organisation 'acne' yet; did you mean 'acme'"):
        admin.put(CLI, "x", usd(organisation="acne"))
    with pytest.raises(NotFound, match="no key 'nokey' is known"):
        admin.put(CLI, "x", usd(key="nokey"))
    assert [one.name for one in admin.budgets(CLI)] == ["blue"]


def test_a_name_that_means_several_is_asked_for_and_one_in_the_file_is_in_force_for_each(
    database: Database,
) -> None:
    admin = door(database, reds=usd(team="red"), cis=usd(key="ci"), none=usd(team="ghosts"))
    with pytest.raises(Conflict, match="organisations 'acme', 'other' each have a team 'red'"):
        admin.put(CLI, "x", usd(team="red"))
    with pytest.raises(Conflict, match="several keys have this name"):
        admin.put(CLI, "x", usd(key="ci"))
    found = {one.name: one for one in admin.budgets(CLI)}
    assert [one.scope for one in found["reds"].lines[0].accounts] == ["team=acme/red", "team=other/red"]
    assert "each have a team 'red', and each has these limits for itself" in found["reds"].note
    assert len(found["cis"].lines[0].accounts) == 2
    assert "there is no team 'ghosts' yet" in found["none"].note


def test_a_budget_of_the_file_is_changed_in_the_file_and_nowhere_else(database: Database) -> None:
    admin = door(database, red=usd(team="red", organisation="acme"))
    assert (admin.show(CLI, "red").source, admin.show(CLI, "red").file) == ("file", "trimtab.toml")
    for change in (lambda: admin.put(CLI, "red", usd("9")), lambda: admin.remove(CLI, "red")):
        with pytest.raises(
            Conflict, match=r"budget 'red': is written in trimtab.toml, as \[budgets.red\]; change it there"
        ):
            change()
    with pytest.raises(
        Conflict, match="usd_per_month: budget 'red' limits the same for the same team already"
    ):
        admin.put(CLI, "mine", usd("9", team="red", organisation="acme"))
    assert admin.put(CLI, "mine", usd("9", team="red", organisation="acme", soft=True)).budget is not None


def test_mistakes_are_told_and_nothing_is_changed(database: Database) -> None:
    admin = door(database)
    for settings, message in (
        (usd("-1", team="blue"), "usd_per_month: -1: must be an amount of US dollars above 0"),
        (usd("NaN", team="blue"), "usd_per_month: NaN: must be an amount"),
        (BudgetSettings(team="blue"), "budget 'x': limits nothing"),
        (usd(team="blue", warn_percent=0), "warn_percent: 0: must be 1 to 100"),
        (usd(team="blue", key="ci"), "key: a budget is for one of organisation, team"),
        (usd(team="blue", webhook="file"), "webhook: must be an address"),
    ):
        with pytest.raises(RequestError, match="^" + message):
            admin.put(CLI, "x", settings)
    with pytest.raises(RequestError, match="must be 1 to 64 letters, digits"):
        admin.put(CLI, "a/b", usd(team="blue"))
    assert admin.budgets(CLI) == []


def test_an_admin_key_sees_and_changes_budgets_of_its_own_organisation_only(database: Database) -> None:
    keys = admin_of(database, seed=2)
    key = keys.add(CLI, NewKey(name="boss", organisation="acme", admin=True)).key
    boss = Actor(f"key:{key.id}", "acme", key.id)
    admin = door(database, mine=usd(organisation="acme"), all=usd(tag="x"), theirs=usd(organisation="other"))
    assert [one.name for one in admin.budgets(boss)] == ["mine"]
    with pytest.raises(NotFound, match="no budget 'theirs' is known"):
        admin.show(boss, "theirs")
    with pytest.raises(PermissionDenied, match="makes budgets of its own organisation only, 'acme'"):
        admin.put(boss, "x", usd(organisation="other"))
    with pytest.raises(PermissionDenied, match="own organisation only"):
        admin.put(boss, "x", usd(key="*"))
    with pytest.raises(NotFound, match="there is no team 'green' of organisation 'acme' yet"):
        admin.put(boss, "x", usd(team="green"))
    made = admin.put(boss, "x", usd(team="red")).budget
    assert made is not None
    assert made.organisation == "acme"
    tagged = admin.put(boss, "tagged", usd(tag="night")).budget
    assert tagged is not None
    assert tagged.lines[0].accounts[0].scope == "tag=acme/night"
    admin.put(CLI, "far", usd(team="red", organisation="other"))
    with pytest.raises(Conflict, match="the name is in use"):
        admin.put(boss, "far", usd(team="blue"))
    with pytest.raises(NotFound):
        admin.remove(boss, "far")
    keys.revoke(CLI, key.id)
    with pytest.raises(PermissionDenied, match="may no longer change"):
        admin.remove(boss, "x")


def test_an_admin_key_has_nothing_of_the_servers_machine_sent_or_signed_with(database: Database) -> None:
    key = admin_of(database, seed=2).add(CLI, NewKey(name="boss", organisation="acme", admin=True)).key
    boss, admin = Actor(f"key:{key.id}", "acme", key.id), door(database)
    hook = "https://hooks.example/T0"
    for said in ({"webhook": "file:/run/secrets/hook"}, {"webhook": hook, "webhook_secret": "env:DATABASE"}):
        with pytest.raises(PermissionDenied, match="names a variable or file of the server's machine"):
            admin.put(boss, "red", usd(organisation="acme", team="red", **said))
    signed = usd(organisation="acme", team="red", webhook=hook, webhook_secret="env:SIGN")
    admin.put(CLI, "red", signed)
    kept = admin.put(boss, "red", msgspec.structs.replace(signed, warn_percent=50)).budget
    assert kept is not None
    assert kept.signed


def test_the_trail_does_not_hold_the_secret_part_of_a_webhooks_address(database: Database) -> None:
    admin = door(database)
    made = admin.put(CLI, "blue", usd(webhook="https://hooks.example/T0/s3cret", webhook_secret="env:SIGN"))
    assert made.budget is not None
    assert (made.budget.webhook, made.budget.signed) == ("https://hooks.example/…", True)
    (entry,) = [one for one in admin_of(database).audit(CLI) if one.action == "budgets.set"]
    assert b"s3cret" not in bytes(entry.after or b"")
