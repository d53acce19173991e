"""`trimtab effort advise` and `trimtab budgets advise`: proposals from records, as a diff that a person applies.

What it is not: a change of anything.
"""

import datetime
import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from trimtab.app.advising import DAY_MS, Advised
from trimtab.cli.effort_shown import number_words, percent_words, success_words, usd_words
from trimtab.cli.tables import console
from trimtab.cli.term import say, say_lines
from trimtab.console.words import moment
from trimtab.efforts import Cell, Figure, Success
from trimtab.efforts.advice import EffortAdvice, StepTaken
from trimtab.efforts.phases import PhaseAdvice
from trimtab.efforts.table import CONVERSATIONS_MIN
from trimtab.errors import ConfigError, shortened

DAYS = "30d"

SHARES_SHOWN = 6
"""A program that gives each task its own shares would fill pages."""

Since = Annotated[
    str, typer.Option("--since", help="Only requests since then: 30d, 12h, or a day as 2027-01-31.")
]


def print_advised(advised: Advised, diff: Path | None) -> None:
    """Every proposal with what it goes by, then the diff or where it was written."""
    out = console()
    if advised.simulated:
        out.print(Text("SIMULATED: no real model answered any of this", style="yellow"))
    say(f"Requests from {moment(advised.from_ms)[:16]} to {moment(advised.to_ms)[:16]} UTC. Intervals: 95 %.")
    if not advised.efforts:
        say("no data: no answered requests in this time")
    for one in advised.efforts:
        out.print()
        out.print(Text(_headline(one), style="bold"))
        for line in _lines(one):
            say(f"  {line}")
    print_change(advised.diff, advised.by_hand, diff)


def print_phases_advised(advised: Advised, diff: Path | None) -> None:
    """Every class of tasks with what its phases needed, then the diff or where it was written."""
    out = console()
    if advised.simulated:
        out.print(Text("SIMULATED: no real model answered any of this", style="yellow"))
    say(f"Tasks from {moment(advised.from_ms)[:16]} to {moment(advised.to_ms)[:16]} UTC. Intervals: 95 %.")
    if not advised.phases:
        say("no data: no tasks that have ended in this time")
    for one in advised.phases:
        out.print()
        kind = "change the shares" if one.kind == "change" else one.kind
        out.print(Text(f"{one.task_class or 'no scenario'}: {kind}", style="bold"))
        say(f"  {one.why}")
        for line in _told_lines(one):
            say(f"  {line}")
        for phase in one.phases:
            say(
                f"  {phase.name}: {phase.present_percent:.0f} % now, needs {phase.proposed_percent} %; "
                f"half of the tasks {number_words(phase.half)} tokens, 95 % of them {number_words(phase.most)}"
            )
        for what, fit in (("present", one.present), ("proposed", one.proposed)):
            if fit is not None:
                low, high = 100 * fit.interval.low, 100 * fit.interval.high
                say(
                    f"  {what} shares: {fit.fitting} of {fit.of} tasks had enough in every phase without a move "
                    f"({low:.0f}–{high:.0f} %)"
                )
        if one.phases:
            say(
                f"  a whole task: 95 % spent at most {number_words(one.tokens)} tokens; mean cost "
                f"{usd_words(one.cost_nanousd)}"
            )
    print_change(advised.diff, advised.by_hand, diff)


def _told_lines(one: PhaseAdvice) -> list[str]:
    """How often tasks succeeded, in all and by their shares; "no data" where too few were told of."""
    told = one.succeeded
    if told is None:
        return []
    lines = [
        f"tasks that were told of: {told.told} of {one.tasks}; success {_success(told.success, told.told)}"
    ]
    if told.told:
        lines.append(
            f"where every phase had enough: success {_success(told.enough, told.enough_told)}; "
            f"where one had not: {_success(told.short, told.short_told)}"
        )
    if len(told.tried) > 1:
        for tried in told.tried[:SHARES_SHOWN]:
            line = f"with shares {'/'.join(map(str, tried.shares))}{', the present ones' if tried.present else ''}: "
            line += f"{tried.tasks} tasks, success {_success(tried.success, tried.told)}"
            if tried.difference is not None:
                low, high = 100 * tried.difference.low, 100 * tried.difference.high
                line += f"; against the present ones {low:+.1f} to {high:+.1f} points"
            lines.append(line)
        if len(told.tried) > SHARES_SHOWN:
            lines.append(f"and {len(told.tried) - SHARES_SHOWN} other shares, each of fewer tasks")
    if one.left_out:
        lines.append(f"without the {one.left_out} tasks that failed, for what they spent is no need:")
    return lines


def _success(success: Success | None, told: int) -> str:
    if success is None:
        return f"no data ({told} told, {CONVERSATIONS_MIN} are needed)"
    return percent_words(Figure(success.value, success.low, success.high))


def print_change(change: str, by_hand: tuple[str, ...], diff: Path | None) -> None:
    """The diff, or where it was written, and what is left to do by hand."""
    for line in by_hand:
        say()
        say(f"By hand: {line}")
    say()
    if not change:
        say("Nothing to change in the configuration.")
    elif diff is not None:
        diff.write_text(change, encoding="utf-8")
        say(f"wrote {diff}; read it, then apply it in the configuration's folder: patch -p0 < {diff}")
    else:
        say("To apply it in the configuration's folder: the same with --diff FILE, then patch -p0 < FILE")
        say()
        say_lines(change.rstrip("\n"))


def _headline(one: EffortAdvice) -> str:
    where = ", ".join(
        part
        for part in (f"route {one.route}" if one.route else "", one.task_class or "no class named")
        if part
    )
    match one.kind:
        case "no data":
            said = "no data"
        case "keep":
            said = f"keep {one.present}"
        case _:
            said = f"{one.present} -> {one.proposed}"
    return f"{where} on {one.model}: {said}"


def _lines(one: EffortAdvice) -> list[str]:
    lines = [one.why]
    if one.present_cell is not None:
        lines.append(f"{one.present}, now: {_expected(one, one.present_cell)}")
    if one.proposed_cell is not None and one.proposed != one.present:
        lines.append(f"{one.proposed}, expected: {_expected(one, one.proposed_cell)}")
    lines += [_step(step) for step in one.steps]
    return lines


def _expected(one: EffortAdvice, cell: Cell) -> str:
    return (
        f"success {success_words(cell)}, cost of a {one.unit} {usd_words(cell.cost_nanousd)}, "
        f"output tokens {number_words(cell.output_tokens)}"
    )


def _step(step: StepTaken) -> str:
    cost = "" if step.cost_ratio is None else f", {step.cost_ratio:.2f} times the cost"
    more = f"; if it is as good, {step.needed:,} outcomes of each would show it" if step.needed else ""
    return (
        f"{step.effort}: success {100 * step.difference:+.1f} points ({100 * step.low:+.1f} to "
        f"{100 * step.high:+.1f}){cost}: {'passes' if step.passed else 'does not pass'}{more}"
    )


def days_of(since: str) -> float:
    """How many days back."""
    if match := re.fullmatch(r"([0-9]{1,5})([dh])", since):
        days = int(match[1]) / (1 if match[2] == "d" else 24)
    else:
        try:
            first = datetime.date.fromisoformat(since)
        except ValueError:
            raise ConfigError(
                "--since", f"{shortened(since, 40)!r}: must be as 30d, 12h or 2027-01-31"
            ) from None
        begin = datetime.datetime.combine(first, datetime.time(), datetime.UTC).timestamp()
        days = (time.time() - begin) * 1000 / DAY_MS
    if not 0 < days < 36_500:
        raise ConfigError("--since", f"{shortened(since, 40)!r}: must lie in the last hundred years")
    return days
