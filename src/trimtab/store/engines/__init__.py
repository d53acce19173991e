"""The two engines: opening SQLite and PostgreSQL, what their failures mean in one line, and `Database` on each.

What it is not: the path of records, which has an adapter of its own per engine (`records`), or the schema's steps.
Invariants: no connection is used by two threads at once; every problem that an operator can cause becomes an error of
one line that names the store.
"""

from trimtab.store.engines.postgres_database import PostgresDatabase
from trimtab.store.engines.sqlite_database import Readers, SQLiteDatabase

__all__ = ["PostgresDatabase", "Readers", "SQLiteDatabase"]
