"""The way of a record: the journal before the call, the queue, the one writer, either engine, and the sums by the hour.

What it is not: the interface (`seam`), the choice of an engine (`opening`), or the deletion of old records
(`housekeeping`).
Invariants: no request waits for an engine; each record is counted exactly once, whether it waits, is a row or is in a
gap; a record and what it adds to the sums are committed together.
"""

from trimtab.store.records.journal import Journal
from trimtab.store.records.postgres_records import PostgresRecords
from trimtab.store.records.record_store import Reader, RecordStore
from trimtab.store.records.recovery import Upkeep
from trimtab.store.records.sqlite_records import SQLiteRecords
from trimtab.store.records.writer import RecordEngine

__all__ = [
    "Journal",
    "PostgresRecords",
    "Reader",
    "RecordEngine",
    "RecordStore",
    "SQLiteRecords",
    "Upkeep",
]
