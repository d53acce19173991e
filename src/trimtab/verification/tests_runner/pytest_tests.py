"""Runs tests for pytest, where the Python of the sandbox has it.

What it is not: a way to install it. Invariant: tests that must fail are run beside those that were given, and do fail.
"""

import os
import sys
import tempfile
from typing import Any

from trimtab.verification.tests_runner.reporting import MAX_MESSAGE, Reporter

CANARY = "def test_canary():\n    assert [1, 2] == [1, 3]\n\n\ndef test_canary_raises():\n    raise ValueError(2)\n"
"""Tests that must be seen to fail."""


class PytestTests:
    """Tests for pytest, where the Python of the sandbox has it."""

    def __init__(self, reporter: Reporter, tests: str) -> None:
        self._reporter = reporter
        self._tests = tests
        self._alarms = 0
        self._first: tuple[str, str] | None = None
        self._checks = 0

    def run(self) -> int:
        """How much was checked, where nothing fails."""
        pytest = sys.modules.get("pytest")
        if pytest is None:
            self._reporter.broken(ModuleNotFoundError("pytest", name="pytest"), "", "")
        folder = tempfile.mkdtemp(dir=os.getcwd())
        given, canary = os.path.join(folder, "test_given.py"), os.path.join(folder, "test_zz_canary.py")
        for path, text in ((given, self._tests), (canary, CANARY)):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, f"--rootdir={folder}"]
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of packages change pytest itself
        status = int(pytest.main([*options, given, canary], plugins=[self]))
        if self._first is not None:
            self._reporter.failed(*self._first)
        if status != 1 or self._alarms != 2:
            self._reporter.failed(
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
            self._reporter.passed(name)
        elif report.skipped and report.when == "setup":
            self._reporter.passed(name)
