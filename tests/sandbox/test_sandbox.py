"""What comes of a run: every ending, what goes in and out, how many at once, and that nothing stays."""

import pytest
from sandboxes import LIMITS, need_sandbox, python, ran

from trimtab.sandbox import Limits, Run


@pytest.fixture(autouse=True)
def _sandbox() -> None:
    need_sandbox()


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
