"""How `trimtab budgets` shows budgets.

Invariant: every figure has its unit, and a name is never cut or wrapped.
"""

import datetime
from collections.abc import Iterator, Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from trimtab.admin import AccountView, BudgetView, LineView, Standing
from trimtab.budgets.forecast import DAY_MS, Forecast
from trimtab.catalogue.money import about_dollars, dollars
from trimtab.cli.tables import console, headed, print_fitting
from trimtab.records import Meter, Reserve

EXPECTS = "what is expected of calls in flight; the limit can be passed by what they use beyond that, and by no more"

_UNITS: dict[Meter, tuple[str, str]] = {
    "usd": ("", ""),
    "tokens": ("token", "tokens"),
    "input_tokens": ("input token", "input tokens"),
    "output_tokens": ("output token", "output tokens"),
    "requests": ("request", "requests"),
    "concurrency": ("request in flight", "requests in flight"),
}


def print_budgets(found: Sequence[BudgetView]) -> None:
    """A line for each limit, or two where that is too wide."""
    print_fitting(_table(found), _lines(found))


def print_forecasts(found: Sequence[BudgetView]) -> None:
    """Each account of each limit, with its pace and where it leads, real and simulated apart."""
    table = headed("budget", "of", "limit", "spent", "forecast")
    lines = []
    for one, line, account in _rows(found):
        limit = f"{amount(line.meter, line.limit)}{_per(line)}"
        if account is None or line.meter == "concurrency" or line.period == "minute":
            continue
        sides = [("", account.real)]
        if not isinstance(account.simulated, msgspec.UnsetType):
            sides.append((", simulated", account.simulated))
        for side, stand in sides:
            of = account.scope if one.who == "*" else whose(one)
            cells = (one.name, f"{of}{side}", limit, amount(line.meter, stand.spent), _led(line, stand))
            table.add_row(*(Text(cell) for cell in cells))
            lines.append((f"{cells[0]}  {cells[1]}  {cells[2]}", f"{cells[3]} spent; {cells[4]}"))
    print_fitting(table, lines)


def _led(line: LineView, stand: Standing) -> str:
    made = stand.forecast
    if made is None:
        return stand.forecast_note
    step = "day" if made.pace.step_ms == DAY_MS else "hour"
    return f"{_about(line.meter, round(made.pace.mean))} a {step}: {forecast_words(line, stand)}"


def print_budget(one: BudgetView) -> None:
    """Everything about one."""
    out = console()
    card = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    card.add_column(style="bold", no_wrap=True)
    card.add_column(overflow="fold")
    rows = {
        "name": one.name,
        "of": whose(one),
        "note": one.note,
        "from": f"{one.file}, [budgets.{one.name}]" if one.source == "file" else "the store",
        "when spent": "warns only" if one.soft else "requests are refused",
        "warns": f"from {one.warn_percent} % on",
        "webhook": f"{one.webhook}{', signed' if one.signed else ', not signed'}" if one.webhook else "",
        "unbounded": "server tools and the like are permitted, and may overshoot"
        if one.may_overshoot
        else "",
        "holds": EXPECTS if one.reserve == "expected" else "",
        "made": _when(one.made_ms),
        "changed": _when(one.changed_ms) if one.changed_ms != one.made_ms else "",
    }
    for name, value in rows.items():
        if value:
            card.add_row(name, Text(value))
    out.print(card)
    print_budgets([one])
    if one.warnings:
        given = headed("warned (UTC)", "limit", "at", "account", "webhook")
        for warning in one.warnings:
            sent = "" if warning.state == "told" else f"{warning.state}, tries: {warning.tries}"
            given.add_row(
                _when(warning.at_ms),
                Text(warning.budget.rpartition(".")[2]),
                f"{f'{warning.level} %' if warning.level else 'refuses'}{', simulated' if warning.simulated else ''}",
                Text(warning.account),
                Text(f"{sent}: {warning.problem}" if warning.problem else sent),
            )
        out.print(given)


def lines_words(one: BudgetView) -> str:
    """Its limits in a few words."""
    return (
        ", ".join(f"{amount(line.meter, line.limit)}{_per(line)}" for line in one.lines)
        + (", soft" if one.soft else "")
        + (", holding what is expected" if one.reserve == "expected" else "")
    )


def whose(one: BudgetView) -> str:
    """The scope, and of which organisation."""
    who = f"each {one.scope}" if one.who == "*" else f"{one.scope} {one.who}"
    return who if one.scope == "organisation" or not one.organisation else f"{who} of {one.organisation}"


def amount(meter: Meter, value: int) -> str:
    """With its unit."""
    if meter == "usd":
        return dollars(value)
    single, several = _UNITS[meter]
    return f"{value:,} {single if value == 1 else several}"


def forecast_words(line: LineView, stand: Standing) -> str:
    """What is expected, and how sure that is."""
    made = stand.forecast
    if made is None:
        return stand.forecast_note
    parts = []
    if made.at_end is not None:
        parts.append(f"{_about(line.meter, made.at_end)} at its end{_interval(line.meter, made)}")
    if made.reached_ms is None:
        parts.append("not reached" if line.renews_ms is not None else "not reached within ten years")
    elif stand.left:
        parts.append(f"reached {_when(made.reached_ms)}")
    else:
        parts.append("reached")
    if made.reached_early_ms is not None and stand.left and made.reached_early_ms != made.reached_ms:
        parts.append(f"at the earliest {_when(made.reached_early_ms)}")
    steps = made.pace.steps
    step = "day" if made.pace.step_ms == DAY_MS else "hour"
    parts.append(f"by {steps} whole {step}{'' if steps == 1 else 's'}")
    return ", ".join(parts)


def _interval(meter: Meter, made: Forecast) -> str:
    if made.at_end_low is None or made.at_end_high is None:
        return ""
    return f" (95 %: {_about(meter, made.at_end_low)} to {_about(meter, made.at_end_high)})"


def _about(meter: Meter, value: int) -> str:
    """A forecast, rounded: all digits would say more than is known."""
    return about_dollars(value) if meter == "usd" else amount(meter, value)


def held_words(reserve: Reserve, *, soft: bool) -> str:
    """What is said behind a limit that is no usual one."""
    return ", soft" if soft else ", expected" if reserve == "expected" else ""


def _per(line: LineView) -> str:
    if line.meter == "concurrency":
        return ""
    return " in all" if line.period == "total" else f" a {line.period}"


def _rows(found: Sequence[BudgetView]) -> Iterator[tuple[BudgetView, LineView, AccountView | None]]:
    for one in found:
        for line in one.lines:
            if not line.accounts:
                yield one, line, None
            for account in line.accounts:
                yield one, line, account


def _table(found: Sequence[BudgetView]) -> Table:
    simulated = any(account is not None and _is_simulated(account) for _, _, account in _rows(found))
    table = headed(
        "budget", "of", "limit", "spent", "%", "held", "left", "renews (UTC)", "forecast",
        *(("simulated",) if simulated else ()),
    )  # fmt: skip
    for one, line, account in _rows(found):
        table.add_row(*(Text(cell) for cell in _cells(one, line, account, simulated)))
    return table


def _cells(one: BudgetView, line: LineView, account: AccountView | None, simulated: bool) -> list[str]:
    limit = f"{amount(line.meter, line.limit)}{_per(line)}{held_words(one.reserve, soft=one.soft)}"
    if account is None:
        return [
            one.name,
            whose(one),
            limit,
            "",
            "",
            "",
            "",
            _when(line.renews_ms),
            "",
            *([""] if simulated else []),
        ]
    stand = account.real
    return [
        one.name,
        account.scope if one.who == "*" else whose(one),
        limit,
        amount(line.meter, stand.spent),
        _percent(stand, line.limit),
        amount(line.meter, stand.held) if stand.held else "",
        amount(line.meter, stand.left),
        _when(line.renews_ms),
        forecast_words(line, stand),
        *([_simulated_words(line, account)] if simulated else []),
    ]


def _lines(found: Sequence[BudgetView]) -> Iterator[tuple[str, str]]:
    for one, line, account in _rows(found):
        cells = _cells(one, line, account, False)
        second = (
            f"{cells[3]} spent ({cells[4]} %), {cells[6]} left"
            if account is not None
            else "nothing counted yet"
        )
        if cells[5]:
            second += f", {cells[5]} held"
        if cells[7]:
            second += f"; renews {cells[7]}"
        if cells[8]:
            second += f"; {cells[8]}"
        if account is not None and _is_simulated(account):
            second += f"; simulated: {_simulated_words(line, account)}"
        yield f"{cells[0]}  {cells[1]}  {cells[2]}", second


def _is_simulated(account: AccountView) -> bool:
    return not isinstance(account.simulated, msgspec.UnsetType)


def _simulated_words(line: LineView, account: AccountView) -> str:
    if isinstance(account.simulated, msgspec.UnsetType):
        return ""
    return f"{amount(line.meter, account.simulated.spent)} spent, {amount(line.meter, account.simulated.left)} left"


def _percent(stand: Standing, limit: int) -> str:
    percent = 100 * stand.spent / limit
    return f"{percent:.1f}" if 0 < percent < 10 else f"{percent:.0f}"


def _when(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")
