"""`trimtab worker`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from trimtab import __version__
from trimtab.app import config_path, load_settings
from trimtab.app.telemetry import start_logging
from trimtab.app.working import Working, work
from trimtab.cli.term import counted, fresh_line, say, warn

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file, as for serve.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, max=1000, help="Jobs at a time; wins over the configuration."),
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue", help="Take jobs from this queue; may be repeated, wins over the configuration."
        ),
    ] = None,
) -> None:
    """Work on durable jobs. Any number of workers may share a store, beside a running server and without one.

    SIGTERM and Ctrl-C let running jobs finish within [jobs] grace_s and hand the others back; a second signal hands
    them back at once. A worker that is killed needs no repair: others take its jobs over within seconds.
    """
    settings = load_settings(config_path(config))
    log = start_logging(settings, sys.stderr)
    try:
        back = work(
            settings,
            concurrency=concurrency,
            queues=queue or (),
            ready=_ready,
            stopping=_stopping,
            on_problem=warn,
        )
    finally:
        log.close()
    fresh_line()
    say(f"stopped; {counted(back, 'job')} handed back" if back else "stopped")


def _ready(working: Working) -> None:
    settings = working.settings
    say(f"Trimtab {__version__} works on jobs as {working.name}")
    say(f"  queues    {', '.join(settings.queues)}")
    say(f"  kinds     {', '.join(working.kinds)}")
    say(f"  at a time {counted(settings.concurrency, 'job')}")


def _stopping(running: int) -> None:
    fresh_line()
    if running:
        warn(f"finishing {counted(running, 'job')}, then stopping; once more hands them back now")
