"""Keys that are made and revoked while a server of several processes is in use."""

from pathlib import Path

from revoking import revoke_in_use


def test_a_new_key_works_at_once_and_a_revoked_one_not_for_long(tmp_path: Path, store_url: str) -> None:
    found = revoke_in_use(tmp_path, store_url, rounds=1)
    print(found)
    assert not found.missed
