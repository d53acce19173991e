"""Which accounts of budgets have passed the part of their limit from which a warning is given, and which refuse.

What it is not: the refusal itself, the counting, or who is told. Invariants: what is asked on the way of a request is a
look into a dictionary; a warning speaks of what is recorded, so it comes late rather than wrongly.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from trimtab.records import Budget

FULL = 100
"""The level of a limit that is reached; another level is the budget's own."""

REFUSING = 0
"""In the place of a level: requests are refused because they may come to more than is left, however much that is."""

REMEMBERED_MOST = 10_000
"""Refusals of so many accounts are known to have been noted; then all are forgotten, and asked about again."""

_LEFT = {
    "usd": "left_usd",
    "tokens": "left_tokens",
    "input_tokens": "left_input_tokens",
    "output_tokens": "left_output_tokens",
    "requests": "left_requests",
}


class Passed(msgspec.Struct, frozen=True):
    """One account that has passed a level of a budget."""

    budget: Budget
    account: str
    simulated: bool
    level: int
    spent: int

    @property
    def left(self) -> int:
        """In the budget's unit; never below 0."""
        return max(0, self.budget.limit - self.spent)

    @property
    def percent(self) -> int:
        """Whole per cent that are spent, rounded down, so that 100 is not said before it is so."""
        return 100 * self.spent // self.budget.limit

    @property
    def words(self) -> str:
        """`name=team-a.usd_per_month; spent=82%; left_usd=90.12`."""
        left = amount_in(self.budget, self.left)
        return f"name={self.budget.name}; spent={self.percent}%; {_LEFT[self.budget.meter]}={left}"


class Refused(msgspec.Struct, frozen=True):
    """A request did not fit into what is left of a hard budget."""

    budget: Budget
    account: str
    simulated: bool
    asked: int
    """The most that it may come to, in the budget's unit."""
    left: int | None
    """Neither spent nor held, as far as was asked; `None` where it was not, as more than the whole limit is wanted."""

    @property
    def words(self) -> str:
        """`name=team-a.usd_per_month; refused; asked_usd=3.2; left_usd=1.05`."""
        meter = _LEFT[self.budget.meter].removeprefix("left_")
        left = "" if self.left is None else f"; left_{meter}={amount_in(self.budget, self.left)}"
        return f"name={self.budget.name}; refused; asked_{meter}={amount_in(self.budget, self.asked)}{left}"


def amount_in(budget: Budget, amount: int) -> str:
    """In the budget's unit, money in dollars and exact."""
    return f"{Decimal(amount).scaleb(-9).normalize():f}" if budget.meter == "usd" else str(amount)


class Refusals:
    """What a process has refused and nobody has looked at yet: of each account of a budget the first. Noted by the
    requests' event loop, taken by any one thread."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str, bool, int]] = set()
        self._new: deque[Refused] = deque()

    def __call__(self, found: Sequence[Refused]) -> None:
        """These refuse a request. Never waits; a look into a set for each."""
        for one in found:
            place = (one.budget.name, one.account, one.simulated, one.budget.limit)
            if place in self._known:
                continue
            if len(self._known) >= REMEMBERED_MOST:
                self._known.clear()
            self._known.add(place)
            self._new.append(one)

    def take(self) -> list[Refused]:
        """Those that are new since the last time."""
        return [self._new.popleft() for _ in range(len(self._new))]


def passed(
    accounts: Iterable[tuple[str, Budget]], spent: Mapping[tuple[str, bool], int]
) -> tuple[Passed, ...]:
    """Of these accounts with their budgets, those that have passed a level, on either side; with the highest level."""
    found = []
    for account, budget in accounts:
        for simulated in (False, True):
            amount = spent.get((account, simulated), 0)
            if amount >= budget.limit:
                found.append(Passed(budget, account, simulated, FULL, amount))
            elif 100 * amount >= budget.warn_percent * budget.limit:
                found.append(Passed(budget, account, simulated, budget.warn_percent, amount))
    return tuple(found)


class Warnings:
    """What a process knows now. `now_is` replaces all of it at once; safe to ask from any thread."""

    def __init__(self) -> None:
        self._words: Mapping[tuple[str, bool], tuple[str, ...]] = {}

    def now_is(self, found: Sequence[Passed]) -> None:
        """From now on these have passed a level."""
        words: dict[tuple[str, bool], tuple[str, ...]] = {}
        for one in found:
            place = (one.account, one.simulated)
            words[place] = (*words.get(place, ()), one.words)
        self._words = words

    def __call__(self, accounts: Sequence[str], simulated: bool) -> tuple[str, ...]:
        """What to say of a request that is counted on these accounts. About 0.2 us an account."""
        words = self._words
        if not words:
            return ()
        return tuple(text for account in accounts for text in words.get((account, simulated), ()))
