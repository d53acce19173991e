"""What a caller is told whose request does not fit: which limit, what is left of it, when it renews, what to do.

What it is not: the decision. Invariant: 402 only where a retry within the period cannot help, 429 only where it can.
"""

import datetime
from collections.abc import Sequence

from trimtab.budgets.slices import AccountSlice, Shortage
from trimtab.budgets.warnings import Refused
from trimtab.catalogue.money import dollars
from trimtab.errors import BudgetSpent, RateLimited, Unavailable
from trimtab.records import Budget, Scope

RETRY_S = 1

_PERIODS = {"minute": "a minute", "day": "a day", "month": "a month", "total": "all"}

_UNITS = {"tokens": "tokens", "input_tokens": "input tokens", "output_tokens": "output tokens"}


def away(one: AccountSlice) -> Unavailable:
    """The store did not give a slice in time."""
    whose = f"key {one.account!r}'s limits" if one.budget is None else f"budget {one.budget.name!r}"
    return Unavailable(
        f"the slice of {whose} is used up, and the store did not give another in time (store.wait_ms); try again",
        RETRY_S,
    )


def refusal(
    short: Sequence[tuple[AccountSlice, int, Shortage]], simulated: bool, at_ms: int
) -> RateLimited | BudgetSpent:
    """The error for a request that arrived at this Unix millisecond, by what is worst about it."""
    said = [
        _of_key(one, amount, lacks, simulated)
        if one.budget is None
        else _of_budget(one, one.budget, amount, lacks, simulated, at_ms)
        for one, amount, lacks in short
    ]
    worst = max(said, key=lambda told: (isinstance(told, BudgetSpent), getattr(told, "retry_after_s", 0)))
    if isinstance(worst, BudgetSpent):
        worst.notes = tuple(f"budget: {one.words}" for one in refused(short, simulated))
    return worst


def refused(short: Sequence[tuple[AccountSlice, int, Shortage]], simulated: bool) -> list[Refused]:
    """The budgets that refuse a request for as long as their period lasts, unless it asks for less. Those of a minute
    do so again and again, and what is held by others comes back."""
    found = []
    for one, amount, lacks in short:
        budget, left = one.budget, one.unspent[simulated]
        if budget is None or lacks.permits or budget.period == "minute":
            continue
        if amount > budget.limit or (left is not None and left < amount):
            found.append(Refused(budget, one.account, simulated, amount, left))
    return found


def _of_key(one: AccountSlice, amount: int, lacks: Shortage, simulated: bool) -> RateLimited | BudgetSpent:
    caps, unspent = one.caps, one.unspent[simulated]
    if lacks.amount and unspent is not None and unspent < amount:
        return BudgetSpent(
            f"this key may spend {dollars(caps.total or 0)} in all and has {dollars(max(unspent, 0))} left; this "
            f"request may cost up to {dollars(amount)}: lower max_tokens, or have the key's limit raised"
        )
    if lacks.permits:
        return RateLimited(
            f"this key has its limit of {caps.concurrency} requests in flight; wait for one to end", RETRY_S
        )
    if lacks.requests:
        return RateLimited(
            f"this key has its limit of {caps.requests_per_minute} requests in a minute; slow down",
            one.rate_retry_s,
        )
    return RateLimited(
        "what is left of this key's money is held for its requests in flight; wait for one to end", RETRY_S
    )


def _of_budget(
    one: AccountSlice, budget: Budget, amount: int, lacks: Shortage, simulated: bool, at_ms: int
) -> RateLimited | BudgetSpent:
    whose = f"budget {budget.name!r}: {_shown(budget.scope)}"
    if lacks.permits:
        return RateLimited(
            f"{whose} has its limit of {budget.limit} requests in flight; wait for one to end", RETRY_S
        )
    will = "is expected to" if budget.reserve == "expected" else "may"
    less = _less(budget)
    limit, left = f"{_amount(budget, budget.limit)} in {_PERIODS[budget.period]}", one.unspent[simulated]
    if amount > budget.limit:
        return BudgetSpent(
            f"{whose} may use {limit}, and this request alone {will} come to {_amount(budget, amount)}: "
            f"{less}or have the budget raised"
        )
    if left is not None and left < amount:
        comes = (
            "" if budget.meter == "requests" else f"; this request {will} come to {_amount(budget, amount)}"
        )
        has = f"{whose} may use {limit} and has {_amount(budget, left)} left{comes}"
        if budget.period == "minute" and one.ends_ms is not None:
            wait_s = min(max(1, -(-(one.ends_ms - at_ms) // 1000)), 60)  # also where the clock was set back
            return RateLimited(f"{has}: slow down; it renews in {wait_s} s", wait_s)
        renews = "" if one.ends_ms is None else f"wait until it renews at {_moment(one.ends_ms)}, "
        return BudgetSpent(f"{has}: {less}{renews}or have the budget raised")
    return RateLimited(
        f"{whose} may use {limit}, and what is left is held for requests in flight; wait for one to end",
        RETRY_S,
    )


def _less(budget: Budget) -> str:
    """What makes a request smaller there."""
    if budget.meter == "requests":
        return ""
    if budget.meter == "input_tokens":
        return "send less, "
    output = "lower the effort or max_tokens, " if budget.reserve == "expected" else "lower max_tokens, "
    return output if budget.meter == "output_tokens" else f"{output}send less, "


def _shown(scope: Scope) -> str:
    """`team 'red'`."""
    return f"{scope.kind} {scope.name!r}"


def _amount(budget: Budget, amount: int) -> str:
    if budget.meter == "usd":
        return dollars(max(amount, 0))
    unit = _UNITS.get(budget.meter, "requests")
    return f"{max(amount, 0):,} {unit[:-1] if amount == 1 else unit}"


def _moment(unix_ms: int) -> str:
    return datetime.datetime.fromtimestamp(unix_ms // 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")
