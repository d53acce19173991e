"""Starts one run, up to the point where its command may begin.

What it is not: what happens then (`process`). Invariant: the command does not begin before its folder, its list of
processes and a handle on the first of them are held here, so that it can be watched, and killed for certain.

The order: bubblewrap makes the namespaces and starts a shell in them, which writes a line and waits for one. Through
the /proc of the namespace's first process we open what is needed; when that process dies, the kernel kills all others.
"""

import json
import os
import resource
import select
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from io import FileIO

import msgspec

import trimtab.sandbox.inside as inside
from trimtab.errors import printable
from trimtab.sandbox.run import Limits, Run

START_S = 30.0
"""For the namespaces, which take 10 ms (docs/benchmarks.md, "The sandbox"). Not part of a run's wall time."""

DIE_S = 30.0
"""For the kernel to end what was killed: some 0.1 s for each GiB that it frees."""

NICENESS = 10
"""What serves requests goes first."""

_FIRST_TO_KILL = "1000"
"""Where the machine's memory runs out (oom_score_adj)."""

_MOST_SAID = 4096


class NotStarted(Exception):
    """The command did not begin; says why in one line."""


class Installation(msgspec.Struct, frozen=True):
    """What starts every run on this machine."""

    launcher: tuple[str, ...]
    """bubblewrap, behind what sets limits that its command may not, and makes us an ordinary user where we are not."""
    view: tuple[str, ...]
    seccomp: bytes
    user: int | None = None
    """Who the runs are where they are somebody else than we."""


class Started:
    """A run whose command waits for a line on its input. Closed with the stack that `launch` was given."""

    def __init__(self, child: subprocess.Popen[bytes], ours: dict[str, FileIO]) -> None:
        self.child = child
        self.stdin = ours["stdin"]
        self.stdout = ours["stdout"]
        self.stderr = ours["stderr"]
        self.exited = -1
        """Readable when bubblewrap, and with it the command, has ended."""
        self.first = -1
        """The first process of the namespace; readable when all of them are gone."""
        self.processes = -1
        """The /proc of the namespace."""
        self.folder = -1
        """/box; it lives as long as it is open here."""


_PIPES = {"stdin": 1, "stdout": 0, "stderr": 0, "info": 0}
"""Which end is ours."""


def launch(installation: Installation, run: Run, limits: Limits, files: ExitStack) -> Started:
    """Start a run; what is opened for it is closed by `files`. Blocks some 10 ms; raises `NotStarted`, `OSError`."""
    with ExitStack() as given:
        ours: dict[str, FileIO] = {}
        theirs: dict[str, int] = {}
        for name, end in _PIPES.items():
            pipe = os.pipe2(os.O_CLOEXEC)
            ours[name] = files.enter_context(FileIO(pipe[end], "w" if end else "r"))
            theirs[name] = pipe[1 - end]
            given.callback(os.close, theirs[name])
            if installation.user is not None:
                with suppress(PermissionError):  # without, programs cannot open /dev/stdout by its name
                    os.fchown(pipe[0], installation.user, installation.user)
        arguments, contents = _arguments(installation, run, limits, given)
        child = subprocess.Popen(  # noqa: S603
            [
                *installation.launcher,
                *("--args", str(arguments), "--info-fd", str(theirs["info"]), "--"),
                *inside.command(limits, run.argv, run.environment),
            ],
            stdin=theirs["stdin"],
            stdout=theirs["stdout"],
            stderr=theirs["stderr"],
            pass_fds=(theirs["info"], *contents),
            cwd="/",
            env={},
        )
    started = Started(child, ours)
    try:
        started.exited = _hold(os.pidfd_open(child.pid), files)
        _until_ready(started)
        _take_hold(started, ours["info"], files, ours_to_limit=installation.user is None)
    except BaseException:
        kill(started)
        raise
    return started


def _hold(descriptor: int, files: ExitStack) -> int:
    files.callback(os.close, descriptor)
    return descriptor


def _arguments(
    installation: Installation, run: Run, limits: Limits, given: ExitStack
) -> tuple[int, list[int]]:
    """The file that bubblewrap reads its options from, and with it all the files that those name."""
    contents: list[int] = []

    def held(content: bytes) -> str:
        descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
        given.callback(os.close, descriptor)
        contents.append(descriptor)
        _fill(descriptor, content)
        return str(descriptor)

    options = [*installation.view]
    for path, content in inside.made_files():
        options += ["--perms", "0444", "--file", held(content), path]
    options += inside.box(limits)
    for name, content in run.files.items():
        options += ["--perms", "0755", "--file", held(content), f"{inside.FOLDER}/{name}"]
    options += ["--remount-ro", "/", "--seccomp", held(installation.seccomp)]
    return int(held(b"".join(option.encode() + b"\0" for option in options))), contents


def _kill_all(processes: int) -> None:
    """What the first process's death does as well, but only when that one has had its turn: 30 others that want the
    processor are gone after 50 ms so, and after 210 without (docs/benchmarks.md, "The sandbox")."""
    if processes < 0:
        return
    with suppress(OSError):  # gone, or no descriptor is left: the first process's death remains
        for name in filter(str.isdigit, os.listdir(processes)):
            process = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=processes)
            try:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def _fill(descriptor: int, content: bytes) -> None:
    """Write without moving the place at which bubblewrap begins to read."""
    view, at = memoryview(content), 0
    while at < len(view):
        at += os.pwrite(descriptor, view[at:], at)


def _until_ready(started: Started) -> None:
    """Wait for the shell's line, also where the run is cancelled meanwhile: what is half made has no first process yet
    whose death would be the death of all."""
    ready = started.stdout.fileno()
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    poll.register(started.exited, select.POLLIN)
    until = time.monotonic() + START_S
    while (left := until - time.monotonic()) > 0:
        found = {descriptor for descriptor, _ in poll.poll(left * 1000)}
        if ready in found and os.read(ready, 1):
            return
        if started.exited in found:
            raise NotStarted(_said(started.stderr))
    raise NotStarted(f"its namespaces were not there after {START_S:g} s")


def _said(stderr: FileIO) -> str:
    os.set_blocking(stderr.fileno(), False)
    try:
        said = os.read(stderr.fileno(), _MOST_SAID)
    except BlockingIOError:
        said = b""
    return printable(said.decode("utf-8", "replace").strip() or "bubblewrap ended without a word", 300)


def _take_hold(started: Started, info: FileIO, files: ExitStack, *, ours_to_limit: bool) -> None:
    pid = json.loads(info.readall())["child-pid"]
    started.first = _hold(os.pidfd_open(pid), files)
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    root = _hold(os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), files)
    started.processes = _hold(os.open("proc", folder, dir_fd=root), files)
    started.folder = _hold(os.open(inside.BOX[1:], folder, dir_fd=root), files)
    os.setpriority(os.PRIO_PGRP, pid, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = file.read().split()
    for each in (pid, *children):
        with open(f"/proc/{each}/oom_score_adj", "w", encoding="ascii") as file:
            file.write(_FIRST_TO_KILL)
        if ours_to_limit:  # another user's processes are not; there the launcher has done it
            resource.prlimit(int(each), resource.RLIMIT_CORE, (inside.lowered("core", 1),) * 2)


def kill(started: Started) -> bool:
    """Kill whatever of a run is left and wait until the kernel has ended all of it; False: it had not in `DIE_S`."""
    if started.first >= 0:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(started.first, signal.SIGKILL)
        _kill_all(started.processes)
    started.child.kill()
    started.child.wait()
    if started.first < 0:
        return True
    gone = select.poll()
    gone.register(started.first, select.POLLIN)
    return bool(gone.poll(DIE_S * 1000))
