"""Which accounts of budgets have passed the part of their limit from which a warning is given.

What it is not: a refusal, the counting, or who is told. Invariants: what is asked on the way of a request is a look
into a dictionary; a warning speaks of what is recorded, so it comes late rather than wrongly.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from trimtab.records import Budget

FULL = 100
"""The level of a limit that is reached; the other level is the budget's own."""

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
        left = (
            f"{Decimal(self.left).scaleb(-9).normalize():f}" if self.budget.meter == "usd" else str(self.left)
        )
        return f"name={self.budget.name}; spent={self.percent}%; {_LEFT[self.budget.meter]}={left}"


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
