"""Whose turn it is with a piece of upkeep that one process does for all who share the store.

What it is not: the upkeep, or its clock (`app.housekeeping`).
Invariant: of those who ask, at most one holds a chore at any moment by the database's clock; who holds it no longer
finds that out in the transaction that would do something.
"""

from trimtab.store.database import Transaction


def claim(transaction: Transaction, name: str, holder: str, *, lease_ms: int, every_ms: int) -> bool:
    """Take a chore, if it is due (`every_ms` after it was last done) and nobody else holds it."""
    now = transaction.now_ms()
    claimed = transaction.change(
        "INSERT INTO chores (name, holder, until_ms, done_ms) VALUES (?, ?, ?, 0) "
        "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms "
        "WHERE (chores.until_ms <= ? OR chores.holder = excluded.holder) AND chores.done_ms <= ?",
        (name, holder, now + lease_ms, now, now - every_ms),
    )
    return claimed == 1


def renew(transaction: Transaction, name: str, holder: str, *, lease_ms: int) -> bool:
    """Keep it for longer; False when another has taken it meanwhile."""
    renewed = transaction.change(
        "UPDATE chores SET until_ms = ? WHERE name = ? AND holder = ?",
        (transaction.now_ms() + lease_ms, name, holder),
    )
    return renewed == 1


def put_down(transaction: Transaction, name: str, holder: str, *, done: bool) -> None:
    """Let others have it: at once, or if it is done, when it is due again."""
    transaction.change(
        "UPDATE chores SET holder = NULL, until_ms = 0, done_ms = CASE WHEN ? = 1 THEN ? ELSE done_ms END "
        "WHERE name = ? AND holder = ?",
        (int(done), transaction.now_ms(), name, holder),
    )
