"""Databases of both engines, one at a time or shared by several processes' worth of dealers."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab.store import Database, StoreSettings, open_database

Open = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same database, again and again."""
    url = (
        f"sqlite:///{tmp_path}/limits.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_store")
    )
    opened: list[Database] = []

    def open_it() -> Database:
        opened.append(open_database(StoreSettings(url=url), clock_ms=lambda: time.time_ns() // 1_000_000))
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()
