"""Upkeep of a store that is in use: whose turn it is, the deletion of what is old, and the store's condition.

What it is not: the clock and the thread (`app.housekeeping`), or what a process does for its own journal
(`records.recovery`).
Invariant: nothing here holds the store for long, and no request waits for it.
"""

from trimtab.store.housekeeping.chores import claim, put_down, renew
from trimtab.store.housekeeping.condition import Condition, condition_of
from trimtab.store.housekeeping.retention import LEASE_MS, Retention, TurnLost, delete_old, delete_old_content

__all__ = [
    "LEASE_MS",
    "Condition",
    "Retention",
    "TurnLost",
    "claim",
    "condition_of",
    "delete_old",
    "delete_old_content",
    "put_down",
    "renew",
]
