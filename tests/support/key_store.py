"""A database on either engine with the door for keys before it: what the tests of keys share."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab.admin import Actor, KeyAdmin, KeyRules, NewKey
from trimtab.catalogue import Catalogue
from trimtab.store import Database, StoreSettings, open_database

CATALOGUE = Catalogue.load()
RULES = KeyRules(CATALOGUE, ("claude", "aws"))
CLI = Actor("cli:tester")
NOW_MS = time.time_ns() // 1_000_000
"""About what PostgreSQL's clock says too."""
DAY_MS = 86_400_000


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


def random_bytes(seed: int = 1) -> Callable[[int], bytes]:
    """The same bytes in every run: never do this outside a test."""
    return random.Random(seed).randbytes


def admin_of(database: Database, seed: int = 1) -> KeyAdmin:
    return KeyAdmin(database, RULES, random_bytes(seed))


def make(door: KeyAdmin, name: str = "ci", actor: Actor = CLI, **fields: object) -> tuple[str, str]:
    """A key's id and secret."""
    made = door.add(actor, NewKey(name=name, **fields))  # type: ignore[arg-type]
    return made.key.id, made.secret.reveal()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store on each engine."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_store")
        return url
    return f"sqlite:///{tmp_path}/t.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(store_url: str, clock: Clock) -> Iterator[Database]:
    opened = open_database(StoreSettings(url=store_url), clock_ms=clock)
    yield opened
    opened.close()
