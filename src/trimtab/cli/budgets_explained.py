"""How `trimtab budgets explain` shows what requests draw on.

Invariant: every figure has its unit, and says whether it is real or simulated.
"""

import datetime

from trimtab.admin import Asked, Explained
from trimtab.admin.budget_expecting import ExpectedOf
from trimtab.cli.budgets_shown import amount, held_words
from trimtab.cli.tables import Rows, console, say_sentences
from trimtab.cli.term import say
from trimtab.store.budgets.history import meter_of_account


def print_explained(found: Explained) -> None:
    """Who it is, what it drew, what such requests are counted on now, and which limit refuses first."""
    who = " / ".join(part for part in (found.organisation, found.team, found.user) if part)
    key = f"key {found.key} ({found.name})" if found.key else "no key"
    tags = f", tags {', '.join(found.tags)}" if found.tags else ""
    if found.request:
        say_sentences(
            f"request {found.request}, {_when(found.at_ms)}, answered {found.status}: {key} of {who or 'nobody'}{tags}"
        )
        if found.error:
            say_sentences(found.error, 2)
        if not found.drew:
            say("It drew on no budget.")
        for one in found.drew:
            counting = (
                f", counted by {', '.join(one.budgets)}" if one.budgets else ", counted by no budget of today"
            )
            drew = amount(meter_of_account(one.account), one.amount)
            say_sentences(f"drew {drew} on {one.account}{' (hard)' if one.hard else ' (soft)'}{counting}", 2)
        say("A request like it is counted now on:")
    else:
        say_sentences(f"{key} of {who}{tags}: a request is counted now on:")
    if not found.asked:
        say("  no budget")
        return
    _print_asked(found)
    if found.expected:
        _say_expected(found)
    if found.first:
        say_sentences(f"{found.first} would refuse first: {found.why}.")
    else:
        say(f"None refuses: {found.why}.")


def _say_expected(found: Explained) -> None:
    names = ", ".join(one.budget for one in found.asked if one.reserve == "expected")
    calls = ""
    if found.most_in_flight is not None:
        calls = f"; {found.most_in_flight:,} are in flight at the most"
    seen = max((one.beyond or 0 for one in found.expected if not one.simulated), default=0)
    if found.most_in_flight is not None and seen:
        most = f"{found.most_in_flight * seen:,} output tokens"
        calls += f", and had they all written as much as the longest that was measured, that were {most}"
    say_sentences(
        f"{names}: held by what is expected. It can be passed by what calls in flight use beyond that, each by its "
        f"max_tokens less what was held for it at the most{calls}; then it refuses until it renews. Held for a call, "
        "unless its max_tokens are less:"
    )
    for one in found.expected:
        say_sentences(
            f"{_kind(one)}: {one.output_tokens:,} output tokens, {one.input_permille / 10:g} input tokens per "
            f"100 bytes ({_rests(one)})",
            2,
        )


def _kind(one: ExpectedOf) -> str:
    if not one.model:
        return f"any other at effort {one.effort}"
    arm = f"{one.model}@{one.effort}" if one.effort else one.model
    work = "" if one.task_class == "*" else f" for {one.task_class}" if one.task_class else " of no class"
    return f"{arm}{work}{', simulated' if one.simulated else ''}"


def _rests(one: ExpectedOf) -> str:
    if one.calls is None:
        return "prior, not measured"
    return (
        f"nine of ten of {one.calls:,} calls; the most was {one.most_output_tokens:,}, {one.beyond:,} beyond"
    )


def _print_asked(found: Explained) -> None:
    table = Rows(
        ("budget", "account"), ("limit", "renews (UTC)"), ("real: spent", "left", "held"), ("simulated: spent", "left"),
        wraps={"account": 40, "limit": 14},
    )  # fmt: skip
    for one in found.asked:
        table.add(*_cells(one))
    console().print(table)


def _cells(one: Asked) -> tuple[str, ...]:
    per = "" if one.meter == "concurrency" else " in all" if one.period == "total" else f" a {one.period}"
    counts = one.meter != "concurrency"
    return (
        one.budget,
        one.account,
        f"{amount(one.meter, one.limit)}{per}{held_words(one.reserve, soft=not one.hard)}",
        _when(one.renews_ms),
        amount(one.meter, one.real.spent) if counts else "",
        amount(one.meter, one.real.left) if counts else "",
        amount(one.meter, one.real.held) if one.real.held else "",
        amount(one.meter, one.simulated.spent) if counts and one.simulated.spent else "",
        amount(one.meter, one.simulated.left) if counts and one.simulated.spent else "",
    )


def _when(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")
