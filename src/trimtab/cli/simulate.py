"""`trimtab simulate`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from trimtab.app import serve_simulator, simulator_settings
from trimtab.cli.term import fresh_line, say
from trimtab.gateway import Listen
from trimtab.providers.simulator.issued import LIFE_S

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
    platform: Annotated[
        str | None,
        typer.Option("--platform", help="Answer as this platform only, such as bedrock; without it, as all."),
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="The only region that requests may name; any without it.")
    ] = None,
    aws_key: Annotated[
        str | None,
        typer.Option(
            "--aws-key",
            envvar="TRIMTAB_SIMULATE_AWS_KEY",
            help="ID:SECRET, made up: signatures must be made with it.",
        ),
    ] = None,
    token_life: Annotated[
        int,
        typer.Option(
            "--token-life",
            min=1,
            max=86400,
            help="Seconds for which tokens and keys are good that its token servers give out.",
        ),
    ] = LIFE_S,
    google_key: Annotated[
        Path | None,
        typer.Option(
            "--google-key", help="Public key (PEM) that assertions of service accounts must be signed with."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", help="NAME=ID: a deployment or ARN, and the model it stands for; repeatable."
        ),
    ] = None,
) -> None:
    """Serve simulated platforms over HTTP, for tests of any client. It calls no model; every answer says so."""
    settings = simulator_settings(
        script,
        seed=seed,
        latency_scale=latency,
        rate_limit_rpm=rpm,
        require_key=require_key,
    )
    serve_simulator(
        settings,
        Listen("127.0.0.1", port),
        partial(_ready, platform),
        platform=platform,
        region=region,
        aws_key=aws_key,
        models=model or (),
        token_life_s=token_life,
        google_key=google_key,
    )
    fresh_line()
    say("stopped")


def _ready(platform: str | None, listen: Listen, behind: str) -> None:
    say(f"The simulated platform serves {listen.url} (SIMULATED: no real model answers)")
    if platform is None or platform == "anthropic":
        say(f"  use it as ANTHROPIC_BASE_URL={listen.url} with any key; Ctrl-C stops")
    else:
        say(f'  use it as {platform} with base_url = "{listen.url}{behind}"; Ctrl-C stops')
