"""What a restored backup does not bring back."""

from pathlib import Path

import pytest

from trimtab.store import StoreSettings, Transaction, open_database
from trimtab.store.backup import make_backup, restore_backup
from trimtab.store.users import User, has_users, insert_session, insert_user, session_of


def clock_ms() -> int:
    return 1_800_000_000_000


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_restored_store_has_its_users_and_none_of_their_sessions(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A session that was ended after the backup, because somebody left, must not come back."""
    url = f"sqlite:///{tmp_path / 'a.db'}" if engine == "sqlite" else request.getfixturevalue("postgres_url")
    settings = StoreSettings(url=url)

    def begin(transaction: Transaction) -> None:
        ann = User(name="ann", role="admin", password="hash", password_ms=1, created_ms=1)
        insert_user(transaction, ann)
        insert_session(transaction, b"digest", "ann", most=20)

    database = open_database(settings, clock_ms=clock_ms)
    database.write(begin)
    database.close()
    make_backup(settings, tmp_path / "b", clock_ms=clock_ms)
    restore_backup(settings, tmp_path / "b", clock_ms=clock_ms, force=True)
    database = open_database(settings, clock_ms=clock_ms)
    assert database.read(has_users)
    assert database.read(lambda t: session_of(t, b"digest")) is None
    database.close()
