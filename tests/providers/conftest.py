"""A platform that a test scripts, and a machine with nothing on it but what the test puts there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_upstream import Upstream

from trimtab.catalogue import Catalogue
from trimtab.providers.machine import Machine

NOW = 1_795_000_000.0


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.load()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    stub = Upstream(lambda _: [b"HTTP/1.1 500 Unset\r\ncontent-length: 0\r\n\r\n"])
    yield stub
    stub.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine({}, tmp_path, lambda: NOW)
