"""`trimtab effort`: tables of what each model and effort took and how often it succeeded, the frontier, imported
outcomes, published tables.

What it is not: the statistics (`efforts`). Works beside a running server and without one.
"""

import re
from pathlib import Path
from typing import Annotated

import typer

from trimtab.app import config_path
from trimtab.app.advising import advise_efforts
from trimtab.app.efforts import opened_efforts_door
from trimtab.cli.account import account
from trimtab.cli.advise import DAYS, Since, days_of, print_advised
from trimtab.cli.effort_shown import print_table, table_json
from trimtab.cli.options import Config, Json
from trimtab.cli.term import counted, print_json, say, warn
from trimtab.console.words import moment
from trimtab.efforts import EffortTable
from trimtab.efforts.comparing import MARGIN
from trimtab.efforts.frontier import draw_frontier
from trimtab.efforts.outcomes_file import BYTES_MAX, read_outcomes
from trimtab.errors import ConfigError, NotFound, shortened

command = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What effort buys. Without a command: tables by class of work.",
)

Simulated = Annotated[bool, typer.Option("--simulated", help="Simulated requests instead of real ones.")]
Class = Annotated[str | None, typer.Option("--class", help="Only this class of work.")]
Model = Annotated[str | None, typer.Option("--model", help="Only this model, by its catalogue id.")]


@command.callback(invoke_without_command=True)
def effort(
    context: typer.Context,
    task_class: Class = None,
    model: Model = None,
    since: Since = DAYS,
    simulated: Simulated = False,
    margin: Annotated[
        float, typer.Option("--margin", help="Points of success within which two arms count as equal.")
    ] = 100 * MARGIN,
    version: Annotated[
        str | None, typer.Option("--version", help="A published table instead of the records.")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", metavar="FOLDER", help="Write the frontier of each class there, as SVG."),
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """What effort buys: tokens, money, time and success by model and effort, for each class of work."""
    if context.invoked_subcommand is not None:
        return
    if not 0 < margin < 50:
        raise ConfigError("--margin", f"{margin:g}: must be more than 0 and less than 50 points")
    with opened_efforts_door(config_path(config)) as door:
        if version is not None:
            table = door.load(version)
        else:
            table = door.table(days=days_of(since), simulated=simulated, task_class=task_class, model=model)
    if draw is not None:
        _draw(table, draw)
    if as_json:
        print_json(table_json(table, margin / 100))
    else:
        print_table(table, margin / 100)


@command.command("import")
def import_outcomes(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines or CSV; docs/effort-tables.md.")],
    source: Annotated[
        str, typer.Option("--source", help="Who judged, where the file does not say.")
    ] = "import",
    side: Annotated[
        str | None, typer.Option("--side", help="Of sessions with both: real or simulated requests.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Note outcomes of requests, sessions or tasks from a file."""
    if side not in (None, "real", "simulated"):
        raise ConfigError("--side", f"{shortened(str(side), 40)!r}: must be real or simulated")
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", source):
        raise ConfigError(
            "--source", f"{shortened(source, 40)!r}: must be 1 to 64 of A-Z, a-z, 0-9 and . _ : -"
        )
    try:
        with file.open("rb") as opened:  # a pipe or device may never end
            written = opened.read(BYTES_MAX + 1)
    except OSError as unread:
        raise ConfigError("FILE", f"{file}: cannot be read: {unread.strerror}") from None
    told = read_outcomes(file.name, written, source=source, teller=f"cli:{account()}")
    with opened_efforts_door(config_path(config)) as door:
        done = door.import_outcomes(told, None if side is None else side == "simulated")
    if as_json:
        print_json(done)
    else:
        known = done.outcomes - len(done.unknown)
        say(f"{counted(known, 'outcome')} noted, {done.changed:,} of them new or changed")
        if done.edited_unkept:
            say(f"{counted(done.edited_unkept, 'edited answer')} not kept: content.keep says what is")
        for problem in done.unknown[:5]:
            warn(problem)
    if len(done.unknown) == done.outcomes:
        raise NotFound(f"{file.name}: none of its outcomes is of a request that is recorded here")
    if done.unknown and not as_json:
        warn(
            f"{counted(len(done.unknown), 'outcome')} left out; importing again once they are known adds them"
        )


@command.command()
def build(
    since: Since = DAYS, simulated: Simulated = False, as_json: Json = False, config: Config = None
) -> None:
    """Publish a table as a version that never changes, for whoever works by it."""
    with opened_efforts_door(config_path(config)) as door:
        table = door.table(days=days_of(since), simulated=simulated)
        if not any(cell.cost_nanousd or cell.success for one in table.classes for cell in one.cells):
            raise NotFound(
                "no data: no class of work has an arm with 20 conversations; look at `trimtab effort`, or further "
                "back with --since"
            )
        made = door.publish(table)
    if as_json:
        print_json(made)
    else:
        say(f"effort table {made.version} of {counted(table.requests, 'request')}{_side(table)}")


@command.command()
def versions(as_json: Json = False, config: Config = None) -> None:
    """List published tables, the newest first."""
    with opened_efforts_door(config_path(config)) as door:
        found = door.versions()
    if as_json:
        print_json(found)
        return
    if not found:
        say("none yet; `trimtab effort build` publishes one")
    for one in found:
        say(f"{one.version}  {moment(one.made_ms)} UTC{'  SIMULATED' if one.kind != 'effort' else ''}")


@command.command()
def advise(
    since: Since = DAYS,
    simulated: Simulated = False,
    margin: Annotated[
        float, typer.Option("--margin", help="Points of success that a lower effort may cost at the most.")
    ] = 100 * MARGIN,
    diff: Annotated[
        Path | None, typer.Option("--diff", metavar="FILE", help="Write the change there, for patch -p0.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Propose efforts by route and class of work, as a change of the configuration. Changes nothing itself."""
    if not 0 < margin < 50:
        raise ConfigError("--margin", f"{margin:g}: must be more than 0 and less than 50 points")
    advised = advise_efforts(
        config_path(config), days=days_of(since), simulated=simulated, margin=margin / 100
    )
    if as_json:
        print_json(advised)
    else:
        print_advised(advised, diff)


def _side(table: EffortTable) -> str:
    return ", SIMULATED" if table.simulated else ""


def _draw(table: EffortTable, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    period = f"requests from {moment(table.from_ms)[:10]} to {moment(table.to_ms)[:10]}"
    for one in table.classes:
        plain = re.sub(r"[^A-Za-z0-9_-]", "-", one.task_class) or "no-class"
        path = folder / f"effort-{plain}.svg"
        path.write_text(draw_frontier(one, simulated=table.simulated, period=period), encoding="utf-8")
        warn(f"wrote {path}")
