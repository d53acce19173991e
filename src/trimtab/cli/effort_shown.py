"""How `trimtab effort` shows tables.

Invariant: no figure stands without its interval; where there is no figure it says "no data", and how much there is.
"""

from itertools import combinations

import msgspec
from rich.text import Text

from trimtab.catalogue.money import about_dollars
from trimtab.cli.tables import Rows, console
from trimtab.cli.term import counted, say
from trimtab.console.words import NBSP, duration, moment, number
from trimtab.efforts import Cell, ClassTable, Comparison, EffortTable, Figure, compare, equivalents
from trimtab.efforts.frontier import frontier, shown_cells
from trimtab.efforts.table import CONVERSATIONS_MIN, arms_of

BAR = 41
"""Columns of a bar from 0 to 100 %."""

NO_DATA = "no data"


def print_table(table: EffortTable, margin: float) -> None:
    """Every class: figures, the frontier as bars, and which arm does as well as which."""
    out = console()
    side = "SIMULATED requests" if table.simulated else "requests"
    days = f"{moment(table.from_ms)[:16]} to {moment(table.to_ms)[:16]} UTC"
    newest = "" if table.complete else ", the newest"
    if table.simulated:
        out.print(Text("SIMULATED: no real model answered any of this", style="yellow"))
    if not table.classes:
        say(f"{NO_DATA}: no answered {side} from {days}")
        if not table.simulated:
            say("of simulated ones: --simulated; further back: --since 90d")
        return
    say(f"{table.requests:,} {side}{newest}, {days}. Intervals: 95 %.")
    for one in table.classes:
        out.print()
        out.print(Text.assemble((one.task_class or "(no class named)", "bold"), f", by {one.unit}"))
        out.print(_cells(one))
        if one.left_out:
            say(f"{counted(one.left_out, 'conversation')} left out that used several arms")
        _print_frontier(one)
        _print_equivalents(one, margin)
    out.print()
    say(
        "Outcomes are those that were told of. Where harder requests of a class got more effort, effort did more than "
        "this says: docs/effort-tables.md."
    )


def table_json(table: EffortTable, margin: float) -> dict[str, object]:
    """The table with its comparisons."""
    raw: dict[str, object] = msgspec.to_builtins(table)
    raw["margin"] = margin
    raw["conversations_min"] = CONVERSATIONS_MIN
    raw["comparisons"] = [
        {"task_class": one.task_class, **msgspec.to_builtins(comparison)}
        for one in table.classes
        for comparison in equivalents(one, margin)
    ]
    raw["frontier"] = {one.task_class: [cell.arm for cell in frontier(one)] for one in table.classes}
    return raw


def percent_words(figure: Figure | None) -> str:
    """A rate with its interval."""
    if figure is None:
        return NO_DATA
    return f"{100 * figure.value:.1f} % ({100 * figure.low:.0f}–{100 * figure.high:.0f})"


def usd_words(figure: Figure | None) -> str:
    """Nano-dollars with their interval."""
    if figure is None:
        return NO_DATA
    value, low, high = (about_dollars(one, 3) for one in (figure.value, figure.low, figure.high))
    return f"{value} ({low}–{high})"


def number_words(figure: Figure | None) -> str:
    """Tokens with their interval."""
    if figure is None:
        return NO_DATA
    value, low, high = (number(round(one)) for one in (figure.value, figure.low, figure.high))
    return f"{value} ({low}–{high})".replace(NBSP, " ")


def time_words(figure: Figure | None) -> str:
    """A time with its interval."""
    if figure is None:
        return NO_DATA
    value, low, high = (duration(one).split(NBSP) for one in (figure.value, figure.low, figure.high))
    if len(value) == 2 and value[1] == low[1] == high[1]:
        return f"{' '.join(value)} ({low[0]}–{high[0]})"
    return f"{' '.join(value)} ({' '.join(low)}–{' '.join(high)})"


def success_words(cell: Cell) -> str:
    """Success with its interval, or how much is missing."""
    if cell.success is None:
        return f"{NO_DATA} ({cell.told_conversations} of {CONVERSATIONS_MIN} conversations)"
    return percent_words(Figure(cell.success.value, cell.success.low, cell.success.high))


def _cells(table: ClassTable) -> Rows:
    made = Rows(
        ("arm", f"{table.unit}s", "told"),
        ("success", f"cost of a {table.unit}"),
        ("input tokens", "output tokens", "of that thinking"),
        ("time p50", "time p95"),
        wraps={"success": 16, f"cost of a {table.unit}": 20, "input tokens": 16, "output tokens": 16,
               "of that thinking": 16, "time p50": 12, "time p95": 12},
    )  # fmt: skip
    for cell in table.cells:
        made.add(
            cell.arm,
            f"{cell.asked:,} of {cell.conversations:,}" if table.unit == "request" else f"{cell.asked:,}",
            f"{cell.told:,}",
            *_figures(cell),
        )
    return made


def _figures(cell: Cell) -> tuple[str, ...]:
    return (
        success_words(cell),
        usd_words(cell.cost_nanousd),
        number_words(cell.input_tokens),
        number_words(cell.output_tokens),
        number_words(cell.thinking_tokens),
        time_words(cell.p50_ms),
        time_words(cell.p95_ms),
    )


def _print_frontier(table: ClassTable) -> None:
    cells = shown_cells(table)
    if not cells:
        return
    best = frontier(table)
    made = Rows(("frontier", f"cost of a {table.unit}"), (f"{'0 %':<19}success{'100 %':>15}", "95 %"))
    for cell in cells:
        made.add(
            f"{'*' if cell in best else ' '} {cell.arm}", usd_words(cell.cost_nanousd), _bar(cell), success_words(cell)
        )  # fmt: skip
    console().print(made)
    say("* no other arm succeeds as often for less, by the middle figures")


def _bar(cell: Cell) -> str:
    assert cell.success is not None
    places = [" "] * BAR
    low, high, middle = (
        round(share * (BAR - 1)) for share in (cell.success.low, cell.success.high, cell.success.value)
    )
    for place in range(low, high + 1):
        places[place] = "─"
    places[middle] = "●"
    return "".join(places)


def _print_equivalents(table: ClassTable, margin: float) -> None:
    """For each two models a table: the efforts of the one against those of the other."""
    by_model = [(model, cells) for model, cells in arms_of(table) if any(cell.success for cell in cells)]
    for (model, cells), (other, others) in combinations(by_model, 2):
        say(f"Which effort of {other} equals which of {model}, within {100 * margin:g} points of success:")
        against = [f"{other}@{cell.effort}" if cell.effort else other for cell in others]
        made = Rows(model, *against, wraps=dict.fromkeys(against, 13))
        missing = 0
        for cell in cells:
            found = [compare(cell, one, margin) for one in others]
            missing = max([missing, *(one.needed or 0 for one in found)])
            made.add(f"{model}@{cell.effort}" if cell.effort else model, *map(_compared, found))
        console().print(made)
        say(
            f"+ and -: points by which {other} succeeds more or less often, with the interval of two one-sided"
        )
        say("tests at 95 %; inconclusive is not equal")
        if missing:
            say(f"arms that are equal would probably be found so with {missing:,} outcomes of each")


def _compared(one: Comparison) -> str:
    if one.difference is None or one.low is None or one.high is None:
        return NO_DATA
    return f"{one.verdict} {100 * one.difference:+.1f} ({100 * one.low:+.0f} to {100 * one.high:+.0f})"
