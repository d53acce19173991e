"""Callers are known from memory, whatever becomes of the store; a new key works at once where it can be asked."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from key_store import CLI, NOW_MS, admin_of, make, random_bytes
from postgres_server import available, running
from waiting import until

from trimtab.errors import AuthenticationFailed, StoreError, Unavailable
from trimtab.identity import Keys, make_secret
from trimtab.identity.keys import FORCED_WAIT_S, STALE_S
from trimtab.records import Limits
from trimtab.store import Database, StoreSettings, open_database


class Watch:
    """Seconds that a test may add to."""

    def __init__(self) -> None:
        self.added = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.added


@contextlib.contextmanager
def keys_of(
    database: Database, watch: Callable[[], float] = time.monotonic, *, renewing: bool = True
) -> Iterator[Keys]:
    keys = Keys(database, clock_ms=lambda: NOW_MS, monotonic=watch)
    keys.load()
    if renewing:
        keys.start()
    try:
        yield keys
    finally:
        keys.stop()


def unknown(seed: int) -> str:
    return make_secret(random_bytes(seed))


async def judged(keys: Keys, secret: str) -> str:
    """`caller`, asked again where the machine was too slow for the deadline."""
    for _ in range(50):
        try:
            return (await keys.caller(secret)).key
        except AuthenticationFailed as problem:
            return str(problem)
        except Unavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("never judged")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def ended(keys: Keys, secret: str) -> bool:
    try:
        return keys.find(secret) is None
    except AuthenticationFailed:
        return True


def test_a_key_that_was_made_a_moment_ago_works_at_once(database: Database) -> None:
    with keys_of(database) as keys:
        key_id, secret = make(admin_of(database))
        assert run(judged(keys, secret)) == key_id


def test_a_revoked_key_ends_by_itself_within_two_seconds(database: Database) -> None:
    admin = admin_of(database)
    key_id, secret = make(admin)
    with keys_of(database) as keys:
        assert keys.find(secret) is not None
        admin.revoke(CLI, key_id)
        began = time.monotonic()
        until(lambda: ended(keys, secret))
        assert time.monotonic() - began < 2


def test_a_secret_that_nobody_has_is_refused_after_the_store_was_asked(database: Database) -> None:
    with keys_of(database) as keys:
        said = run(judged(keys, unknown(7)))
    assert said == "no key has the secret shown; check that it is this server's, and whole"


class Counting:
    """A database that counts how often it is read, and can be slow or away."""

    def __init__(self, inner: Database) -> None:
        self.inner, self.words = inner, inner.words
        self.reads = 0
        self.away = False
        self.gate: threading.Event | None = None

    def read(self, work: Any) -> Any:
        self.reads += 1
        if self.gate is not None:
            self.gate.wait(60)
        if self.away:
            raise StoreError("store: away")
        return self.inner.read(work)

    def write(self, work: Any, *, durable: bool = True) -> Any:
        return self.inner.write(work, durable=durable)

    def close(self) -> None: ...


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Counting]:
    inner = open_database(StoreSettings(url=f"sqlite:///{tmp_path}/c.db"), clock_ms=lambda: NOW_MS)
    yield Counting(inner)
    inner.close()


def test_a_flood_of_wrong_keys_does_not_become_a_flood_of_questions_to_the_store(counting: Counting) -> None:
    async def flood(keys: Keys) -> float:
        began = time.monotonic()
        while time.monotonic() < began + 1:
            await asyncio.gather(*(keys.caller(unknown(n)) for n in range(20)), return_exceptions=True)
        return time.monotonic() - began

    with keys_of(counting) as keys:
        before = counting.reads
        lasted = run(flood(keys))
        # 5 at once, 5 a second, and the regular ones.
        assert counting.reads - before <= 5 + lasted * (5 + 2) + 2


def test_those_who_ask_together_share_one_look(counting: Counting) -> None:
    async def together(keys: Keys) -> list[Any]:
        return await asyncio.gather(*(keys.caller(unknown(n)) for n in range(100)), return_exceptions=True)

    with keys_of(counting) as keys:
        until(lambda: counting.reads >= 2)  # just after a regular look
        before = counting.reads
        answers = run(together(keys))
        assert {type(answer) for answer in answers} <= {AuthenticationFailed, Unavailable}
        assert counting.reads - before <= 3


def test_a_known_key_works_while_the_store_is_away_and_an_unknown_one_is_not_called_wrong(
    counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch()
    admin = admin_of(counting)
    key_id, secret = make(admin)

    async def ask(keys: Keys, shown: str) -> str:
        return (await keys.caller(shown)).key

    with keys_of(counting, watch) as keys, caplog.at_level(logging.WARNING, "trimtab.identity"):
        counting.away = True
        with pytest.raises(Unavailable):  # still fresh: the look fails
            run(ask(keys, unknown(1)))
        watch.added += STALE_S + 1
        with pytest.raises(Unavailable) as raised:  # stale: not even asked
            run(ask(keys, unknown(2)))
        assert raised.value.retry_after_s == 1
        watch.added += 7 * 86_400
        assert run(ask(keys, secret)) == key_id
        assert keys.age_s() > 7 * 86_400
        made = make(admin, "made while reading fails")
        counting.away = False
        until(lambda: keys.age_s() < 1)
        assert keys.find(made[1]) is not None
    lines = [record.message for record in caplog.records]
    assert lines == [
        "keys cannot be renewed: store: away; those known stay in force until the store is back",
        "keys are renewed again",
    ]


def test_a_store_that_hangs_holds_nobody_longer_than_the_deadline(counting: Counting) -> None:
    _, secret = make(admin_of(counting))

    async def ask(keys: Keys) -> float:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await keys.caller(unknown(1))
        waited = time.monotonic() - began
        assert (await keys.caller(secret)).key
        return waited

    with keys_of(counting) as keys:
        counting.gate = threading.Event()
        assert run(ask(keys)) >= FORCED_WAIT_S * 0.9
        counting.gate.set()


def test_a_client_that_goes_away_while_it_waits_takes_the_look_from_nobody(counting: Counting) -> None:
    async def two(keys: Keys) -> None:
        leaving = asyncio.create_task(keys.caller(unknown(1)))
        staying = asyncio.create_task(keys.caller(unknown(2)))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert counting.gate is not None
        counting.gate.set()
        with pytest.raises((AuthenticationFailed, Unavailable)):
            await staying

    with keys_of(counting) as keys:
        counting.gate = threading.Event()
        run(two(keys))
        # The thread has not been harmed.
        made = make(admin_of(counting), "after")
        until(lambda: keys.find(made[1]) is not None)


def test_keys_stay_in_force_while_postgresql_is_stopped(tmp_path: Path) -> None:
    if not available():
        pytest.skip("PostgreSQL is not installed here")
    with running() as server:
        opened = open_database(StoreSettings(url=server.new_database()), clock_ms=lambda: NOW_MS)
        with contextlib.closing(opened) as database, keys_of(database) as keys:
            admin = admin_of(database)
            key_id, secret = make(admin)
            assert run(judged(keys, secret)) == key_id
            server.stop()
            until(lambda: keys.age_s() > STALE_S)
            assert run(keys.caller(secret)).key == key_id
            with pytest.raises(Unavailable):
                run(keys.caller(unknown(3)))
            server.start()
            admin.set_limits(CLI, key_id, Limits(concurrency=2))
            until(lambda: (found := keys.find(secret)) is not None and found.limits.concurrency == 2)


def test_keys_stay_in_force_while_the_sqlite_file_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    database = open_database(StoreSettings(url=f"sqlite:///{path}"), clock_ms=lambda: NOW_MS)
    key_id, secret = make(admin_of(database))
    with keys_of(database) as keys:
        other = apsw.Connection(str(path))
        other.execute("BEGIN EXCLUSIVE")
        assert run(keys.caller(secret)).key == key_id
        assert run(judged(keys, unknown(3))).startswith("no key has")
        other.execute("ROLLBACK")
        other.close()
        made = make(admin_of(database, seed=2), "after")
        until(lambda: keys.find(made[1]) is not None)
    database.close()


def test_start_fails_clearly_where_keys_cannot_be_read(counting: Counting) -> None:
    counting.away = True
    keys = Keys(counting, clock_ms=lambda: NOW_MS, monotonic=time.monotonic)
    with pytest.raises(StoreError):
        keys.load()
    keys.stop()
    assert repr(keys) == "Keys(Snapshot(0 keys, change 0))"
