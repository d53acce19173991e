"""Looks at a run from outside: memory and processor time of all its processes together, and the room in its folder.

What it is not: the only bound. The kernel holds each process to its own limits; what they take together is seen at the
next look. Invariant: a process that cannot be looked at closely counts in full.
"""

import os
import time
from typing import Literal

import msgspec

from trimtab.sandbox.folder import MOST_INODES
from trimtab.sandbox.run import Limits

LOOK_EVERY_S = 0.02
"""Two cores filled 0.1 GB between two looks (docs/benchmarks.md, "The sandbox"); looking takes 0.2 ms."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Reason = Literal["cpu", "memory", "folder"]


_GONE = (FileNotFoundError, ProcessLookupError)
"""What reading of a process raises that has ended meanwhile."""


class Taken(msgspec.Struct):
    """What a run has taken so far."""

    cpu_s: float = 0.0
    peak_bytes: int = 0


class Watch:
    """Of one run. `processes` is its /proc and `folder` its writable place, both descriptors of folders."""

    def __init__(self, processes: int, folder: int, limits: Limits) -> None:
        self.taken = Taken()
        self._processes = processes
        self._folder = folder
        self._limits = limits
        self._own_ticks: dict[tuple[str, bytes], int] = {}
        """Of each process (its number and when it began) that the last look saw, without its children."""
        self._gone_ticks = 0
        self._swaps = _swaps()

    def look(self) -> Reason | None:
        """The limit that is passed, if one is. Raises `OSError` where it cannot be seen."""
        memory = living = 0
        pids = self._pids()
        own: dict[tuple[str, bytes], int] = {}
        for pid in pids:
            about = self._read(f"{pid}/stat").rpartition(b")")[2].split()
            if len(about) < 22:
                continue  # gone in between
            user, system, childrens_user, childrens_system = map(int, about[11:15])
            own[pid, about[19]] = user + system
            living += user + system + childrens_user + childrens_system
            memory += self._swapped(pid) if self._swaps else int(about[21]) * _PAGE_BYTES
        # Of those that are gone: as their parents count them who waited for them, or as they were last seen.
        self._gone_ticks += sum(ticks for one, ticks in self._own_ticks.items() if one not in own)
        self._own_ticks = own
        ticks = max(living, self._gone_ticks + sum(own.values()))
        self.taken.cpu_s = max(self.taken.cpu_s, ticks / _TICKS_PER_S)
        if memory > self._limits.memory_bytes:
            memory = sum(
                self._share(pid) for pid in pids
            )  # what processes share was counted for each of them
        self.taken.peak_bytes = max(self.taken.peak_bytes, memory)
        if memory > self._limits.memory_bytes:
            return "memory"
        if self.taken.cpu_s > self._limits.cpu_s:
            return "cpu"
        return "folder" if self.folder_full() else None

    def folder_full(self) -> bool:
        """Whether the folder has no room left, or holds more files than it may."""
        room = os.fstatvfs(self._folder)
        return room.f_bfree == 0 or room.f_files - room.f_ffree > MOST_INODES

    def _pids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._processes) if name.isdigit()]
        except _GONE:  # the last one, and their /proc with it
            return []

    def _swapped(self, pid: str) -> int:
        """Resident and swapped out, with what others share. Costs twice what the rest of a look does."""
        return _kib(self._read(f"{pid}/status"), b"VmRSS:", b"VmSwap:")

    def _share(self, pid: str) -> int:
        try:
            shared = self._read(f"{pid}/smaps_rollup")
        except PermissionError:
            shared = b""
        return _kib(shared, b"Pss:", b"SwapPss:") if shared else self._swapped(pid)

    def _read(self, name: str) -> bytes:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._processes)
        except _GONE:
            return b""
        try:
            return os.read(descriptor, 8192)
        except _GONE:
            return b""
        finally:
            os.close(descriptor)


def _swaps() -> bool:
    """Whether memory of this machine can be out of memory."""
    with open("/proc/meminfo", "rb") as file:
        return _kib(file.read(), b"SwapTotal:") > 0


def _kib(table: bytes, *names: bytes) -> int:
    """The sum of lines such as `VmRSS:     1234 kB`, in bytes."""
    total = 0
    for line in table.splitlines():
        name, _, rest = line.partition(b" ") if b"\t" not in line else line.partition(b"\t")
        if name in names:
            total += int(rest.split()[0]) * 1024
    return total


def soon(began: float) -> float:
    """When to look next, in `time.monotonic` seconds: sooner at the beginning, for short runs."""
    now = time.monotonic()
    return now + min(LOOK_EVERY_S, max(0.002, (now - began) / 2))
