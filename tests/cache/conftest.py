"""A store of kept answers on either engine, with a clock that a test sets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.store import Database, StoreSettings, open_database


class Clock:
    """Unix milliseconds."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(clock: Clock, tmp_path: Path) -> Iterator[Database]:
    """A SQLite file."""
    opened = open_database(StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=clock)
    yield opened
    opened.close()
