"""`trimtab parity`: the same cases on two platforms of a running gateway, and what differs.

What it is not: the check, which is in `evals.parity`. Exit status 0: all the same; 1: something differs; 2: could not
be run, or nothing differs but something could not be judged.
"""

import fnmatch
import time
from pathlib import Path
from typing import Annotated

import typer

from trimtab.app.comparing import compare_platforms
from trimtab.cli.options import Json
from trimtab.cli.parity_shown import report_json, report_lines
from trimtab.cli.term import print_json, report, say, warn
from trimtab.config import read_file
from trimtab.errors import EvalError, TrimtabError
from trimtab.evals.parity import Asked, Case, Judged, cases_of_lines, shipped_cases

TELL_EVERY_S = 2.0
"""Between two lines about how far it is; what takes less says nothing before its result."""

DIFFERENT, NOT_TOLD = 1, 2

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    first: Annotated[str, typer.Argument(metavar="A", help="A platform entry of the gateway.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Ask with this model; repeatable. Default: that of the default tier."),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases", metavar="FILE", help="Your own cases, one JSON object a line, instead of ours."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only cases of this name (* and ? allowed); repeatable."),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, max=100, help="How often each case is asked on each side.")
    ] = 1,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, max=64, help="Cases that are under way at a time.")
    ] = 4,
    url: Annotated[str, typer.Option("--url", help="Where the gateway is.")] = "http://127.0.0.1:8787",
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="REFERENCE", help="A key of the gateway, as env:NAME or file:PATH."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask two platforms the same and say what differs. Spends money on both.

    Exit status 0: all the same; 1: something differs; 2: it could not be run, or not all could be judged.
    """
    progress = _Progress()
    try:
        asked = Asked(
            first=first,
            second=second,
            cases=_chosen(cases, only or []),
            models=tuple(dict.fromkeys(model or ())),
            repeat=repeat,
            at_once=at_once,
        )
        found = compare_platforms(asked, url, key, progress)
    except TrimtabError as problem:
        report(problem)
        raise typer.Exit(NOT_TOLD) from None
    if as_json:
        print_json(report_json(found))
    else:
        for line in report_lines(found):
            say(line)
    if found.different or found.everywhere:
        raise typer.Exit(DIFFERENT)
    if found.inconclusive:
        raise typer.Exit(NOT_TOLD)


def _chosen(file: Path | None, only: list[str]) -> tuple[Case, ...]:
    """Raises `ConfigError` or `EvalError`."""
    cases = shipped_cases() if file is None else cases_of_lines(read_file(file), str(file))
    if not only:
        return cases
    for pattern in only:
        if not any(fnmatch.fnmatchcase(case.name, pattern) for case in cases):
            known = ", ".join(dict.fromkeys(case.name.partition(".")[0] for case in cases))
            raise EvalError(f"--only {pattern!r}: no case has this name; they begin with {known}")
    return tuple(case for case in cases if any(fnmatch.fnmatchcase(case.name, pattern) for pattern in only))


class _Progress:
    def __init__(self) -> None:
        self._told = time.monotonic()
        self._count = {"same": 0, "different": 0, "inconclusive": 0}

    def __call__(self, judged: Judged, done: int, total: int) -> None:
        self._count[judged.outcome] += 1
        if time.monotonic() - self._told >= TELL_EVERY_S and done < total:
            self._told = time.monotonic()
            seen = ", ".join(f"{count} {outcome}" for outcome, count in self._count.items())
            warn(f"{done} of {total} cases: {seen}")
