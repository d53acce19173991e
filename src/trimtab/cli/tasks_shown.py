"""How `trimtab tasks` shows tasks: bars of phases, moves, events.

Invariant: every figure has its unit, and an id is never cut or wrapped.
"""

from collections.abc import Sequence

from rich.text import Text

from trimtab.admin.task_words import EventView, PhaseView, TaskView, nanousd_of
from trimtab.catalogue.money import about_dollars, dollars
from trimtab.cli.keys_shown import shown
from trimtab.cli.tables import Rows, card, console

BAR = 32
"""Characters of the longest bar."""

MOVES = 20
"""The last ones; `--json` has them all."""


def print_tasks(found: Sequence[TaskView]) -> None:
    """A row each."""
    table = Rows(
        ("id", "name"), ("state", "phase", "changed (UTC)"), ("tokens", "of", "held"), ("usd", "calls"),
        wraps={"name": 20, "usd": 8}, right=("tokens", "of", "held"),
    )  # fmt: skip
    for one in found:
        table.add(*_cells(one))
    console().print(table)


def print_task(one: TaskView) -> None:
    """Everything about one."""
    out = console()
    rows = {
        "id": one.id,
        "name": one.name,
        "state": one.state,
        "strategy": one.strategy,
        "tokens": f"{one.spent:,} spent, {one.held:,} held, {one.left:,} left of {one.total:,}",
        "overshoot": f"{one.overshoot:,} tokens more than was held for them" if one.overshoot else "",
        "usd": _money(one),
        "calls": f"{one.calls:,}" + (", some or all of them simulated" if one.simulated else ""),
        "key": one.key or "callers without a key",
        "of": ", ".join(filter(None, (one.organisation, one.team, one.user))),
        "scenario": one.scenario,
        "tags": ", ".join(one.tags),
        "made": f"{shown(one.created_ms)} UTC",
        "changed": f"{shown(one.changed_ms)} UTC",
    }
    out.print(card(rows.items()))
    out.print()
    longest = max(max(phase.budget, phase.spent) for phase in one.phases)
    table = Rows(
        ("phase", "done"), "budget", ("tokens", "of"), ("planned", "floor"), "calls",
        right=("tokens", "of", "planned", "floor", "calls"),
    )  # fmt: skip
    for phase in one.phases:
        table.add(
            f"{phase.name} <" if phase.name == one.phase else phase.name,
            "" if phase.progress is None else f"{phase.progress:.0%}",
            bar(phase, longest),
            f"{phase.spent + phase.held:,}",
            f"{phase.budget:,}",
            f"{phase.planned:,}",
            f"{phase.floor:,}" + (" guaranteed" if phase.guaranteed else ""),
            f"{phase.calls:,}",
        )
    out.print(table)
    if one.moves:
        out.print(
            Text(f"moves{f' (the last {MOVES} of {len(one.moves)})' if len(one.moves) > MOVES else ''}:")
        )
        for move in one.moves[-MOVES:]:
            text = f"  {shown(move.at_ms)}  {move.tokens:,} tokens from {move.source} to {move.target}: {move.reason}"
            out.print(Text(text), soft_wrap=True)


def bar(phase: PhaseView, longest: int) -> str:
    """As long as the phase's budget; filled as far as it is spent, hatched as far as it is held."""
    of = max(longest, 1)
    length = max(1, round(BAR * max(phase.budget, phase.spent) / of))
    spent = min(length, round(BAR * phase.spent / of))
    held = min(length - spent, round(BAR * phase.held / of))
    return "█" * spent + "▒" * held + "░" * (length - spent - held)


def event_line(one: EventView) -> str:
    """One event for people."""
    parts = [
        f"{one.n:>5}  {shown(one.at_ms)}  {one.event:<9}",
        f"{one.source} > {one.phase}" if one.source else one.phase,
        _amount(one),
        _usd(one.usd) if one.usd else "",
        one.request,
        one.reason,
    ]
    return "  ".join(part for part in parts if part)


def _amount(one: EventView) -> str:
    if one.event == "progress":
        return f"{one.tokens / 1000:.0%}"
    return f"{one.tokens:,} tokens" if one.tokens else ""


def _cells(one: TaskView) -> list[str]:
    return [
        one.id,
        one.name,
        one.state,
        one.phase,
        shown(one.changed_ms),
        f"{one.spent:,}",
        f"{one.total:,}",
        f"{one.held:,}" if one.held else "",
        about_dollars(nanousd_of(one.spent_usd)) + (f" of {_usd(one.usd)}" if one.usd is not None else ""),
        f"{one.calls:,}",
    ]


def _money(one: TaskView) -> str:
    spent = f"{_usd(one.spent_usd)} spent"
    if one.usd is None or one.left_usd is None:
        return f"{spent}, no limit"
    return f"{spent}, {_usd(one.held_usd)} held, {_usd(one.left_usd)} left of {_usd(one.usd)}"


def _usd(usd: float) -> str:
    return dollars(nanousd_of(usd))
