"""Says whether given tests pass with code that a model wrote: a program of its own, for `python3 -I -c` in a sandbox.

What it is not: part of Trimtab's process, or a sandbox. It is given `{"nonce", "file", "module", "tests", "framework"}`
as JSON on its standard input, and says on its output, as lines of JSON with that nonce, that it began, and what came of
it. Invariants: this process never runs the code, and it alone knows the nonce. Only the standard library of Python 3.9
or later.
"""

import ast
import contextlib
import importlib.util
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from trimtab.verification.tests_runner import apart
from trimtab.verification.tests_runner.child import beside, far
from trimtab.verification.tests_runner.reporting import MAX_MESSAGE, Message, Reporter

try:
    import ctypes
except ImportError:  # a Python that was built without it
    ctypes = None  # type: ignore[assignment]

MAX_LINE = 4 * 1024 * 1024
PR_SET_DUMPABLE = 4
TAMPERED = {"outcome": "tampered", "message": "the code wrote what only the tests may write"}


def main() -> None:
    """Begin what runs the code, then read what there is to do, and say what came of it."""
    loaded, alone = Line(beside), Line(far)
    # The processes of the code cannot look into this one, or write to its output.
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    spec = json.loads(sys.stdin.buffer.read())
    nonce = spec.pop("nonce")
    _say({"nonce": nonce, "at": "begun"})
    report = Judge(spec).beside(loaded)
    loaded.end()
    if report["outcome"] == "passed":
        _say({"nonce": nonce, "at": "passed", **report})
        report = Judge(spec).apart(alone, report)
    alone.end()
    _say({"nonce": nonce, "at": "end", "python": sys.version.split()[0], **report})


def _say(message: Message) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Line:
    """A process that was begun here, and the pipes to it and from it."""

    def __init__(self, work: Callable[[Reporter], NoReturn], keep: Iterable[int] = ()) -> None:
        """Begin it; of the files that are open here it keeps these."""
        self.results, results = os.pipe()
        orders, self.orders = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                _keep_only({orders, results, *keep})
                work(Reporter(orders, results))
            finally:
                os._exit(3)
        os.close(results)
        os.close(orders)
        self._ended = os.pidfd_open(self._pid) if hasattr(os, "pidfd_open") else None
        self._left = b""

    def order(self, message: Message) -> None:
        """Say what it is to do."""
        with contextlib.suppress(BrokenPipeError):
            left = json.dumps(message).encode() + b"\n"
            while left:
                left = left[os.write(self.orders, left) :]

    def hear(self) -> Message:
        """Its next line, or that it is gone."""
        watched = [self.results] if self._ended is None else [self.results, self._ended]
        while b"\n" not in self._left:
            ready = select.select(watched, [], [])[0]
            if self.results in ready:
                got = os.read(self.results, 65536)
                self._left += got
                if got and len(self._left) < MAX_LINE:
                    continue
            return self._gone()
        line, _, self._left = self._left.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return {"at": "nonsense"}
        return message if isinstance(message, dict) else {"at": "nonsense"}

    def end(self) -> None:
        """Whatever it still does."""
        with contextlib.suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)

    def _gone(self) -> Message:
        self.end()  # it may have closed its end only
        status = os.waitpid(self._pid, 0)[1]
        signalled = os.WIFSIGNALED(status)
        how = f"by signal {os.WTERMSIG(status)}" if signalled else f"with status {os.WEXITSTATUS(status)}"
        return {"at": "gone", "message": f"the code ended its process {how} before the tests had ended"}


def _keep_only(files: "set[int]") -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for fd in range(3, 256):
        if fd not in files:
            with contextlib.suppress(OSError):
                os.close(fd)


class Judge:
    """Of one run."""

    def __init__(self, spec: Message) -> None:
        self._spec = spec
        self._pytest = spec["framework"] == "pytest"

    def beside(self, line: Line) -> Message:
        """What comes of the tests in one process with the code."""
        spec = self._spec
        try:
            tree = ast.parse(spec["tests"])
        except (SyntaxError, ValueError) as problem:
            return {"outcome": "no_tests", "message": f"the tests are not Python: {problem}"}
        imports = sorted(_imported(tree) | ({"pytest"} if self._pytest else set()))
        line.order({"file": spec["file"], "module": spec["module"], "imports": imports})
        loaded = line.hear()
        if loaded.get("at") != "loaded":
            return _failed(loaded, "the code")
        return self._heard(line, _expected(tree))

    def apart(self, line: Line, passed: Message) -> Message:
        """What has passed, and whether it passes too where the tests are in another process than the code."""
        spec = self._spec
        if self._pytest or not apart.suited(ast.parse(spec["tests"]), spec["module"]):
            return {**passed, "apart": False}
        line.order({"file": spec["file"], "module": spec["module"]})
        if line.hear().get("at") != "loaded":
            return {"outcome": "differs", "message": "the code cannot be loaded a second time"}
        asked = _asker(line)
        tests = Line(lambda reporter: apart.tests(reporter, asked), (line.orders, line.results))
        heard = self._heard(tests, _expected(ast.parse(spec["tests"])))
        tests.end()
        if heard["outcome"] == "far":
            return {**passed, "apart": False}
        if heard["outcome"] != "passed":
            return {**heard, "outcome": "differs"}
        return {**passed, "apart": True}

    def _heard(self, line: Line, expected: "list[str]") -> Message:
        token = os.urandom(8).hex()
        order = {"tests": self._spec["tests"], "module": self._spec["module"], "pytest": self._pytest}
        line.order({"token": token, **order})
        names: set[str] = set()
        while True:
            heard = line.hear()
            at = heard.get("at")
            if at == "gone":
                return _failed(heard, "the code")
            if heard.pop("token", None) != token:
                return TAMPERED
            if at == "test" and heard["ok"]:
                names.add(heard["name"].partition("[")[0])
            elif at == "test":
                return {"outcome": "failed", "test": heard["name"], "message": heard["message"]}
            elif at == "end":
                return _passed(heard["checks"], names, expected)
            else:
                return _failed(heard, "the tests")


def _asker(line: Line) -> Callable[[Message], Message]:
    """For the process of the tests: a question to that of the code, and its answer."""

    def ask(message: Message) -> Message:
        line.order(message)
        left = b""
        while not left.endswith(b"\n"):
            got = os.read(line.results, 65536)
            if not got or len(left) > MAX_LINE:
                raise RuntimeError("the code ended its process")
            left += got
        said: Message = json.loads(left)
        return said

    return ask


def _passed(checks: int, names: "set[str]", expected: "list[str]") -> Message:
    left_out = [name for name in expected if name not in names]
    if left_out:
        return {"outcome": "failed", "test": left_out[0], "message": "it did not run to its end"}
    if not checks:
        return {"outcome": "no_tests", "message": "the tests checked nothing"}
    return {"outcome": "passed", "ran": len(names) - 1, "checks": checks}


def _failed(heard: Message, who: str) -> Message:
    at = heard.get("at")
    if at == "gone":
        return {"outcome": "exited", "message": heard["message"]}
    if at == "missing":
        name = str(heard.get("name"))
        there = False
        with contextlib.suppress(Exception):
            there = importlib.util.find_spec(name.partition(".")[0]) is not None
        if there or not name.isidentifier():
            return {"outcome": "failed", "message": f"ModuleNotFoundError: {name!r}"}
        needs = "needs" if who == "the code" else "need"
        return {"outcome": "missing", "message": f"{who} {needs} the module {name!r}"}
    if at in ("broken", "tampered", "no_tests", "far"):
        return {"outcome": at, "message": str(heard.get("message", ""))[:MAX_MESSAGE]}
    return TAMPERED


def _imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def _is_case(node: ast.stmt) -> bool:
    if not isinstance(node, ast.ClassDef):
        return False
    bases = [one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in node.bases]
    return any(name.endswith("TestCase") for name in bases)


def _expected(tree: ast.Module) -> list[str]:
    """Names of tests that must have run, as far as they can be told from the text."""
    found = ["the tests"]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in tree.body:
        if isinstance(node, functions) and node.name.startswith("test") and not _parameters(node):
            found.append(node.name)
        elif isinstance(node, ast.ClassDef) and (_is_case(node) or node.name.startswith("Test")):
            found += [
                f"{node.name}.{one.name}"
                for one in node.body
                if isinstance(one, functions) and one.name.startswith("test") and len(one.args.args) == 1
            ]
    return found


def _parameters(node: "ast.FunctionDef | ast.AsyncFunctionDef") -> bool:
    return len(node.args.posonlyargs) + len(node.args.args) > len(node.args.defaults)
