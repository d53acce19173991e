"""The filter of system calls, read as the kernel would read it: for both kinds of machine, whatever this one is."""

import errno
import re
import struct
from pathlib import Path

import pytest

from trimtab.sandbox.seccomp import LOOKED_AT, REFUSED, UNKNOWN, Machine, program

MACHINES: tuple[Machine, ...] = ("x86_64", "aarch64")

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}

ALLOW, KILL = "allow", "kill"


def says(machine: Machine, number: int, *arguments: int, architecture: int | None = None) -> str | int:
    """What the filter answers to a call: allow, kill, or the number of an error."""
    six = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack(
        "=IIQ6Q", number, architecture or ARCHITECTURE[machine], 0, *(one % 2**64 for one in six)
    )
    code = program(machine)
    at, held = 0, 0
    while True:
        kind, then, otherwise, value = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        match kind:
            case 0x20:
                held = struct.unpack_from("=I", data, value)[0]
            case 0x54:
                held &= value
            case 0x06:
                return {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(value) or value & 0xFFFF
            case 0x15 | 0x35 | 0x45:
                held_true = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[kind]
                at += then if held_true else otherwise
            case _:
                raise AssertionError(f"an instruction that the filter should not have: {kind:x}")


def number(machine: Machine, call: str) -> int:
    found = LOOKED_AT[call][MACHINES.index(machine)]
    assert found is not None
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_refused_fails_with_its_error_and_what_programs_need_goes_through(machine: Machine) -> None:
    column = MACHINES.index(machine)
    for table, error in ((REFUSED, errno.EPERM), (UNKNOWN, errno.ENOSYS)):
        for name, numbers in table.items():
            if (one := numbers[column]) is not None:
                assert says(machine, one) == error, name
    named = {numbers[column] for table in (REFUSED, UNKNOWN, LOOKED_AT) for numbers in table.values()}
    for one in range(463):
        if one not in named:
            assert says(machine, one) == ALLOW, one
    assert says(machine, 463) == errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "answer"),
    [
        ("clone", (17,), ALLOW),  # fork
        ("clone", (0x3D0F00,), ALLOW),  # a thread
        ("clone", (0x10000011,), errno.EPERM),
        ("clone", (0x02000011,), errno.EPERM),
        ("clone", (0x00020011,), errno.EPERM),
        ("socket", (1, 1, 0), ALLOW),
        ("socket", (2, 1, 0), ALLOW),
        ("socket", (10, 2, 0), ALLOW),
        ("socket", (0, 1, 0), errno.EAFNOSUPPORT),
        ("socket", (16, 3, 0), errno.EAFNOSUPPORT),
        ("socket", (17, 3, 0), errno.EAFNOSUPPORT),
        ("socket", (38, 5, 0), errno.EAFNOSUPPORT),
        ("socket", (40, 1, 0), errno.EAFNOSUPPORT),
        ("socket", (2**32 + 40, 1, 0), errno.EAFNOSUPPORT),
        ("ioctl", (0, 0x5413), ALLOW),  # how large is the terminal
        ("ioctl", (0, 0x5412), errno.EPERM),
        ("ioctl", (0, 0x541C), errno.EPERM),
        ("ioctl", (0, 2**32 + 0x5412), errno.EPERM),  # the kernel reads 32 bits
        ("mmap", (0, 4096, 3, 0x22), ALLOW),
        ("mmap", (0, 4096, 3, 0x01), ALLOW),  # a file
        ("mmap", (0, 4096, 3, 0x4022), ALLOW),
        ("mmap", (0, 4096, 3, 0x21), errno.EPERM),
        ("mmap", (0, 4096, 3, 0x8021), errno.EPERM),
        ("mmap", (0, 4096, 3, 0x40022), errno.EPERM),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0,), ALLOW),
        ("personality", (0x0400000,), errno.EPERM),
        ("prlimit64", (0, 4, 0, 1), ALLOW),  # asks
        ("prlimit64", (0, 9, 2**40, 0), ALLOW),
        ("prlimit64", (0, 4, 2**40, 0), errno.EPERM),
        ("prlimit64", (0, 4, 1, 0), errno.EPERM),
        ("setrlimit", (9, 1), ALLOW),
        ("setrlimit", (4, 1), errno.EPERM),
    ],
)
def test_a_call_that_is_looked_at_is_refused_by_its_arguments(
    machine: Machine, call: str, arguments: tuple[int, ...], answer: str | int
) -> None:
    assert says(machine, number(machine, call), *arguments) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_architecture_end_the_process(machine: Machine) -> None:
    for other in (0x40000003, 0x40000028, ARCHITECTURE["aarch64" if machine == "x86_64" else "x86_64"]):
        assert says(machine, 1, architecture=other) == KILL
    if machine == "x86_64":
        assert says(machine, 0x40000000 + 39) == KILL  # x32


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: Machine) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is missing (apt-get install linux-libc-dev, on this kind of machine)")
    told = {
        name: int(value)
        for name, value in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", header.read_text())
    }
    column = MACHINES.index(machine)
    for table in (REFUSED, UNKNOWN, LOOKED_AT):
        for name, numbers in table.items():
            if name in told:
                assert numbers[column] == told[name], name
            else:  # newer than the header, or unknown to this machine
                assert numbers[column] is None or numbers[column] > max(told.values()) - 5, name  # type: ignore[operator]
