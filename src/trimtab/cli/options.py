"""Options that several commands have, in the same words.

What it is not: what a command does with them.
"""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file, as for serve.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def command_group(help_text: str) -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        help=help_text,
    )
