"""One run from its beginning to its end, in a thread of its own: feeds, reads, watches, kills, collects.

What it is not: the queue of runs (`sandbox`), or how one is started (`launch`). Invariants: when `perform` returns, no
process of the run is left and nothing that was opened for it is open; nothing is read from its folder before that.
"""

import os
import select
import time
from contextlib import ExitStack
from typing import Literal

from trimtab.errors import printable
from trimtab.sandbox.folder import kept
from trimtab.sandbox.inside import FOLDER_IN_BOX
from trimtab.sandbox.launch import DIE_S, Installation, NotStarted, Started, kill, launch
from trimtab.sandbox.run import Ended, Limits, Ran, Run
from trimtab.sandbox.watch import Watch, soon

_PIPE_BYTES = 65_536

_SIGNALLED = 128
"""A status above is this and the number of the signal that ended the command, as shells say it."""

_Limit = Literal["wall", "cpu", "memory", "output", "folder"]


def perform(installation: Installation, run: Run, limits: Limits, cancelled: int) -> Ran:
    """Everything. Blocks; never raises for what the command does. Where `cancelled` (a descriptor) becomes readable it
    kills at once, and the result means nothing."""
    with ExitStack() as files:
        try:
            started = launch(installation, run, limits, files)
        except (NotStarted, OSError) as error:
            return Ran(ended="failed", problem=printable(f"it was not started: {error}", 400))
        try:
            return _Going(started, run, limits, cancelled).to_its_end()
        except OSError as error:
            return Ran(
                ended="failed", problem=printable(f"it was ended, for it could not be watched: {error}", 400)
            )


class _Going:
    """A run whose command has begun."""

    def __init__(self, started: Started, run: Run, limits: Limits, cancelled: int) -> None:
        self._started = started
        self._run = run
        self._limits = limits
        self._cancelled = cancelled
        self._watch = Watch(started.processes, started.folder, limits)
        self._outputs = {one.fileno(): bytearray() for one in (started.stdout, started.stderr)}
        self._stdout, self._stderr = self._outputs.values()
        self._unsent = memoryview(b"\n" + run.stdin)
        """The line that the command waits for, and what it reads."""
        self._poll = select.poll()

    def to_its_end(self) -> Ran:
        """Let it go, look on, end it, and say what came of it."""
        started = self._started
        for descriptor in (*self._outputs, started.stdin.fileno()):
            os.set_blocking(descriptor, False)
        try:
            for descriptor in (*self._outputs, started.exited, self._cancelled):
                self._poll.register(descriptor, select.POLLIN)
            began = time.monotonic()
            passed = None
            if not self._poll.poll(0):  # cancelled already, or bubblewrap is gone
                self._poll.register(started.stdin.fileno(), select.POLLOUT)
                self._send()
                passed = self._look_on(began)
            wall_s = time.monotonic() - began
        finally:
            dead = kill(started)
        if not dead:
            return Ran(ended="failed", problem=f"its processes were killed and not gone after {DIE_S:g} s")
        for descriptor in self._outputs:
            while self._read(descriptor):
                pass
        return self._ran(passed, wall_s)

    def _look_on(self, began: float) -> _Limit | None:
        """Until it ends by itself, passes a limit (which is named) or is cancelled."""
        until = began + self._limits.wall_s
        look = soon(began)
        while True:
            now = time.monotonic()
            if now >= until:
                return "wall"
            if now >= look:
                if (passed := self._watch.look()) is not None:
                    return passed
                look = soon(began)
            for descriptor, _ in self._poll.poll(max(0.0, min(look, until) - now) * 1000):
                if descriptor in (self._started.exited, self._cancelled):
                    return None
                if descriptor in self._outputs:
                    if not self._read(descriptor):
                        self._poll.unregister(descriptor)
                    if len(self._outputs[descriptor]) > self._limits.output_bytes:
                        return "output"
                else:
                    self._send()

    def _read(self, descriptor: int) -> bool:
        """Whether there was anything. What is beyond the limit by more than a pipe holds is not kept."""
        try:
            part = os.read(descriptor, _PIPE_BYTES)
        except BlockingIOError:
            return False
        held = self._outputs[descriptor]
        held += part[: max(0, self._limits.output_bytes + 1 - len(held))]
        return bool(part)

    def _send(self) -> None:
        stdin = self._started.stdin
        try:
            self._unsent = self._unsent[os.write(stdin.fileno(), self._unsent[:_PIPE_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # nobody reads it
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._poll.unregister(stdin.fileno())
            stdin.close()

    def _ran(self, passed: _Limit | None, wall_s: float) -> Ran:
        most = self._limits.output_bytes
        ended: Ended = passed or "exited"
        status: int | None = None
        problem = ""
        if passed is None:  # by itself
            status = self._started.child.returncode
            if status < 0:
                ended, problem, status = "failed", f"bubblewrap was ended by signal {-status}", None
            elif max(map(len, self._outputs.values())) > most:
                ended = "output"
            elif self._watch.folder_full():
                ended = "folder"
            elif status > _SIGNALLED:
                ended, status = "signalled", status - _SIGNALLED
        taken = self._watch.taken
        return Ran(
            ended=ended,
            status=status,
            stdout=bytes(self._stdout[:most]),
            stderr=bytes(self._stderr[:most]),
            files=kept(
                self._started.folder,
                {name: f"{FOLDER_IN_BOX}/{name}" for name in self._run.keep},
                self._limits,
            ),
            wall_s=wall_s,
            cpu_s=taken.cpu_s,
            peak_bytes=taken.peak_bytes,
            problem=problem,
        )
