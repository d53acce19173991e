"""`trimtab tasks`: make, show, extend, cancel, close and follow budgets of tasks.

What it is not: rules; those are in `admin`, which HTTP goes through too. Works beside a running server and without one.
"""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Literal

import typer

from trimtab.admin import TaskAdmin, Visitor
from trimtab.admin.task_words import Extension, NewTask
from trimtab.app import config_path
from trimtab.app.task_door import opened_task_door
from trimtab.budgets.tasks import NewPhase
from trimtab.cli.account import actor
from trimtab.cli.options import Config, Json, command_group
from trimtab.cli.tasks_shown import event_line, print_task, print_tasks
from trimtab.cli.term import print_json, say, tell
from trimtab.errors import RequestError, printable

LOOK_S = 0.25
"""How often `follow` looks."""

command = command_group(
    "Make, show, extend, cancel and follow budgets of tasks. Works beside a running server and without one."
)

Id = Annotated[str, typer.Argument(metavar="TASK", help="Its id.")]


@command.command("list")
def list_tasks(
    state: Annotated[
        Literal["open", "exhausted", "cancelled", "closed"] | None,
        typer.Option("--state", help="Only such tasks."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="How many, the newest first.")
    ] = 20,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """The newest tasks."""
    with _door(config) as admin:
        found = admin.tasks(_visitor(), state=state, most=limit)
    tell(
        found,
        print_tasks,
        as_json=as_json,
        none="no task is like that; POST /trimtab/v1/tasks or 'trimtab tasks create TOKENS' makes one",
    )


@command.command()
def show(task: Id, as_json: Json = False, config: Config = None) -> None:
    """One task: a bar for each phase, and the moves between them."""
    with _door(config) as admin:
        found = admin.show(_visitor(), task)
    tell(found, print_task, as_json=as_json)


@command.command()
def create(
    total: Annotated[
        int, typer.Argument(metavar="TOKENS", help="Of the whole task; resent history counts once.")
    ],
    usd: Annotated[float | None, typer.Option("--usd", help="What its calls may cost together.")] = None,
    phase: Annotated[
        list[str] | None,
        typer.Option("--phase", metavar="NAME=SHARE", help="In order: tools=40% or tools=40000. Repeat it."),
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="prioritize_completion or prioritize_quality.")
    ] = "prioritize_completion",
    name: Annotated[str, typer.Option("--name", help="For people.")] = "",
    scenario: Annotated[str, typer.Option("--scenario", help="Kind of work.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Repeat it for several.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Whose calls may use it; else callers without a key.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Make a task, and print its id and the headers that its calls send."""
    wanted = NewTask(
        total=total,
        usd=usd,
        phases=None if phase is None else [_phase(text) for text in phase],
        strategy=strategy,
        name=name,
        scenario=scenario,
        tags=tag or [],
        key=key,
    )
    with opened_task_door(config_path(config), create=True) as admin:
        made = admin.add(_visitor(), wanted)
    if as_json:
        print_json(made)
        return
    say(made.id)
    for header, value in made.headers.items():
        say(f"  {header}: {value}")


@command.command()
def extend(
    task: Id,
    tokens: Annotated[int, typer.Option("--tokens", help="To add.")] = 0,
    usd: Annotated[float, typer.Option("--usd", help="To add.")] = 0.0,
    phase: Annotated[str, typer.Option("--phase", help="To this one; else to those that are not over.")] = "",
    config: Config = None,
) -> None:
    """Add tokens or money to a task; one that ran out goes on."""
    with _door(config) as admin:
        print_task(admin.extend(_visitor(), task, Extension(total=tokens, usd=usd, phase=phase)))


@command.command()
def cancel(task: Id, config: Config = None) -> None:
    """Let no further call of a task begin; those in flight finish."""
    with _door(config) as admin:
        say(f"{task} is {admin.cancel(_visitor(), task).state}")


@command.command()
def close(task: Id, config: Config = None) -> None:
    """Say that a task is done."""
    with _door(config) as admin:
        say(f"{task} is {admin.close(_visitor(), task).state}")


@command.command()
def follow(
    task: Id,
    after: Annotated[int, typer.Option("--after", min=0, help="Begin behind the event of this number.")] = 0,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """What happens to a task, until it is closed or cancelled, or Ctrl-C."""
    with _door(config) as admin:
        found = admin.events(_visitor(), task, after)
        while True:
            for one in found.events:
                print_json(one) if as_json else say(event_line(one))
            if found.over:
                return
            if not found.events:
                time.sleep(LOOK_S)
            found = admin.events(_visitor(), task, found.last)


def _phase(text: str) -> NewPhase:
    """`NAME=40%` or `NAME=40000`. Raises `RequestError`."""
    name, equals, share = text.partition("=")
    plain = share.removesuffix("%").replace(".", "", 1)
    if not equals or not (plain.isascii() and plain.isdigit() and len(plain) <= 16):
        raise RequestError(f"--phase {printable(text, 80)!r}: write NAME=40% or NAME=40000")
    if share.endswith("%"):
        return NewPhase(name, percent=float(share[:-1]))
    if "." in share:
        raise RequestError(f"--phase {printable(text, 80)!r}: tokens are whole")
    return NewPhase(name, tokens=int(share))


def _visitor() -> Visitor:
    """Whoever has access to the machine sees all tasks."""
    return Visitor(actor=actor())


def _door(config: Path | None) -> AbstractContextManager[TaskAdmin]:
    return opened_task_door(config_path(config))
