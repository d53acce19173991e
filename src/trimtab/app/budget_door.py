"""The door for budgets, for one command: beside a running server, and without one.

What it is not: the rules (`admin`). Reads what budgets depend on and no more: no platform credential is needed.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.admin import BudgetAdmin, FileBudgets
from trimtab.app.opening import open_named
from trimtab.app.settings import read_budgets
from trimtab.config import load_document
from trimtab.store import Database, StoreSettings


class BudgetDoor(msgspec.Struct, frozen=True):
    """For one command."""

    admin: BudgetAdmin
    database: Database
    store_url: str
    """Where budgets are kept that are not in the file, for people."""


@contextlib.contextmanager
def opened_budget_door(config: Path | None, *, create: bool = False) -> Iterator[BudgetDoor]:
    """Open the store that a configuration names, or `create` it. Blocks. Raises `ConfigError`, `StoreError`."""
    document = load_document(config)
    store = document.section("store", StoreSettings)
    budgets = read_budgets(document, resolve=False)
    with contextlib.closing(open_named(store, document, create=create)) as database:
        yield BudgetDoor(BudgetAdmin(database, FileBudgets(document.name, budgets)), database, store.url)
