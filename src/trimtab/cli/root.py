"""The root command: a group whose commands are imported only when they run."""

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from trimtab import __version__

COMMANDS = {
    "serve": "Serve the gateway (the main job).",
    "worker": "Work on durable jobs; any number of these, on any number of machines.",
    "jobs": "Show durable jobs; stop, answer, retry and fork them.",
    "simulate": "Serve the simulated platform on a port, for anybody's tests.",
    "keys": "Make, list, revoke and rotate the keys by which callers are known.",
    "users": "Make, list, change and remove the people who may use the console.",
    "budgets": "Show, set, explain and forecast budgets; price a past month again.",
    "tasks": "Make, show, extend, cancel and follow budgets of tasks.",
    "content": "Show and delete what is kept of prompts and answers.",
    "effort": "What effort buys: tables of tokens, money, time and success; outcomes; advice.",
    "cache": "Show and clear the answers that are kept to be given again.",
    "models": "Show models, prices, abilities and which tier is bound to which.",
    "route": "Say which route, model and effort a request would get, and why; calls nobody.",
    "explain": "The whole story of one request: decision, attempts, verdicts and money.",
    "migrate": "Tell what breaks, changes and costs when another model answers.",
    "parity": "Ask two platforms the same, and say what differs.",
    "doctor": "Check everything that serving needs, and say what to do.",
}


class LazyGroup(TyperGroup):
    """Commands live in `trimtab.cli.<name>` as `command`; help is printed from the table above."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"trimtab.cli.{cmd_name}")
        command = get_command(module.command)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


root = typer.Typer(
    name="trimtab",
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trimtab {__version__}")
        raise typer.Exit


@root.callback()
def trimtab(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A control plane for frontier models: each request gets the least effort that does the job.

    Start with `trimtab serve`, then point any Anthropic client at http://127.0.0.1:8787.
    """
