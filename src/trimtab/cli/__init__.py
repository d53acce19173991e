"""The `trimtab` command: thin commands over `app`. Terminal output only; no logic lives here.

Commands are loaded when they are called, so that `trimtab --help` stays quick.
"""

import sys

from trimtab.cli.root import root
from trimtab.cli.term import report
from trimtab.errors import TrimtabError

__all__ = ["main"]


def main() -> None:
    """Console entry point. Errors of ours are one line on stderr and exit status 1 (2 for wrong usage)."""
    try:
        root()
    except TrimtabError as problem:
        report(problem)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
