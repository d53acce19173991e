"""Runs given tests against the code of an answer, in a sandbox.

What it is not: the sandbox, or the program that runs tests of Python (`tests_runner`), which is not part of this
process. Invariant: nothing is accepted for its exit status alone, unless the operator says so: what ran must show a
number that only this call knows. A sandbox that fails is unsure; code that fails is not.
"""

import ast
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from trimtab.config import decoded, fail, read_file
from trimtab.errors import shortened
from trimtab.records import Fact
from trimtab.sandbox import Limits, Ran, Run
from trimtab.verification.code_blocks import Block, blocks, written_in
from trimtab.verification.seam import Case, Finding, Spends
from trimtab.verification.tests_runner import program

MIB = 1024 * 1024

MAX_CODE_CHARS = MIB

LEAST_WALL_S = 0.5
"""With less time than that left, nothing is begun: Python with its tests starts in 0.1 s, and in 0.5 s on a busy
machine."""

LIMITS = ("wall", "cpu", "memory", "output", "folder")

Positive = Annotated[float, msgspec.Meta(gt=0, le=600)]


class CodeTestsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `code_tests`."""

    tests_from: Literal["options", "prompt"] | None = None
    """Left out: `options` where there are tests or a command, else `prompt`."""
    tests: str = ""
    tests_file: str = ""
    command: tuple[str, ...] = ()
    """Runs the tests of another language, or in another way; with `tests` beside the code, as `tests_as`."""
    proof: Literal["nonce", "status"] = "nonce"
    """What shows that a command has run its tests to the end."""
    language: str = "python"
    blocks: Literal["all", "first", "last", "longest"] = "all"
    file: str = "solution.py"
    tests_as: str = "given_tests"
    framework: Literal["plain", "pytest", "auto"] = "auto"
    python: str = "python3"
    wall_s: Positive = 10.0
    cpu_s: Positive = 10.0
    memory_mib: Annotated[int, msgspec.Meta(ge=16, le=65536)] = 512


class _Report(msgspec.Struct, frozen=True):
    """What the runner says at its end."""

    nonce: str
    at: str
    outcome: str = ""
    message: str = ""
    test: str = ""
    ran: int = 0
    checks: int = 0
    apart: bool = False


def code_tests(options: Mapping[str, Any], where: Callable[[str], str]) -> "CodeTests":
    """The verifier of these options. Reads `tests_file`. Raises `ConfigError`."""
    read = decoded(dict(options), CodeTestsOptions, where)
    given = [name for name in ("tests", "tests_file") if getattr(read, name)]
    if len(given) == 2:
        fail(where("tests"), read.tests, "there is tests_file too; name one of them")
    for name in ("file", "tests_as"):
        path = Path(getattr(read, name))
        if path.is_absolute() or ".." in path.parts or not path.name:
            fail(where(name), getattr(read, name), "must be a relative path, as 'solution.py'")
    prompt = read.tests_from == "prompt" or (not given and not read.command)
    if read.tests_from == "options" and prompt:
        fail(where("tests_from"), "options", "needs tests, tests_file or command beside it")
    if prompt and given:
        fail(
            where(given[0]), getattr(read, given[0]), "tests_from = 'prompt' takes the tests from the request"
        )
    if read.language != "python" and not read.command:
        fail(where("command"), "", f"missing; {read.language} needs a command that runs the tests")
    if not read.command and not (Path(read.file).suffix == ".py" and Path(read.file).stem.isidentifier()):
        fail(where("file"), read.file, "must be importable by the tests, as 'solution.py'")
    if not read.command and "/" in read.file:
        fail(where("file"), read.file, "must have no folder; tests import it by its name")
    tests = read.tests
    if read.tests_file:
        tests = read_file(Path(read.tests_file)).decode("utf-8", "replace")
    if tests and not read.command:
        _refuse_empty(tests, where(given[0]))
    return CodeTests(read, None if prompt else tests)


def _refuse_empty(tests: str, place: str) -> None:
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError) as problem:
        fail(place, tests, f"is not Python: {problem}")
    if not any(isinstance(node, ast.Assert | ast.ClassDef | ast.FunctionDef) for node in ast.walk(tree)):
        fail(place, tests, "tests nothing: no assert, no function test_..., no unittest.TestCase")


class CodeTests:
    """See `code_tests`."""

    spends: Spends = "processor"

    def __init__(self, options: CodeTestsOptions, tests: str | None) -> None:
        """`tests` is `None` where they come with the request."""
        self._options = options
        self._tests = tests
        self._runner = program()

    async def check(self, case: Case) -> Finding:
        """Run the tests. Costs a sandbox, and the processor time that the code takes."""
        found = blocks(case.answer.text)
        code = self._code(case.answer.text, found)
        if not code.strip() and case.answer.tool_calls:
            return Finding("unsure", "the answer calls tools, and has no code")
        if not code.strip():
            return Finding("escalate", "there is no code in the answer")
        if len(code) > MAX_CODE_CHARS:
            return Finding("unsure", "the code is longer than 1 MiB")
        tests = self._tests if self._tests is not None else _marked(case.question.asked)
        if self._tests is None and not tests.strip():
            return Finding("unsure", "the request has no block of code that is marked 'tests'")
        left = case.deadline - case.means.monotonic()
        if left < LEAST_WALL_S:
            return Finding("unsure", "there is no time left to run the tests")
        nonce = secrets.token_hex(16)
        wall_s = min(self._options.wall_s, left)
        ran = await case.means.run(self._run(code, tests, nonce, wall_s))
        if self._options.command:
            return self._of_command(ran, nonce, wall_s)
        finding = self._of_runner(ran, nonce, wall_s)
        if not found and "SyntaxError" in str(finding.evidence.get("message")):
            return Finding("escalate", "there is no code in the answer")
        return finding

    def _code(self, text: str, found: tuple[Block, ...]) -> str:
        if not found:
            # Whether it is code, the sandbox finds out: parsing text of others can take a process down.
            return text if self._options.language == "python" else ""
        code = written_in(found, self._options.language)
        if not code:
            return ""
        chosen = {"first": code[:1], "last": code[-1:], "longest": (max(code, key=len),), "all": code}
        return "\n".join(chosen[self._options.blocks])

    def _run(self, code: str, tests: str, nonce: str, wall_s: float) -> Run:
        options = self._options
        limits = Limits(wall_s=wall_s, cpu_s=options.cpu_s, memory_bytes=options.memory_mib * MIB)
        files = {options.file: code.encode("utf-8", "replace")}
        if options.command:
            if tests:
                files[options.tests_as] = tests.encode("utf-8", "replace")
            return Run(argv=options.command, files=files, stdin=f"{nonce}\n".encode(), limits=limits)
        pytest = options.framework == "pytest" or (options.framework == "auto" and "import pytest" in tests)
        order = {
            "nonce": nonce,
            "file": options.file,
            "module": Path(options.file).stem,
            "tests": tests,
            "framework": "pytest" if pytest else "plain",
        }
        return Run(
            argv=(options.python, "-I", "-B", "-c", self._runner),
            files=files,
            stdin=msgspec.json.encode(order),
            limits=limits,
        )

    def _of_runner(self, ran: Ran, nonce: str, wall_s: float) -> Finding:
        reports = {report.at: report for report in _reports(ran.stdout, nonce)}
        evidence = _evidence(ran)
        end = reports.get("end")
        if ran.ended in LIMITS and "passed" in reports:  # the second run, apart from the tests, met it
            end = reports["passed"]
        elif ran.ended != "exited":
            return self._cut(ran, "begun" in reports, wall_s, evidence)
        elif end is None and "begun" not in reports:
            evidence["stderr"] = shortened(ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
            return Finding(
                "unsure",
                f"the tests could not be begun: {self._options.python} ended with {ran.status}",
                evidence,
            )
        elif end is None or ran.status != 0:
            return Finding("escalate", "the code ended what runs its tests", evidence)
        if end.message:
            evidence["message"] = end.message
        if end.test.startswith("line ") and end.test[5:10].isdecimal():
            evidence["line"] = int(end.test[5:10])  # of the tests: a figure is kept where no text is
        elif end.test:
            evidence["test"] = end.test
        if end.outcome == "passed":
            evidence.update(tests=end.ran, checks=end.checks, apart=end.apart)
            return Finding("accept", "the tests passed", evidence)
        told = {
            "failed": "a test failed",
            "broken": "the code or what the tests need of it cannot be loaded",
            "exited": "the code ended its process before its tests had ended",
            "tampered": "the code changes what its tests rely on",
        }.get(end.outcome)
        if told is not None:
            return Finding("escalate", told, evidence)
        if end.outcome == "differs":
            return Finding(
                "unsure", "the tests pass in one process with the code, and not in another", evidence
            )
        why = {"missing": "a package is missing", "no_tests": "nothing is tested"}.get(
            end.outcome, end.outcome
        )
        return Finding("unsure", f"the tests cannot be run: {why}", evidence)

    def _of_command(self, ran: Ran, nonce: str, wall_s: float) -> Finding:
        evidence = _evidence(ran)
        if ran.ended != "exited":
            return self._cut(ran, True, wall_s, evidence)
        if ran.status in (126, 127):
            return Finding(
                "unsure", f"the command cannot be run: it ended with status {ran.status}", evidence
            )
        if ran.status != 0:
            output = (ran.stderr.strip() or ran.stdout.strip()).decode("utf-8", "replace")
            evidence["message"] = output.replace(nonce, "")[-200:]
            return Finding("escalate", f"the tests ended with status {ran.status}", evidence)
        if self._options.proof == "status":
            return Finding("accept", "the tests ended with status 0", evidence)
        last = ran.stdout.rstrip().rpartition(b"\n")[2].strip()
        if last != nonce.encode():
            return Finding("escalate", "nothing shows that the tests ran to their end", evidence)
        return Finding("accept", "the tests ran to their end", evidence)

    def _cut(self, ran: Ran, begun: bool, wall_s: float, evidence: dict[str, Fact]) -> Finding:
        """The code met a limit, or the sandbox failed."""
        options = self._options
        if ran.ended == "failed":
            return Finding("unsure", f"the sandbox failed: {shortened(ran.problem)}", evidence)
        if not begun:
            return Finding(
                "unsure", f"the tests had not begun when the sandbox ended them ({ran.ended})", evidence
            )
        if ran.ended == "wall" and wall_s < options.wall_s:
            return Finding(
                "unsure", f"only {wall_s:.3g} s were left, and it did not finish in them", evidence
            )
        said: dict[str, str] = {
            "wall": f"did not finish in {min(options.wall_s, ran.wall_s or options.wall_s):.3g} s",
            "cpu": f"did not finish in {min(options.cpu_s, ran.cpu_s or options.cpu_s):.3g} s of processor time",
            "memory": "used more memory than it may",
            "output": "wrote too much",
            "folder": "wrote too much into its folder",
            "signalled": f"was ended by signal {ran.status}",
        }
        return Finding("escalate", f"the code {said[ran.ended]}", evidence)


def _marked(asked: str) -> str:
    """The tests that a request brings."""
    return "\n".join(one.text for one in blocks(asked) if "tests" in one.marks)


def _evidence(ran: Ran) -> dict[str, Fact]:
    return {"ended": ran.ended, "wall_s": round(ran.wall_s, 3), "cpu_s": round(ran.cpu_s, 3)}


def _reports(stdout: bytes, nonce: str) -> list[_Report]:
    """The lines of an output that the runner wrote."""
    found = []
    for line in stdout.splitlines():
        try:
            report = msgspec.json.decode(line, type=_Report)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if secrets.compare_digest(report.nonce.encode(), nonce.encode()):
            found.append(report)
    return found
