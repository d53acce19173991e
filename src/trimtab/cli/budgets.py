"""`trimtab budgets`: show, set, explain and forecast budgets, and price a past month again.

What it is not: rules; those are in `admin`, which HTTP goes through too. Works beside a running server and without one.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.admin import BudgetChanged, BudgetView
from trimtab.app import config_path
from trimtab.app.advising import advise_task_phases
from trimtab.app.budget_door import BudgetDoor, opened_budget_door
from trimtab.app.repricing import reprice_month
from trimtab.cli.account import actor
from trimtab.cli.advise import DAYS, Since, days_of, print_phases_advised
from trimtab.cli.budget_words import NONE, reserve_of, settings_of
from trimtab.cli.budgets_explained import print_explained
from trimtab.cli.budgets_shown import lines_words, print_budget, print_budgets, print_forecasts
from trimtab.cli.options import Config, Json
from trimtab.cli.repriced_shown import print_repriced
from trimtab.cli.term import print_json, say, tell, warn
from trimtab.errors import ConfigError

command = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Budgets: what is spent, held and left, and when it renews. Without a command: the list.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The budget's name.")]


@command.callback(invoke_without_command=True)
def budgets(context: typer.Context, as_json: Json = False, config: Config = None) -> None:
    """Budgets: what is spent, held and left, and when it renews. Without a command: the list."""
    if context.invoked_subcommand is None:
        list_budgets(as_json=as_json, config=config)
    elif as_json or config is not None:
        raise ConfigError("trimtab budgets", "--json and --config stand behind the command")


@command.command("list")
def list_budgets(as_json: Json = False, config: Config = None) -> None:
    """List budgets with what is spent, held and left."""
    with _door(config) as door:
        found = door.admin.budgets(actor())
    tell(
        found,
        _print_list,
        as_json=as_json,
        none=f"No budgets, in the configuration or in {door.store_url}. Make one: "
        "trimtab budgets set NAME --team TEAM usd_per_month=500",
    )


@command.command()
def show(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show everything about a budget."""
    with _door(config) as door:
        found = door.admin.show(actor(), name)
    tell(found, print_budget, as_json=as_json)


@command.command("set")
def set_budget(
    name: Name,
    limits: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LIMIT=AMOUNT...",
            help="As in the file: usd_per_month=500, tokens_per_day=2000000, requests_per_minute=600, concurrency=20; "
            "LIMIT=none takes one away.",
        ),
    ] = None,
    organisation: Annotated[
        str | None, typer.Option("--org", help="For an organisation, or beside the others: whose.")
    ] = None,
    team: Annotated[str | None, typer.Option("--team", help="For a team; '*' is each.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="For a key, by its id or name; '*' is each.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="For a user; '*' is each.")] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", help="For requests with this tag in x-trimtab-tags; '*' is each.")
    ] = None,
    soft: Annotated[
        bool | None, typer.Option("--soft/--hard", help="Warn only, or refuse. Default: refuse.")
    ] = None,
    overshoot: Annotated[
        bool | None,
        typer.Option(
            "--overshoot/--no-overshoot", help="May use what is billed by use and has no bound. Default: no."
        ),
    ] = None,
    reserve: Annotated[
        str | None,
        typer.Option(
            "--reserve",
            metavar="worst|expected",
            help="What is held for calls in flight: the most they can come to, or what such calls come to; then the "
            "limit can be passed by what they use beyond it. Default: worst.",
        ),
    ] = None,
    warn_percent: Annotated[
        int | None, typer.Option("--warn", metavar="PERCENT", help="Warn from here on. Default: 80.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option("--webhook", help="Where warnings are sent: an address, env:NAME or file:/path; none."),
    ] = None,
    webhook_secret: Annotated[
        str | None, typer.Option("--webhook-secret", help="What signs them: env:NAME or file:/path; none.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Make a budget, or change the settings of one that are named; the others stay. In force within 2 seconds."""
    changes: dict[str, Any] = settings_of(limits or [])
    for field, value in (
        ("organisation", organisation),
        ("team", team),
        ("key", key),
        ("user", user),
        ("tag", tag),
        ("soft", soft),
        ("may_overshoot", overshoot),
        ("reserve", reserve_of(reserve)),
        ("warn_percent", warn_percent),
        ("webhook", webhook),
        ("webhook_secret", webhook_secret),
    ):
        if value is not None:
            changes[field] = None if value == NONE and field.startswith("webhook") else value
    if not changes:
        raise ConfigError(
            "trimtab budgets set",
            "name what to set, as: trimtab budgets set NAME --team TEAM usd_per_month=500",
        )
    with _door(config, create=True) as door:
        changed = door.admin.change(actor(), name, changes)
    _say_changed(changed, as_json=as_json)


@command.command()
def remove(name: Name, as_json: Json = False, config: Config = None) -> None:
    """End a budget; what was counted stays counted, should it come back."""
    with _door(config) as door:
        removed = door.admin.remove(actor(), name)
    tell(removed, lambda _: say(f"budget {name} is removed and limits nothing any more"), as_json=as_json)


@command.command()
def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="KEY|REQUEST", help="A key, by its id or name, or the id of a recorded request."
        ),
    ],
    tags: Annotated[
        str | None, typer.Option("--tags", help="Tags that a request of the key would have, with commas.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Say which budgets requests of a key draw on and which would refuse first, or what a recorded request drew."""
    named = () if tags is None else tuple(tag for part in tags.split(",") if (tag := part.strip()))
    with _door(config) as door:
        found = door.admin.explain(actor(), name, named)
    tell(found, print_explained, as_json=as_json)


@command.command()
def forecast(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One budget; all where none is named.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Say where budgets lead at the pace of the last whole days, with 95 % intervals."""
    with _door(config) as door:
        found = door.admin.budgets(actor()) if name is None else [door.admin.show(actor(), name)]
    tell(found, print_forecasts, as_json=as_json, none="No budgets.")


@command.command()
def advise(
    since: Since = DAYS,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulated tasks instead of real ones.")
    ] = False,
    diff: Annotated[
        Path | None, typer.Option("--diff", metavar="FILE", help="Write the change there, for patch -p0.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Propose shares of the phases of tasks, by scenario, as a change of the configuration. Changes nothing itself."""
    advised = advise_task_phases(config_path(config), days=days_of(since), simulated=simulated)
    if as_json:
        print_json(advised)
    else:
        print_phases_advised(advised, diff)


@command.command()
def reprice(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="As 2026-10, UTC.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Price every record of a month again; exit status 1 where that is not explained by changed prices."""
    found = reprice_month(config_path(config), month)
    if as_json:
        print_json({"month": month, "reproduced": found.reproduced, **msgspec.to_builtins(found)})
    else:
        print_repriced(month, found)
    if not found.reproduced:
        raise typer.Exit(1)


def _print_list(found: Sequence[BudgetView]) -> None:
    print_budgets(found)
    for one in found:
        if one.note:
            warn(f"budget {one.name}: {one.note}")


def _say_changed(changed: BudgetChanged, *, as_json: bool) -> None:
    found = changed.budget
    assert found is not None
    if as_json:
        print_json(found)
        return
    was = "" if changed.was is None else f"was {lines_words(changed.was)}; now "
    say(f"budget {found.name} of {found.scope} {found.who}: {was}{lines_words(found)}")


def _door(config: Path | None, *, create: bool = False) -> AbstractContextManager[BudgetDoor]:
    return opened_budget_door(config_path(config), create=create)
