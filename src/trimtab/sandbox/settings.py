"""What an operator sets on the sandbox: the most that any run may take, how many run at once, what they may read."""

import os
from collections.abc import Callable

import msgspec

from trimtab.config import fail
from trimtab.sandbox.run import MIB, Limits

RESERVED = ("/bin", "/box", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr")  # noqa: S108
"""Folders that the sandbox makes itself, or never shows."""


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sandbox]`. Each figure is the most that any run gets; what runs something may ask for less."""

    concurrent: int = 2
    """Runs at once in one process; others wait."""
    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_mib: int = 1024
    processes: int = 64
    file_mib: int = 64
    folder_mib: int = 256
    output_mib: int = 8
    readable: tuple[str, ...] = ()
    """Folders of this machine that programs in the sandbox may read, at the same paths: an environment of packages."""

    def within(self, limits: Limits) -> Limits:
        """What a run gets that asks for these."""
        return Limits(
            wall_s=min(limits.wall_s, self.wall_s),
            cpu_s=min(limits.cpu_s, self.cpu_s),
            memory_bytes=min(limits.memory_bytes, self.memory_mib * MIB),
            processes=min(limits.processes, self.processes),
            file_bytes=min(limits.file_bytes, self.file_mib * MIB),
            folder_bytes=min(limits.folder_bytes, self.folder_mib * MIB),
            output_bytes=min(limits.output_bytes, self.output_mib * MIB),
        )


def check_sandbox(settings: SandboxSettings, where: Callable[[str], str]) -> None:
    """Raise `ConfigError` for a figure out of its bounds, or a folder that cannot be shown; `where` places a key."""
    for name, least, most in (
        ("concurrent", 1, 64),
        ("wall_s", 0.1, 3600.0),
        ("cpu_s", 0.1, 3600.0),
        ("memory_mib", 64, 65_536),
        ("processes", 4, 1024),
        ("file_mib", 1, 4096),
        ("folder_mib", 1, 4096),
        ("output_mib", 1, 64),
    ):
        value = getattr(settings, name)
        if not least <= value <= most:  # so written that nan is refused
            fail(where(name), value, f"must be from {least:g} to {most:g}")
    for folder in settings.readable:
        if problem := _unreadable(folder):
            fail(where("readable"), folder, problem)


def _unreadable(folder: str) -> str:
    if (
        not folder.startswith("/")
        or "\0" in folder
        or os.path.normpath(folder) != folder
        or folder.startswith("//")
    ):
        return "must be an absolute path without '..' and without a slash at its end"
    if folder == "/":
        return "must not be the whole system; name the folder that programs need"
    for taken in RESERVED:
        if folder == taken or folder.startswith(f"{taken}/"):
            return (
                f"is in {taken}, which the sandbox makes itself; use a folder elsewhere, such as /opt or /srv"
            )
    if not os.path.isdir(folder):
        return "is no folder of this machine; make it, or leave it out"
    return ""
