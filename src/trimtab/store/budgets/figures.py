"""What was counted on the accounts of budgets, and what their owners spent day by day, read for people.

What it is not: what a limit goes by in a process's memory (`budgets`).
"""

from collections.abc import Sequence

import msgspec

from trimtab.records import Meter, Period, Scope, account_of
from trimtab.records.budget import quoted
from trimtab.store.database import Transaction
from trimtab.store.keys.spend import spent_by


class Counted(msgspec.Struct, frozen=True):
    """On one account and side, in its own unit."""

    spent: int = 0
    """What is recorded."""
    held: int = 0
    """What processes have on loan for it; a part may be spent already and not yet recorded."""


def counted_on(tx: Transaction, accounts: Sequence[str]) -> dict[tuple[str, bool], Counted]:
    """For each account and side (simulated or not) that has any. Two queries, whatever the number of accounts.

    Of requests in flight, which have no sides, what processes may have at a time now is held, on the real one.
    """
    found = {place: Counted(one.spent, one.held) for place, one in spent_by(tx, accounts).items()}
    in_flight = [account for account in accounts if account.endswith("/concurrency")]
    if in_flight:
        rows = tx.rows(
            "SELECT key_id, CAST(sum(permits) AS BIGINT) FROM key_permits "  # noqa: S608 (our own names)
            f"WHERE key_id IN {tx.words.texts} GROUP BY key_id",
            (msgspec.json.encode(in_flight).decode(),),
        )
        found |= {(str(account), False): Counted(0, int(permits)) for account, permits in rows if permits}
    return found


def members_of(
    tx: Transaction, scope: Scope, meter: Meter, period: Period, at_ms: int, most: int
) -> list[str]:
    """Accounts of this period that are counted for a budget that everyone of a kind has for himself: those with the
    largest counts first. A look at each account that there is."""
    one = account_of(scope, meter, period, at_ms)
    before, name, after = one.partition(quoted(scope.name))
    assert name
    found = tx.rows(
        "SELECT key_id FROM key_spend WHERE substr(key_id, 1, ?) = ? "
        "AND substr(key_id, length(key_id) - ?) = ? GROUP BY key_id ORDER BY max(spent_nanousd) DESC, key_id",
        (len(before), before, len(after) - 1, after),
    )
    # Of a tag without an organisation, those of tags within one begin alike.
    members = [
        str(account) for (account,) in found if str(account).count("/") == one.count("/") and account != one
    ]
    return members[:most]
