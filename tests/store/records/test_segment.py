"""Lines that are stored through memory are as safe as lines that are written, and a disk that fails ends nothing."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_journal import W1, intent, left

from trimtab.store.records import Journal
from trimtab.store.records.abandoned import abandoned
from trimtab.store.records.journal import INTENT, _line
from trimtab.store.records.segment import MAPPED_ON, Segment, stores_safely

ROOM = 64 * 1024
BY_WRITING: frozenset[str] = frozenset()


def can_map(root: Path) -> bool:
    segment = Segment(root / "try", 1, ROOM, mapped=stores_safely(root))
    segment.write(b"x")
    found = segment.mapped  # not so before Linux 5.14
    segment.remove()
    return found


@pytest.fixture(scope="module")
def mapped_root() -> Iterator[Path]:
    for base in (None, "/dev/shm"):
        root = Path(tempfile.mkdtemp(dir=base))
        try:
            if can_map(root):
                yield root
                return
        finally:
            shutil.rmtree(root)
    pytest.skip("no file system here on which lines are stored through memory (ext4, xfs, tmpfs; Linux 5.14)")


@pytest.fixture(params=["mapped", "written"])
def way(request: pytest.FixtureRequest) -> frozenset[str]:
    """Where the journal may map: as it comes, or nowhere."""
    return MAPPED_ON if request.param == "mapped" else BY_WRITING


def test_lines_go_through_memory_where_that_is_safe(mapped_root: Path) -> None:
    segment = Segment(mapped_root / "a.log", 1, ROOM, mapped=True)
    try:
        assert segment.write(b"one")
        segment.force_begins()
        assert segment.write(b"two")  # meanwhile by a system call: pages become read-only
        segment.force_ended(failed=False)
        assert segment.write(b"three")
        assert segment.mapped
        assert segment.path.read_bytes().rstrip(b"\0") == b"one\ntwo\nthree\n"
    finally:
        segment.remove()


def test_where_it_is_not_safe_or_forcing_to_disk_failed_lines_are_written_by_system_calls(
    mapped_root: Path,
) -> None:
    for allowed in (True, False):
        segment = Segment(mapped_root / "a.log", 1, ROOM, mapped=allowed)
        try:
            assert segment.write(b"one")
            assert segment.mapped is allowed
            segment.force_begins()
            segment.force_ended(failed=True)
            assert segment.write(b"two")
            assert not segment.mapped
            assert segment.path.read_bytes().rstrip(b"\0") == b"one\ntwo\n"
        finally:
            segment.remove()


STEPS = st.lists(
    st.one_of(st.integers(0, 9000), st.sampled_from(["begins", "ended", "failed"])), min_size=1, max_size=60
)


@given(steps=STEPS, size=st.integers(1, ROOM))
def test_both_ways_leave_the_same_file_and_are_full_at_the_same_line(
    mapped_root: Path, steps: list[int | str], size: int
) -> None:
    ways = [Segment(mapped_root / name, 1, size, mapped=name == "m") for name in ("m", "w")]
    forcing = 0
    try:
        for number, step in enumerate(steps):
            if isinstance(step, int):
                line = b"%d" % (number % 10) * step
                took = [segment.write(line) for segment in ways]
                assert took[0] == took[1]
            elif step == "begins":
                forcing += 1
                for segment in ways:
                    os.fdatasync(segment.file)
                    segment.force_begins()
            elif forcing:
                forcing -= 1
                for segment in ways:
                    segment.force_ended(failed=step == "failed")
        mapped, written = (segment.path.read_bytes() for segment in ways)
        assert mapped == written
        assert len(mapped) == size
        assert ways[0].position == ways[1].position
    finally:
        for segment in ways:
            segment.remove()


@pytest.mark.parametrize("segment_bytes", [4096, 1 << 20])
def test_kills_in_the_middle_of_writing_lose_no_call_that_was_let_out(
    tmp_path: Path, way: frozenset[str], segment_bytes: int
) -> None:
    program = (
        "import os, sys, threading\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_journal import W1, Journal, intent\n"
        "journal = Journal(Path(sys.argv[1]), W1, segment_bytes=int(sys.argv[3]), mapped_on=frozenset(sys.argv[4:]))\n"
        "def force():\n"
        "    while True: journal.sync()\n"
        "threading.Thread(target=force, daemon=True).start()\n"
        "n = 0\n"
        "while journal.intend(intent(n)):\n"
        "    os.write(1, n.to_bytes(4, 'big'))\n"
        "    n += 1\n"
    )
    for turn in range(6):
        root = tmp_path / str(turn)
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(root), str(Path(__file__).parent), str(segment_bytes), *way],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        told = process.stdout.read(4 * (50 + 333 * turn))
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        let_out = len(told) // 4
        assert let_out >= 50 + 333 * turn
        (lost,) = abandoned(root)
        found = {outcome.id for outcome in lost.outcomes()}
        begun = max((root / W1).glob("*.log")).read_bytes().strip(b"\0")  # or it was killed as it made a file
        assert lost.complete or not begun
        lost.let_go()
        assert {intent(n).id for n in range(let_out)} <= found
        assert len(found) <= let_out + 1


@given(holes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=0, max_size=4))
def test_a_line_of_which_any_part_was_stored_before_a_kill_is_not_there_and_the_others_are(
    tmp_path_factory: pytest.TempPathFactory, holes: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("torn")
    journal = Journal(root, W1, segment_bytes=8192)
    for n in range(3):
        assert journal.intend(intent(n))
    journal.close()
    (path,) = (root / W1).glob("*.log")
    content = bytearray(path.read_bytes())
    torn = bytearray(_line(INTENT, b"x" * 380))
    for start, length in holes:
        torn[start : start + length] = bytes(len(torn[start : start + length]))
    end = len(content.rstrip(b"\0"))
    content[end : end + len(torn)] = torn
    path.write_bytes(content)
    (lost,) = abandoned(root)
    assert [outcome.id for outcome in lost.outcomes()] == [intent(n).id for n in range(3)]
    assert lost.complete
    lost.remove()


def test_a_file_that_somebody_empties_between_two_forcings_does_not_end_the_process(
    tmp_path: Path, way: frozenset[str]
) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_journal import W1, Journal, intent\n"
        "journal = Journal(Path(sys.argv[1]), W1, mapped_on=frozenset(sys.argv[3:]))\n"
        "assert journal.intend(intent(1))\n"
        "journal.sync()\n"
        "os.truncate(Path(sys.argv[1]) / W1 / '00000001.log', 0)\n"
        "assert journal.intend(intent(2))\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent), *way], check=True
    )


@pytest.fixture(params=["", ",nodelalloc", ",data=journal"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An ext4 of its own, with its image in `image` beside it. In its three ways to write, the system makes pages
    writable, and refuses that, at other moments."""
    if os.geteuid() or shutil.which("mkfs.ext4") is None:
        pytest.skip("making a disk needs root and mkfs.ext4")
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    options = "loop,errors=remount-ro" + request.param
    if subprocess.run(
        ["mount", "-o", options, str(image), str(place)], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_what_was_stored_is_on_the_disk_once_it_was_forced(disk: Path, way: frozenset[str]) -> None:
    journal = Journal(disk, W1, mapped_on=way)
    assert journal.intend(intent(0x123456789ABCDEF))
    name = intent(0x123456789ABCDEF).id.encode()
    image = disk.parent / "image"
    assert name not in image.read_bytes()
    journal.sync()
    assert name in image.read_bytes()
    journal.close()


@pytest.mark.parametrize("forced", ["before", "after", "never"])
def test_a_disk_that_fails_ends_no_process_and_from_the_next_forcing_on_refuses_calls(
    disk: Path, way: frozenset[str], forced: str
) -> None:
    program = (
        "import fcntl, os, struct, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_journal import W1, Journal, intent\n"
        "root, forced = Path(sys.argv[1]), sys.argv[3]\n"
        "journal = Journal(root, W1, mapped_on=frozenset(sys.argv[4:]))\n"
        "assert journal.intend(intent(1))\n"
        "if forced == 'before': journal.sync()\n"
        "fcntl.ioctl(os.open(root, os.O_RDONLY), 0x8004587d, struct.pack('I', 2))\n"  # EXT4_IOC_SHUTDOWN
        "if forced == 'after': journal.sync()\n"
        "for n in range(2, 500): journal.intend(intent(n))\n"
        "journal.sync()\n"
        "assert not journal.intend(intent(500))\n"
        "assert 'Input/output error' in journal.problem\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(disk), str(Path(__file__).parent), forced, *way], check=True
    )


def test_a_full_disk_takes_what_was_set_aside_and_then_refuses(disk: Path, way: frozenset[str]) -> None:
    journal = Journal(disk, W1, segment_bytes=128 * 1024, mapped_on=way)
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
        os.fsync(file.fileno())
    told = []
    for n in range(1000):
        told.append(journal.intend(intent(n)))
        if n % 50 == 0:
            journal.sync()
    assert told[:150] == [True] * 150
    assert not told[-1]
    assert "No space left on device" in str(journal.problem)
    journal.close()
    assert len(left(disk)) == sum(told)


def test_a_file_system_is_known_by_its_device_and_doubt_is_a_no(tmp_path: Path) -> None:
    device = os.stat(tmp_path).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"

    def safe(*lines: str) -> bool:
        mounts.write_text("\n".join(lines))
        return stores_safely(tmp_path, mounts=mounts)

    other = "22 27 99999:1 / /proc rw - proc proc rw"
    ours = f"36 35 {name} / /my\\040disk rw,noatime master:1 shared:2 - ext4 /dev/root rw,errors=continue"
    assert safe(other, ours)
    assert safe(ours, ours.replace(" / ", " /sub "), "", "nonsense")
    assert not safe(ours.replace("ext4", "fuse"))
    assert not safe(ours, ours.replace("ext4", "fuse"))
    assert not safe(ours + ",data=journal")
    assert not safe(other, "", "nonsense")
    assert not stores_safely(tmp_path, mounts=tmp_path / "not there")
    assert not stores_safely(tmp_path / "not there", mounts=mounts)
