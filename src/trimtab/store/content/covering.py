"""Which content was deleted, also before it was written.

What it is not: the deletion (`deletion`). Invariant: content of a request that arrived up to the moment of a deletion
which names it is covered, in whichever process's memory it waits. What was called for a request goes with it.
"""

import contextlib
from collections.abc import Iterator

import msgspec

from trimtab.store.database import Transaction

KEEP_MS = 7 * 86_400_000
"""A deletion is remembered for longer than a call and the wait to be written can last."""

_NAMES = (
    "FROM content_deletions WHERE until_ms >= ? AND ("
    "(kind = 'request' AND organisation = '' "
    "AND (subject = ? OR subject = (SELECT parent FROM requests WHERE id = ?))) "
    "OR (kind = 'key' AND organisation = '' AND subject = ?) "
    "OR (kind = 'user' AND organisation = ? AND subject = ?) "
    "OR (kind = 'organisation' AND organisation = ? AND subject = '') "
    "OR (kind = 'everything' AND organisation = '' AND subject = ''))"
)
_COVERS = f"SELECT 1 {_NAMES} LIMIT 1"
_LATEST = f"SELECT kind, subject, at_ms {_NAMES} ORDER BY at_ms DESC LIMIT 1"

_SAME_MS = 5_000
"""A deletion and its row of the audit trail are of one transaction; each asks for the time."""


class Deletion(msgspec.Struct, frozen=True):
    """A deletion that is remembered."""

    at_ms: int
    of: str
    """Whose content: `request`, `key`, `user`, `organisation` or `everything`."""
    by: str | None
    """Who, as the audit trail has it; `None`: not found there."""


def any_deletion(tx: Transaction) -> bool:
    """Whether there is one to look at; mostly there is none."""
    return tx.row("SELECT 1 FROM content_deletions LIMIT 1") is not None


def is_covered(tx: Transaction, request_id: str, at_ms: int, key: str, organisation: str, user: str) -> bool:
    """Whether a deletion names this request."""
    return tx.row(_COVERS, (at_ms, request_id, request_id, key, organisation, user, organisation)) is not None


def latest_deletion(
    tx: Transaction, request_id: str, at_ms: int, key: str, organisation: str, user: str
) -> Deletion | None:
    """The latest deletion that names this request, for as long as it is remembered."""
    row = tx.row(_LATEST, (at_ms, request_id, request_id, key, organisation, user, organisation))
    if row is None:
        return None
    kind, subject, deleted_ms = row
    who = tx.row(
        "SELECT actor FROM audit WHERE action = 'content.delete' AND subject = ? AND at_ms BETWEEN ? AND ? "
        "ORDER BY n DESC LIMIT 1",
        (subject or kind, deleted_ms - _SAME_MS, deleted_ms + _SAME_MS),
    )
    return Deletion(deleted_ms, kind, None if who is None else who[0])


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
