"""The `trimtab` command: thin commands over `app`. Terminal output only; no logic lives here.

Commands are loaded when they are called, so that `trimtab --help` stays quick.
"""

import io
import os
import sys

from trimtab.cli.root import root
from trimtab.cli.term import report
from trimtab.errors import TrimtabError

__all__ = ["main"]


def main() -> None:
    """Console entry point. Errors of ours are one line on stderr and exit status 1 (2 for wrong usage)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows "?"
    try:
        root()
    except TrimtabError as problem:
        report(problem)
        sys.exit(1)
    except BrokenPipeError:
        _let_go_of_output()
        sys.exit(141)
    except OSError as problem:
        report(problem)
        _let_go_of_output()
        sys.exit(1)


def _let_go_of_output() -> None:
    """Nobody reads, or nothing can be written: keep the interpreter from trying again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
