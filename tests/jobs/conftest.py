"""A database of jobs on each engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_harness import ENGINES, Bench, engine_url, open_engine


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return engine_url(request.param, tmp_path, lambda: request.getfixturevalue("postgres_store"))


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    database = open_engine(url)
    yield Bench(database)
    database.close()
