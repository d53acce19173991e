"""What a store holds that nobody has used yet, so that a restore knows whether it would destroy anything.

Invariant: rows that the schema's own steps put there do not count; any other row does.
"""

from collections.abc import Iterable

import apsw

from trimtab.errors import StoreError
from trimtab.store.backup.tables import Table, TableSum, sqlite_tables
from trimtab.store.database import Row
from trimtab.store.schema import migrate

NAMED = "store_identity"
"""Says which store it is; nobody misses the name of a store that holds nothing else."""

ROWS_LOOKED_AT = 16
"""A new store has fewer in each table."""


class NewStore:
    """The sums of a new store's tables. Cost: the schema's steps in memory, some 10 ms."""

    def __init__(self) -> None:
        connection = apsw.Connection(":memory:")
        migrate(connection, lambda: 0)
        self._sums = {
            table.name: _sum(connection.execute(table.select)) for table in sqlite_tables(connection)
        }
        connection.close()

    def differs(self, table: Table, rows: Iterable[Row]) -> bool:
        """Whether these are not the rows that the table begins with. Reads no more than it needs."""
        return table.name != NAMED and _sum(rows) != self._sums.get(table.name, _sum(()))


def _sum(rows: Iterable[Row]) -> tuple[int, str]:
    total = TableSum()
    for row in rows:
        total.add(row)
        if total.rows >= ROWS_LOOKED_AT:
            break
    return total.rows, total.digest


def not_empty(place: str) -> StoreError:
    """The refusal to destroy it."""
    return StoreError(
        f"{place}: holds something; restore into an empty store, or replace what is there with --force"
    )
