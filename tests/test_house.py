"""The house rules that a linter does not know. CONTRIBUTING.md says why each is there."""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "trimtab"

# --- Exceptions. Each list may only shrink; a new entry needs a reason in its commit message. ---

OVER_800_LINES: dict[str, int] = {}
"""Python files over 800 lines, with the most lines they may have."""

OVER_600_LINES: dict[str, str] = {}
"""Source files over 600 lines, with the reason why they are one file."""

OPTIONAL_EXTRAS: dict[str, set[str]] = {
    "src/trimtab/providers/google/assertions.py": {"cryptography"},
    "src/trimtab/store/engines/postgres.py": {"psycopg"},
    "src/trimtab/telemetry/otlp.py": {"opentelemetry"},
}
"""Adapter files that import an optional extra inside a function, with the packages they may so import."""

# Packages on the path of every request: patterns run there on the engines named in docs/dependencies.md.
HOT_PACKAGES = ("gateway", "engine", "routing", "providers", "verification", "textmodel")

# Written in two parts, so that this file does not mention what it forbids.
REGISTRY_HOSTS = [
    "pypi" + ".org",
    "files.python" + "hosted.org",
    "registry.npmjs" + ".org",
    "deb.debian" + ".org",
]
MACHINE_PATHS = ["/wo" + "rk/", "/ro" + "ot/"]


def repository_files() -> list[Path]:
    """Every file that is, or is about to be, part of the repository."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        paths = [ROOT / name for name in listing.split("\0") if name]
    else:  # an unpacked source archive
        skip = (
            ".venv",
            ".setup",
            "dist",
            "build",
            "__pycache__",
            ".git",
            ".mypy",
            ".ruff",
            ".pytest",
            ".hypo",
        )
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(part.startswith(skip) for part in path.relative_to(ROOT).parts)
        ]
    return sorted(path for path in paths if path.is_file())


FILES = repository_files()
PYTHON = [path for path in FILES if path.suffix == ".py"]
SOURCE = [path for path in PYTHON if path.is_relative_to(SRC)]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def test_there_is_something_to_check() -> None:
    assert SOURCE
    assert PYTHON


def test_no_python_file_is_over_800_lines() -> None:
    long = {name(path): lines(path) for path in PYTHON if lines(path) > 800}
    grown = {path: n for path, n in long.items() if n > OVER_800_LINES.get(path, 800)}
    assert not grown, "split these files by noun"
    stale = {path: n for path, n in OVER_800_LINES.items() if n != long.get(path)}
    assert not stale, "these got shorter: lower or remove their entry in OVER_800_LINES"


def test_a_source_file_over_600_lines_says_why() -> None:
    long = {name(path) for path in SOURCE if lines(path) > 600}
    assert long == set(OVER_600_LINES), "split the file, or list it with its reason"


def test_nothing_mentions_a_package_registry_or_the_machine_it_was_written_on() -> None:
    forbidden = [word.encode() for word in (*REGISTRY_HOSTS, *MACHINE_PATHS)]
    found = [
        f"{name(path)}: {word.decode()}" for path in FILES for word in forbidden if word in path.read_bytes()
    ]
    assert not found


def imports(tree: ast.AST) -> Iterator[tuple[ast.Import | ast.ImportFrom, set[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield node, {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield node, {(node.module or "").partition(".")[0]}


def test_no_backtracking_patterns_on_the_path_of_a_request() -> None:
    found = [
        name(path)
        for path in SOURCE
        if path.relative_to(SRC).parts[0] in HOT_PACKAGES
        for _, modules in imports(ast.parse(path.read_bytes()))
        if "re" in modules
    ]
    assert not found, "stdlib re must not run over requests"


def hidden_imports(path: Path) -> set[str]:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    return {module for function in functions for _, modules in imports(function) for module in modules}


def test_no_import_is_hidden_in_a_function() -> None:
    found = {
        name(path): sorted(hidden)
        for path in SOURCE
        if (hidden := hidden_imports(path) - OPTIONAL_EXTRAS.get(name(path), set()))
    }
    assert not found, "import at the top of the file"


def test_the_list_of_optional_extras_has_no_stale_entry() -> None:
    stale = {
        path: packages - (hidden_imports(ROOT / path) if (ROOT / path).exists() else set())
        for path, packages in OPTIONAL_EXTRAS.items()
    }
    assert not {path: packages for path, packages in stale.items() if packages}


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "XX" + "X"])
def test_no_unfinished_business_in_the_source(word: str) -> None:
    found = [
        f"{name(path)}:{number}"
        for path in FILES
        if path.is_relative_to(SRC)
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if word.encode() in line
    ]
    assert not found, "do it, or open an issue"


def test_packages_export_about_seven_names() -> None:
    """Few, deep modules. Data types do not count, so the limit here is generous; `records` has nothing else."""
    found: dict[str, int] = {}
    for path in SOURCE:
        if path.name != "__init__.py":
            continue
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
            ):
                exported = ast.literal_eval(node.value)
                functions = [item for item in exported if item[:1].islower()]
                if len(functions) > 10 or len(exported) > (50 if path.parent.name == "records" else 30):
                    found[name(path)] = len(exported)
    assert not found
