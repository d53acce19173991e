"""`trimtab doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.app import diagnose
from trimtab.cli.term import say

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_MARK = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


@command.command()
def run(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file, as for serve.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the platforms.")] = False,
) -> None:
    """Try what serving needs: configuration, store, address, platforms. Exit status 1 when there is a problem."""
    findings = diagnose(config, network=not offline)
    for finding in findings:
        say(f"{_MARK[finding.level]}  {finding.subject}: {finding.text}")
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)
