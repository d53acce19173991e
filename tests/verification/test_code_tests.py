"""Code that must pass tests: right code is accepted, wrong code is sent on, and code that only looks as if its tests had
passed is wrong code."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from judged_cases import answered, asked, built, judged_by

from trimtab.errors import ConfigError
from trimtab.messages.exchange import ToolCall
from trimtab.sandbox import Ran, Run, Sandbox, SandboxSettings
from trimtab.verification.code_tests import CodeTests, code_tests

PLAIN = "from solution import add\nassert add(1, 2) == 3\nassert add(2, 2) == 4\n"
FUNCTIONS = """
from solution import add

def test_small():
    assert add(1, 2) == 3

async def test_later():
    assert add(2, 2) == 4
"""
CASES = """
import unittest
from solution import add

class Adds(unittest.TestCase):
    def test_small(self):
        self.assertEqual(add(1, 2), 3)

    def test_large(self):
        self.assertTrue(add(10**9, 1) == 10**9 + 1)
"""
CLASS = """
class TestAdd:
    def setup_method(self):
        self.three = 3

    def test_small(self):
        assert add(1, 2) == self.three
"""
MOCK = """
@mock.patch("solution.time")
def test_now(fake):
    fake.time.return_value = 5
    assert solution.now() == 5
"""
GOOD = "def add(a, b):\n    return a + b\n"

SHOUTS = "import os\nfor to in range(64):\n    try:\n        os.write(to, b'%s')\n    except OSError:\n        pass\nos._exit(0)\n"
EQUAL = """
class Same({base}):
    def __eq__(self, other):
        return True
    __hash__ = None

def add(a, b):
    return {wrap}
"""

ROWS: dict[str, tuple[str, str, str, str]] = {
    # what: the code, its tests, what is said, words of the reason or the message
    "right, for tests of every kind": (
        "import threading, time\nthreading.Thread(target=threading.Event().wait).start()\n"
        "def now():\n    return time.time()\n" + GOOD + "print(add(1, 2))\n"
        "if __name__ == '__main__':\n    raise SystemExit(add(1, 2))\n",
        "from unittest import mock\nimport solution\n" + PLAIN + FUNCTIONS + CASES + CLASS + MOCK,
        "accept",
        "'tests': 6, 'checks': 8",
    ),
    "wrong, a class of tests": (
        "def add(a, b):\n    return 0\n",
        "class TestAdd:\n    def test_small(self):\n        assert add(1, 2) == 3\n",
        "escalate",
        "TestAdd.test_small",
    ),
    "right, names that are not imported": (GOOD, "assert add(1, 2) == 3", "accept", "'checks': 1"),
    "right, with a type of its own that compares": (
        "class M:\n    def __init__(self, n):\n        self.n = n\n    def __eq__(self, other):\n"
        "        return self.n == getattr(other, 'n', other)\n\ndef add(a, b):\n    return M(a + b)\n",
        PLAIN,
        "accept",
        "",
    ),
    "wrong": ("def add(a, b):\n    return 3\n", PLAIN, "escalate", "3 == 4"),
    "wrong, functions": ("def add(a, b):\n    return 3\n", FUNCTIONS, "escalate", "test_later"),
    "wrong, unittest": ("def add(a, b):\n    return 3\n", CASES, "escalate", "Adds.test_large"),
    "raises": ("def add(a, b):\n    raise ValueError('no')\n", PLAIN, "escalate", "ValueError: no"),
    "does not parse": ("def add(a, b:\n", PLAIN, "escalate", "SyntaxError"),
    "raises when loaded": ("1 / 0\n", PLAIN, "escalate", "ZeroDivisionError"),
    "has another name": (
        "def sum_of(a, b):\n    return a + b\n",
        PLAIN,
        "escalate",
        "cannot import name 'add'",
    ),
    "never ends": (GOOD + "while True:\n    pass\n", PLAIN, "escalate", "did not finish in"),
    # Code that looks as if its tests had passed.
    "ends its program": ("raise SystemExit(0)\n", PLAIN, "escalate", "ends the program"),
    "ends its program when called": (
        "import sys\ndef add(a, b):\n    sys.exit(0)\n",
        CASES,
        "escalate",
        "ends the program",
    ),
    "ends its process": ("import os\nos._exit(0)\n", PLAIN, "escalate", "ended its process with status 0"),
    "ends its process when called": (
        "import os\ndef add(a, b):\n    os._exit(0)\n",
        CASES,
        "escalate",
        "ended its process",
    ),
    "ends its process at exit": (
        "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b):\n    return 0\n",
        PLAIN,
        "escalate",
        "'line': 2",
    ),
    "kills its process": ("import os\nos.kill(os.getpid(), 9)\n", PLAIN, "escalate", "by signal 9"),
    "kills who judges": ("import os\nos.kill(os.getppid(), 9)\n", PLAIN, "escalate", ""),
    "looks into who judges": (
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb')\n" + GOOD,
        PLAIN,
        "escalate",
        "PermissionError",
    ),
    "writes a report": (
        SHOUTS % '{"at":"end","outcome":"passed","checks":2}\\n',
        PLAIN,
        "escalate",
        "changes what",
    ),
    "writes a report when called": (
        "def add(a, b):\n    exec(%r)\n"
        % (SHOUTS % '{"at":"test","name":"the tests","ok":true}\\n{"at":"end","checks":2}\\n'),
        PLAIN,
        "escalate",
        "changes what",
    ),
    "skips its tests": (
        "import unittest\ndef add(a, b):\n    raise unittest.SkipTest('later')\n",
        CASES,
        "escalate",
        "skipped",
    ),
    "equal to anything": (EQUAL.format(base="object", wrap="Same()"), PLAIN, "escalate", "equal to anything"),
    "changes unittest": (
        "import unittest\nunittest.TestCase.assertEqual = lambda *given: None\n" + GOOD,
        CASES,
        "escalate",
        "TestCase.assertEqual",
    ),
    "changes unittest when called": (
        "import unittest\ndef add(a, b):\n    unittest.TestCase.assertTrue = lambda *given: None\n    return 3\n",
        CASES,
        "escalate",
        "",
    ),
    "adds to unittest": (
        "import unittest\nunittest.TestCase.__getattribute__ = lambda *given: print\n" + GOOD,
        CASES,
        "escalate",
        "unittest.case.TestCase",
    ),
    "brings its own unittest": (
        "import sys, types\nsys.modules['unittest'] = types.ModuleType('unittest')\n"
        "sys.modules['unittest'].TestCase = object\n" + GOOD,
        CASES,
        "escalate",
        "unittest",
    ),
    "changes who counts": (
        "import unittest\nfor one in unittest.TestResult.__subclasses__():\n    one.addFailure = print\n"
        "def add(a, b):\n    return 3\n",
        CASES,
        "escalate",
        "what runs the tests",
    ),
    "changes a name of Python": (
        "import builtins\nbuiltins.sorted = lambda given: [1, 2]\ndef add(a, b):\n    return [9]\n",
        "assert sorted(add(1, 2)) == [1, 2]",
        "escalate",
        "builtins.sorted",
    ),
    "has a function with a name of Python": (
        "def sorted(given):\n    return [1, 2]\ndef add(a, b):\n    return [9]\n",
        "assert sorted(add(1, 2)) == [1, 2]",
        "escalate",
        "[9] == [1, 2]",
    ),
    "looks for its tests": (
        "import glob\ndef add(a, b):\n    return len(open(glob.glob('*tests*')[0]).read())\n",
        PLAIN,
        "escalate",
        "IndexError",
    ),
    # What could not be told.
    "needs a package": ("import a_package_of_nobody\n" + GOOD, PLAIN, "unsure", "a_package_of_nobody"),
    "says that it needs a package": (
        "raise ModuleNotFoundError('x', name='json')\n",
        PLAIN,
        "escalate",
        "ModuleNotFoundError",
    ),
    "tests that need a package": (
        GOOD,
        "import a_package_of_nobody\nassert 1",
        "unsure",
        "a_package_of_nobody",
    ),
    "tests that check nothing here": (
        GOOD,
        "def check(f):\n    assert f(1, 2) == 3\n",
        "unsure",
        "checked nothing",
    ),
    "tests for pytest": (GOOD, "def test_one(tmp_path):\n    assert add(1, 2) == 3\n", "unsure", "pytest"),
}


@pytest.mark.parametrize("what", ROWS)
def test_the_verdict_is_that_of_tests_that_really_ran(what: str) -> None:
    code, tests, says, words = ROWS[what]
    limit = 1.5 if "never ends" in what else 60.0
    verifier = built(code_tests, tests=tests, wall_s=60.0, cpu_s=limit)
    finding = judged_by(verifier, answered(f"Here it is:\n\n```python\n{code}```\n"), run=Sandbox().run)
    assert finding.says == says, finding
    assert words in f"{finding.reason} {dict(finding.evidence)}"


PYTEST = """
import pytest
from solution import add

@pytest.mark.parametrize("one", [1, 2])
def test_add(one, tmp_path):
    assert add(one, 1) == one + 1

def test_texts():
    with pytest.raises(TypeError):
        add(1, "x")
"""
SILENCES = """
import _pytest.reports

def add(a, b):
    _pytest.reports.BaseReport.failed = property(lambda report: False)
    _pytest.reports.BaseReport.passed = property(lambda report: True)
"""


PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")


@pytest.fixture(scope="module")
def with_pytest() -> Iterator[Path]:
    """An environment with pytest, where a sandbox can show it: these tests may lie in a temporary folder."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        # The system's Python: that of these tests may lie where a sandbox cannot show it.
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(folder)], check=True)
        packages = next(folder.glob("lib/python*/site-packages"))
        for name in PACKAGES:
            shutil.copytree(Path(find_spec(name).origin).parent, packages / name)  # type: ignore[union-attr,arg-type]
        shutil.copy(find_spec("py").origin, packages)  # type: ignore[union-attr,arg-type]
        yield folder


@pytest.mark.parametrize(
    ("code", "says", "words"),
    [
        (GOOD, "accept", "'tests': 2"),
        ("def add(a, b):\n    return 2\n", "escalate", "test_add[2]"),
        (SILENCES, "escalate", "tests that must fail do not"),
    ],
)
def test_tests_for_pytest_run_where_the_sandbox_can_read_it(
    with_pytest: Path, code: str, says: str, words: str
) -> None:
    sandbox = Sandbox(SandboxSettings(readable=(str(with_pytest),)))
    python = str(with_pytest / "bin/python")
    verifier = built(code_tests, tests=PYTEST, python=python, wall_s=60.0, cpu_s=60.0)
    finding = judged_by(verifier, answered(f"```python\n{code}```\n"), run=sandbox.run)
    assert finding.says == says, finding
    assert words in f"{finding.reason} {dict(finding.evidence)}"


APART: dict[str, tuple[str, str, bool]] = {
    # what: the code, its tests, whether they can be run apart from it
    "unittest": (GOOD, CASES, True),
    "what is changed in place": (
        "def tidy(given, into):\n    given.sort()\n    into['n'] = len(given)\n",
        "given, into = [2, 1], {}\ntidy(given, into=into)\nassert given == [1, 2] and into == {'n': 2}",
        True,
    ),
    "an exception of Python": (
        "def half(n):\n    if n % 2:\n        raise ValueError('odd', n)\n    return n // 2\n",
        "try:\n    half(3)\nexcept ValueError as problem:\n    assert problem.args == ('odd', 3)\nelse:\n    assert False\n"
        "assert half(4) == 2",
        True,
    ),
    "an exception of its own": (
        "class Odd(Exception):\n    pass\n\ndef half(n):\n    raise Odd(n)\n",
        "from solution import Odd, half\ntry:\n    half(3)\nexcept Odd:\n    assert True\n",
        False,
    ),
}


@pytest.mark.parametrize("what", APART)
def test_tests_of_functions_with_plain_data_pass_apart_from_the_code_too(what: str) -> None:
    code, tests, apart = APART[what]
    verifier = built(code_tests, tests=tests, wall_s=60.0, cpu_s=60.0)
    finding = judged_by(verifier, answered(f"```python\n{code}```\n"), run=Sandbox().run)
    assert (finding.says, finding.evidence["apart"]) == ("accept", apart), finding


REACHES = [
    # Written against this very runner: looks for what reports, through the frames, and lets it report.
    "import sys\n\ndef add(a, b):\n    at = sys._getframe()\n    while at is not None:\n"
    "        for one in [*at.f_globals.values(), *at.f_locals.values()]:\n"
    "            if hasattr(one, '_reporter'):\n"
    "                one._reporter.passed('the tests')\n                one._reporter.end('end', checks=2)\n"
    "        at = at.f_back\n    return 0\n",
    "import gc\n\ndef add(a, b):\n    for one in gc.get_objects():\n        if type(one).__name__ == 'Reporter' and one._token:\n"
    "            one.passed('the tests')\n            one.end('end', checks=2)\n    return 0\n",
]


@pytest.mark.parametrize("code", REACHES)
def test_code_that_reaches_into_the_memory_of_its_tests_is_not_believed(code: str) -> None:
    finding = judged_by(
        built(code_tests, tests=PLAIN, wall_s=60.0, cpu_s=60.0),
        answered(f"```python\n{code}```"),
        run=Sandbox().run,
    )
    assert (finding.says, finding.reason) == (
        "unsure",
        "the tests pass in one process with the code, and not in another",
    ), finding


def test_code_is_found_in_an_answer_or_is_the_whole_of_it() -> None:
    verifier = built(code_tests, tests=PLAIN)

    def says(text: str, **options: Any) -> str:
        one = built(code_tests, tests=PLAIN, **options) if options else verifier
        finding = judged_by(one, answered(text), run=Sandbox().run)
        return f"{finding.says} {finding.reason}"

    assert says(GOOD).startswith("accept")
    assert says("I would add the two numbers.") == "escalate there is no code in the answer"
    assert says("") == "escalate there is no code in the answer"
    assert says("```bash\nls\n```") == "escalate there is no code in the answer"
    calls = answered("", tool_calls=(ToolCall("c", "write", b"{}", {}),), stop="tool_use")
    assert judged_by(verifier, calls, run=Sandbox().run).says == "unsure"
    two = f"```python\n{GOOD}```\nor\n```python\nadd = max\n```"
    assert says(two).startswith("escalate")
    assert says(two, blocks="first").startswith("accept")
    assert says(two, blocks="longest").startswith("accept")
    assert says(two, blocks="last").startswith("escalate")


def test_tests_come_from_the_block_of_the_request_that_is_marked() -> None:
    verifier = built(code_tests)
    answer = answered(f"```python\n{GOOD}```")

    def says(prompt: str) -> str:
        finding = judged_by(verifier, answer, asked(prompt), run=Sandbox().run)
        return f"{finding.says} {finding.reason}"

    assert says(f"Write add.\n```python tests\n{PLAIN}```").startswith("accept")
    assert says("Write add.\n```python tests\nassert add(1, 2) == 4\n```").startswith("escalate")
    assert (
        says(f"Write add.\n```python\n{PLAIN}```")
        == "unsure the request has no block of code that is marked 'tests'"
    )
    assert says("```tests\nThese are no tests.\n```") == "unsure the tests cannot be run: nothing is tested"


def test_a_command_must_show_that_its_tests_ran_to_their_end() -> None:
    script = "read nonce; . ./solution.sh; [ $(add 1 2) = 3 ] || { echo wrong; exit 1; }; echo $nonce"
    right = "add() { echo $(($1 + $2)); }\n"

    def says(code: str, text: str = script, **options: Any) -> str:
        verifier = built(
            code_tests,
            command=["sh", "tests.sh"],
            tests=text,
            tests_as="tests.sh",
            language="bash",
            file="solution.sh",
            **options,
        )
        finding = judged_by(verifier, answered(f"```sh\n{code}```"), run=Sandbox().run)
        return f"{finding.says} {finding.reason}"

    assert says(right) == "accept the tests ran to their end"
    assert says("add() { echo 4; }\n") == "escalate the tests ended with status 1"
    assert says("exit 0\n") == "escalate nothing shows that the tests ran to their end"
    assert says("exit 0\n", proof="status") == "accept the tests ended with status 0"
    assert says(right, "exec no-such-program").startswith("unsure the command cannot be run")


CUT = [
    (Ran(ended="failed", problem="no bwrap"), "unsure", "the sandbox failed: no bwrap"),
    (Ran(ended="wall", wall_s=10.0), "escalate", "the code did not finish in 10 s"),
    (Ran(ended="cpu", cpu_s=10.0), "escalate", "of processor time"),
    (Ran(ended="memory"), "escalate", "memory"),
    (Ran(ended="output"), "escalate", "wrote too much"),
    (Ran(ended="folder"), "escalate", "folder"),
    (Ran(ended="signalled", status=11), "escalate", "by signal 11"),
    (Ran(ended="exited", status=0), "escalate", "the code ended what runs its tests"),
]


@pytest.mark.parametrize(("ran", "says", "words"), CUT)
def test_a_limit_is_the_fault_of_the_code_only_once_it_was_begun(ran: Ran, says: str, words: str) -> None:
    def judged(*, begun: bool, within_s: float = 60.0) -> tuple[str, str]:
        async def run(wanted: Run) -> Ran:
            nonce = wanted.stdin.split(b'"nonce":"')[1][:32].decode()
            line = f'{{"nonce":"{nonce if begun else "0" * 32}","at":"begun"}}\n'.encode()
            return Ran(
                ended=ran.ended, status=ran.status, stdout=line, wall_s=ran.wall_s, problem=ran.problem
            )

        finding = judged_by(built(code_tests, tests=PLAIN), answered(GOOD), run=run, within_s=within_s)
        return finding.says, finding.reason

    assert judged(begun=True)[0] == says
    assert words in judged(begun=True)[1]
    assert judged(begun=False)[0] == "unsure"
    if ran.ended == "wall":
        assert judged(begun=True, within_s=5.0)[0] == "unsure"
        assert judged(begun=True, within_s=0.1) == ("unsure", "there is no time left to run the tests")


def test_a_report_without_the_number_of_this_call_counts_for_nothing() -> None:
    async def run(wanted: Run) -> Ran:
        return Ran(
            ended="exited",
            status=0,
            stdout=b'{"nonce":"'
            + b"0" * 32
            + b'","at":"end","outcome":"passed","ran":2,"checks":2}\nnot json\n[]\n',
        )

    finding = judged_by(built(code_tests, tests=PLAIN), answered(GOOD), run=run)
    assert finding.says == "unsure"


def test_options_that_test_nothing_or_contradict_each_other_are_refused(tmp_path: Path) -> None:
    def refused(**options: Any) -> str:
        with pytest.raises(ConfigError) as problem:
            built(code_tests, **options)
        return str(problem.value)

    assert "verifiers.one.tests" in refused(tests="x = 1")
    assert "is not Python" in refused(tests="def")
    assert "tests_file" in refused(tests=PLAIN, tests_file="x.py")
    assert "needs tests" in refused(tests_from="options")
    assert "takes the tests from the request" in refused(tests_from="prompt", tests=PLAIN)
    assert "needs a command" in refused(language="javascript", tests="assert(1)")
    assert "relative path" in refused(tests=PLAIN, file="/etc/passwd")
    assert "importable" in refused(tests=PLAIN, file="my-code.py")
    assert "did you mean 'wall_s'" in refused(wall=3)
    assert "at least" in refused(wall_s=-1) or "more than" in refused(wall_s=-1)
    assert "no-such-file" in refused(tests_file=str(tmp_path / "no-such-file"))
    (tmp_path / "given.py").write_text(PLAIN)
    assert isinstance(built(code_tests, tests_file=str(tmp_path / "given.py")), CodeTests)
