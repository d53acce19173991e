"""`trimtab serve`."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from trimtab import __version__
from trimtab.app import Settings, config_path, load_settings, serve
from trimtab.app.doorkeeping import console_words
from trimtab.app.service_manager import READY, STOPPING, notify
from trimtab.app.telemetry import start_logging
from trimtab.cli.term import counted, fresh_line, say, warn
from trimtab.errors import StoreError, printable
from trimtab.gateway import MAX_WORKERS, Listen
from trimtab.providers import Provider

_log = logging.getLogger("trimtab.cli")

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Configuration file. Default: trimtab.toml here, if there is one."
        ),
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", help="host:port; wins over the configuration.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, max=MAX_WORKERS, help="Processes to serve with; wins over the configuration."
        ),
    ] = None,
) -> None:
    """Serve the gateway. Without configuration it listens on 127.0.0.1:8787 and keeps records in ./trimtab.db.

    With ANTHROPIC_API_KEY in the environment requests go to the Claude API, without it to the simulator. SIGTERM
    and Ctrl-C finish answers in flight first; a second signal stops at once. SIGHUP, or a change of the
    configuration file, brings a new configuration into force between requests.
    """
    settings = load_settings(config_path(config), listen=listen, workers=workers)
    logs = start_logging(settings, sys.stderr)

    def tell(text: str) -> None:
        """A line for the operator, which must be an object where all lines are."""
        if settings.telemetry.log_format == "json":
            _log.warning("%s", text)
        else:
            warn(logs.clean(text))

    def draining(in_flight: int) -> None:
        notify(STOPPING, os.environ)
        fresh_line()
        tell(f"finishing {counted(in_flight, 'answer')} in flight, then stopping; once more stops now")

    ending = serve(settings, ready=_ready, draining=draining, on_problem=tell, logs=logs)
    fresh_line()
    if ending.cut:
        tell(f"cut {counted(ending.cut, 'answer')} in flight; recorded as cancelled")
    if ending.lost:
        tell(f"{counted(ending.lost, 'record')} could not be written; see docs/store.md")
        raise typer.Exit(1)
    say("stopped")


_KEYS_HINT = {
    True: "trimtab keys list shows them, trimtab keys add NAME makes one",
    False: "trimtab keys list shows them",  # there is one, or this would not have started
}


def _console(settings: Settings) -> str:
    try:
        return console_words(settings)
    except StoreError as problem:
        return printable(str(problem))


def _ready(settings: Settings, providers: Mapping[str, Provider], listen: Listen) -> None:
    tiers = settings.tiers
    url = listen.url
    say(f"Trimtab {__version__} serves {url}")
    for name, provider in providers.items():
        if provider.simulated:
            say(f"  platform  {name}: SIMULATED, no real model answers ({settings.platforms_from})")
        else:
            pool = getattr(settings.platforms[name], "api_keys", None)
            keys = f", a pool of {len(pool)} keys" if pool is not None else ""
            say(f"  platform  {name}: {provider.platform}{keys} ({settings.platforms_from})")
    say(
        f"  tiers     default={tiers.default} escalation={tiers.escalation} control={tiers.control} fast={tiers.fast}"
    )
    say(f"  records   {settings.store.url}")
    needs_key = settings.server.require_keys or not listen.is_local
    if needs_key:
        say(f"  keys      every caller must show one; {_KEYS_HINT[listen.is_local]}")
    say(f"  console   {listen.advice}/console ({_console(settings)})")
    if settings.server.workers > 1:
        say(f"  workers   {settings.server.workers}")
    say(f"  reload    kill -HUP {os.getpid()}")
    say()
    url = listen.advice
    say("Try it, in a second terminal:")
    say(
        f"  curl -si {url}/v1/messages -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \\"
    )
    if needs_key:
        say("    -H 'x-api-key: tt-...' \\")
    say(
        '    -d \'{"model":"trimtab/auto","max_tokens":256,"messages":[{"role":"user","content":"What is 17 * 23?"}]}\''
    )
    say(
        f"  a program with an Anthropic SDK: start it with ANTHROPIC_BASE_URL={url} "
        f"ANTHROPIC_API_KEY={'tt-...' if needs_key else 'anything'}"
    )
    header = " -H 'x-api-key: tt-...'" if needs_key else ""
    say(
        f"  what a request cost and why: curl{header} {url}/trimtab/v1/requests/<its x-trimtab-request header>"
    )
    if all(provider.simulated for provider in providers.values()):
        say("  real answers: stop this, set ANTHROPIC_API_KEY to your key and start again")
    notify(READY, os.environ)
