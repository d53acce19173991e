"""What users of other gateways complain about, tried on this one: real servers, on both stores, with 1 and 4 workers.

Every test names its complaint; docs/complaints.md is the list. It is a stage of its own (`make test-complaints`).
Tests of one process share its servers and its platform, one after the other: each sets what the platform answers.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from drive import Books, Site, books, eventually
from raw_client import Client
from scripted_upstream import Upstream
from sdk_programs import python_of, run_program

PROGRAMS = Path(__file__).resolve().parent / "programs"


class Combination(NamedTuple):
    """What the suite runs on."""

    store: str
    workers: int
    sdk: str
    """The version that its programs use, so that all versions take part."""


COMBINATIONS = [
    Combination("sqlite", 1, "2.11"),
    Combination("sqlite", 4, "0.125"),
    Combination("postgresql", 1, "1.17"),
    Combination("postgresql", 4, "2.11"),
]


WHOLE = "TRIMTAB_COMPLAINTS"
"""Set to `all`, faults of platforms are tried on all combinations. Else each of them is tried on two, which have both
stores and both numbers of workers between them: one half of them on the first and last, the other on the other two."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out: list[pytest.Item] = []
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.complaints)
            if item.path.name == "test_platform_faults.py" and not _has_a_turn(item):
                left_out.append(item)
    if left_out and os.environ.get(WHOLE) != "all":
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _has_a_turn(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    on = call.params.get("combination") if call is not None else None
    if on is None:
        return True
    name = item.nodeid.replace(_name(on), "")
    return (COMBINATIONS.index(on) in (0, 3)) == (zlib.crc32(name.encode()) % 2 == 0)


def _name(on: Combination) -> str:
    return f"{on.store}-{on.workers}-worker{'s' if on.workers > 1 else ''}"


@pytest.fixture(scope="session", params=COMBINATIONS, ids=_name)
def combination(request: pytest.FixtureRequest) -> Combination:
    on: Combination = request.param
    return on


@pytest.fixture(scope="session")
def new_store(combination: Combination, request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Gives the address of an empty store; a file is in the given folder."""
    if combination.store == "sqlite":
        return lambda folder: f"sqlite:///{folder}/t.db"
    server = request.getfixturevalue("postgres_server")
    return lambda folder: server.new_database()


class Gateway:
    """A server in front of a scripted platform, and one key of it."""

    def __init__(self, site: Site, upstream: Upstream) -> None:
        self.site = site
        self.upstream = upstream
        self.key = site.key("app")
        site.start()

    def client(self) -> Client:
        """A connection of its own. Close it."""
        return Client(self.site.port, self.key.secret)

    def books(self) -> Books:
        """What the store says, as far as it is written."""
        return books(self.site)

    def eventually(self, look: Callable[[], Any]) -> Any:
        """What `look` gives, once that is true."""
        return eventually(look)


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The platform. Set its `answer` before each use."""
    stub = Upstream(lambda _: [b"HTTP/1.1 500 Unset\r\ncontent-length: 0\r\n\r\n"])
    yield stub
    stub.close()


@pytest.fixture(scope="session")
def started(
    combination: Combination,
    new_store: Callable[[Path], str],
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Gateway]]:
    """`started(**options of Site)` gives a server of this combination, which is stopped in order at the end."""
    gateways: list[Gateway] = []

    def start(**options: str) -> Gateway:
        folder = tmp_path_factory.mktemp("gateway")
        site = Site(folder, upstream, new_store(folder), combination.workers, **options)
        gateways.append(Gateway(site, upstream))
        return gateways[-1]

    yield start
    try:
        for gateway in gateways:
            assert gateway.site.stop() == 0
            assert not gateway.site.tracebacks()
    finally:
        for gateway in gateways:
            gateway.site.destroy()


@pytest.fixture(scope="session")
def gateway(started: Callable[..., Gateway]) -> Gateway:
    """As Trimtab comes, but that callers must show a key."""
    return started(store_options="batch_ms = 5\n", server_options="require_keys = true\n")


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    client = gateway.client()
    yield client
    client.close()


@pytest.fixture
def run_sdk(combination: Combination, gateway: Gateway) -> Callable[..., dict[str, Any]]:
    """`run_sdk(program)` through the gateway, `run_sdk(program, direct=True)` straight to the platform."""

    def run(name: str, *, direct: bool = False) -> dict[str, Any]:
        site = gateway.site
        url = gateway.upstream.url if direct else site.url
        program = PROGRAMS / f"{name}.py"
        return run_program(
            python_of(combination.sdk), program, url, site.folder, site.log, gateway.key.secret
        )

    return run
