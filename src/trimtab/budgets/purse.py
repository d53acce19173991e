"""What the requests of one caller are counted on in the present periods, worked out once for many requests.

What it is not: the amounts of any one request (`ledger`). Invariant: a purse holds each account once; what it says is
right from `from_ms` until `until_ms`, and not after.
"""

from collections.abc import Callable, Sequence

import msgspec

from trimtab.budgets.slices import AccountSlice, Slices
from trimtab.records import METERS, Budget, Caller, Draw, Limits, account_of, period_of
from trimtab.store.limits import Caps

USD, TOKENS, INPUT, OUTPUT, REQUESTS, NOTHING = range(len(METERS))
"""Places of an `Amounts`, in the order of `METERS`; of concurrency no amount is taken."""

EXPECTED = len(METERS)
"""From this place of an `Amounts` on: of the meters before `REQUESTS`, what is expected."""

Amounts = tuple[int, ...]
"""By meter: nano-dollars, tokens, input tokens, output tokens, requests, 0. Where a slice of the purse is held by what
is expected, so many of them again: nano-dollars, tokens, input tokens, output tokens."""

NO_AMOUNTS: Amounts = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

Expect = Callable[[], tuple[int, int, int]]
"""What a call is expected to come to: nano-dollars, input tokens, output tokens."""

_NEVER = 2**62
"""Unix milliseconds in which what has no period ends."""


class Purse(msgspec.Struct, eq=False, gc=False):
    """The slices that requests of one caller draw from, and the accounts that they are counted on."""

    limits: Limits
    """Those of the caller that it was made for."""
    from_ms: int
    until_ms: int
    slices: tuple[AccountSlice, ...]
    meters: tuple[int, ...]
    """For each slice, which of the amounts is taken of it."""
    expects: bool
    """Whether any of them is what is expected, and not the worst case."""
    takes_money: bool
    """Whether the first slice is that of the key's own limit on money."""
    spends: bool
    """Whether any slice is of an amount, which is spent for good."""
    hard: Budget | None
    """A hard budget of money or tokens."""
    strict: Budget | None
    """One that must not be passed by what is billed by use."""
    accounts: tuple[str, ...]
    """Of all budgets with an amount, hard and soft."""
    account_meters: tuple[int, ...]
    leased: tuple[bool, ...]

    @property
    def empty(self) -> bool:
        """Whether its caller's requests are counted on nothing."""
        return not self.slices and not self.accounts


def purse_of(caller: Caller, budgets: Sequence[Budget], slices: Slices, at_ms: int) -> Purse:
    """The purse of a caller at this Unix millisecond. About 10 us for each budget."""
    limits = caller.limits
    hard: list[AccountSlice] = []
    meters: list[int] = []
    accounts: list[tuple[str, int, bool]] = []
    from_ms, until_ms = 0, _NEVER
    if limits.any:
        hard.append(slices.of(caller.key, caps_of(limits)))
        meters.append(NOTHING if limits.total_nanousd is None else USD)
    for budget in budgets:
        account = account_of(budget.scope, budget.meter, budget.period, at_ms)
        if budget.meter == "concurrency":
            hard.append(slices.of(account, Caps(concurrency=budget.limit), budget))
            meters.append(NOTHING)
            continue
        begins, ends = period_of(budget.period, at_ms)
        from_ms, until_ms = max(from_ms, begins), min(until_ms, _NEVER if ends is None else ends)
        meter = METERS.index(budget.meter)
        accounts.append((account, meter, budget.hard))
        if budget.hard:
            hard.append(slices.of(account, Caps(total=budget.limit), budget, ends))
            meters.append(EXPECTED + meter if holds_expected(budget) else meter)
    bounded = [
        budget for budget in budgets if budget.hard and budget.meter not in ("requests", "concurrency")
    ]
    return Purse(
        limits,
        from_ms,
        until_ms,
        tuple(hard),
        tuple(meters),
        any(meter >= EXPECTED for meter in meters),
        limits.total_nanousd is not None,
        any(meter != NOTHING for meter in meters),
        bounded[0] if bounded else None,
        next((budget for budget in bounded if not budget.may_overshoot), None),
        tuple(account for account, _, _ in accounts),
        tuple(meter for _, meter, _ in accounts),
        tuple(leased for _, _, leased in accounts),
    )


def holds_expected(budget: Budget) -> bool:
    """Whether calls in flight are held on a budget by what is expected of them."""
    return budget.hard and budget.reserve == "expected" and budget.meter not in ("requests", "concurrency")


def with_expected(worst: Amounts, expect: Expect | None) -> Amounts:
    """The amounts with those that are expected behind them: never more than the worst case, and where that is something
    never nothing, so that who has spent all is refused."""
    if expect is None:
        return worst + worst[:REQUESTS]
    usd, into, out = (
        min(max(told, 1), worst[meter]) for told, meter in zip(expect(), (USD, INPUT, OUTPUT), strict=True)
    )
    return (*worst, usd, into + out, into, out)


def caps_of(limits: Limits) -> Caps:
    """What a key carries, as limits of the account that is its own."""
    return Caps(limits.concurrency, limits.requests_per_minute, limits.total_nanousd)


class Drawn:
    """What all calls of one request come to on each account, as far as is known: what is held for those under way."""

    __slots__ = ("amounts", "purse")

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self.amounts = [0] * len(purse.accounts)

    def add(self, more: Amounts, less: Amounts = NO_AMOUNTS) -> None:
        """Count a call in, or what it came to in place of what was held for it."""
        amounts = self.amounts
        for place, meter in enumerate(self.purse.account_meters):
            amounts[place] += more[meter] - less[meter]

    def draws(self) -> tuple[Draw, ...]:
        """For records."""
        purse = self.purse
        return tuple(
            [
                Draw(account, amount, leased)
                for account, amount, leased in zip(purse.accounts, self.amounts, purse.leased, strict=True)
                if amount
            ]
        )
