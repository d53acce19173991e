"""What was counted on the accounts of budgets, and what their owners spent day by day, read for people.

What it is not: what a limit goes by in a process's memory (`budgets`).
"""

from collections.abc import Sequence

import msgspec

from trimtab.records import Meter, Period, Scope
from trimtab.store.database import Transaction


class Counted(msgspec.Struct, frozen=True):
    """On one account and side, in its own unit."""

    spent: int = 0
    """What is recorded."""
    held: int = 0
    """What processes have on loan for it; a part may be spent already and not yet recorded."""


def counted_on(tx: Transaction, accounts: Sequence[str]) -> dict[tuple[str, bool], Counted]:
    """For each account and side (simulated or not) that has any."""
    return {}


def members_of(
    tx: Transaction, scope: Scope, meter: Meter, period: Period, at_ms: int, most: int
) -> list[str]:
    """Accounts of this period that are counted for a budget that everyone of a kind has for himself."""
    return []
