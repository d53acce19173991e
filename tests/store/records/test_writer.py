"""Trouble with the disk, with other processes and with sudden death: nothing is lost that can be kept."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trimtab.errors import StoreError
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, RequestId
from trimtab.store import Store, StoreSettings, TokenCounts, Totals, open_store

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., Store]
Eventually = Callable[..., None]


def sum_of(path: Path, query: str) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute(query).get)
    finally:
        connection.close()


def rows_in(path: Path, table: str = "requests") -> int:
    return sum_of(path, f"SELECT count(*) FROM {table}")


class Holder:
    """Another program that holds the file for writing."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path))
        self.connection.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self.connection.execute("COMMIT")
        self.connection.close()


def test_a_short_hold_by_another_process_is_waited_out_in_silence(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str], eventually: Eventually
) -> None:
    store = open_at(tmp_path / "t.db")
    holder = Holder(tmp_path / "t.db")
    store.put(make_outcome())
    time.sleep(0.3)
    assert store.status().written == 0
    holder.let_go()
    eventually(lambda: store.status().written == 1)
    assert problems == []


def test_a_long_hold_loses_nothing_and_is_told_once(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str], eventually: Eventually
) -> None:
    store = open_at(tmp_path / "t.db")
    holder = Holder(tmp_path / "t.db")
    started = time.perf_counter()
    for seed in range(1500):
        store.put(make_outcome(seed))
    assert time.perf_counter() - started < 1  # the queue takes them, whatever the disk does
    eventually(lambda: not store.status().writable)
    assert "another process holds the file" in (store.status().problem or "")
    time.sleep(0.3)
    assert store.find(make_outcome(1499).id) is not None
    assert store.totals(0).requests == 1500
    holder.let_go()
    eventually(lambda: store.status().problem is None)
    assert store.status().written == 1500
    assert [line.partition(": ")[2].partition(";")[0] for line in problems] == [
        "another process holds the file",
        "writes again and has caught up",
    ]
    assert problems[1].endswith("nothing is lost")


records = st.lists(
    st.tuples(
        st.integers(0, 10**14),  # cost
        st.integers(0, 10**9),  # tokens
        st.sampled_from(["live", "task", "eval"]),
        st.booleans(),  # simulated
        st.integers(0, 3),  # hour
    ),
    max_size=60,
)


@hypothesis_settings(max_examples=25)
@given(records, st.integers(1, 20))
def test_sums_stay_exact_when_the_queue_overflows(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[tuple[int, int, Any, bool, int]], queue_max: int
) -> None:
    # The factories of conftest are per test, not per example, so this one makes its own.
    path = tmp_path_factory.mktemp("overflow") / "t.db"
    settings = StoreSettings(url=f"sqlite:///{path}", queue_max=queue_max, batch_ms=1, batch_max=7)
    made = [overflow_record(n, *seed) for n, seed in enumerate(seeds)]
    store = open_store(settings, clock_ms=lambda: 5, on_problem=None)
    holder = Holder(path)
    for record in made:
        store.put(record)
    expected = [expected_totals(made, simulated=simulated) for simulated in (False, True)]
    assert [store.totals(0), store.totals(0, simulated=True)] == expected
    assert store.status().dropped == max(0, len(made) - queue_max)
    assert store.status().queued == min(len(made), queue_max)
    holder.let_go()
    assert store.close(10) == 0
    again = open_store(settings, clock_ms=lambda: 5, on_problem=None)
    assert [again.totals(0), again.totals(0, simulated=True)] == expected
    again.close(5)


def overflow_record(n: int, cost: int, tokens: int, purpose: Any, simulated: bool, hour: int) -> Outcome:
    attempt = Attempt(
        "claude", "m", "ok", usage=Usage(input_tokens=tokens, output_tokens=n), cost_nanousd=cost
    )
    return Outcome(
        id=RequestId(f"{n:032x}"),
        at_ms=hour * 3_600_000 + n,
        purpose=purpose,
        surface="messages",
        endpoint="messages",
        requested_model="m",
        session="s",
        result="ok",
        status=200,
        stream=False,
        attempts=(attempt,),
        cost_nanousd=cost,
        simulated=simulated,
    )


def expected_totals(made: list[Outcome], *, simulated: bool) -> Totals:
    mine = [record for record in made if record.simulated == simulated]
    usages = [record.attempts[0].usage for record in mine]
    return Totals(
        requests=len(mine),
        attempts=len(mine),
        cost_nanousd=sum(record.cost_nanousd for record in mine),
        tokens=TokenCounts(
            input=sum(usage.input_tokens or 0 for usage in usages if usage),
            output=sum(usage.output_tokens or 0 for usage in usages if usage),
        ),
    )


def test_an_overflow_is_told_once_with_its_size(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str], eventually: Eventually
) -> None:
    store = open_at(tmp_path / "t.db", queue_max=10)
    holder = Holder(tmp_path / "t.db")
    for seed in range(500):
        store.put(make_outcome(seed))
    holder.let_go()
    eventually(lambda: len(problems) == 2)
    assert "cannot keep all records (the queue is full)" in problems[0]
    assert problems[1].endswith("writes again and has caught up; of 490 records only the totals are kept")
    assert store.status().problem is None
    # One row or two: records may overflow while the first gap is being written.
    assert sum_of(tmp_path / "t.db", "SELECT sum(requests) FROM record_gaps") == 490


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four mebibytes: the empty tables take one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no permission to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_loses_nothing_once_there_is_room_again(
    small_disk: Path,
    open_at: OpenStore,
    make_outcome: MakeOutcome,
    problems: list[str],
    eventually: Eventually,
) -> None:
    store = open_at(small_disk / "t.db", batch_max=5)
    ballast = small_disk / "ballast"
    room = os.statvfs(small_disk)
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 100_000))
    for seed in range(150):
        store.put(make_outcome(seed))
    eventually(lambda: not store.status().writable)
    assert store.totals(0).requests == 150
    ballast.unlink()
    eventually(lambda: store.status().queued == 0)
    eventually(lambda: store.status().problem is None)
    assert store.totals(0).requests == rows_in(small_disk / "t.db") == 150
    assert "the disk is full; free some space" in problems[0]
    assert len(problems) == 2
    assert store.close(5) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_full_from_the_start_is_named(small_disk: Path, open_at: OpenStore) -> None:
    (small_disk / "ballast").write_bytes(bytes(4 * 1024 * 1024))
    with pytest.raises(StoreError, match=r"^store .*t\.db: the disk is full; free some space$"):
        open_at(small_disk / "t.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_read_only_disk_is_named(small_disk: Path, open_at: OpenStore) -> None:
    open_at(small_disk / "t.db").close(5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="its file system is read-only; mount it writable"):
        open_at(small_disk / "t.db")


def test_a_file_removed_while_in_use_is_begun_anew_and_told(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str], eventually: Eventually
) -> None:
    path = tmp_path / "t.db"
    store = open_at(path)
    store.note_config("c1", b"version = 1", 3)
    store.put(make_outcome(1))
    eventually(lambda: store.status().written == 1)
    assert store.find(make_outcome(1).id) is not None
    for file in tmp_path.iterdir():
        file.unlink()
    store.put(make_outcome(2))
    eventually(lambda: store.status().written == 2)
    assert rows_in(path) == 1
    assert store.find(make_outcome(1).id) is None
    assert store.find(make_outcome(2).id) is not None
    eventually(lambda: rows_in(path, "config_versions") == 1)  # the configuration of its records
    assert len(problems) == 1
    assert "was removed while in use" in problems[0]


def test_a_directory_removed_while_in_use_loses_nothing_that_waits(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str], eventually: Eventually
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    store = open_at(place / "t.db")
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    store.put(make_outcome(1))
    eventually(lambda: not store.status().writable)
    place.mkdir()
    eventually(lambda: store.status().written == 1)
    assert len(problems) == 3
    assert "does not exist; create it" in problems[1]


def test_a_file_put_in_its_place_is_not_written_to(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, eventually: Eventually
) -> None:
    path = tmp_path / "t.db"
    open_at(tmp_path / "copy.db").close(5)
    store = open_at(path)
    store.put(make_outcome(1))
    eventually(lambda: store.status().written == 1)
    os.replace(tmp_path / "copy.db", path)
    store.put(make_outcome(2))
    eventually(lambda: not store.status().writable)
    assert "another file was put in its place" in (store.status().problem or "")
    assert store.close(0.3) == 1


def test_closing_writes_all_that_waits(tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome) -> None:
    store = open_at(tmp_path / "t.db", batch_ms=10_000)
    made = [make_outcome(seed) for seed in range(5000)]
    for record in made:
        store.put(record)
    assert store.close(30) == 0
    assert rows_in(tmp_path / "t.db") == rows_in(tmp_path / "t.db", "attempts") == 5000


def test_closing_a_store_that_cannot_write_ends_in_time_and_says_what_is_lost(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome
) -> None:
    store = open_at(tmp_path / "t.db", queue_max=20)
    holder = Holder(tmp_path / "t.db")
    for seed in range(30):
        store.put(make_outcome(seed))
    started = time.monotonic()
    assert store.close(0.3) == 30
    assert time.monotonic() - started < 1.5
    holder.let_go()


def test_a_listener_that_fails_does_not_stop_the_writer(
    tmp_path: Path, make_outcome: MakeOutcome, eventually: Eventually
) -> None:
    def listener(line: str) -> None:
        raise RuntimeError(line)

    settings = StoreSettings(url=f"sqlite:///{tmp_path}/t.db", queue_max=1, batch_ms=1)
    store = open_store(settings, clock_ms=lambda: 1, on_problem=listener)
    holder = Holder(tmp_path / "t.db")
    for seed in range(3):
        store.put(make_outcome(seed))
    holder.let_go()
    eventually(lambda: store.status().written == 1)
    assert store.close(5) == 0


def test_many_threads_may_record_and_read_at_once(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome
) -> None:
    store = open_at(tmp_path / "t.db", batch_ms=1)
    missing: list[str] = []

    def work(first: int) -> None:
        for seed in range(first, first + 200):
            record = make_outcome(seed)
            store.put(record)
            if store.find(record.id) is None:
                missing.append(record.id)
            if seed % 50 == 0:
                store.totals(0)

    threads = [threading.Thread(target=work, args=(start * 1000,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    assert store.totals(0).requests == 1200


READER = """
import sys, apsw
connection = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY)
connection.set_busy_timeout(2000)
seen = [connection.execute("SELECT count(*) FROM requests").get]
while seen[-1] < int(sys.argv[2]):
    seen.append(connection.execute("SELECT count(*) FROM requests").get)
assert seen == sorted(seen)
"""


def test_another_process_can_read_while_records_are_written(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str]
) -> None:
    store = open_at(tmp_path / "t.db", batch_ms=5)
    reader = subprocess.Popen([sys.executable, "-c", READER, str(tmp_path / "t.db"), "3000"])
    for seed in range(3000):
        store.put(make_outcome(seed))
        if seed % 100 == 0:
            time.sleep(0.005)
    assert reader.wait(60) == 0
    assert problems == []


def test_two_stores_on_one_file_both_write(
    tmp_path: Path, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str]
) -> None:
    stores = [open_at(tmp_path / "t.db", batch_ms=1, queue_max=2) for _ in range(2)]
    for seed in range(2000):
        stores[seed % 2].put(make_outcome(seed))
    assert [store.close(10) for store in stores] == [0, 0]
    assert open_at(tmp_path / "t.db").totals(0).requests == 2000  # rows and the gaps of both


@pytest.mark.parametrize("nonsense", [False, True])
def test_a_record_that_another_process_wrote_meanwhile_stops_no_others(
    url: str, open_at: OpenStore, make_outcome: MakeOutcome, problems: list[str], nonsense: bool
) -> None:
    first = open_at(url)
    first.put(make_outcome(50, cost_nanousd=1))
    assert first.close(10) == 0
    second = open_at(url, batch_ms=10_000)
    for seed in range(100):
        second.put(make_outcome(seed, cost_nanousd=2))
    if nonsense:
        second.put(make_outcome(200, cost_nanousd=4, requested_model=None))  # a gap: no engine takes it
    assert second.close(10) == 0
    totals = open_at(url).totals(0)
    assert (totals.requests, totals.cost_nanousd) == ((101, 203) if nonsense else (100, 199))
    assert len(problems) == (2 if nonsense else 0), problems  # that it is not kept, and that the others are


VICTIM = """
import sys, time, random
from trimtab.records import Outcome, new_request_id
from trimtab.store import StoreSettings, open_store
store = open_store(StoreSettings(url="sqlite:///" + sys.argv[1]), clock_ms=lambda: 1, on_problem=None)
while True:
    for _ in range(10):
        store.put(Outcome(id=new_request_id(1, random.getrandbits), at_ms=1, purpose="live", surface="messages",
            endpoint="messages", requested_model="m", session="s", result="ok", status=200, stream=False,
            cost_nanousd=7))
    sys.stdout.write(f"{time.monotonic()}\\n")
    sys.stdout.flush()
    time.sleep(0.01)
"""


def test_sudden_death_costs_at_most_the_last_moment(tmp_path: Path, open_at: OpenStore) -> None:
    path = tmp_path / "t.db"
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    lines = [victim.stdout.readline() for _ in range(100)]
    victim.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    lines += victim.stdout.readlines()
    victim.wait()
    victim.stdout.close()
    store = open_at(path)
    kept = store.totals(0).requests
    # Batches gather for 100 ms; the rest is room for a busy machine.
    certain = sum(10 for line in lines if line.endswith("\n") and float(line) < killed - 0.6)
    assert certain > 0
    assert kept >= certain
    assert store.totals(0).cost_nanousd == 7 * kept
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()
