"""Opens the database that a configuration names.

What it is not: the record store with its writer (`assemble`), or what is done with the tables.
"""

from trimtab.app.clock import unix_ms
from trimtab.config import Document
from trimtab.store import Database, StoreSettings, open_database


def open_named(store: StoreSettings, document: Document) -> Database:
    """The database of a `[store]` section. Blocks. Raises `ConfigError` that names the place, `StoreError`."""
    with document.placing():
        return open_database(store, clock_ms=unix_ms)
