"""Accounts of budgets whose periods are long over: forgotten, a few rows at a time.

What it is not: the records, which say the same for as long as they are kept. Invariant: an account of a period that
anything may still be counted on, or that is shown, stays; totals and what keys have spent themselves stay for ever.
"""

from trimtab.records import Period, period_name
from trimtab.store.database import Transaction

MINUTES_MS = 2 * 3_600_000
"""Minutes are kept for two hours: a call may be under way for one."""
DAYS_MS = 62 * 86_400_000
"""Two months of days, for pictures and forecasts."""
MONTHS_MS = 400 * 86_400_000
"""13 whole months and the present one, so that a month stands beside that of a year ago."""

ROWS = 500
"""In one transaction, of each table: 5 ms on SQLite."""

_KEPT: tuple[tuple[Period, str, int], ...] = (
    ("minute", "____-__-__T__:__", MINUTES_MS),
    ("day", "____-__-__", DAYS_MS),
    ("month", "____-__", MONTHS_MS),
)
"""Periods, how their names look, and for how long they are kept."""

_TABLES = ("key_spend", "key_leases", "limit_locks")


def forget_old_accounts(tx: Transaction) -> int:
    """Delete some of the accounts that are too old; how many rows that were, 0 when none is left. Looks at each account
    there is: 1 ms for 10,000."""
    now_ms = tx.now_ms()
    gone = 0
    for period, looks, kept_ms in _KEPT:
        # No name in an account holds a `/`, so what follows the last one is the period.
        before = period_name(period, now_ms - kept_ms)
        for table in _TABLES:
            gone += tx.change(
                f"DELETE FROM {table} WHERE key_id IN (SELECT key_id FROM {table} "  # noqa: S608 (our own names)
                "WHERE key_id LIKE ? AND substr(key_id, length(key_id) - ?) < ? LIMIT ?)",
                (f"%=%/{looks}", len(looks) - 1, before, ROWS),
            )
    return gone
