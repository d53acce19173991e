"""What a run finds inside: which parts of the system it sees, as arguments for bubblewrap, and how its command begins.

What it is not: the process (`process`). Invariant: nothing of the machine is there but its programs (/usr, read-only),
the few files of /etc that programs need, the folders that the operator named, and one bounded tmpfs at /box.
"""

import os
import resource
from collections.abc import Iterable, Iterator, Mapping

from trimtab.sandbox.run import Limits

BOX = "/box"
FOLDER_IN_BOX = "folder"

FOLDER = f"{BOX}/{FOLDER_IN_BOX}"
"""The writable folder. /box/tmp (also /tmp) and /box/shm (also /dev/shm) share its bound and are not kept."""

TEMPORARY = "/tmp"  # noqa: S108

PATH = "/usr/bin:/bin:/usr/local/bin"

ENVIRONMENT: Mapping[str, str] = {"PATH": PATH, "HOME": FOLDER, "LANG": "C.UTF-8", "TMPDIR": TEMPORARY}
"""All that a run finds; its own variables come over it."""

PRLIMIT = "/usr/bin/prlimit"

USER_ID = 1000

_LOCKED_BYTES = 65_536

_BLOCK_BYTES = 512
"""In which shells count the size of a file."""

OPEN_FILES = 256
"""Descriptors of one process. What pipes and sockets hold is memory of the kernel that no other limit counts."""

_ROOT_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

_ETC = ("alternatives", "ld.so.cache", "localtime", "ssl/openssl.cnf")

_MADE: Mapping[str, str] = {
    "passwd": f"sandbox:x:{USER_ID}:{USER_ID}::{FOLDER}:/usr/sbin/nologin\n",
    "group": f"sandbox:x:{USER_ID}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

_DEVICES = ("null", "full", "urandom")

_DEVICE_LINKS: Mapping[str, str] = {
    "fd": "/proc/self/fd",
    "random": "urandom",
    "shm": f"{BOX}/shm",
    "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "zero": "full",
}
"""/dev/full gives zeros as /dev/zero does, which could be mapped as memory that counts for no process."""

_HIDDEN_FILES = (
    "bootconfig",
    "cmdline",
    "interrupts",
    "kallsyms",
    "keys",
    "modules",
    "sched_debug",
    "timer_list",
)
"""Of /proc those that tell what a stranger could use: where the kernel lies, how it was started, when keys are struck.
Each mount takes 0.1 to 0.8 ms, so those stay that say how large the machine is and how busy."""

_HIDDEN_FOLDER = "/usr/local/etc"

_READ_BY_ALL = 0o004


def view(readable: Iterable[str]) -> tuple[str, ...]:
    """Arguments that are the same for every run of this machine. Reads the machine's root and /etc."""
    return tuple(_view(readable))


def _view(readable: Iterable[str]) -> Iterator[str]:
    for space in ("user", "ipc", "pid", "net", "uts", "cgroup"):
        yield f"--unshare-{space}"
    yield from (
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--hostname",
        "sandbox",
    )
    yield from ("--uid", str(USER_ID), "--gid", str(USER_ID), "--cap-drop", "ALL")
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _ROOT_LINKS:
        path = f"/{name}"
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    yield from ("--dir", "/etc", "--dir", "/etc/ssl")
    for name in _ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for folder in readable:
        yield from ("--ro-bind", folder, folder)
    yield from ("--proc", "/proc", "--perms", "0755", "--tmpfs", "/dev")
    for name in _DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
    for name, target in _DEVICE_LINKS.items():
        yield from ("--symlink", target, f"/dev/{name}")
    yield from ("--remount-ro", "/dev")
    for name in _HIDDEN_FILES:
        try:
            mode = os.stat(f"/proc/{name}").st_mode
        except OSError:
            continue
        if mode & _READ_BY_ALL:
            # Mounted without devices, as bubblewrap mounts all that is not said otherwise: nobody can open it.
            yield from ("--ro-bind", "/dev/null", f"/proc/{name}")
    yield from (
        "--remount-ro",
        "/proc",
    )  # so that nobody takes back its oom_score_adj, or writes to another's memory
    if os.path.isdir(_HIDDEN_FOLDER):
        yield from (
            "--perms",
            "0555",
            "--size",
            "4096",
            "--tmpfs",
            _HIDDEN_FOLDER,
            "--remount-ro",
            _HIDDEN_FOLDER,
        )


def made_files() -> Iterator[tuple[str, bytes]]:
    """Files of /etc that are the same on every machine: path and content."""
    for name, text in _MADE.items():
        yield f"/etc/{name}", text.encode()


def box(limits: Limits) -> tuple[str, ...]:
    """Arguments for the one place that can be written to. Its size is a bound that the kernel keeps."""
    return (
        *("--perms", "0755", "--size", str(limits.folder_bytes), "--tmpfs", BOX),
        *("--dir", FOLDER, "--dir", f"{BOX}/tmp", "--dir", f"{BOX}/shm"),  # noqa: S108
        *("--symlink", f"{BOX}/tmp", TEMPORARY, "--chdir", FOLDER),  # noqa: S108
    )


def lowered(name: str, bound: int) -> int:
    """A limit of the kernel's, or what we have ourselves where that is less: nobody may raise it."""
    most = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    return bound if most == resource.RLIM_INFINITY else min(bound, most)


def command(limits: Limits, argv: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """What bubblewrap starts: a shell that writes a line, waits for one, sets the limits and becomes the command.

    The line goes over the command's own output and input: another descriptor would have to be kept from it. A run's
    variables are set last: what they do to programs (LD_PRELOAD) they do to the command only.
    """
    processes = lowered("nproc", limits.processes + 1)  # bubblewrap's own process is one
    steps = [
        "echo",
        "read go",
        f"ulimit -v {lowered('as', limits.memory_bytes) // 1024}",
        f"ulimit -f {max(1, lowered('fsize', limits.file_bytes) // _BLOCK_BYTES)}",
        f"ulimit -t {lowered('cpu', int(limits.cpu_s) + 2)}",  # of one process; `watch` counts all, and kills sooner
        f"ulimit -n {lowered('nofile', OPEN_FILES)}",
        f"ulimit -l {lowered('memlock', _LOCKED_BYTES) // 1024}",
        f"{{ ulimit -p {processes} 2>/dev/null || ulimit -u {processes}; }}",  # as dash or bash calls it
        'exec /usr/bin/env -i "$@"',
    ]
    variables = (f"{name}={value}" for name, value in {**ENVIRONMENT, **environment}.items())
    return ["/bin/sh", "-c", " && ".join(steps), "sandbox", *variables, *argv]
