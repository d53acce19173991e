"""`trimtab simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.app import serve_simulator, simulator_settings
from trimtab.cli.term import fresh_line, say
from trimtab.gateway import Listen

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")
    ] = 8788,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same request: same answer.")] = 0,
    script: Annotated[
        Path | None,
        typer.Option("--script", "-s", help="Scripted answers and faults; see docs/simulator.md."),
    ] = None,
    latency: Annotated[
        float, typer.Option("--latency-scale", min=0, max=100, help="0 answers at once.")
    ] = 1.0,
    rpm: Annotated[
        int | None,
        typer.Option("--rate-limit-rpm", min=1, help="Answer 429 over this many requests a minute."),
    ] = None,
    require_key: Annotated[
        bool, typer.Option("--require-key", help="Answer 401 to requests without any key.")
    ] = False,
) -> None:
    """Serve the simulated platform over HTTP, for tests of any client. It calls no model; every answer says so."""
    settings = simulator_settings(
        script,
        seed=seed,
        latency_scale=latency,
        rate_limit_rpm=rpm,
        require_key=require_key,
    )
    serve_simulator(settings, Listen("127.0.0.1", port), _ready)
    fresh_line()
    say("stopped")


def _ready(listen: Listen) -> None:
    say(f"The simulated platform serves {listen.url} (SIMULATED: no real model answers)")
    say(f"  use it as ANTHROPIC_BASE_URL={listen.url} with any key; Ctrl-C stops")
