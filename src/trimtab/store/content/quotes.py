"""What verifiers quoted of prompts and answers, in records: it goes when the content itself would.

What it is not: content, which has tables of its own. Invariant: all else of a record stays as it was written.
"""

import msgspec

from trimtab.records.verdict import quotes
from trimtab.store.content.covering import overwriting
from trimtab.store.database import Transaction, Value

RECORDS = 40
"""Of one transaction; a record has 1 to 4 KB."""

_QUOTING = "SELECT 1 FROM judged_attempts WHERE request_id = requests.id AND texts = 1"


def forget_quotes(tx: Transaction, where: str, values: tuple[Value, ...], *, few: bool) -> int:
    """Take them out of some records of which this holds; how many. `few`: an index of `requests` finds those of which
    it holds, else all records with quotes are looked through."""
    if few:
        sql = f"SELECT id, detail FROM requests WHERE {where} AND EXISTS ({_QUOTING}) LIMIT {RECORDS}"  # noqa: S608 (our own words)
    else:
        sql = (
            "SELECT id, detail FROM (SELECT DISTINCT request_id FROM judged_attempts WHERE texts = 1) AS quoting "  # noqa: S608
            f"CROSS JOIN requests WHERE id = request_id AND {where} LIMIT {RECORDS}"
        )
    return _forget(tx, tx.rows(sql, values))


def forget_old_quotes(tx: Transaction, before_ms: int) -> int:
    """The same for requests that arrived before this moment."""
    rows = tx.rows(
        "SELECT id, detail FROM (SELECT DISTINCT request_id FROM judged_attempts "  # noqa: S608 (our own words)
        f"WHERE texts = 1 AND at_ms < ? LIMIT {RECORDS}) AS quoting CROSS JOIN requests WHERE id = request_id",
        (before_ms,),
    )
    return _forget(tx, rows)


def _forget(tx: Transaction, rows: list[tuple[str, str]]) -> int:
    if not rows:
        return 0
    with overwriting(tx):
        tx.change_many(
            "UPDATE requests SET detail = ? WHERE id = ?",
            [(without_quotes(detail), request_id) for request_id, detail in rows],
        )
    tx.change_many(
        "UPDATE judged_attempts SET texts = 0 WHERE request_id = ?", [(request_id,) for request_id, _ in rows]
    )
    return len(rows)


def without_quotes(detail: str) -> str:
    """A record, as JSON, without the texts that its verdicts rest on."""
    raw = msgspec.json.decode(detail)
    for attempt in raw.get("attempts", ()):
        for verdict in attempt.get("verdicts", ()):
            if "evidence" in verdict:
                verdict["evidence"] = {
                    name: fact for name, fact in verdict["evidence"].items() if not quotes(name, fact)
                }
    return msgspec.json.encode(raw).decode()
