"""What an operator sees when the store cannot be opened: one clear line, never a traceback of SQLite's."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import apsw
import pytest

from trimtab.config import Document
from trimtab.errors import ConfigError, StoreError, StoreLocked
from trimtab.store import Store, StoreSettings, open_store
from trimtab.store.opening import sqlite_path
from trimtab.store.records import SQLiteRecords

OpenStore = Callable[..., Store]


def test_three_slashes_are_relative_and_four_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_path("sqlite:///a/b.db") == tmp_path / "a/b.db"
    assert sqlite_path("sqlite:////var/lib/trimtab/t.db") == Path("/var/lib/trimtab/t.db")
    assert sqlite_path("sqlite:///with space é.db") == tmp_path / "with space é.db"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "trimtab.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///dir/",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "sqlite:///a\0b",
        "mysql://h/d",
    ],
)
def test_a_url_that_names_no_file_is_refused_with_place_and_remedy(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^store\.url: '.*sqlite:////absolute/path\.db'$"):
        open_store(StoreSettings(url=url), clock_ms=lambda: 0, on_problem=None)


def test_a_server_that_is_not_there_is_named_and_its_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE", "postgresql://me:hunter2@localhost:1/t")
    with pytest.raises(StoreError, match=r"^store postgresql://localhost:1/t: the server cannot") as caught:
        open_store(StoreSettings(url="env:DATABASE"), clock_ms=lambda: 0, on_problem=None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["queue_max", "batch_ms", "batch_max"])
def test_a_limit_of_nothing_is_refused_when_the_file_is_read(name: str) -> None:
    document = Document("trimtab.toml", {"version": 1, "store": {name: 0}}, b"")
    with pytest.raises(ConfigError, match=rf"store\.{name}"):
        document.section("store", StoreSettings)


def refused(open_at: OpenStore, path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        open_at(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"store {path}: ")
    assert text.count("store ") == 1
    return text


def test_a_missing_directory_is_named(tmp_path: Path, open_at: OpenStore) -> None:
    assert f"directory {tmp_path}/no does not exist; create it" in refused(open_at, tmp_path / "no" / "t.db")


def test_a_path_below_a_file_is_named(tmp_path: Path, open_at: OpenStore) -> None:
    (tmp_path / "file").write_text("x")
    assert f"{tmp_path}/file is not a directory" in refused(open_at, tmp_path / "file" / "t.db")


def test_a_directory_is_not_a_file(tmp_path: Path, open_at: OpenStore) -> None:
    assert "is a directory; store.url must name a file" in refused(open_at, tmp_path)


def test_a_device_is_not_a_file(open_at: OpenStore) -> None:
    assert "is not an ordinary file" in refused(open_at, Path("/dev/null"))


def test_a_place_where_no_file_can_be_made_is_named(open_at: OpenStore) -> None:
    refused(open_at, Path("/proc/trimtab.db"))


@pytest.mark.parametrize("content", [b"hello, I am not a database\n" * 100, b"x", os.urandom(8192)])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, open_at: OpenStore, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert "is not a SQLite database" in refused(open_at, path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_the_store(tmp_path: Path, open_at: OpenStore) -> None:
    (tmp_path / "t.db").touch()
    assert open_at(tmp_path / "t.db").status().writable


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write read-only files")
def test_a_read_only_file_is_named(tmp_path: Path, open_at: OpenStore) -> None:
    path = tmp_path / "t.db"
    open_at(path).close(5)
    path.chmod(0o400)
    assert "no permission to write" in refused(open_at, path)


def test_only_the_owner_may_read_what_is_kept(tmp_path: Path, open_at: OpenStore) -> None:
    before = os.umask(0)
    try:
        store = open_at(tmp_path / "t.db")
        store.note_config("c", b"", 0)
        while not (tmp_path / "t.db-wal").exists():
            time.sleep(0.005)
    finally:
        os.umask(before)
    for suffix in ("", "-wal", "-shm"):
        assert stat.S_IMODE((tmp_path / f"t.db{suffix}").stat().st_mode) == 0o600


def test_a_file_that_another_process_holds_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    holder = apsw.Connection(str(path))
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("CREATE TABLE held (x)")
    with pytest.raises(StoreLocked, match="another process holds the file"):
        SQLiteRecords(path, clock_ms=lambda: 0, on_reopen=lambda: None, open_busy_ms=50).open(print, Event())
    holder.close()


def test_two_processes_that_open_a_new_store_at_once_both_get_it(tmp_path: Path, open_at: OpenStore) -> None:
    first, second = open_at(tmp_path / "t.db"), open_at(tmp_path / "t.db")
    assert first.status().writable
    assert second.status().writable


def test_nothing_is_left_running_after_a_refusal(tmp_path: Path, open_at: OpenStore) -> None:
    refused(open_at, tmp_path)
    path = tmp_path / "t.db"
    open_at(path).close(5)
    assert [file.name for file in tmp_path.iterdir()] == ["t.db"]  # the log was folded in and removed
