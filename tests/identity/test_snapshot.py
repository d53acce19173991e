"""What one process knows of keys: everything that was changed, nothing that was not, at the right moment."""

import pytest
from key_store import CLI, DAY_MS, NOW_MS, admin_of, make

from trimtab.errors import AuthenticationFailed
from trimtab.identity.snapshot import FORGET_MS, Snapshot
from trimtab.records import Caller, Limits
from trimtab.store import Database


def refusal(snapshot: Snapshot, secret: str, now_ms: int = NOW_MS) -> str:
    with pytest.raises(AuthenticationFailed) as raised:
        snapshot.find(secret, now_ms)
    return str(raised.value)


def test_a_key_is_found_with_everything_that_it_says(database: Database) -> None:
    admin = admin_of(database)
    key_id, secret = make(
        admin,
        organisation="acme",
        team="red",
        user="ann",
        models=("claude-haiku-4-5", "claude-opus-4-7"),
        tiers=("fast",),
        platforms=(),
        default_tier="fast",
        admin=True,
        limits=Limits(concurrency=3, total_nanousd=25_000_000_000),
    )
    other_id, other = make(admin, "plain")
    snapshot = Snapshot()
    assert snapshot.find(secret, NOW_MS) is None, "nothing is known before the first renewal"
    assert snapshot.renew(database, NOW_MS)
    assert snapshot.find(secret, NOW_MS) == Caller(
        key=key_id,
        organisation="acme",
        team="red",
        user="ann",
        limits=Limits(concurrency=3, total_nanousd=25_000_000_000),
        models=("claude-haiku-4-5-20251001", "claude-opus-4-7"),
        tiers=("fast",),
        platforms=(),
        default_tier="fast",
        admin=True,
    )
    assert snapshot.find(other, NOW_MS) == Caller(key=other_id, organisation="default")
    assert not snapshot.renew(database, NOW_MS), "nothing has changed since"
    assert (len(snapshot), snapshot.usable(NOW_MS)) == (2, 2)


def test_only_what_changed_is_read_again(database: Database) -> None:
    admin = admin_of(database)
    first_id, first = make(admin, "first")
    _, second = make(admin, "second")
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)
    untouched = snapshot.find(second, NOW_MS)
    admin.set_limits(CLI, first_id, Limits(concurrency=1))
    assert snapshot.renew(database, NOW_MS)
    found = snapshot.find(first, NOW_MS)
    assert found is not None
    assert found.limits == Limits(concurrency=1)
    assert snapshot.find(second, NOW_MS) is untouched


def test_a_revoked_key_ends_with_the_next_renewal_and_its_holder_is_told(database: Database) -> None:
    admin = admin_of(database)
    key_id, secret = make(admin)
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)
    admin.revoke(CLI, key_id)
    snapshot.renew(database, NOW_MS)
    said = refusal(snapshot, secret)
    assert key_id in said
    assert "revoked" in said
    assert secret not in said
    assert snapshot.usable(NOW_MS) == 0


def test_a_key_works_until_the_millisecond_before_it_expires(database: Database) -> None:
    _, secret = make(admin_of(database), expires_ms=NOW_MS + DAY_MS)
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)
    assert snapshot.find(secret, NOW_MS + DAY_MS - 1) is not None
    assert "expired" in refusal(snapshot, secret, NOW_MS + DAY_MS)
    assert (snapshot.usable(NOW_MS + DAY_MS - 1), snapshot.usable(NOW_MS + DAY_MS)) == (1, 0)


def test_after_a_rotation_both_secrets_work_until_the_time_of_grace_is_over(database: Database) -> None:
    admin = admin_of(database)
    key_id, old = make(admin)
    rotated = admin.rotate(CLI, key_id, grace_ms=1000)
    new, ends_ms = rotated.secret.reveal(), rotated.key.secrets[0].ends_ms
    assert ends_ms is not None
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)
    assert snapshot.find(old, ends_ms - 1) is snapshot.find(new, ends_ms - 1) is not None
    assert "replaced" in refusal(snapshot, old, ends_ms)
    assert snapshot.find(new, ends_ms + DAY_MS) is not None
    newest = admin.rotate(CLI, key_id, grace_ms=0).secret.reveal()
    snapshot.renew(database, NOW_MS)
    assert "replaced" in refusal(snapshot, new, NOW_MS + DAY_MS)
    assert snapshot.find(newest, NOW_MS + DAY_MS) is not None


def test_a_database_put_back_from_a_copy_is_read_from_the_start(database: Database) -> None:
    admin = admin_of(database)
    _, kept = make(admin, "kept")
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)

    def backup(tx: object) -> list[tuple[object, ...]]:
        return tx.rows("SELECT n, hash FROM audit_head")  # type: ignore[attr-defined,no-any-return]

    ((n, hashed),) = database.read(backup)
    _, lost = make(admin, "made after the copy")
    snapshot.renew(database, NOW_MS)
    assert snapshot.find(lost, NOW_MS) is not None

    def restore(tx: object) -> None:
        change = tx.change  # type: ignore[attr-defined]
        for table in ("keys", "key_secrets"):
            change(f"DELETE FROM {table} WHERE version > ?", (n,))
        change("DELETE FROM audit WHERE n > ?", (n,))
        change("UPDATE audit_head SET n = ?, hash = ?", (n, hashed))

    database.write(restore)
    # The new history is longer than the old one, so numbers alone would not show the difference.
    admin = admin_of(database, seed=2)
    made = [make(admin, f"later {i}")[1] for i in range(3)]
    snapshot.renew(database, NOW_MS)
    assert snapshot.find(lost, NOW_MS) is None
    assert all(snapshot.find(secret, NOW_MS) is not None for secret in (kept, *made))


def test_what_ended_long_ago_is_not_loaded(database: Database) -> None:
    admin = admin_of(database)
    revoked_id, revoked = make(admin, "revoked")
    _, expired = make(admin, "expired", expires_ms=NOW_MS + DAY_MS)
    _, lives = make(admin, "lives")
    admin.revoke(CLI, revoked_id)
    later = NOW_MS + FORGET_MS + 2 * DAY_MS
    snapshot = Snapshot()
    snapshot.renew(database, later)
    assert len(snapshot) == 1
    assert snapshot.find(revoked, later) is None
    assert snapshot.find(expired, later) is None
    assert snapshot.find(lives, later) is not None


def test_a_snapshot_shows_no_secret(database: Database) -> None:
    _, secret = make(admin_of(database))
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)
    assert repr(snapshot) == "Snapshot(1 keys, change 2)"
    assert secret[3:20] not in repr(snapshot.__dict__)


def test_more_keys_than_fit_a_page_are_all_read_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.store.keys.tables.PAGE_ROWS", 3)
    admin = admin_of(database)
    made = [make(admin, f"k{number}") for number in range(7)]
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)
    assert len(snapshot) == 7
    # All of one change, as after a restore into another engine.
    database.write(lambda tx: tx.change("UPDATE keys SET version = 1"))
    database.write(lambda tx: tx.change("UPDATE key_secrets SET version = 1"))
    snapshot = Snapshot()
    snapshot.renew(database, NOW_MS)
    assert [found.key for _, secret in made if (found := snapshot.find(secret, NOW_MS))] == [
        key_id for key_id, _ in made
    ]
