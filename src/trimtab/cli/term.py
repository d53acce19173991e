"""How the command line speaks."""

import sys


def say(text: str = "") -> None:
    """A line for the person in front."""
    print(text, flush=True)


def warn(text: str) -> None:
    """A line that is not output."""
    print(f"trimtab: {text}", file=sys.stderr, flush=True)


def report(problem: Exception) -> None:
    """An error: one line, no traceback."""
    warn(str(problem))
