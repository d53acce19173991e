"""What is run, within which limits, and what came of it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

MIB = 1024 * 1024

Ended = Literal["exited", "signalled", "wall", "cpu", "memory", "output", "folder", "failed"]
"""How a run ended: by itself, by a signal, or at a limit: of wall time, CPU time, memory, what it may write to its
outputs, or to its folder. `failed`: it never began."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one run may take."""

    wall_s: float = 10.0
    cpu_s: float = 10.0
    memory_bytes: int = 512 * MIB
    processes: int = 32
    file_bytes: int = 16 * MIB
    """Of one file."""
    folder_bytes: int = 64 * MIB
    """Of all that is in the writable folder."""
    output_bytes: int = MIB
    """Of each of the outputs; what is beyond ends the run."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One command."""

    argv: tuple[str, ...]
    """A program of the system, with its arguments; it starts in the writable folder."""
    files: Mapping[str, bytes] = {}
    """What lies in the folder before, by relative path."""
    stdin: bytes = b""
    environment: Mapping[str, str] = {}
    limits: Limits = Limits()
    keep: tuple[str, ...] = ()
    """Relative paths whose content is wanted afterwards."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    ended: Ended
    status: int | None = None
    """The exit status, or the signal's number."""
    stdout: bytes = b""
    stderr: bytes = b""
    files: Mapping[str, bytes] = {}
    """Of those that were to be kept, the ones that are there."""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    """Most memory, where it is known."""
    problem: str = ""
    """Where it failed: why, in one line."""
