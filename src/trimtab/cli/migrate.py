"""`trimtab migrate FROM TO`: what happens to your requests when another model answers them.

What it is not: the judging, which is in `migration`. Exit status 0: nothing breaks or changes beyond what is allowed;
1: something does; 2: it could not be run, or not all could be judged.
"""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from trimtab.app import config_path, load_settings
from trimtab.app.migrating import Wish, migration_report
from trimtab.cli.migrate_shown import report_json, report_lines
from trimtab.cli.options import Config, Json
from trimtab.cli.term import print_json, report, say, warn
from trimtab.errors import ConfigError, TrimtabError, printable
from trimtab.migration import Judged, Report, drawn
from trimtab.migration.judging import SILENT, Finding
from trimtab.normaliser import shipped_rules

DIFFERS, NOT_TOLD = 1, 2

GROUPS = ("mended", "before-too", "silent")
"""What `--allow` takes beside the names of findings."""

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    before: Annotated[str, typer.Argument(metavar="FROM", help="The model that answers now.")],
    after: Annotated[str, typer.Argument(metavar="TO", help="The model that should answer.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES",
            help="Request bodies: JSON, lines of JSON, batches, or folders of them.",
            show_default=False,
        ),
    ] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Judge what this Trimtab recorded, and prompts that it kept.")
    ] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How far --recorded looks back.")] = 7,
    most: Annotated[
        int,
        typer.Option(
            "--most", min=1, max=10_000, help="How many kept prompts --recorded judges, newest first."
        ),
    ] = 1000,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="NAME",
            help="A finding that is no reason for exit status 1; also mended (mode adapt mends it), before-too (FROM "
            "refuses it, too), silent (all silent changes), tokens=PERCENT (so much more at the most). Repeatable.",
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="DIR", help="Write each request as the gateway would send it (mode adapt)."
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="Draw the cost by content, as an SVG.")
    ] = None,
    platform: Annotated[
        str,
        typer.Option(
            "--platform", help="Where it will be answered, as trimtab models --platforms names kinds."
        ),
    ] = "anthropic",
    version: Annotated[
        str, typer.Option("--api-version", help="anthropic-version of requests whose file does not say.")
    ] = "2023-06-01",
    beta: Annotated[
        list[str] | None, typer.Option("--beta", help="A beta that such requests ask for; repeatable.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Tell what breaks, what changes silently and what it costs when TO answers requests written for FROM.

    Nothing is called or spent. Exit status 0: nothing breaks or changes beyond --allow; 1: something does; 2: it could
    not be run, or not all could be judged.
    """
    wish = Wish(
        before=before,
        after=after,
        files=tuple(files or ()),
        recorded=recorded,
        days=days,
        most=most,
        platform=platform,
        version=version,
        betas=tuple(beta or ()),
    )
    try:
        allowed = _allowed(allow or [])
        found = _judged(wish, config)
        if write is not None:
            _write(write, found)
        if picture is not None:
            picture.write_text(drawn(found), encoding="utf-8")
    except (TrimtabError, OSError) as problem:
        report(problem)
        raise typer.Exit(NOT_TOLD) from None
    reasons = _reasons(found, allowed)
    if as_json:
        print_json(report_json(found, reasons))
    else:
        _tell(found, reasons, write)
    for bad in found.unreadable[:20]:
        warn(f"{bad.name}: {bad.problem}")
    if status := NOT_TOLD if found.unreadable or not found.judged else DIFFERS if reasons else 0:
        raise typer.Exit(status)


def _judged(wish: Wish, config: Path | None) -> Report:
    if bool(wish.files) == wish.recorded:
        raise ConfigError("trimtab migrate", "name files with requests, or say --recorded; one of the two")
    return migration_report(load_settings(config_path(config)), wish)


def _tell(found: Report, reasons: tuple[str, ...], write: Path | None) -> None:
    for line in report_lines(found, reasons):
        say(line)
    if write is not None:
        say()
        say(
            f"written to {write}: {sum(one.adapted is not None for one in found.judged):,} requests, index.json"
        )


def _allowed(asked: list[str]) -> dict[str, float | None]:
    """Names of findings, with a limit in percent where one is given. Raises `ConfigError`."""
    known = {*GROUPS, *SILENT, "prompt-too-long", *(rule.id for rule in shipped_rules())}
    allowed: dict[str, float | None] = {}
    for text in (part for each in asked for part in each.split(",")):
        name, _, limit = text.strip().partition("=")
        if name not in known:
            raise ConfigError("--allow", f"{printable(name, 60)!r} is no finding; the report names them")
        if limit and (name != "tokens" or not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,2})?", limit)):
            raise ConfigError(
                "--allow", f"{printable(text, 60)!r}: only tokens takes a percentage, as tokens=45"
            )
        allowed[name] = float(limit) if limit else None
    return allowed


def _reasons(found: Report, allowed: dict[str, float | None]) -> tuple[str, ...]:
    """Names of findings that are not allowed, in the order of the report."""
    used = {
        finding.id
        for one in found.judged
        for finding in one.findings
        if not _is_allowed(finding, found, allowed)
    }
    return tuple(count.id for count in found.counts if count.id in used)


def _is_allowed(finding: Finding, found: Report, allowed: dict[str, float | None]) -> bool:
    if finding.id == "tokens" and allowed.get("tokens") is not None:
        return (found.input_ratio.high - 1) * 100 <= (allowed["tokens"] or 0.0)
    if finding.id in allowed:
        return True
    if finding.kind == "silent":
        return "silent" in allowed
    return (finding.mended and "mended" in allowed) or (finding.before_too and "before-too" in allowed)


def _write(folder: Path, found: Report) -> None:
    """Each adapted body as a file, and what belongs beside it. Raises `ConfigError`, `OSError`."""
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError("--write", f"{folder} holds something already; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for place, one in enumerate(found.judged, 1):
        entry: dict[str, object] = {"from": one.name}
        if one.adapted is None:
            entry["refused"] = one.refused
        else:
            name = _file_name(place, one)
            (folder / name).write_bytes(one.adapted)
            entry |= {
                "file": name,
                "headers": {key.decode("latin-1"): value.decode("latin-1") for key, value in one.headers},
                "adaptations": list(one.adaptations),
            }
        index.append(entry)
    (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _file_name(place: int, one: Judged) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(one.name).name).strip("-.")[:60]
    return f"{place:05}-{stem.removesuffix('.json')}.json"
