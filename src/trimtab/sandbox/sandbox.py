"""The sandbox as others use it: a run in, what came of it out, so many at once.

What it is not: how a run is made and ended (`launch`, `process`). Invariant: a call of `run` that returns or is
cancelled leaves no process, folder, mount or descriptor behind.
"""

import asyncio
import os
import platform
import shutil
import sys
import threading

import trimtab.sandbox.seccomp as seccomp
from trimtab.errors import SandboxUnavailable, printable, quoted
from trimtab.sandbox.folder import unfit_files, unfit_path
from trimtab.sandbox.inside import PATH, PRLIMIT, lowered, view
from trimtab.sandbox.launch import Installation
from trimtab.sandbox.process import perform
from trimtab.sandbox.run import Limits, Ran, Run
from trimtab.sandbox.settings import SandboxSettings

NOBODY_ELSE = 65_533
"""Whose runs are where Trimtab is root: a number that neither Debian ("reserved") nor systemd ("unused") gives to
anybody, and that a container's usual range of numbers has.
**Source:** Debian Policy 9.2.2; systemd, "Users, Groups, UIDs and GIDs"."""

_NEEDED_AS_ROOT = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SYS_PTRACE": 19}
"""To become somebody else, and then to look at those processes and end them."""

_INSIDE = {"/bin/sh": "dash", "/usr/bin/env": "coreutils"}
"""Programs that begin every run, and the Debian packages that have them."""

_TRIAL = Run(argv=("/bin/true",))


class Sandbox:
    """Runs commands. Built once; shared by all who run anything."""

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        """Find the programs on PATH. Raises nothing: where one is missing, each run says so."""
        self._settings = settings or SandboxSettings()
        self._installation: Installation | None = None
        self._missing = ""
        try:
            self._installation = _installation(self._settings)
        except SandboxUnavailable as error:
            self._missing = str(error)
        self._slots = asyncio.Semaphore(self._settings.concurrent)

    async def run(self, run: Run) -> Ran:
        """Run a command within its limits, or those of the settings where they are tighter; waits for its turn first.

        Starting takes some 15 ms. Whatever happens is a result, but that a program is missing on this machine, which
        raises `SandboxUnavailable`. Cancelled, it kills all of the run before it ends.
        """
        if self._installation is None:
            raise SandboxUnavailable(self._missing)
        limits = self._settings.within(run.limits)
        if problem := _unfit(run, limits):
            return Ran(ended="failed", problem=problem)
        async with self._slots:
            return await _in_a_thread(self._installation, run, limits)

    async def check(self) -> None:
        """Run nothing much. Raises `SandboxUnavailable` with what to do where that does not work here."""
        ran = await self.run(_TRIAL)
        if ran.ended != "exited" or ran.status != 0:
            said = ran.problem or printable(ran.stderr.decode("utf-8", "replace").strip(), 300)
            raise SandboxUnavailable(f"the sandbox does not work here: {said or ran.ended}{_advice(said)}")


async def _in_a_thread(installation: Installation, run: Run, limits: Limits) -> Ran:
    """A thread of its own for each run: the kernel kills bubblewrap when the thread that started it ends, and a pool
    that others fill would make it wait."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Ran] = loop.create_future()
    cancelled = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def tell(ran: Ran | None, error: BaseException | None) -> None:
        if ran is not None:
            done.set_result(ran)
        else:
            done.set_exception(error or RuntimeError("no result"))

    def work() -> None:
        try:
            ran, error = perform(installation, run, limits, cancelled), None
        except BaseException as raised:  # a fault of ours: it is the caller's to see, not this thread's
            ran, error = None, raised
        try:
            loop.call_soon_threadsafe(tell, ran, error)
        except RuntimeError:  # the loop was closed without waiting
            pass

    try:
        threading.Thread(target=work, name="sandbox", daemon=True).start()
        return await _outlived(done, cancelled)
    finally:
        os.close(cancelled)


async def _outlived(done: "asyncio.Future[Ran]", cancelled: int) -> Ran:
    """The result. Cancelled, it has the run killed and waits until it is gone, however often it is cancelled."""
    stopped: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait((done,))
        except asyncio.CancelledError as error:
            stopped = error
            os.eventfd_write(cancelled, 1)
    if stopped is not None:
        if not done.cancelled():
            done.exception()
        raise stopped
    return done.result()


def _unfit(run: Run, limits: Limits) -> str:
    """Why this cannot be run at all, in one line; empty when it can."""
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if not value > 0:
            return f"the limit {name} is {value!r}; it must be above 0"
    if not run.argv or not run.argv[0]:
        return "there is no program to run; name one, such as python3"
    if "=" in run.argv[0]:
        return f"the program {quoted(run.argv[0])} has '=' in its name; rename it"
    for argument in run.argv:
        if problem := _unfit_text(argument):
            return f"the argument {quoted(argument)} {problem}"
    for name, value in run.environment.items():
        if not name.isascii() or not name.isidentifier():
            return (
                f"the variable {quoted(name)} must be of letters, digits and '_', and not begin with a digit"
            )
        if problem := _unfit_text(value):
            return f"the variable {name} {problem}"
    for path in run.keep:
        if problem := unfit_path(path):
            return f"the path to keep {quoted(path)} {problem}"
    if problem := unfit_files(run.files, limits):
        return problem
    if (
        "/" not in run.argv[0]
        and "PATH" not in run.environment
        and shutil.which(run.argv[0], path=PATH) is None
    ):
        return f"there is no program {quoted(run.argv[0])} in {PATH}; install it, or name another"
    return ""


def _unfit_text(text: str) -> str:
    if "\0" in text:
        return "holds the character NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not Unicode text"
    return ""


def _installation(settings: SandboxSettings) -> Installation:
    machine = platform.machine()
    if not sys.platform.startswith("linux") or machine not in ("x86_64", "aarch64"):
        raise SandboxUnavailable(
            f"the sandbox needs Linux on x86_64 or aarch64, and this is {platform.system()} on {machine}; run Trimtab "
            "there, or do without checks that run code"
        )
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise SandboxUnavailable("the sandbox needs bubblewrap: apt-get install bubblewrap (0.8 or later)")
    for program, package in _INSIDE.items():
        if not os.access(program, os.X_OK):
            raise SandboxUnavailable(f"the sandbox needs {program}: apt-get install {package}")
    return Installation(
        launcher=(*_as_somebody_else(), bubblewrap),
        user=NOBODY_ELSE if os.geteuid() == 0 else None,
        view=view(settings.readable),
        seccomp=seccomp.program("x86_64" if machine == "x86_64" else "aarch64"),
    )


def _as_somebody_else() -> tuple[str, ...]:
    """Where we are root: files of root's would be its own inside, and the kernel counts no processes of root's."""
    if os.geteuid() != 0:
        return ()
    missing = _missing_capabilities()
    if missing:
        raise SandboxUnavailable(
            f"the sandbox needs {', '.join(missing)} where Trimtab runs as root; run Trimtab as an ordinary user"
        )
    setpriv = shutil.which("setpriv")
    if setpriv is None or not os.access(PRLIMIT, os.X_OK):
        raise SandboxUnavailable(
            "the sandbox needs setpriv and prlimit where Trimtab runs as root: apt-get install util-linux"
        )
    ids = (f"--reuid={NOBODY_ELSE}", f"--regid={NOBODY_ELSE}")
    limited = (PRLIMIT, f"--core={lowered('core', 1)}", "--")  # what `launch` does to processes of our own
    return (*limited, setpriv, *ids, "--clear-groups", "--inh-caps=-all", "--")


def _missing_capabilities() -> list[str]:
    with open("/proc/self/status", encoding="ascii") as file:
        held = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return [name for name, bit in _NEEDED_AS_ROOT.items() if not held >> bit & 1]


def _advice(said: str) -> str:
    if "nknown option" in said:
        return "; it needs bubblewrap 0.8 or later"
    if any(words in said.lower() for words in ("permi", "namespace", "not permitted", "uid map")):
        return (
            "; the kernel must let ordinary users make namespaces: sysctl user.max_user_namespaces above 0, on Ubuntu "
            "kernel.apparmor_restrict_unprivileged_userns=0 or a profile for bwrap, in a container a seccomp profile "
            "that lets it unshare and mount (docs/sandbox.md)"
        )
    return ""
