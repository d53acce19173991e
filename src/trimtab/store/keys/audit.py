"""The audit trail: what was changed by whom, each row chained to the one before by its hash.

What it is not: a log of requests, or proof against somebody who can write to the database and computes all later
hashes anew; against that, keep the hash of the last row elsewhere from time to time (see docs/keys.md).
Invariants: rows are only ever added, numbered 1, 2, 3 ... without a gap, and numbers become visible in their order,
so the last number also says whether anything has changed; a row holds no secret.
"""

import hashlib

import msgspec

from trimtab.store.database import Row, Transaction


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    n: int
    at_ms: int
    actor: str
    """Who: `cli:<account>` or `key:<id>`."""
    action: str
    """What, as `keys.revoke`."""
    organisation: str
    """Whose."""
    subject: str
    """The id or name of what was changed."""
    before: str | None
    """What it was, as JSON; `None` where it is new."""
    after: str | None
    hash: str


class Head(msgspec.Struct, frozen=True):
    """The end of the chain."""

    n: int = 0
    hash: str = ""


_COLUMNS = "n, at_ms, actor, action, organisation, subject, before_json, after_json, hash"


def hash_after(previous: str, row: AuditRow) -> str:
    """SHA-256, as hexadecimal digits, of the hash before and the row as JSON with sorted keys and without its hash."""
    content = msgspec.structs.asdict(row)
    del content["hash"]
    return hashlib.sha256(previous.encode() + msgspec.json.encode(content, order="sorted")).hexdigest()


def hold(tx: Transaction) -> Head:
    """The end of the chain, held until the transaction ends: changes that begin with this run one after another."""
    tx.change("INSERT INTO audit_head (one, n, hash) VALUES (1, 0, '') ON CONFLICT DO NOTHING")
    row = tx.row(f"SELECT n, hash FROM audit_head WHERE one = 1 {tx.words.lock_row}")  # noqa: S608 (our own words)
    assert row is not None
    return Head(*row)


def add_row(
    tx: Transaction,
    *,
    actor: str,
    action: str,
    organisation: str,
    subject: str,
    before: str | None,
    after: str | None,
) -> int:
    """Write one row at the end of the chain; its number."""
    previous = hold(tx)
    n = previous.n + 1
    row = AuditRow(
        n=n,
        at_ms=tx.now_ms(),
        actor=actor,
        action=action,
        organisation=organisation,
        subject=subject,
        before=before,
        after=after,
        hash="",
    )
    hashed = hash_after(previous.hash, row)
    tx.change(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (our own names)
        (n, row.at_ms, actor, action, organisation, subject, before, after, hashed),
    )
    tx.change("UPDATE audit_head SET n = ?, hash = ? WHERE one = 1", (n, hashed))
    return n


def head(tx: Transaction) -> Head:
    """The end of the chain."""
    row = tx.row("SELECT n, hash FROM audit_head WHERE one = 1")
    return Head() if row is None else Head(*row)


def hash_of(tx: Transaction, n: int) -> str | None:
    """The hash that a row holds; empty for row 0, `None` for one that is not there."""
    if n == 0:
        return ""
    row = tx.row("SELECT hash FROM audit WHERE n = ?", (n,))
    return None if row is None else str(row[0])


def rows_after(tx: Transaction, n: int, most: int) -> list[AuditRow]:
    """Rows behind a number, oldest first."""
    return [
        _read(row)
        for row in tx.rows(f"SELECT {_COLUMNS} FROM audit WHERE n > ? ORDER BY n LIMIT ?", (n, most))  # noqa: S608 (our own names)
    ]


def latest_rows(
    tx: Transaction, *, organisation: str | None, subject: str | None, before: int | None, most: int
) -> list[AuditRow]:
    """The latest rows below a number, newest first, of one organisation or subject or of all."""
    where = ["n < ?"]
    wanted: list[str | int] = [2**62 if before is None else before]
    for column, value in (("organisation", organisation), ("subject", subject)):
        if value is not None:
            where.append(f"{column} = ?")
            wanted.append(value)
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(where)} ORDER BY n DESC LIMIT ?",  # noqa: S608 (our own names)
        (*wanted, most),
    )
    return [_read(row) for row in rows]


def _read(row: Row) -> AuditRow:
    n, at_ms, actor, action, organisation, subject, before, after, hashed = row
    return AuditRow(
        n=n,
        at_ms=at_ms,
        actor=actor,
        action=action,
        organisation=organisation,
        subject=subject,
        before=before,
        after=after,
        hash=hashed,
    )
