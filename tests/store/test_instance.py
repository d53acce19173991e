"""One server for each SQLite file, for exactly as long as it lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.errors import StoreError, StoreLocked
from trimtab.store import StoreSettings, hold_instance, serving_address

HOLD = """
import sys
from trimtab.store import StoreSettings, hold_instance
lock = hold_instance(StoreSettings(url=sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def url(path: Path) -> StoreSettings:
    return StoreSettings(url=f"sqlite:///{path}")


def test_the_second_is_told_which_file_which_process_and_what_to_do(tmp_path: Path) -> None:
    held = hold_instance(url(tmp_path / "t.db"))
    with pytest.raises(StoreLocked) as refused:
        hold_instance(url(tmp_path / "t.db"))
    assert str(tmp_path / "t.db") in str(refused.value)
    assert f"pid {os.getpid()}" in str(refused.value)
    assert "store.url" in str(refused.value)
    hold_instance(url(tmp_path / "other.db")).release()
    held.release()
    held.release()
    hold_instance(url(tmp_path / "t.db")).release()


def test_other_commands_find_out_where_the_server_that_holds_it_is_reached(tmp_path: Path) -> None:
    settings = url(tmp_path / "t.db")
    assert serving_address(settings) is None
    assert not list(tmp_path.iterdir())
    held = hold_instance(settings)
    assert serving_address(settings) is None, "it has not said so yet"
    held.note("http://127.0.0.1:40000")
    held.note("http://127.0.0.1:4000")
    assert serving_address(settings) == "http://127.0.0.1:4000"
    with pytest.raises(StoreLocked, match=f"pid {os.getpid()}"):
        hold_instance(settings)
    held.release()
    assert serving_address(settings) is None
    Path(f"{tmp_path}/t.db.lock").write_text("1\nhttp://127.0.0.1:5\n")
    assert serving_address(settings) is None, "left behind by one that was killed"


def test_another_name_of_the_same_file_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "t.db")
    held = hold_instance(url(tmp_path / "t.db"))
    with pytest.raises(StoreLocked):
        hold_instance(url(tmp_path / "link.db"))
    held.release()


def test_death_by_any_means_releases_it_and_no_child_keeps_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, f"sqlite:///{tmp_path}/t.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreLocked, match=f"pid {holder.pid}"):
        hold_instance(url(tmp_path / "t.db"))
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    held = hold_instance(url(tmp_path / "t.db"))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    held.release()
    hold_instance(url(tmp_path / "t.db")).release()  # the child, which runs on, did not inherit it
    child.communicate(b"\n")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="must exist"):
        hold_instance(url(tmp_path / "none" / "t.db"))


def test_any_number_serve_on_one_postgresql_database() -> None:
    settings = StoreSettings(url="postgresql://localhost/trimtab")
    first, second = hold_instance(settings), hold_instance(settings)
    first.release()
    second.release()


def test_the_lock_file_is_private_and_says_who_holds_it(tmp_path: Path) -> None:
    held = hold_instance(url(tmp_path / "t.db"))
    lock = tmp_path / "t.db.lock"
    assert lock.read_text() == f"{os.getpid()}\n"
    assert lock.stat().st_mode & 0o777 == 0o600
    held.release()
    assert lock.exists(), "a lock on a removed file would hold nobody off"


def test_a_lock_file_that_is_a_pipe_is_named_in_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.db.lock")
    with pytest.raises(StoreError, match=r"lock file .*/t\.db\.lock is not an ordinary file; remove it$"):
        hold_instance(url(tmp_path / "t.db"))
