"""Runs given tests against code that a model wrote: a program of its own, for `python3 -I -c` in a sandbox.

What it is not: part of Trimtab's process, or a sandbox. It is given `{"nonce", "file", "module", "tests", "framework"}`
as JSON on its standard input, and says on its output, as lines of JSON with that nonce, that it began and what came of
it. Invariant: the process that judges never runs the code. It alone knows the nonce; the code runs in a child, which is
told the tests only when the code has been loaded, and in which each test is seen to begin, to check something, and to
be able to fail. Only the standard library of Python 3.9 or later.

What no such program can hold: code that is written against this very file and changes the child's memory, by its
frames or by `gc`, is as able as the tests are. The table of what is held is in the tests of `code_tests`.
"""

import ast
import builtins
import contextlib
import importlib
import importlib.util
import inspect
import json
import linecache
import os
import select
import signal
import sys
import tempfile
import types
import unittest
from typing import Any, NoReturn

try:
    import ctypes
except ImportError:  # a Python that was built without it
    ctypes = None  # type: ignore[assignment]

MAX_MESSAGE = 600
MAX_LINE = 4 * 1024 * 1024
PR_SET_DUMPABLE = 4
PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, range)

Message = dict[str, Any]


# --- The judge: never imports the code. ---


def main() -> None:
    """Begin the child, then tell it what there is to do, and say what came of it."""
    from_child, results = os.pipe()
    orders, to_child = os.pipe()
    child = os.fork()
    if not child:
        os.close(from_child)
        os.close(to_child)
        _run_child(orders, results)
    os.close(results)
    os.close(orders)
    with contextlib.suppress(
        Exception
    ):  # so that the child cannot look into this process, or write its output
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    spec = json.loads(sys.stdin.buffer.read())
    nonce = spec.pop("nonce")
    _say({"nonce": nonce, "at": "begun"})
    report = _Judge(child, from_child, to_child).judge(spec)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    _say({"nonce": nonce, "at": "end", "python": sys.version.split()[0], **report})


def _say(message: Message) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class _Judge:
    def __init__(self, child: int, results: int, orders: int) -> None:
        self._child = child
        self._results = results
        self._orders = orders
        self._ended = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
        self._left = b""

    def judge(self, spec: Message) -> Message:
        try:
            tree = ast.parse(spec["tests"])
        except (SyntaxError, ValueError) as problem:
            return {"outcome": "no_tests", "message": f"the tests are not Python: {problem}"}
        expected = _expected(tree)
        token = os.urandom(8).hex()
        pytest = spec["framework"] == "pytest"
        known = sorted(_imported(tree) | ({"pytest"} if pytest else set()))
        self._order({"file": spec["file"], "module": spec["module"], "imports": known})
        loaded = self._hear()
        if loaded.get("at") != "loaded":
            return self._failed(loaded, "the code")
        self._order({"tests": spec["tests"], "token": token, "pytest": pytest})
        names: set[str] = set()
        while True:
            heard = self._hear()
            if heard.get("at") == "gone":
                return self._failed(heard, "the code")
            if heard.pop("token", None) != token:
                return {"outcome": "tampered", "message": "the code wrote what only the tests may write"}
            if heard["at"] == "test" and heard["ok"]:
                names.add(heard["name"].partition("[")[0])
            elif heard["at"] == "test":
                return {"outcome": "failed", "test": heard["name"], "message": heard["message"]}
            elif heard["at"] == "end":
                break
            else:
                return self._failed(heard, "the tests")
        return self._passed(heard, names, expected)

    def _passed(self, end: Message, names: set[str], expected: list[str]) -> Message:
        ran, checks = len(names) - 1, end["checks"]
        left_out = [name for name in expected if name not in names]
        if left_out:
            return {"outcome": "failed", "test": left_out[0], "message": "it did not run to its end"}
        if not checks:
            return {"outcome": "no_tests", "message": "the tests checked nothing"}
        return {"outcome": "passed", "ran": ran, "checks": checks}

    def _failed(self, heard: Message, who: str) -> Message:
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
            return {
                "outcome": "missing",
                "message": f"{who} need{'s' * (who == 'the code')} the module {name!r}",
            }
        if at in ("broken", "tampered", "no_tests"):
            return {"outcome": at, "message": str(heard.get("message", ""))[:MAX_MESSAGE]}
        return {"outcome": "tampered", "message": "the code wrote what only the tests may write"}

    def _order(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError):
            left = json.dumps(message).encode() + b"\n"
            while left:
                left = left[os.write(self._orders, left) :]

    def _hear(self) -> Message:
        """The next line of the child, or that it is gone."""
        watched = [self._results] if self._ended is None else [self._results, self._ended]
        while b"\n" not in self._left:
            ready = select.select(watched, [], [])[0]
            if self._results in ready:
                got = os.read(self._results, 65536)
                self._left += got
                if got and len(self._left) < MAX_LINE:
                    continue
            return self._gone()
        line, _, self._left = self._left.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError:
            return {"at": "tampered"}
        return message if isinstance(message, dict) else {"at": "tampered"}

    def _gone(self) -> Message:
        with contextlib.suppress(OSError):
            os.kill(self._child, signal.SIGKILL)  # it may have closed its end only
        status = os.waitpid(self._child, 0)[1]
        signalled = os.WIFSIGNALED(status)
        how = f"by signal {os.WTERMSIG(status)}" if signalled else f"with status {os.WEXITSTATUS(status)}"
        return {"at": "gone", "message": f"the code ended its process {how} before the tests had ended"}


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


# --- The child: loads the code, then runs the tests. ---


def _run_child(orders: int, results: int) -> NoReturn:
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        for fd in range(3, 256):
            if fd not in (orders, results):
                with contextlib.suppress(OSError):
                    os.close(fd)
        program = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")  # the code has no business with this program
        _Child(orders, results, program).run()
    finally:
        os._exit(3)


class _Child:
    def __init__(self, orders: int, results: int, program: types.ModuleType) -> None:
        self._program = program
        self._orders = os.fdopen(orders, "rb", buffering=0)
        self._results = results
        self._token = ""
        self._dumps, self._write, self._exit = json.dumps, os.write, os._exit

    def _send(self, at: str, **more: object) -> None:
        line = self._dumps({"at": at, "token": self._token, **more}).encode() + b"\n"
        while line:
            line = line[self._write(self._results, line) :]

    def _order(self) -> Message:
        read: Message = json.loads(self._orders.readline())
        return read

    def run(self) -> NoReturn:
        order = self._order()
        for name in order["imports"]:
            with contextlib.suppress(Exception):
                if name.partition(".")[0] != order["module"]:
                    importlib.import_module(name)
        watch = _Watch(order["imports"], self._program)
        sys.path.insert(0, os.getcwd())
        sys.argv = [order["file"]]
        code = self._load(order)
        self._undo_hooks()
        self._send("loaded")
        order = self._order()
        self._token = order["token"]
        self._stop_if(watch.changed())
        tests = order["tests"]
        checks = _Pytest(self, tests).run() if order["pytest"] else _Plain(self, tests, code, watch).run()
        self._stop_if(watch.changed())
        self.passed("the tests")
        self._send("end", checks=checks)
        self._exit(0)

    def _undo_hooks(self) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _stop_if(self, changed: str) -> None:
        if changed:
            self._send("tampered", message=f"the code changes {changed}")
            self._exit(0)

    def _load(self, order: Message) -> types.ModuleType:
        try:
            return importlib.import_module(order["module"])
        except BaseException as problem:
            self.broken(problem, order["module"], "the code cannot be loaded")

    def broken(self, problem: BaseException, own: str, what: str) -> NoReturn:
        """Neither code nor tests can go on."""
        name = getattr(problem, "name", None) or ""
        if isinstance(problem, ModuleNotFoundError) and name.partition(".")[0] != own:
            self._send("missing", name=name)
        else:
            self._send("broken", message=f"{what}: {_told(problem)}")
        self._exit(0)

    def no_tests(self, message: str) -> NoReturn:
        """There is nothing to run here."""
        self._send("no_tests", message=message)
        self._exit(0)

    def passed(self, name: str) -> None:
        """One test has run to its end."""
        self._send("test", name=name, ok=True)

    def failed(self, name: str, message: str) -> NoReturn:
        """The first failure ends it."""
        self._send("test", name=name, ok=False, message=message[:MAX_MESSAGE])
        self._exit(0)


def _told(problem: BaseException) -> str:
    try:
        text = str(problem)
    except BaseException:
        text = "(its text cannot be had)"
    if isinstance(problem, SystemExit):
        return f"it ends the program ({type(problem).__name__} {text[:80]})"
    return f"{type(problem).__name__}: {text}"[:MAX_MESSAGE] if text else type(problem).__name__


class _Watch:
    """What tests rely on must be the same after the code was loaded, and after they ran."""

    def __init__(self, imports: list[str], program: types.ModuleType) -> None:
        names = {
            "builtins",
            "unittest",
            "unittest.case",
            "unittest.suite",
            "unittest.result",
            "unittest.loader",
        }
        names |= {"operator", "math", "json", "json.encoder", "ast", "inspect", "asyncio", *imports}
        names |= {name for name in sys.modules if name.startswith("_pytest.")}
        self._modules = {name: sys.modules[name] for name in names if name in sys.modules}
        self._program = program
        self._seen = dict(self._now())
        self.modules = frozenset(sys.modules)

    def _now(self) -> Any:
        yield from self._of("__main__", self._program)
        for name, module in self._modules.items():
            yield name, sys.modules.get(name) is module
            yield from self._of(name, module)

    def _of(self, name: str, module: types.ModuleType) -> Any:
        for key, value in list(vars(module).items()):
            if not callable(value):
                continue
            yield f"{name}.{key}", value
            if isinstance(value, type) and value.__module__ == name:
                if name.startswith(("unittest", "__main__")):
                    yield f"{name}.{key}.*", len(vars(value))
                for attribute, member in list(vars(value).items()):
                    if callable(member) or isinstance(member, (classmethod, staticmethod, property)):
                        yield f"{name}.{key}.{attribute}", member

    def changed(self) -> str:
        """The name of something that is another thing now; empty where all is as it was."""
        there = dict(self._now())
        for name, value in self._seen.items():
            if name not in there or (there[name] is not value and (name[-1] != "*" or there[name] != value)):
                return str(name).removesuffix(".*").replace("__main__", "what runs the tests")
        return ""


class _Plain:
    """Asserts at the top, functions `test...` and `unittest` cases, without any other package."""

    def __init__(self, child: _Child, tests: str, code: types.ModuleType, watch: _Watch) -> None:
        self._child = child
        self._tests = tests
        self._code = code
        self._watch = watch
        self._module = types.ModuleType("given_tests")
        self.checks = 0

    def run(self) -> int:
        """How much was checked, where nothing fails."""
        tree = ast.parse(self._tests)
        own = f"_t{os.urandom(8).hex()}"
        body = _Marked(own).visit(tree)
        ast.fix_missing_locations(body)
        space = self._module.__dict__
        space.update(self._borrowed(tree))
        space[own] = self
        sys.modules["given_tests"] = self._module
        lines = self._tests.splitlines(keepends=True)
        linecache.cache["given_tests.py"] = (len(self._tests), None, lines, "given_tests.py")
        try:
            exec(compile(body, "given_tests.py", "exec"), space)  # noqa: S102 - it is what this program is for
        except (ImportError, unittest.SkipTest) as problem:
            self._child.broken(problem, self._code.__name__, "the tests cannot be loaded")
        except BaseException as problem:
            line = self._line(problem)
            self._fail(f"line {line}" if line else "the tests", problem)
        for name, value in list(space.items()):
            if name.startswith("test") and inspect.isfunction(value) and self._is_own(value):
                self._function(name, value)
            elif (
                name.startswith("Test")
                and isinstance(value, type)
                and not issubclass(value, unittest.TestCase)
            ):
                self._methods(name, value)
        self._cases()
        return self.checks

    def _is_own(self, value: Any) -> bool:
        inner = inspect.unwrap(value)
        return bool(inner.__code__.co_filename == "given_tests.py")

    def _borrowed(self, tree: ast.Module) -> Message:
        """Names of the code that the tests use without importing them; never one that is Python's own."""
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        return {
            name: value
            for name, value in vars(self._code).items()
            if name in used and not name.startswith("__") and not hasattr(builtins, name)
        }

    def _function(self, name: str, function: Any) -> None:
        needed = [
            one
            for one in inspect.signature(function, follow_wrapped=False).parameters.values()
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        if needed:
            self._child.no_tests(f"{name} takes {needed[0].name!r}: it is a test for pytest")
        try:
            result = function()
            if inspect.iscoroutine(result):
                importlib.import_module("asyncio").run(
                    result
                )  # half of this program's start, and rarely needed
        except BaseException as problem:
            self._fail(name, problem)
        self._child.passed(name)

    def _methods(self, name: str, own: type) -> None:
        """Of a class that only pytest takes for tests: each on an object of its own."""
        if own.__module__ != "given_tests":
            return
        for method in [one for one in dir(own) if one.startswith("test")]:

            def called(method: str = method) -> None:
                made = own()
                for step in ("setup_method", method, "teardown_method"):
                    result = getattr(made, step)() if step == method or hasattr(made, step) else None
                    if inspect.iscoroutine(result):
                        importlib.import_module("asyncio").run(result)

            self._function(f"{name}.{method}", called)

    def _cases(self) -> None:
        suite = unittest.TestSuite()
        for value in list(vars(self._module).values()):
            if (
                isinstance(value, type)
                and issubclass(value, unittest.TestCase)
                and value.__module__ == "given_tests"
            ):
                suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(value))
        suite.run(_Result(self))

    def case_ended(self, test: unittest.TestCase, problem: "BaseException | None", why: str = "") -> None:
        """Called for each test of a case."""
        name = f"{type(test).__name__}.{test.id().rpartition('.')[2]}"
        if problem is not None:
            self._fail(name, problem)
        if why:
            self._child.failed(name, why)
        self.checks += 1
        self._child.passed(name)

    def _fail(self, name: str, problem: BaseException) -> NoReturn:
        if isinstance(problem, ModuleNotFoundError):
            self._child.broken(problem, self._code.__name__, name)
        line = self._line(problem)
        text = linecache.getline("given_tests.py", line).strip() if line else ""
        told = _told(problem)
        self._child.failed(name, f"{told} (line {line}: {text[:200]})" if text else told)

    def _line(self, problem: BaseException) -> int:
        found, at = 0, problem.__traceback__
        while at is not None:
            if at.tb_frame.f_code.co_filename == "given_tests.py":
                found = at.tb_lineno
            at = at.tb_next
        return found

    # What the marked tests call.

    def checked(self) -> None:
        """After an assert that held."""
        self.checks += 1

    def equal(self, left: Any, right: Any) -> Any:
        """`left == right`, where neither is equal to anything whatever."""
        result = left == right
        if result is True or (result is not False and type(result).__name__ == "bool_"):
            for one, other in ((left, right), (right, left)):
                for strange in self._foreign(one):
                    self._probe(strange, other)
        elif result is False:
            raise AssertionError(f"{_short(left)} == {_short(right)} is not so")
        return result

    def within(self, left: Any, right: Any) -> Any:
        """`left in right`, where not anything is in it."""
        result = left in right
        anything = False
        if result and any(strange is right for strange in self._foreign(right)):
            with contextlib.suppress(Exception):
                anything = object() in right or os.urandom(9).hex() in right
        if anything:
            raise AssertionError(f"anything is in what the code gives, a {type(right).__name__}")
        return result

    def _probe(self, strange: Any, other: Any) -> None:
        number = int.from_bytes(os.urandom(9), "big")
        unlike: list[Any] = [number, number + 0.5, hex(number), hex(number).encode()]
        unlike += [[object()], (object(),), {object()}, {"": object()}]
        unlike = [
            object(),
            *(one for one in unlike if type(one) is type(other) or isinstance(strange, type(one))),
        ]
        equal = False
        with contextlib.suppress(Exception):
            equal = any((strange == one) is True for one in unlike)
        if equal:
            raise AssertionError(f"what the code gives, a {type(strange).__name__}, is equal to anything")

    def _foreign(self, value: Any, depth: int = 0) -> list[Any]:
        """Of a value, the parts whose types are the code's own."""
        kind = type(value)
        if kind in PLAIN:
            return []
        if kind in (list, tuple, set, frozenset, dict):
            parts = list(value.values()) + list(value) if kind is dict else list(value)
            if depth > 4:
                return []
            return [found for part in parts[:200] for found in self._foreign(part, depth + 1)]
        home = kind.__module__
        if home in self._watch.modules or home == "given_tests":
            with contextlib.suppress(Exception):
                at: Any = sys.modules[home]
                for name in kind.__qualname__.split("."):
                    at = getattr(at, name)
                if at is kind:
                    return []
        return [value]


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except BaseException:
        text = f"(a {type(value).__name__})"
    return text if len(text) <= 120 else f"{text[:120]}..."


class _Marked(ast.NodeTransformer):
    """Tests that say which of their asserts held."""

    def __init__(self, own: str) -> None:
        self._own = own

    def visit_Assert(self, node: ast.Assert) -> "list[ast.stmt]":
        node.test = self._condition(node.test)
        return [node, ast.copy_location(ast.Expr(self._call("checked")), node)]

    def _call(self, name: str, *given: ast.expr) -> ast.Call:
        return ast.Call(ast.Attribute(ast.Name(self._own, ast.Load()), name, ast.Load()), list(given), [])

    def _condition(self, test: ast.expr) -> ast.expr:
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            test.values = [self._condition(one) for one in test.values]
        elif isinstance(test, ast.Compare) and len(test.ops) == 1:
            name = {ast.Eq: "equal", ast.In: "within"}.get(type(test.ops[0]))
            if name:
                return ast.copy_location(self._call(name, test.left, test.comparators[0]), test)
        return test


class _Result(unittest.TestResult):
    """Says of each test of a case what came of it."""

    def __init__(self, plain: _Plain) -> None:
        super().__init__()
        self._plain = plain

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        original, plain = unittest.TestCase.assertEqual, self._plain
        if type(test).assertEqual is original:

            def assertEqual(first: Any, second: Any, msg: Any = None) -> None:
                original(test, first, second, msg)
                plain.equal(first, second)

            test.assertEqual = assertEqual  # type: ignore[method-assign]

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._plain.case_ended(test, None)

    def addError(self, test: Any, err: Any) -> None:
        self._plain.case_ended(test, err[1])

    addFailure = addError

    def addSubTest(self, test: unittest.TestCase, subtest: Any, err: Any) -> None:
        if err is not None:
            self._plain.case_ended(test, err[1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        method = getattr(test, test.id().rpartition(".")[2], None)
        if getattr(test, "__unittest_skip__", False) or getattr(method, "__unittest_skip__", False):
            self._plain._child.passed(f"{type(test).__name__}.{test.id().rpartition('.')[2]}")
        else:
            self._plain.case_ended(test, None, f"it was skipped: {reason}")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._plain.case_ended(test, None, "it succeeds where a failure is expected")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._plain.case_ended(test, None)


CANARY = "def test_canary():\n    assert [1, 2] == [1, 3]\n\n\ndef test_canary_raises():\n    raise ValueError(2)\n"
"""Tests that must be seen to fail."""


class _Pytest:
    """Tests for pytest, where the Python of the sandbox has it."""

    def __init__(self, child: _Child, tests: str) -> None:
        self._child = child
        self._tests = tests
        self._alarms = 0
        self._first: tuple[str, str] | None = None
        self._checks = 0

    def run(self) -> int:
        """How much was checked, where nothing fails."""
        pytest = sys.modules.get("pytest")
        if pytest is None:
            self._child.broken(ModuleNotFoundError("pytest", name="pytest"), "", "")
        folder = tempfile.mkdtemp(dir=os.getcwd())
        given, canary = os.path.join(folder, "test_given.py"), os.path.join(folder, "test_zz_canary.py")
        for path, text in ((given, self._tests), (canary, CANARY)):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, f"--rootdir={folder}"]
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of packages change pytest itself
        status = int(pytest.main([*options, given, canary], plugins=[self]))
        if self._first is not None:
            self._child.failed(*self._first)
        if status != 1 or self._alarms != 2:
            self._child.failed(
                "the tests", f"tests that must fail do not (pytest ended with status {status})"
            )
        return self._checks

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self._first is None:
            self._first = ("the tests", f"they cannot be loaded: {str(report.longrepr)[-MAX_MESSAGE:]}")

    def pytest_runtest_logreport(self, report: Any) -> None:
        path, _, name = report.nodeid.partition("::")
        name = name.replace("::", ".")
        if "test_zz_canary.py" in path:
            self._alarms += report.when == "call" and report.failed
        elif report.failed and self._first is None:
            crash = getattr(report.longrepr, "reprcrash", None)
            self._first = (name, str(getattr(crash, "message", report.longrepr))[:MAX_MESSAGE])
        elif report.when == "call" and (report.passed or hasattr(report, "wasxfail")):
            self._checks += 1
            self._child.passed(name)
        elif report.skipped and report.when == "setup":
            self._child.passed(name)


if __name__ == "__main__":
    main()
