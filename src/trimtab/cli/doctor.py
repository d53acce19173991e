"""`trimtab doctor`, and what a doctor does besides: `backup` and `restore`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from trimtab.app import config_path, diagnose
from trimtab.app.backup import back_up, put_back
from trimtab.cli.options import Config
from trimtab.cli.term import counted, say, warn
from trimtab.errors import printable

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_MARK = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}

_ENGINE = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

TELL_EVERY_S = 2.0
"""Between two lines about long work; short work says nothing before its result."""


@command.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the platforms.")] = False,
) -> None:
    """Try what serving needs: configuration, store, address, platforms. Exit status 1 when there is a problem."""
    if context.invoked_subcommand is not None:
        context.obj = config
        return
    findings = diagnose(config, network=not offline)
    for finding in findings:
        say(f"{_MARK[finding.level]}  {finding.subject}: {finding.text}")
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


@command.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")],
    config: Config = None,
    force: Annotated[bool, typer.Option("--force", help="Write over FILE if it exists.")] = False,
) -> None:
    """Copy the whole store to one file, while Trimtab runs or not. It can be restored into either engine."""
    done = back_up(config_path(config or context.obj), file, force=force, progress=_Told())
    manifest = done.manifest
    say(
        f"backed up {counted(manifest.rows, 'row')} from {_ENGINE[manifest.engine]} (schema {manifest.schema}) to "
        f"{file}: {done.size_bytes / 1e6:,.1f} MB in {done.took_s:,.1f} s"
    )


@command.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `trimtab doctor backup` wrote.", metavar="FILE")],
    config: Config = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what the store holds; a SQLite file is kept beside it.")
    ] = False,
) -> None:
    """Make the store what a backup says. Stop every Trimtab that uses the store first."""
    done = put_back(config_path(config or context.obj), file, force=force, progress=_Told())
    manifest, restored = done.restored.manifest, done.restored
    made = _when(manifest.made_ms)
    say(
        f"restored {counted(manifest.rows, 'row')} from {file}, made {made} from {_ENGINE[manifest.engine]} "
        f"(schema {manifest.schema}) by Trimtab {printable(manifest.trimtab, 40)}, in {done.took_s:,.1f} s"
    )
    if restored.kept is not None:
        say(f"the store as it was: {restored.kept}")
    if restored.changed_texts:
        warn(
            f"{counted(restored.changed_texts, 'text')} held the character NUL, which PostgreSQL does not take; "
            "it is U+FFFD there now"
        )


def _when(unix_ms: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix_ms / 1000))
    except (OverflowError, ValueError, OSError):  # a file says what it likes
        return "at no time that a calendar knows"


class _Told:
    """Prints how far long work is."""

    def __init__(self) -> None:
        self._doing = ""
        self._began = self._told = time.monotonic()

    def __call__(self, doing: str, done: int, unit: str) -> None:
        now = time.monotonic()
        if doing != self._doing:
            self._doing, self._began = doing, now
        if now - self._told < TELL_EVERY_S:
            return
        self._told = now
        rate = f" ({done / (now - self._began):,.0f} {unit}/s)" if now > self._began else ""
        warn(f"{doing}: {done:,} {unit}{rate}")
