"""Runs tests in a process that the code is not in: its functions are called with plain data, and give plain data back.

What it is not: a way to run any tests. Tests that need more than calls of functions with plain data cannot be run so,
and nothing follows from that. Invariant: nothing but plain data comes from the code's process, so that whatever the
code does there, only what its functions return can make a test pass.
"""

import ast
import builtins
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

from trimtab.verification.tests_runner.plain_tests import PlainTests
from trimtab.verification.tests_runner.reporting import Message, Reporter

IMPORTS = frozenset(
    (
        "unittest",
        "math",
        "itertools",
        "string",
        "collections",
        "typing",
        "json",
        "re",
        "functools",
        "operator",
    )
)
"""What tests may import that can be run so: nothing that looks at the code, or changes what it sees."""

MAX_CALLS = 2_000
"""A call takes 0.1 ms; tests with more of them are not run twice."""

MAX_NESTING = 40

Ask = Callable[[Message], Message]


class NotPlain(Exception):
    """Something that cannot go from one process to another."""


def plain(value: Any, depth: int = MAX_NESTING) -> Any:
    """A value as JSON. Raises `NotPlain`."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if not depth:
        raise NotPlain("what is nested too deep")
    if kind is float:
        return {"float": repr(value)}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind in (list, tuple, set, frozenset):
        return {kind.__name__: [plain(one, depth - 1) for one in value]}
    if kind is dict:
        return {"dict": [[plain(key, depth - 1), plain(one, depth - 1)] for key, one in value.items()]}
    raise NotPlain(f"a {kind.__name__}")


def read(said: Any) -> Any:
    """What `plain` wrote."""
    if not isinstance(said, dict):
        return said
    ((kind, given),) = said.items()
    if kind == "float":
        return float(given)
    if kind == "bytes":
        return bytes.fromhex(given)
    if kind == "dict":
        return {read(key): read(one) for key, one in given}
    made: Any = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
    return made(read(one) for one in given)


# --- In the code's process. ---


def answer(code: types.ModuleType, order: Message) -> Message:
    """What the code says to a question of the tests."""
    try:
        value = getattr(code, order["name"], answer)
        if value is answer:
            return {"missing": True}
        if "given" not in order:
            if callable(value) and not isinstance(value, type):
                return {"callable": True}
            return {"value": plain(value)}
        given, named = read(order["given"]), read(order["named"])
    except NotPlain as problem:
        return {"far": str(problem)}
    try:
        result = value(*given, **named)
    except BaseException as problem:
        return _raised(problem)
    try:
        return {"value": plain(result), "given": plain(given), "named": plain(named)}
    except NotPlain as problem:
        return {"far": str(problem)}


def _raised(problem: BaseException) -> Message:
    name = type(problem).__name__
    if getattr(builtins, name, None) is not type(problem) or not isinstance(problem, Exception):
        return {"far": f"a {name}"}
    try:
        return {"raised": name, "given": plain(tuple(problem.args))}
    except NotPlain as inner:
        return {"far": str(inner)}


# --- In the tests' process. ---


class FarModule(types.ModuleType):
    """Stands for the code's module."""

    def __init__(self, name: str, ask: Ask, leave: Callable[[str], NoReturn]) -> None:
        super().__init__(name)
        self.__dict__["_ask"] = ask
        self.__dict__["_leave"] = leave
        self.__dict__["_calls"] = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        said = self._ask({"name": name})
        if said.get("missing"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if said.get("callable"):

            def called(*given: Any, **named: Any) -> Any:
                return self._called(name, given, named)

            called.__name__ = name
            return called
        return self._read(said)

    def __setattr__(self, name: str, value: Any) -> None:
        self._leave("the tests change the code's module")

    def _called(self, name: str, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.__dict__["_calls"] += 1
        if self._calls > MAX_CALLS:
            self._leave("there are too many calls")
        try:
            said = self._ask({"name": name, "given": plain(given), "named": plain(named)})
        except NotPlain as problem:
            self._leave(f"{name} is given {problem}")
        if "raised" in said:
            raise _exception(str(said["raised"]))(*read(said["given"]))
        value = self._read(said)
        after = [*read(said["given"]), *read(said["named"]).values()]
        for one, now in zip([*given, *named.values()], after):  # noqa: B905 - Python 3.9 has no strict
            _put_back(one, now)
        return value

    def _read(self, said: Message) -> Any:
        if "far" in said:
            self._leave(f"the code gives {said['far']}")
        return read(said["value"])


def _exception(name: str) -> type[Exception]:
    """Of Python's own, whatever a process says that runs code of others."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind
    raise RuntimeError("the code's process says what it cannot say")


def _put_back(one: Any, now: Any) -> None:
    """What the code changed of a list, set or dictionary that it was given."""
    if one == now:
        return
    if isinstance(one, list):
        one[:] = now
    elif isinstance(one, (set, dict)):
        one.clear()
        one.update(now)


def tests(reporter: Reporter, ask: Ask) -> NoReturn:
    """Run the tests against code that is elsewhere."""
    order = reporter.order()

    def leave(why: str) -> NoReturn:
        reporter.end("far", message=why)

    code = FarModule(order["module"], ask, leave)
    known = frozenset(sys.modules)
    sys.modules[order["module"]] = code
    checks = PlainTests(reporter, order["tests"], code, known).run()
    reporter.passed("the tests")
    reporter.end("end", checks=checks)


def suited(tree: ast.Module, module: str) -> bool:
    """Whether tests look as if they only call functions and compare what these give."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            if any(alias.name not in IMPORTS | {module} for alias in node.names):
                return False
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module not in IMPORTS | {module}:
                return False
            if any(alias.name in ("*", "mock") for alias in node.names):
                return False
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops) and not any(
                isinstance(side, ast.Constant) for side in sides
            ):
                return False
        elif isinstance(node, ast.Attribute):
            if node.attr in ("assertIs", "assertIsNot"):
                return False
        elif isinstance(node, (ast.AsyncFunctionDef, ast.Await)):
            return False
    return True
