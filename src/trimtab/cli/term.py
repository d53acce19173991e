"""How the command line speaks. Invariant: nothing that it says holds a character that a terminal obeys."""

import json
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from trimtab.errors import visible

Found = TypeVar("Found")


def say(text: str = "") -> None:
    """A line for the person in front; a line break in it is shown, not obeyed: names of others stand in such lines."""
    print(visible(text), flush=True)


def say_lines(text: str) -> None:
    """Several lines, whose breaks are ours."""
    print(visible(text, keep="\n"), flush=True)


def print_json(content: object) -> None:
    """JSON for programs, in which what is not printable is spelled as JSON's own escapes: it reads the same."""
    text = msgspec.json.format(msgspec.json.encode(content)).decode()
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
        )
    say_lines(text)


def tell(found: Found, people: Callable[[Found], object], *, as_json: bool, none: str = "") -> None:
    """What was found: JSON for programs, or what is printed for people; for them `none` where a list is empty."""
    if as_json:
        print_json(found)
    elif none and not found:
        say(none)
    else:
        people(found)


def warn(text: str) -> None:
    """A line that is not output."""
    print(visible(f"trimtab: {text}", keep="\n"), file=sys.stderr, flush=True)


def report(problem: Exception) -> None:
    """An error: one line, no traceback."""
    warn(str(problem))


def fresh_line() -> None:
    """Leave the line on which the terminal shows ^C."""
    if sys.stdout.isatty():
        print()


def counted(count: int, noun: str) -> str:
    """`1 answer`, `2 answers`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
