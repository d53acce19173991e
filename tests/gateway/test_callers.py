"""Whatever headers come, somebody is let in or told why not, and no part of a credential is repeated."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_store import NOW_MS, admin_of, make

from trimtab.errors import AuthenticationFailed, PermissionDenied, TrimtabError
from trimtab.gateway import Listen
from trimtab.gateway.access import Access
from trimtab.gateway.callers import admit, may_read
from trimtab.gateway.http import by_name
from trimtab.identity import Keys
from trimtab.records import NOBODY, Caller
from trimtab.store import StoreSettings, open_database

HOST = (b"host", b"127.0.0.1:8787")


class Gate:
    """Keys in memory, and one of them."""

    def __init__(self, folder: Path) -> None:
        self.database = open_database(StoreSettings(url=f"sqlite:///{folder}/t.db"), clock_ms=lambda: NOW_MS)
        self.key_id, self.secret = make(admin_of(self.database))
        self.keys = Keys(self.database, clock_ms=lambda: NOW_MS, monotonic=time.monotonic)
        self.keys.load()

    def admit(
        self,
        *headers: tuple[bytes, bytes],
        required: bool = True,
        local: bool = True,
        path: str = "/v1/messages",
    ) -> Caller:
        access = Access(
            keys=self.keys, required=required, local=local, origins=frozenset((b"https://a.example",))
        )
        sent = [HOST, *headers]
        return asyncio.run(admit(sent, by_name(sent), path, access))


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    gate = Gate(tmp_path_factory.mktemp("gate"))
    yield gate
    gate.database.close()


TEXT = st.binary(max_size=60).map(
    lambda text: text.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
)
CREDENTIAL = st.one_of(
    TEXT,
    TEXT.map(lambda text: b"tt-" + text),
    TEXT.map(lambda text: b"Bearer " + text),
    TEXT.map(lambda text: b"bearer tt-" + text),
)
HEADER = st.tuples(st.sampled_from((b"x-api-key", b"authorization", b"origin", b"accept")), CREDENTIAL)


@given(st.lists(HEADER, max_size=4), st.booleans(), st.booleans())
def test_any_headers_get_an_answer_that_repeats_no_credential(
    gate: Gate, headers: list[tuple[bytes, bytes]], required: bool, local: bool
) -> None:
    try:
        caller = gate.admit(*headers, required=required, local=local)
    except TrimtabError as problem:
        if not isinstance(problem, PermissionDenied):
            said = str(problem)
            for name, value in headers:
                shown = value.decode("latin-1").removeprefix("Bearer ").removeprefix("bearer ").strip()
                assert name in (b"origin", b"accept") or len(shown) < 9 or shown not in said
    else:
        assert caller is NOBODY
        assert not required, "nobody can guess the one key there is"


@given(st.lists(HEADER, max_size=3))
def test_the_right_key_is_let_in_or_refused_for_what_stands_beside_it(
    gate: Gate, headers: list[tuple[bytes, bytes]]
) -> None:
    try:
        said = gate.admit((b"x-api-key", gate.secret.encode()), *headers).key
    except (AuthenticationFailed, PermissionDenied) as problem:
        said = str(problem)
    assert said == gate.key_id or said.startswith(("two different keys", "Origin "))


def test_health_is_told_to_anybody_but_web_pages(gate: Gate) -> None:
    for path in ("/healthz", "/readyz"):
        assert gate.admit(path=path) is NOBODY
        with pytest.raises(PermissionDenied):
            gate.admit((b"origin", b"https://evil.example"), path=path, local=False)


def test_listed_origins_may_call_wherever_the_server_listens(gate: Gate) -> None:
    shown = (b"x-api-key", gate.secret.encode())
    for local in (True, False):
        assert gate.admit(shown, (b"origin", b"https://a.example"), local=local).key == gate.key_id
        with pytest.raises(PermissionDenied):
            gate.admit(shown, (b"origin", b"null"), local=local)
    assert gate.admit(shown, (b"origin", b"http://127.0.0.1:3000"), local=True).key == gate.key_id
    with pytest.raises(PermissionDenied):
        gate.admit(shown, (b"origin", b"http://127.0.0.1:3000"), local=False)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True),
        ("127.0.0.2:1", False), ("0.0.0.0:1", False), ("[::]:1", False), ("10.0.0.5:1", False),
        ("host.example:1", False), ("[::ffff:127.0.0.1]:1", False), ("127.1:1", False), ("LOCALHOST:1", False),
    ],
)  # fmt: skip
def test_only_what_is_known_to_be_this_machine_goes_without_keys(text: str, local: bool) -> None:
    assert Listen.parse(text, "x").is_local is local


def test_records_without_an_owner_are_nobodys_but_this_machines() -> None:
    record: dict[str, object] = {"id": "r"}
    assert may_read(record, NOBODY)
    assert not may_read(record, Caller(key="k", organisation="acme", admin=True))


@pytest.mark.parametrize("scheme", [b"http", b"https"])
def test_a_form_of_the_console_is_let_in_on_any_address_and_only_there(gate: Gate, scheme: bytes) -> None:
    own = (b"origin", scheme + b"://127.0.0.1:8787")
    assert gate.admit(own, local=False, path="/console/login") is NOBODY
    for origin, path in ((own, "/v1/messages"), ((b"origin", b"https://evil.example"), "/console/login")):
        with pytest.raises(PermissionDenied, match="may not call this server"):
            gate.admit(origin, local=False, path=path)
    with pytest.raises(PermissionDenied, match="Origin 'null'"):
        gate.admit((b"origin", b"null"), local=False, path="/console/login")
