"""PostgreSQL stopped, full, read-only or cutting connections: records wait, the operator hears it once, sums stay."""

import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from postgres_server import PostgresServer, available, running
from record_sums import check

from trimtab.errors import StoreError
from trimtab.records import Outcome
from trimtab.store import Database
from trimtab.store.records import RecordStore

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., RecordStore]
OpenDatabase = Callable[[str], Database]
Eventually = Callable[..., None]


@pytest.fixture
def server() -> Any:
    """A server of our own, to be stopped."""
    if not available():
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    with running(durable=True) as started:
        yield started


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgres_stopped_under_load_loses_nothing_and_is_told_once(
    server: PostgresServer,
    open_at: OpenStore,
    database_at: OpenDatabase,
    make_outcome: MakeOutcome,
    problems: list[str],
    eventually: Eventually,
    mode: str,
) -> None:
    url = server.new_database()
    store = open_at(url, batch_ms=1, batch_max=20)
    put = 0

    def put_some(count: int) -> None:
        nonlocal put
        for seed in range(put, put + count):
            store.put(make_outcome(seed, key=f"k{seed % 3}", cost_nanousd=seed))
        put += count

    put_some(500)
    eventually(lambda: store.status().written >= 100)
    loader = threading.Thread(target=put_some, args=(3000,))
    loader.start()
    server.stop(mode)
    loader.join()
    put_some(1)
    eventually(lambda: not store.status().writable)
    assert store.find(make_outcome(put - 1).id) is not None  # from memory
    server.start()
    eventually(lambda: store.status().queued == 0 and store.status().problem is None)
    assert "the server cannot be reached" in problems[0]
    assert "writes again and has caught up; nothing is lost" in problems[1]
    assert len(problems) == 2
    put_some(10)
    assert store.close(10) == 0
    database = database_at(url)
    check(database)
    kept = open_at(url).totals(0).requests
    assert kept == put  # "immediate" is a crash of the server


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_of_the_server_loses_nothing_once_there_is_room_again(
    server: PostgresServer,
    open_at: OpenStore,
    database_at: OpenDatabase,
    make_outcome: MakeOutcome,
    problems: list[str],
    eventually: Eventually,
) -> None:
    disk = server.home / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], check=False).returncode:
        pytest.skip("no permission to mount a small disk")
    try:
        shutil.chown(disk, "postgres")
        with psycopg.connect(server.new_database(), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'".encode())
            connection.execute("CREATE DATABASE small TABLESPACE small")
        store = open_at(server.url("small"), batch_max=20)
        ballast = disk / "ballast"
        room = os.statvfs(disk)
        ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 300_000))
        for seed in range(1000):
            store.put(make_outcome(seed, error=random.Random(seed).randbytes(1000).hex()))
        eventually(lambda: not store.status().writable)
        assert store.totals(0).requests == 1000
        ballast.unlink()
        eventually(lambda: store.status().problem is None and store.status().queued == 0)
        assert "the server's disk is full; free some space" in problems[0]
        assert problems[1].endswith("nothing is lost")
        assert len(problems) == 2
        assert store.close(10) == 0
        check(database_at(server.url("small")))
    finally:
        server.stop("immediate")
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_connection_that_died_between_commits_is_replaced_without_a_word(
    postgres_url: str,
    open_at: OpenStore,
    make_outcome: MakeOutcome,
    problems: list[str],
    eventually: Eventually,
) -> None:
    store = open_at(postgres_url)
    store.put(make_outcome(1))
    eventually(lambda: store.status().written == 1)
    end_all_others(postgres_url)
    store.put(make_outcome(2))
    eventually(lambda: store.status().written == 2)
    assert store.find(make_outcome(2).id) is not None
    assert store.totals(0).requests == 2
    assert problems == []


def end_all_others(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_connections_ended_by_the_server_at_any_moment_lose_nothing(
    postgres_url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    store = open_at(postgres_url, batch_ms=1, batch_max=10)
    for seed in range(2000):
        store.put(make_outcome(seed, key=f"k{seed % 3}"))
        if seed % 100 == 0:
            end_all_others(postgres_url)
    assert store.close(60) == 0
    check(database_at(postgres_url))
    assert open_at(postgres_url).totals(0).requests == 2000


def test_a_database_that_is_read_only_is_named_and_waited_for(
    postgres_url: str,
    open_at: OpenStore,
    make_outcome: MakeOutcome,
    problems: list[str],
    eventually: Eventually,
) -> None:
    store = open_at(postgres_url)

    def read_only(so: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            name = other.info.dbname
            other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {so}".encode())
        end_all_others(postgres_url)

    read_only("on")
    store.put(make_outcome(1))
    eventually(lambda: not store.status().writable)
    assert "read-only transaction" in problems[0]
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SET default_transaction_read_only = off")
        other.execute(f"ALTER DATABASE {other.info.dbname} RESET default_transaction_read_only".encode())
    eventually(lambda: store.status().written == 1)
    assert problems[1].endswith("nothing is lost")


def test_a_database_that_cannot_hold_every_text_is_refused(postgres_url: str, open_at: OpenStore) -> None:
    name = f"latin_{postgres_url.partition('@/')[2].partition('?')[0]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0".encode())
    url = postgres_url.replace(postgres_url.partition("@/")[2].partition("?")[0], name)
    with pytest.raises(StoreError, match=r"^store .*: the database's encoding is LATIN1, .* ENCODING 'UTF8'"):
        open_at(url)
