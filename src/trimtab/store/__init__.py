"""All that is kept, in SQLite or PostgreSQL: records, and tables for keys, limits and jobs. The only SQL.

What it is not: the logic of keys, limits or jobs (packages of their own), or a place that a request waits for.
Invariants: `put` never blocks and never raises; what may have been spent is known after any crash: a call is in the
journal before it goes out, and a record that cannot be kept is folded into a gap that `totals` counts.
"""

from trimtab.store.database import Database, Row, Transaction
from trimtab.store.identity import store_identity
from trimtab.store.instance import InstanceLock, hold_instance, serving_address
from trimtab.store.opening import journal_root, open_database, open_store, store_exists
from trimtab.store.records import Journal, Upkeep
from trimtab.store.seam import Store, StoreSettings, StoreStatus, TokenCounts, Totals

__all__ = [
    "Database",
    "InstanceLock",
    "Journal",
    "Row",
    "Store",
    "StoreSettings",
    "StoreStatus",
    "TokenCounts",
    "Totals",
    "Transaction",
    "Upkeep",
    "hold_instance",
    "journal_root",
    "open_database",
    "open_store",
    "serving_address",
    "store_exists",
    "store_identity",
]
