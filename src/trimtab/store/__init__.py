"""The record store: what happened to every request, kept in SQLite, written by one thread.

What it is not: the ledger (money limits), the job queue, or a place that a request waits for.
Invariant: `put` never blocks and never raises, and no request's money or tokens are lost while the process lives:
a record that cannot be kept is folded into a gap that `totals` counts.
"""

from trimtab.store.database import Database, Row, Transaction
from trimtab.store.instance import InstanceLock, hold_instance
from trimtab.store.opening import open_database, open_store
from trimtab.store.seam import Store, StoreSettings, StoreStatus, TokenCounts, Totals

__all__ = [
    "Database",
    "InstanceLock",
    "Row",
    "Store",
    "StoreSettings",
    "StoreStatus",
    "TokenCounts",
    "Totals",
    "Transaction",
    "hold_instance",
    "open_database",
    "open_store",
]
