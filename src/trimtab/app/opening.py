"""Opens the database that a configuration names.

What it is not: the record store with its writer (`assemble`), or what is done with the tables.
Invariant: who only reads or changes what is there makes no store: in a wrong folder that would be an empty one.
"""

from trimtab.app.clock import unix_ms
from trimtab.config import Document
from trimtab.errors import StoreError
from trimtab.store import Database, StoreSettings, open_database, store_exists


def open_named(store: StoreSettings, document: Document, *, create: bool) -> Database:
    """The database of a `[store]` section; where there is none, `create` says whether it is made.

    Blocks. Raises `ConfigError` that names the place, `StoreError`.
    """
    with document.placing():
        if not create and not store_exists(store):
            raise StoreError(f"no store here yet: {store.url}; start `trimtab serve`, or give --config")
        return open_database(store, clock_ms=unix_ms)
