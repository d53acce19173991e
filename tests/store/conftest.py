"""Records to write, and stores that close themselves."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from waiting import until

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import Database, Store, StoreSettings, open_database, open_store

NOW_MS = 1_800_000_000_000

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., Store]


@pytest.fixture
def make_outcome() -> MakeOutcome:
    """A typical record, different for each seed."""

    def make(seed: int = 1, *, at_ms: int = NOW_MS, **changes: object) -> Outcome:
        attempt = Attempt(
            platform="claude",
            model="claude-sonnet-4-6",
            result="ok",
            status=200,
            usage=Usage(input_tokens=100, output_tokens=10),
            cost_nanousd=450_000,
            cost_source="reported",
        )
        record = Outcome(
            id=new_request_id(at_ms, random.Random(seed).getrandbits),
            at_ms=at_ms,
            purpose="live",
            surface="messages",
            endpoint="messages",
            requested_model="trimtab/auto",
            session=f"session-{seed % 7}",
            result="ok",
            status=200,
            stream=False,
            plan=Plan(arm=Arm("claude-sonnet-4-6", "medium"), platform="claude"),
            attempts=(attempt,),
            cost_nanousd=450_000,
        )
        return msgspec.structs.replace(record, **changes)

    return make


@pytest.fixture
def problems() -> list[str]:
    """The lines that the operator saw."""
    return []


@pytest.fixture
def open_at(problems: list[str]) -> Iterator[OpenStore]:
    """Open a store at a path or URL; what a test leaves open is closed."""
    opened: list[Store] = []

    def open_one(path: Path | str, *, worker: str = "", **settings: int) -> Store:
        url = path if isinstance(path, str) else f"sqlite:///{path}"
        whole = StoreSettings(url=url, **{"batch_ms": 10, **settings})
        opened.append(open_store(whole, clock_ms=lambda: NOW_MS, on_problem=problems.append, worker=worker))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close(5)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store on either engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/t.db"
    return str(request.getfixturevalue("postgres_store"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of either engine can be made, of an older schema for instance."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/t.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database_at() -> Iterator[Callable[[str], Database]]:
    """Open a database; what a test leaves open is closed."""
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        opened.append(open_database(StoreSettings(url=url), clock_ms=lambda: NOW_MS))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Wait until something is so."""

    return until
