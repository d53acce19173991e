"""What all tests share: how Hypothesis runs here, and a PostgreSQL server for the run."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from postgres_server import PostgresServer, available, running

from trimtab.store import Database, StoreSettings, open_database

# In continuous integration the same examples every time; elsewhere new ones, so that the search goes on.
# No deadline: the machines that run this are shared, and a slow example is not a wrong one.
settings.register_profile(
    "trimtab",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("trimtab")

DAY_S = 86_400
ROOM_S = 60


def pytest_runtest_setup() -> None:
    """Budgets and figures of days and months begin anew at midnight UTC: no test begins within a minute before it."""
    left_s = DAY_S - time.time() % DAY_S
    if left_s < ROOM_S:
        time.sleep(left_s)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a process; do not stop it, make your own for that."""
    if not available():
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    with running() as server:
        yield server


@pytest.fixture
def postgres_store(postgres_server: PostgresServer) -> Iterator[str]:
    """A store that nobody has used: its tables are there."""
    url = postgres_server.new_store(_made)
    yield url
    postgres_server.drop(url)


def _made(url: str) -> None:
    open_database(StoreSettings(url=url), clock_ms=lambda: 0).close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that nobody has used, of each engine in turn; where it is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/t.db"
    return str(request.getfixturevalue("postgres_store"))


@pytest.fixture
def open_one(either_store: str) -> Iterator[Callable[[], Database]]:
    """Opens the database of that store, again and again: one for each process that a test plays."""
    opened: list[Database] = []

    def open_it() -> Database:
        settings = StoreSettings(url=either_store)
        opened.append(open_database(settings, clock_ms=lambda: time.time_ns() // 1_000_000))
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database, not even a store. `postgres_store` is made in a quarter of the time."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)
