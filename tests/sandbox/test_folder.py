"""What goes into the folder, and what of it is read: never anything but the plain files that were asked for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.sandbox import Limits
from trimtab.sandbox.folder import kept, unfit_files, unfit_path

LIMITS = Limits(file_bytes=1000, folder_bytes=2500)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "outside").write_bytes(b"secret")
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (inside / "plain").write_bytes(b"one")
    (inside / "deep" / "plain").write_bytes(b"two")
    (inside / "link").symlink_to("../outside")
    (inside / "near-link").symlink_to("plain")
    (inside / "folder-link").symlink_to("deep")
    os.mkfifo(inside / "pipe")
    with open(inside / "holes", "wb") as file:
        file.truncate(10**12)
    for number in range(4):
        (inside / f"large-{number}").write_bytes(bytes(800))
    held = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
    yield held
    os.close(held)


def test_plain_files_are_read_and_nothing_else_is(folder: int) -> None:
    asked = (
        "plain",
        "deep/plain",
        "link",
        "near-link",
        "folder-link/plain",
        "pipe",
        "holes",
        "deep",
        "nothing",
        "plain/x",
    )
    found = kept(folder, {f"{name}!": name for name in asked}, LIMITS)
    assert found == {"plain!": b"one", "deep/plain!": b"two"}


def test_files_are_read_until_they_are_as_much_as_the_folder_may_hold(folder: int) -> None:
    names = {f"large-{number}": f"large-{number}" for number in range(4)}
    assert list(kept(folder, names, LIMITS)) == ["large-0", "large-1", "large-2"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"": b""}, "is empty"),
        ({"/etc/passwd": b""}, "is absolute; name it from the folder"),
        ({"../x": b""}, "has an empty part, '.' or '..'"),
        ({"a/../../x": b""}, "has an empty part, '.' or '..'"),
        ({"a//b": b""}, "has an empty part, '.' or '..'"),
        ({"./a": b""}, "has an empty part, '.' or '..'"),
        ({"a/": b""}, "has an empty part, '.' or '..'"),
        ({"a\0b": b""}, "holds the character NUL"),
        ({"a\ud800": b""}, "is not Unicode text"),
        ({"a" * 256: b""}, "is too long"),
        ({"/".join(["ab"] * 900): b""}, "is too long"),
        ({"a": b"", "a/b": b""}, "'a' is a file and a folder"),
        ({"a": bytes(1001)}, "has 1,001 bytes; one file may have 1,000"),
        (
            {f"{number}": bytes(900) for number in range(3)},
            "the files have 2,700 bytes; the folder takes 2,500",
        ),
        (
            {f"{number}": b"" for number in range(257)},
            "257 files are too many; a run begins with 256 at most",
        ),
        ({"a": b"x", "deep/er/b": b"x", "ümläut/…": b"x", "-rf": b"", "--bind": b"", "...": b""}, ""),
    ],
)
def test_files_that_cannot_lie_in_the_folder_are_refused_by_name(
    files: dict[str, bytes], problem: str
) -> None:
    said = unfit_files(files, LIMITS)
    assert problem in said
    assert bool(problem) == bool(said)


@given(st.text(alphabet=st.sampled_from("a./\0\\~…\ud800"), max_size=12))
def test_a_path_that_is_taken_stays_below_the_folder(path: str) -> None:
    if not unfit_path(path):
        assert os.path.normpath(f"/box/folder/{path}") == f"/box/folder/{path}"
        path.encode()
        assert "\0" not in path
