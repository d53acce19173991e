"""`trimtab explain`: the whole story of one request.

What it is not: the story's prompt and answer (`trimtab content show`), or what budgets it drew on (`trimtab budgets
explain`). Works beside a running server and without one.
"""

from typing import Annotated

import typer

from trimtab.app import config_path
from trimtab.app.explaining import opened_explainer
from trimtab.cli.explain_shown import print_request
from trimtab.cli.options import Config, Json
from trimtab.cli.term import tell

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="The id of an x-trimtab-request header.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Say why a request was answered as it was: decision, attempts, verdicts, money, and what became of it."""
    with opened_explainer(config_path(config)) as explain:
        found = explain(request)
    tell(found, print_request, as_json=as_json)
