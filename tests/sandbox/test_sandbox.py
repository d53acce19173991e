"""What comes of a run: every ending, what goes in and out, how many at once, and that nothing stays."""

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import escapes
import pytest
from sandboxes import LIMITS, need_sandbox, python, ran
from waiting import until, until_so

from trimtab.errors import SandboxUnavailable
from trimtab.sandbox import Limits, Ran, Run, Sandbox, SandboxSettings
from trimtab.sandbox.watch import Watch


@pytest.fixture(autouse=True)
def _sandbox() -> None:
    need_sandbox()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that a sandbox can show: /tmp is its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def limits(**changed: float) -> Limits:
    return Limits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__}, **changed})


def test_files_and_input_go_in_and_outputs_and_kept_files_come_out() -> None:
    one = ran(
        python(
            "import sys; text = open('deep/in.txt').read() + input(); open('deep/out.txt', 'w').write(text);"
            "print(text); print('aside', file=sys.stderr); sys.exit(3)",
            files={"deep/in.txt": b"hello "},
            stdin=b"world\n",
            keep=("deep/out.txt", "nothing.txt"),
        )
    )
    assert (one.ended, one.status, one.problem) == ("exited", 3, "")
    assert (one.stdout, one.stderr, one.files) == (
        b"hello world\n",
        b"aside\n",
        {"deep/out.txt": b"hello world"},
    )
    assert one.wall_s > 0


@pytest.mark.parametrize(
    ("program", "tight", "ended"),
    [
        ("import os; os.kill(os.getpid(), 11)", {}, "signalled"),
        ("import time; time.sleep(1000)", {"wall_s": 0.3}, "wall"),
        ("while True: pass", {"cpu_s": 0.2}, "cpu"),
        ("print('x' * 10**7)", {"output_bytes": 1000}, "output"),
        ("open('big', 'wb').write(bytes(2**21))", {"folder_bytes": 2**20}, "folder"),
        (
            "import os, time\nfor _ in range(2): os.fork()\nheld = bytearray(os.urandom(2**20)) * 60; time.sleep(1000)",
            {"memory_bytes": 200 * 2**20},
            "memory",
        ),
    ],
)
def test_a_run_says_how_it_ended(program: str, tight: dict[str, float], ended: str) -> None:
    assert ran(python(program, limits=limits(**tight))).ended == ended


def test_a_command_that_is_not_there_never_began() -> None:
    one = ran(Run(argv=("no-such-program",)))
    assert one.ended == "failed"
    assert one.problem.startswith("there is no program 'no-such-program' in /usr/bin")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"argv": ()}, "there is no program to run"),
        ({"argv": ("a=b",)}, "the program 'a=b' has '=' in its name"),
        ({"argv": ("echo", "a\0b")}, "holds the character NUL"),
        ({"argv": ("echo", "\ud800")}, "is not Unicode text"),
        ({"environment": {"A=B": "c"}}, "the variable 'A=B' must be of letters"),
        ({"environment": {"-i": "c"}}, "the variable '-i' must be of letters"),
        ({"environment": {"A": "\0"}}, "the variable A holds the character NUL"),
        ({"files": {"../x": b""}}, "the path '../x' has"),
        ({"files": {"/etc/passwd": b""}}, "the path '/etc/passwd' is absolute"),
        ({"keep": ("../../etc/passwd",)}, "the path to keep '../../etc/passwd' has"),
        ({"keep": ("/etc/passwd",)}, "the path to keep '/etc/passwd' is absolute"),
        ({"limits": Limits(processes=0)}, "the limit processes is 0"),
        ({"limits": Limits(wall_s=float("nan"))}, "the limit wall_s is nan"),
    ],
)
def test_what_cannot_be_run_is_said_and_not_tried(changed: dict[str, Any], problem: str) -> None:
    one = ran(Run(**{"argv": ("/bin/true",), **changed}))
    assert one.ended == "failed"
    assert problem in one.problem


def test_words_that_look_like_options_are_the_programs_own() -> None:
    one = ran(
        Run(
            argv=("/bin/echo", "--bind", "/", "/", "--", "$HOME", "`id`"),
            files={"--help": b"", "-i": b""},
            environment={"IFS": "x", "PATH": "/nowhere"},
        )
    )
    assert (one.ended, one.stdout) == ("exited", b"--bind / / -- $HOME `id`\n")


def test_everyday_programs_find_what_they_need() -> None:
    one = ran(
        python(
            """
import asyncio, concurrent.futures, multiprocessing, os, pathlib, pwd, sqlite3, ssl, subprocess, tempfile, threading, time
with multiprocessing.get_context('fork').Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
assert multiprocessing.get_context('spawn').Value('i', 3).value == 3
async def serve():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b''
    process = await asyncio.create_subprocess_exec('echo', 'hi', stdout=subprocess.PIPE)
    return (await process.communicate())[0]
assert asyncio.run(serve()) == b'hi\\n'
with tempfile.TemporaryDirectory() as folder: sqlite3.connect(folder + '/x.db').execute('create table t (a)').connection.close()
assert pwd.getpwuid(os.getuid()).pw_name == 'sandbox' and pathlib.Path.home() == pathlib.Path.cwd()
ssl.create_default_context()
assert time.localtime() and len(os.urandom(4)) == 4 and open('/dev/zero', 'rb').read(2) == b'\\0\\0'
open('/dev/null', 'w').write('x'); open('/dev/stdout', 'w').write('said')
"""
        )
    )
    assert (one.stdout, one.stderr, one.status) == (b"said", b"", 0)


def test_a_folder_that_the_operator_named_can_be_read_and_no_other(elsewhere: Path) -> None:
    here = elsewhere / "named"
    here.mkdir()
    (here / "test_folder.py").write_text('"""\n')
    (elsewhere / "beside").mkdir()
    program = (
        "import os, sys; here = sys.argv[1]; print(open(here + '/test_folder.py').read(3), os.listdir(here + '/..'))\n"
        "try: open(here + '/x', 'w')\nexcept OSError as error: print(error.strerror)"
    )
    one = ran(python(program, str(here)), SandboxSettings(readable=(str(here),)))
    assert one.stdout.decode().split("\n") == ['""" [\'named\']', "Read-only file system", ""]


def test_no_more_runs_go_on_at_once_than_are_allowed() -> None:
    program = "import time; begun = time.monotonic(); time.sleep(0.05); print(begun, time.monotonic())"

    async def several() -> list[Ran]:
        sandbox = Sandbox(SandboxSettings(concurrent=1))
        return await asyncio.gather(*(sandbox.run(python(program)) for _ in range(4)))

    times = sorted(tuple(map(float, one.stdout.split())) for one in asyncio.run(several()))
    assert len(times) == 4
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(times))


def test_a_run_that_is_cancelled_is_gone_when_the_caller_goes_on() -> None:
    mark = f"cancelled-{os.urandom(8).hex()}"
    program = (
        "import os, signal, time\nfor number in range(1, 32):\n try: signal.signal(number, signal.SIG_IGN)\n"
        " except OSError: pass\nos.fork(); os.setsid() if os.getpid() != 2 else None\nos.fork(); time.sleep(100000)"
    )

    async def cancelled() -> None:
        sandbox = Sandbox(SandboxSettings(concurrent=1))
        running = asyncio.create_task(sandbox.run(python(program, mark)))
        waiting = asyncio.create_task(sandbox.run(python(program, mark)))
        await until_so(lambda: len(escapes.processes(mark)) >= 6)  # bubblewrap's two and the four
        for task in (waiting, running):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert escapes.processes(mark) == []
        assert (await sandbox.run(Run(argv=("/bin/true",)))).status == 0

    asyncio.run(cancelled())


def test_runs_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    mark = f"orphan-{os.urandom(8).hex()}"
    program = (
        "import asyncio, sys; from trimtab.sandbox import *\n"
        "asyncio.run(Sandbox().run(Run(argv=('/bin/sh', '-c', 'sleep 100000 & sleep 100000', 'mark-' + sys.stdin.read()))))"
    )
    starter = subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert starter.stdin is not None
    starter.stdin.write(mark.encode())
    starter.stdin.close()
    try:
        until(lambda: len(escapes.processes(f"mark-{mark}")) >= 3)
    finally:
        starter.kill()
        starter.wait()
    until(lambda: not escapes.processes(f"mark-{mark}"))


def test_a_run_that_cannot_be_watched_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(watch: Watch) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Watch, "look", look)
    mark = f"unseen-{os.urandom(8).hex()}"
    one = ran(python("import time; time.sleep(100000)", mark))
    assert one.ended == "failed"
    assert "could not be watched" in one.problem
    assert escapes.processes(mark) == []


def test_a_hundred_runs_leave_nothing_behind() -> None:
    mark = f"hundred-{os.urandom(8).hex()}"
    kinds = [
        Run(argv=("/bin/sh", "-c", "echo x > kept; sleep 1000 & exit 3", mark), keep=("kept",)),
        Run(argv=("/bin/sh", "-c", "kill -SEGV $$", mark)),
        Run(argv=("/bin/sleep", "1000", mark), limits=Limits(wall_s=0.01)),
        Run(argv=("/bin/sh", "-c", "while :; do echo flood; done", mark), limits=Limits(output_bytes=1000)),
        Run(argv=("/usr/bin/no-such-program", mark), stdin=b"unread" * 100_000),
    ]

    def held() -> dict[str, object]:
        return {
            "descriptors": len(os.listdir("/proc/self/fd")),
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "mounts": [  # others of this machine mount what they like
                line
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if "/box" in line or "newroot" in line
            ],
            "processes": escapes.processes(mark),
        }

    async def all_of_them() -> tuple[dict[str, object], dict[str, object], set[str]]:
        sandbox = Sandbox(SandboxSettings(concurrent=4))
        await asyncio.gather(*map(sandbox.run, kinds))
        until(
            lambda: (
                threading.active_count() == 1 or not any("sandbox" in t.name for t in threading.enumerate())
            )
        )
        before = held()
        done = await asyncio.gather(*(sandbox.run(kinds[number % len(kinds)]) for number in range(100)))
        until(lambda: not any("sandbox" in thread.name for thread in threading.enumerate()))
        return before, held(), {one.ended for one in done}

    before, after, endings = asyncio.run(all_of_them())
    assert endings == {"exited", "signalled", "wall", "output"}
    assert after == before


def test_where_bubblewrap_is_missing_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox = Sandbox()  # a gateway that checks no code starts all the same
    for asked in (sandbox.check(), sandbox.run(Run(argv=("/bin/true",)))):
        with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
            asyncio.run(asked)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("bwrap: Unknown option --disable-userns", "it needs bubblewrap 0.8 or later"),
        ("bwrap: setting up uid map: Permission denied", "apparmor_restrict_unprivileged_userns=0"),
        ("bwrap: No permissions to create new namespace", "user.max_user_namespaces"),
    ],
)
def test_where_the_kernel_does_not_permit_it_one_line_says_what_to_permit(
    said: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    program.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if (
            not folder.stat().st_mode & 0o001
        ):  # of whoever runs the tests; where that is root, runs are somebody else's
            folder.chmod(folder.stat().st_mode | 0o001)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxUnavailable) as raised:
        asyncio.run(Sandbox().check())
    assert said in str(raised.value)
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)
