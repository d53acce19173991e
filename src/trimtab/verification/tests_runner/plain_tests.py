"""Runs plain tests: asserts at the top, functions `test...`, classes `Test...` and `unittest` cases; with Python alone.

What it is not: pytest (`pytest_tests`). Invariant: each test that ends is reported, each assert that held is counted,
and what is equal to anything is equal to nothing here.
"""

import ast
import builtins
import contextlib
import importlib
import inspect
import linecache
import os
import sys
import types
import unittest
from typing import Any, NoReturn

from trimtab.verification.tests_runner.reporting import Message, Reporter, told

PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, range)


class PlainTests:
    """Asserts at the top, functions `test...` and `unittest` cases, without any other package."""

    def __init__(self, reporter: Reporter, tests: str, code: types.ModuleType, known: frozenset[str]) -> None:
        self._reporter = reporter
        self._tests = tests
        self._code = code
        self._known = known
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
            self._reporter.broken(problem, self._code.__name__, "the tests cannot be loaded")
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
        wanted = (name for name in used if not name.startswith("__") and not hasattr(builtins, name))
        return {name: getattr(self._code, name) for name in wanted if hasattr(self._code, name)}

    def _function(self, name: str, function: Any) -> None:
        needed = [
            one
            for one in inspect.signature(function, follow_wrapped=False).parameters.values()
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        if needed:
            self._reporter.end(
                "no_tests", message=f"{name} takes {needed[0].name!r}: it is a test for pytest"
            )
        try:
            result = function()
            if inspect.iscoroutine(result):
                importlib.import_module("asyncio").run(
                    result
                )  # half of this program's start, and rarely needed
        except BaseException as problem:
            self._fail(name, problem)
        self._reporter.passed(name)

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
            self._reporter.failed(name, why)
        self.checks += 1
        self._reporter.passed(name)

    def _fail(self, name: str, problem: BaseException) -> NoReturn:
        if isinstance(problem, ModuleNotFoundError):
            self._reporter.broken(problem, self._code.__name__, name)
        line = self._line(problem)
        text = linecache.getline("given_tests.py", line).strip() if line else ""
        why = told(problem)
        self._reporter.failed(name, f"{why} (line {line}: {text[:200]})" if text else why)

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
        if home in self._known or home == "given_tests":
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

    def __init__(self, plain: PlainTests) -> None:
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
            self._plain._reporter.passed(f"{type(test).__name__}.{test.id().rpartition('.')[2]}")
        else:
            self._plain.case_ended(test, None, f"it was skipped: {reason}")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._plain.case_ended(test, None, "it succeeds where a failure is expected")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._plain.case_ended(test, None)
