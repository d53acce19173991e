"""Which store this is: a random name that the database keeps, and that journals on local disks carry.

What it is not: the users of the store (`trimtab.identity`).
Invariant: a store has one name for good; a backup carries it along, so what is restored can still recover its journals.
"""

import secrets

from trimtab.store.database import Database, Transaction


def store_identity(database: Database) -> str:
    """The name of the store, given to it now if it has none. Blocks. Raises `StoreError`."""
    return database.read(_name) or database.write(_named)


def _name(transaction: Transaction) -> str:
    row = transaction.row("SELECT id FROM store_identity WHERE name = 'store'")
    return "" if row is None else str(row[0])


def _named(transaction: Transaction) -> str:
    transaction.change(
        "INSERT INTO store_identity (name, id) VALUES ('store', ?) ON CONFLICT (name) DO NOTHING",
        (secrets.token_hex(16),),
    )
    return _name(transaction)
