"""Whose a request is, or a user's name, for those who may delete only what is theirs."""

from trimtab.store.database import Transaction


def organisation_of_request(tx: Transaction, request_id: str) -> str | None:
    """The organisation of a request, empty for one without a key; `None` where nothing is known of it."""
    for sql in (
        "SELECT organisation FROM requests WHERE id = ?",
        "SELECT organisation FROM content WHERE request_id = ?",
        "SELECT coalesce(k.organisation, '') FROM idempotency_keys i LEFT JOIN keys k ON k.id = i.key_id "
        "WHERE i.request_id = ?",
    ):
        if (row := tx.row(sql, (request_id,))) is not None:
            return str(row[0])
    return None


def organisations_with_user(tx: Transaction, name: str) -> list[str]:
    """The organisations that have a user of this name."""
    return [
        str(row[0]) for row in tx.rows("SELECT organisation FROM users WHERE name = ? ORDER BY 1", (name,))
    ]
