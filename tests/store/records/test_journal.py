"""What was about to be spent is known after any death of the process, and files do not pile up."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Arm, NanoUSD
from trimtab.errors import StoreError
from trimtab.records import Intent, Outcome, Plan, RequestId
from trimtab.store.records import Journal
from trimtab.store.records.abandoned import abandoned, is_journal

W1, W2 = "1" * 32, "2" * 32
PLAN = Plan(arm=Arm("claude-sonnet-4-6"), platform="claude")


def intent(n: int) -> Intent:
    return Intent(
        id=RequestId(f"{n:032x}"), at_ms=1_800_000_000_000, purpose="live", endpoint="messages", requested_model="m",
        session="s", plan=PLAN, model="m", reserved_nanousd=NanoUSD(1000 + n), key="key_1",
    )  # fmt: skip


def ended(n: int) -> Outcome:
    return msgspec.structs.replace(intent(n).outcome(), result="ok", cost_nanousd=7, error=None)


def left(root: Path) -> list[Outcome]:
    found = []
    for lost in abandoned(root):
        found += list(lost.outcomes())
        lost.let_go()
    return found


def test_a_call_whose_process_died_stands_at_its_worst_case_and_one_that_ended_as_it_ended(
    tmp_path: Path,
) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_journal import W1, Journal, ended, intent, msgspec\n"
        "journal = Journal(Path(sys.argv[1]), W1)\n"
        "for n in range(50): assert journal.intend(intent(n))\n"
        "for n in range(30): assert journal.settle(intent(n).id, msgspec.json.encode(ended(n))) is not None\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    found = {outcome.id: outcome for outcome in left(tmp_path)}
    assert len(found) == 50
    for n in range(50):
        outcome = found[intent(n).id]
        assert (outcome.result, outcome.cost_nanousd) == (("ok", 7) if n < 30 else ("unknown", 1000 + n))
        assert outcome.key == "key_1"


def test_the_journal_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1)
    journal.intend(intent(1))
    assert list(abandoned(tmp_path)) == []
    assert journal.close() is False
    (lost,) = abandoned(tmp_path)
    assert list(abandoned(tmp_path)) == []  # somebody is at it
    assert [outcome.id for outcome in lost.outcomes()] == [intent(1).id]
    assert lost.complete
    lost.remove()
    assert list(tmp_path.iterdir()) == []


def test_files_go_when_the_store_has_what_they_hold(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1, segment_bytes=4096)
    for n in range(200):
        journal.intend(intent(n))
    late = intent(3)
    segments = {n: journal.settle(intent(n).id, msgspec.json.encode(ended(n))) for n in range(200) if n != 3}
    journal.sync()
    files = len(list((tmp_path / W1).glob("*.log")))
    assert files > 10
    for segment in segments.values():
        assert segment is not None
        journal.saved(segment, 1)
    journal.sync()
    names = [path.name for path in sorted((tmp_path / W1).glob("*.log"))]
    assert len(names) == 2  # where the late one was begun, and the present one
    assert left(tmp_path) == []
    journal.saved(journal.settle(late.id, msgspec.json.encode(ended(3))) or 0, 1)
    assert journal.close() is True
    assert not (tmp_path / W1).exists()


def test_a_further_attempt_takes_the_place_of_the_one_before_and_counts_both(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1, segment_bytes=4096)
    first = intent(1)
    made = msgspec.structs.replace(first.outcome().attempts[0], result="error", cost_nanousd=7)
    second = msgspec.structs.replace(
        intent(1), platform="other", before=(made,), reserved_nanousd=NanoUSD(500)
    )
    journal.intend(first)
    for n in range(100, 200):  # files between them
        journal.intend(intent(n))
        journal.saved(journal.settle(intent(n).id, msgspec.json.encode(ended(n))) or 0, 1)
    journal.intend(second)
    journal.sync()
    assert len(list((tmp_path / W1).glob("*.log"))) == 1  # nothing needs the file of the first any more
    assert journal.close() is False
    (lost,) = [outcome for outcome in left(tmp_path) if outcome.id == first.id]
    assert [(one.platform, one.result, one.cost_nanousd) for one in lost.attempts] == [
        ("claude", "error", 7),
        ("other", "unknown", 500),
    ]
    assert lost.cost_nanousd == 507


def test_an_outcome_ends_all_attempts_of_its_request(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1)
    for _ in range(3):
        journal.intend(intent(1))
    journal.saved(journal.settle(intent(1).id, msgspec.json.encode(ended(1))) or 0, 1)
    assert left(tmp_path) == []
    assert journal.close() is True


def test_requests_without_a_call_outlive_the_process_too_but_get_half_of_the_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1, segment_bytes=4096, spill_bytes=40_000)
    refusals = [journal.settle(f"{n:032x}", msgspec.json.encode(ended(n))) for n in range(200)]
    assert refusals[0] is not None
    assert refusals[-1] is None
    journal.intend(intent(500))
    assert journal.settle(intent(500).id, msgspec.json.encode(ended(500))) is not None
    kept = sum(number is not None for number in refusals)
    journal.close()
    assert len(left(tmp_path)) == kept + 1


def test_beyond_its_bound_outcomes_are_left_to_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1, segment_bytes=4096, spill_bytes=20_000)
    told = []
    for n in range(100):
        assert journal.intend(intent(n))
        told.append(journal.settle(intent(n).id, msgspec.json.encode(ended(n))))
    assert told[0] is not None
    assert told[-1] is None
    journal.sync()
    assert journal.size_bytes <= 20_000 + 2 * 4096
    journal.close()


def test_spilled_outcomes_are_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1)
    for n in range(20):
        journal.intend(intent(n))
    numbers = {journal.settle(intent(n).id, msgspec.json.encode(ended(n))) for n in range(10)}
    (number,) = numbers
    assert number is not None
    assert journal.outcomes(number) == [ended(n) for n in range(10)]
    journal.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small file system")
def test_on_a_full_disk_calls_go_on_in_the_room_that_was_set_aside_and_are_refused_after_it(
    tmp_path: Path,
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(small)], check=False
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        journal = Journal(small, W1, segment_bytes=128 * 1024)
        fill(small / "filler")
        told = [journal.intend(intent(n)) for n in range(1000)]
        assert told[:150] == [True] * 150
        assert not told[-1]
        assert "No space left on device" in str(journal.problem)
        with pytest.raises(StoreError, match="free the disk"):
            Journal(small, W2, segment_bytes=128 * 1024)
        (small / "filler").unlink()
        assert journal.intend(intent(2000))
        assert journal.problem is None
        journal.close()
        (lost,) = (one for one in abandoned(small) if one.worker == W1)
        assert len(list(lost.outcomes())) == sum(told) + 1
        assert lost.complete
        lost.let_go()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"^journal .*file/1{32}: Not a directory; .* or change store\.journal$"
    ):
        Journal(tmp_path / "file", W1)


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path, W1, segment_bytes=8192)

    def one(start: int) -> None:
        for n in range(start, start + 200):
            assert journal.intend(intent(n))
            if n % 2:
                assert journal.settle(intent(n).id, msgspec.json.encode(ended(n))) is not None

    threads = [threading.Thread(target=one, args=(start,)) for start in (0, 1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    found = left(tmp_path)
    assert len({outcome.id for outcome in found}) == len(found) == 800
    assert sum(outcome.result == "unknown" for outcome in found) == 400


@given(damage=st.binary(min_size=1, max_size=60), seed=st.integers(0, 2**32))
def test_damaged_files_never_stop_a_recovery_and_are_called_incomplete(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, seed: int
) -> None:
    root = tmp_path_factory.mktemp("journal")
    journal = Journal(root, W1, segment_bytes=8192)
    for n in range(12):
        journal.intend(intent(n))
    journal.close()
    (path,) = (root / W1).glob("*.log")
    content = path.read_bytes()
    used = len(content.rstrip(b"\0"))
    at = random.Random(seed).randrange(used)
    path.write_bytes(content[:at] + damage + content[at + len(damage) :])
    (lost,) = abandoned(root)
    found = list(lost.outcomes())
    whole = [intent(n).outcome() for n in range(12)]
    assert all(outcome in whole for outcome in found)
    torn = b"\n" not in content[at + len(damage) : used]  # looks as if the process had died while it wrote
    assert not lost.complete or len(found) == 12 or b"\0" in damage or torn
    lost.remove()


def test_nothing_but_a_journal_is_opened_or_removed(tmp_path: Path) -> None:
    root, outside = tmp_path / "j", tmp_path / "outside"
    Journal(outside, W1).intend(intent(1))
    for name in ("photos", W1 + ".bak", W1.replace("1", "A"), W2[:-1], "." + W2):
        (root / name).mkdir(parents=True)
        (root / name / "lock").touch()
        (root / name / "00000001.log").touch()
    (root / W1).symlink_to(outside / W1)
    for number, name in enumerate(("notes.txt", "1.log", "00000001.log.bak")):
        home = root / f"{number:032x}"
        home.mkdir()
        (home / "lock").touch()
        (home / name).touch()
    (root / ("3" * 32)).mkdir()  # just made, perhaps
    (root / ("4" * 32)).mkdir()
    (root / ("4" * 32) / "lock").symlink_to(outside / W1 / "lock")
    (root / ("5" * 32)).touch()
    (root / ("6" * 32)).mkdir()
    (root / ("6" * 32) / "lock").write_text("theirs")
    before = sorted(root.rglob("*"))
    assert list(abandoned(root)) == []
    assert not any(is_journal(home) for home in root.iterdir() if home.name[0] not in "46")
    assert sorted(root.rglob("*")) == before


def test_what_somebody_puts_into_a_journal_is_not_removed_with_it(tmp_path: Path) -> None:
    Journal(tmp_path, W1).close()
    journal = Journal(tmp_path, W2)
    journal.intend(intent(1))
    journal.close()
    (lost,) = abandoned(tmp_path)
    (lost.home / "notes.txt").write_text("mine")
    list(lost.outcomes())
    assert lost.remove() is False
    assert os.listdir(tmp_path / W2) == ["notes.txt"]
    journal = Journal(tmp_path, W1)
    (tmp_path / W1 / "notes.txt").write_text("mine")
    assert journal.close() is True
    assert os.listdir(tmp_path / W1) == ["notes.txt"]


def test_processes_that_start_are_never_disturbed_by_those_who_look(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from trimtab.store.records.abandoned import abandoned, is_journal\n"
        "print('looking', flush=True)\n"
        "while True:\n"
        "    for lost in abandoned(Path(sys.argv[1])):\n"
        "        list(lost.outcomes())\n"
        "        lost.remove()\n"
    )
    looking = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for process in looking:
            assert process.stdout is not None
            assert process.stdout.readline() == b"looking\n"
        for n in range(1500):
            journal = Journal(tmp_path, f"{n:032x}", segment_bytes=4096)
            assert journal.intend(intent(n))
            assert (tmp_path / f"{n:032x}" / "00000001.log").exists()
            journal.close()
    finally:
        for process in looking:
            process.kill()
            process.communicate()


def test_too_many_open_files_do_not_end_the_forcing_to_disk(tmp_path: Path) -> None:
    program = (
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_journal import W1, Journal, intent\n"
        "journal = Journal(Path(sys.argv[1]), W1)\n"
        "journal.intend(intent(1))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "journal.sync()\n"
        "os.close(held.pop())\n"
        "journal.sync()\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)], check=True)
    assert len(left(tmp_path)) == 1
