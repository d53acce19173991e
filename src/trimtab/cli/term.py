"""How the command line speaks."""

import sys

import msgspec


def say(text: str = "") -> None:
    """A line for the person in front."""
    print(text, flush=True)


def print_json(content: object) -> None:
    """JSON for programs."""
    say(msgspec.json.format(msgspec.json.encode(content)).decode())


def warn(text: str) -> None:
    """A line that is not output."""
    print(f"trimtab: {text}", file=sys.stderr, flush=True)


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
