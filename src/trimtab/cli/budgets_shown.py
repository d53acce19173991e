"""How `trimtab budgets` shows budgets.

Invariant: every figure has its unit, and a name is never cut or wrapped.
"""

import datetime
from collections.abc import Iterator, Sequence

import msgspec

from trimtab.admin import AccountView, BudgetView, LineView, Standing
from trimtab.budgets.forecast import DAY_MS, Forecast
from trimtab.catalogue.money import about_dollars, dollars
from trimtab.cli.tables import Rows, card, console
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
    """A row for each account of each limit."""
    table = Rows(
        ("budget", "of"), ("limit", "renews (UTC)"), ("spent", "%"), ("left", "held"), "forecast", "simulated",
        wraps={"of": 16, "limit": 14, "forecast": 18, "simulated": 14},
    )  # fmt: skip
    for one, line, account in _rows(found):
        table.add(*_cells(one, line, account))
    console().print(table)


def print_forecasts(found: Sequence[BudgetView]) -> None:
    """Each account of each limit, with its pace and where it leads, real and simulated apart."""
    table = Rows(("budget", "of"), ("limit", "spent"), "forecast", wraps={"of": 16, "forecast": 30})
    for one, line, account in _rows(found):
        limit = f"{amount(line.meter, line.limit)}{_per(line)}"
        if account is None or line.meter == "concurrency" or line.period == "minute":
            continue
        sides = [("", account.real)]
        if not isinstance(account.simulated, msgspec.UnsetType):
            sides.append((", simulated", account.simulated))
        for side, stand in sides:
            of = account.scope if one.who == "*" else whose(one)
            table.add(one.name, f"{of}{side}", limit, amount(line.meter, stand.spent), _led(line, stand))
    console().print(table)


def _led(line: LineView, stand: Standing) -> str:
    made = stand.forecast
    if made is None:
        return stand.forecast_note
    step = "day" if made.pace.step_ms == DAY_MS else "hour"
    return f"{_about(line.meter, round(made.pace.mean))} a {step}: {forecast_words(line, stand)}"


def print_budget(one: BudgetView) -> None:
    """Everything about one."""
    out = console()
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
    out.print(card(rows.items()))
    out.print()
    print_budgets([one])
    if one.warnings:
        given = Rows(
            ("warned (UTC)", "at"), ("limit", "account"), "webhook", wraps={"account": 20, "webhook": 20}
        )
        for warning in one.warnings:
            sent = "" if warning.state == "told" else f"{warning.state}, tries: {warning.tries}"
            given.add(
                _when(warning.at_ms),
                f"{f'{warning.level} %' if warning.level else 'refuses'}{', simulated' if warning.simulated else ''}",
                warning.budget.rpartition(".")[2],
                warning.account,
                f"{sent}: {warning.problem}" if warning.problem else sent,
            )
        out.print()
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


def _cells(one: BudgetView, line: LineView, account: AccountView | None) -> list[str]:
    limit = f"{amount(line.meter, line.limit)}{_per(line)}{held_words(one.reserve, soft=one.soft)}"
    if account is None:
        return [one.name, whose(one), limit, _when(line.renews_ms), *[""] * 6]
    stand = account.real
    return [
        one.name,
        account.scope if one.who == "*" else whose(one),
        limit,
        _when(line.renews_ms),
        _read(line.meter, stand.spent),
        f"{_percent(stand, line.limit)} %",
        _read(line.meter, stand.left),
        _read(line.meter, stand.held) if stand.held else "",
        forecast_words(line, stand),
        _simulated_words(line, account),
    ]


def _read(meter: Meter, value: int) -> str:
    """At a glance: dollars rounded, counts without the unit that stands in the limit."""
    return about_dollars(value) if meter == "usd" else f"{value:,}"


def _simulated_words(line: LineView, account: AccountView) -> str:
    if isinstance(account.simulated, msgspec.UnsetType):
        return ""
    return f"{_read(line.meter, account.simulated.spent)} spent, {_read(line.meter, account.simulated.left)} left"


def _percent(stand: Standing, limit: int) -> str:
    percent = 100 * stand.spent / limit
    return f"{percent:.1f}" if 0 < percent < 10 else f"{percent:.0f}"


def _when(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")
