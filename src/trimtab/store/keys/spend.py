"""What keys have spent, read from the tables that records and slices of limits are kept in.

What it is not: a limit (`store.limits`), or what calls in flight hold in a process's memory.
"""

from collections.abc import Sequence

import msgspec

from trimtab.store.database import Transaction


class Spent(msgspec.Struct, frozen=True):
    """Money of one key on one side, in nano-dollars."""

    spent: int = 0
    """What is recorded."""
    held: int = 0
    """What processes have on loan for it; a part may be spent already and not yet recorded."""


def spent_by(tx: Transaction, key_ids: Sequence[str]) -> dict[tuple[str, bool], Spent]:
    """For each key and side (simulated or not) that has any. One query, whatever the number of keys."""
    texts = tx.words.texts
    ids = msgspec.json.encode(key_ids).decode()
    rows = tx.rows(
        "SELECT key_id, simulated, sum(spent), sum(held) FROM ("  # noqa: S608 (our own names)
        "SELECT key_id, simulated, spent_nanousd AS spent, 0 AS held FROM key_spend "
        f"WHERE key_id IN {texts} UNION ALL "
        "SELECT key_id, simulated, 0, outstanding_nanousd FROM key_leases "
        f"WHERE key_id IN {texts}) AS money GROUP BY key_id, simulated",
        (ids, ids),
    )
    return {(row[0], bool(row[1])): Spent(int(row[2]), int(row[3])) for row in rows}
