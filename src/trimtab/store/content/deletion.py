"""Deleting kept prompts and answers, those kept to be given again or for idempotency keys, and notes beside outcomes.

What it is not: who may, and the audit trail (`admin`), or the clock of what is too old (`app.housekeeping`).
Invariants: a deletion is remembered in the transaction that begins it, so what it names is not found from then on, and
not written later; what was called for a request goes with it, and so does what verifiers quoted of it; what a crash
left undone is done by the next round of upkeep; records and sums stay.
"""

from typing import Literal

import msgspec

from trimtab.store.content.covering import KEEP_MS, overwriting
from trimtab.store.content.quotes import forget_old_quotes, forget_quotes
from trimtab.store.database import Database, Transaction, Value

ROWS = 40
"""Rows of one transaction; a typical one has 20 KB, which SQLite overwrites."""

CLOCKS_MS = 5_000
"""The clocks of machines that share a PostgreSQL server differ: a request that arrived up to so long after a deletion,
by its machine's clock, is covered too."""

FOREVER_MS = 2**62

TABLES = ("content", "cached_answers", "edited_answers")
"""What holds prompts or answers by the request that they are of."""

Kind = Literal["request", "key", "user", "organisation", "everything"]


class Selection(msgspec.Struct, frozen=True):
    """Whose content."""

    kind: Kind
    subject: str = ""
    """The id of the request or key, or the name of the user."""
    organisation: str = ""
    """Of a user, or the organisation itself."""


class Deleted(msgspec.Struct, frozen=True):
    """What is gone."""

    requests: int
    """Requests whose content was deleted."""
    answers: int
    """Whole answers that were kept for idempotency keys."""
    cached: int = 0
    """Answers that were kept to be given again."""
    edited: int = 0
    """Answers as people corrected them."""


def begin(tx: Transaction, selection: Selection, before_ms: int | None) -> Deleted:
    """Delete, as far as anybody can see, the content of requests that arrived up to now, or before `before_ms`.

    Rows are left for `sweep` to remove.
    """
    now_ms = tx.now_ms()
    until_ms = now_ms + (0 if tx.words.engine == "sqlite" else CLOCKS_MS)
    if before_ms is not None:
        until_ms = min(until_ms, before_ms - 1)
    if selection.kind == "request":
        until_ms = FOREVER_MS
    organisation = selection.organisation if selection.kind in ("user", "organisation") else ""
    where, values = _rows_of(selection, until_ms)
    requests, cached, edited = (
        tx.rows(f"SELECT count(*) FROM {table} WHERE {where}", values)[0][0]  # noqa: S608 (our own words)
        for table in TABLES
    )
    tx.change(
        "INSERT INTO content_deletions (kind, organisation, subject, until_ms, at_ms) VALUES (?, ?, ?, ?, ?) "  # noqa: S608
        "ON CONFLICT (kind, organisation, subject) DO UPDATE SET at_ms = excluded.at_ms, until_ms = "
        f"{tx.words.greatest}(content_deletions.until_ms, excluded.until_ms)",
        (selection.kind, organisation, selection.subject, until_ms, now_ms),
    )
    claims, of = _claims_of(selection)
    told, whose = _records_of(selection, until_ms)
    with overwriting(tx):
        # What people write beside the outcome of a request may be about what is in it.
        tx.change(
            "UPDATE feedback SET note = '' "  # noqa: S608 (our own words)
            f"WHERE note <> '' AND request_id IN (SELECT id FROM requests WHERE {told})",
            whose,
        )
        answers = tx.change(
            "UPDATE idempotency_keys SET answer = NULL "  # noqa: S608 (our own words)
            f"WHERE answer IS NOT NULL AND at_ms <= ? AND {claims}",
            (until_ms, *of),
        )
    return Deleted(int(requests), answers, int(cached), int(edited))


def delete(database: Database, selection: Selection, before_ms: int | None = None) -> Deleted:
    """Begin and sweep, for those who need no audit trail. Blocks. Raises `StoreError`."""
    deleted = database.write(lambda tx: begin(tx, selection, before_ms))
    finish(database, selection)
    return deleted


def finish(database: Database, selection: Selection) -> bool:
    """Remove the rows that a deletion named, and what the engine's log holds of them. Blocks. Raises `StoreError`.

    Returns whether nothing of them is left in the engine's files, as far as it knows: with SQLite, unless somebody
    reads or writes all the time; never with PostgreSQL, which overwrites in its own time.
    """
    while database.write(lambda tx: sweep(tx, selection), durable=False):
        pass
    return database.fold()


def sweep(tx: Transaction, selection: Selection) -> int:
    """Remove some rows that a deletion named; how many."""
    organisation = selection.organisation if selection.kind in ("user", "organisation") else ""
    row = tx.row(
        "SELECT until_ms FROM content_deletions WHERE kind = ? AND organisation = ? AND subject = ?",
        (selection.kind, organisation, selection.subject),
    )
    if row is None:
        return 0
    where, values = _rows_of(selection, int(row[0]))
    told, whose = _records_of(selection, int(row[0]))
    few = selection.kind not in ("organisation", "everything")
    return _remove(tx, where, values) + forget_quotes(tx, told, whose, few=few)


def sweep_all(tx: Transaction) -> int:
    """Remove some rows that any deletion named; how many. For what a crash or a race left."""
    named = "SELECT subject FROM content_deletions WHERE kind = 'request'"
    called = f"SELECT id FROM requests WHERE parent IN ({named})"  # noqa: S608 (our own words)
    gone = _remove(tx, f"request_id IN ({named} UNION ALL {called})", ())
    gone += forget_quotes(tx, f"(id IN ({named}) OR parent IN ({named}))", (), few=True)
    kinds = "SELECT kind, subject, organisation FROM content_deletions WHERE kind <> 'request'"
    for kind, subject, organisation in tx.rows(kinds):
        gone += sweep(tx, Selection(kind, subject, organisation))
    return gone


def delete_old(tx: Transaction, before_ms: int) -> int:
    """Remove some rows of requests that arrived before this moment; how many."""
    tables = ("content", "edited_answers")
    return _remove(tx, "at_ms < ?", (before_ms,), tables) + forget_old_quotes(tx, before_ms)


def delete_of(tx: Transaction, ids: str) -> int:
    """Remove what is kept of these requests, a JSON array of ids: their records go."""
    with overwriting(tx):
        return sum(
            tx.change(f"DELETE FROM {table} WHERE request_id IN {tx.words.texts}", (ids,))  # noqa: S608 (our own words)
            for table in TABLES
        )


def forget_old(tx: Transaction) -> None:
    """Forget deletions that cover nothing any more that could still come."""
    tx.change("DELETE FROM content_deletions WHERE at_ms < ?", (tx.now_ms() - KEEP_MS,))


def _remove(tx: Transaction, where: str, values: tuple[Value, ...], tables: tuple[str, ...] = TABLES) -> int:
    found = [
        row[0]
        for table in tables
        for row in tx.rows(f"SELECT request_id FROM {table} WHERE {where} LIMIT {ROWS}", values)  # noqa: S608 (our own words)
    ]
    return delete_of(tx, msgspec.json.encode(found).decode()) if found else 0


def _rows_of(selection: Selection, until_ms: int) -> tuple[str, tuple[Value, ...]]:
    """Rows of the table that a deletion up to this moment covers."""
    match selection.kind:
        case "request":
            called_for_it = "request_id IN (SELECT id FROM requests WHERE parent = ?)"
            return f"(request_id = ? OR {called_for_it})", (selection.subject, selection.subject)
        case "key":
            return "key_id = ? AND key_id <> '' AND at_ms <= ?", (selection.subject, until_ms)
        case "user":
            return (
                "organisation = ? AND organisation <> '' AND user_name = ? AND at_ms <= ?",
                (selection.organisation, selection.subject, until_ms),
            )
        case "organisation":
            return "organisation = ? AND organisation <> '' AND at_ms <= ?", (
                selection.organisation,
                until_ms,
            )
        case "everything":
            return "at_ms <= ?", (until_ms,)


def _records_of(selection: Selection, until_ms: int) -> tuple[str, tuple[Value, ...]]:
    """Rows of `requests` that a deletion up to this moment covers."""
    match selection.kind:
        case "request":
            return "(id = ? OR parent = ?)", (selection.subject, selection.subject)
        case "user":
            keys = "key_id IN (SELECT id FROM keys WHERE organisation = ? AND user_name = ?) AND at_ms <= ?"
            return keys, (selection.organisation, selection.subject, until_ms)
        case _:
            return _rows_of(selection, until_ms)


def _claims_of(selection: Selection) -> tuple[str, tuple[Value, ...]]:
    """Rows of `idempotency_keys`, which know their key and nothing else of whose they are."""
    match selection.kind:
        case "request":
            return "request_id = ?", (selection.subject,)
        case "key":
            return "key_id = ?", (selection.subject,)
        case "user":
            return (
                "key_id IN (SELECT id FROM keys WHERE organisation = ? AND user_name = ?)",
                (selection.organisation, selection.subject),
            )
        case "organisation":
            return "key_id IN (SELECT id FROM keys WHERE organisation = ?)", (selection.organisation,)
        case "everything":
            return "1 = 1", ()
