"""The processes that run the code: beside its tests, or apart from them.

What it is not: who judges (`judge`). Invariants: they know no number that counts; the tests come only when the code is
loaded, and to a process apart not at all; what tests rely on is the same after the code was loaded and after they ran.
"""

import contextlib
import importlib
import os
import sys
import types
from typing import NoReturn

from trimtab.verification.tests_runner import apart
from trimtab.verification.tests_runner.plain_tests import PlainTests
from trimtab.verification.tests_runner.pytest_tests import PytestTests
from trimtab.verification.tests_runner.reporting import Message, Reporter
from trimtab.verification.tests_runner.watching import Watch


def beside(reporter: Reporter) -> NoReturn:
    """Load the code, then run the tests in the same process."""
    order = reporter.order()
    for name in order["imports"]:
        with contextlib.suppress(Exception):
            if name.partition(".")[0] != order["module"]:
                importlib.import_module(name)
    watch = Watch(order["imports"])
    watch.hide()
    code = _loaded(reporter, order)
    sys.settrace(None)
    sys.setprofile(None)
    reporter.send("loaded")
    order = reporter.order()
    _stop_if(reporter, watch.changed())
    if order["pytest"]:
        checks = PytestTests(reporter, order["tests"]).run()
    else:
        checks = PlainTests(reporter, order["tests"], code, watch.modules).run()
    _stop_if(reporter, watch.changed())
    reporter.passed("the tests")
    reporter.end("end", checks=checks)


def far(reporter: Reporter) -> NoReturn:
    """Load the code, and call its functions for tests that are in another process."""
    order = reporter.order()
    if order.get("at") == "end":
        os._exit(0)
    Watch([]).hide()
    code = _loaded(reporter, order)
    reporter.send("loaded")
    while (order := reporter.order()).get("at") != "end":
        reporter.send("done", **apart.answer(code, order))
    os._exit(0)


def _loaded(reporter: Reporter, order: Message) -> types.ModuleType:
    sys.path.insert(0, os.getcwd())
    sys.argv = [order["file"]]
    try:
        return importlib.import_module(order["module"])
    except BaseException as problem:
        reporter.broken(problem, order["module"], "the code cannot be loaded")


def _stop_if(reporter: Reporter, changed: str) -> None:
    if changed:
        reporter.end("tampered", message=f"the code changes {changed}")
