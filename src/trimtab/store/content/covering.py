"""Which content was deleted, also before it was written.

What it is not: the deletion (`deletion`). Invariant: content of a request that arrived up to the moment of a deletion
which names it is covered, in whichever process's memory it waits.
"""

import contextlib
from collections.abc import Iterator

from trimtab.store.database import Transaction

KEEP_MS = 7 * 86_400_000
"""A deletion is remembered for longer than a call and the wait to be written can last."""

_COVERS = (
    "SELECT 1 FROM content_deletions WHERE until_ms >= ? AND ("
    "(kind = 'request' AND organisation = '' AND subject = ?) OR (kind = 'key' AND organisation = '' AND subject = ?) "
    "OR (kind = 'user' AND organisation = ? AND subject = ?) "
    "OR (kind = 'organisation' AND organisation = ? AND subject = '') "
    "OR (kind = 'everything' AND organisation = '' AND subject = '')) LIMIT 1"
)


def any_deletion(tx: Transaction) -> bool:
    """Whether there is one to look at; mostly there is none."""
    return tx.row("SELECT 1 FROM content_deletions LIMIT 1") is not None


def is_covered(tx: Transaction, request_id: str, at_ms: int, key: str, organisation: str, user: str) -> bool:
    """Whether a deletion names this request."""
    return tx.row(_COVERS, (at_ms, request_id, key, organisation, user, organisation)) is not None


@contextlib.contextmanager
def overwriting(tx: Transaction) -> Iterator[None]:
    """While in it, SQLite writes zeros over what it frees or moves. PostgreSQL has no such thing."""
    if tx.words.engine != "sqlite":
        yield
        return
    tx.rows("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        tx.rows("PRAGMA secure_delete = OFF")
