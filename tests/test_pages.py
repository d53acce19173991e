"""The pages of the project lead to each other, and to nothing that is not there."""

import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from typer.main import get_command

from trimtab.cli.root import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FILE = re.compile(r"(?:benchmarks|deploy|docs|scripts|src|tests)/[\w/.-]*\w(?:::\w+)?")


@cache
def text_of(page: Path) -> str:
    """Without its examples."""
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


@cache
def anchors(page: Path) -> set[str]:
    """The headings as links name them."""
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", one) for one in HEADING.findall(text_of(page)))
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in plain}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each link within the project: as written, the file, and the heading in it."""
    for link in LINK.findall(text_of(page)):
        if not link.startswith(("http://", "https://", "mailto:")):
            name, _, heading = link.partition("#")
            yield link, (page.parent / name).resolve() if name else page, heading


def test_every_link_leads_to_a_file_and_a_heading_that_are_there() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link, to, heading in links(page)
        if not to.exists() or (heading and heading not in anchors(to))
    ]
    assert wrong == []


def test_every_page_is_found_by_whoever_begins_with_the_readme() -> None:
    found: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page.is_dir():  # a link to a folder shows what is in it
            left += page.glob("*.md")
        elif page not in found and page.suffix == ".md":
            found.add(page)
            left += [to for _, to, _ in links(page)]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in found] == []


def test_every_bar_names_files_tests_and_targets_that_are_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    commands = [
        command
        for line in (ROOT / "docs/bars.md").read_text().splitlines()
        for command in re.findall(r"`([^`]+)`", line)
    ]
    for command in commands:
        for named in FILE.findall(command):
            name, _, test = named.partition("::")
            path = ROOT / name
            if not path.exists() or (test and not re.search(rf"(def|class) {test}\b", path.read_text())):
                wrong.append(command)
        if command.startswith("make ") and command.split()[1] not in targets:
            wrong.append(command)
    assert wrong == []
    assert len(commands) > 50


def said_commands(page: Path) -> Iterator[list[str]]:
    """The words of each `trimtab ...` in code of a page, up to where the shell takes over."""
    whole = page.read_text()
    shell = re.findall(r"```(?:sh|bash|console)\n(.*?)```", whole, re.DOTALL)
    inline = re.findall(r"`(trimtab [^`]+)`", re.sub(r"```.*?```", "", whole, flags=re.DOTALL))
    for line in [*"\n".join(shell).replace("\\\n", " ").splitlines(), *inline]:
        line = re.sub(r"\$\([^)]*\)", "VALUE", line)
        for said in re.findall(r"(?:^|[\s/(])trimtab ([a-z][^|;&>#)]*)", line):
            yield said.split()


def test_every_command_and_option_on_a_page_is_one_of_the_program() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        for words in said_commands(page):
            seen += 1
            command = commands_of(words[0]) if words[0] in COMMANDS else None
            rest = words[1:]
            while command is not None and hasattr(command, "commands") and rest and rest[0][0].islower():
                command = command.commands.get(rest.pop(0))
            options = (
                {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
                if command
                else set()
            )
            named = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
            if command is None or named - options - {"--help", "-h"}:
                wrong.append(f"{page.relative_to(ROOT)}: trimtab {' '.join(words)}")
    assert wrong == []
    assert seen > 200


@cache
def commands_of(name: str) -> Any:
    return get_command(importlib.import_module(f"trimtab.cli.{name}").command)
