"""A store has one name for good, whoever asks first, and a backup carries it along."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trimtab.store import StoreSettings, open_database, store_identity
from trimtab.store.backup import make_backup, restore_backup


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    if request.param == "sqlite":
        return StoreSettings(url=f"sqlite:///{tmp_path}/a.db")
    return StoreSettings(url=request.getfixturevalue("postgres_url"))


def clock_ms() -> int:
    return 1_800_000_000_000


def name_of(settings: StoreSettings) -> str:
    database = open_database(settings, clock_ms=clock_ms)
    try:
        return store_identity(database)
    finally:
        database.close()


def test_processes_that_start_together_agree_on_the_name(settings: StoreSettings) -> None:
    with ThreadPoolExecutor(6) as threads:
        names = set(threads.map(name_of, [settings] * 6))
    assert len(names) == 1
    assert len(names.pop()) == 32


def test_a_restored_store_is_the_one_that_was_backed_up_and_a_name_alone_is_nothing_to_lose(
    settings: StoreSettings, tmp_path: Path
) -> None:
    before = StoreSettings(url=f"sqlite:///{tmp_path}/before.db")
    name = name_of(before)
    make_backup(before, tmp_path / "b", clock_ms=clock_ms)
    assert name_of(settings) != name
    restore_backup(settings, tmp_path / "b", clock_ms=clock_ms)
    assert name_of(settings) == name
