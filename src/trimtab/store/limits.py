"""Slices of limits, handed out by the database so that all processes together stay within them.

What it is not: the spending of a slice, which happens in the memory of one process (`budgets`).
Invariants, each held inside one transaction for each account:
permits of all processes together <= the concurrency limit;
requests granted in any 60 s <= the rate limit (a grant must be used within `RATE_GRANT_S` of being asked for);
what is spent (`key_spend`) + what is out with processes (`key_leases`) <= the cap, so long as each call costs at most
what was held for it.

An account is a key by its id, with the limits that it carries, or what `records.account_of` names: a budget in one
period. The tables were made for keys and their columns still say so (`key_id`, `_nanousd`), because a program that is
one step older may run beside; what is counted is in the account's own unit.
"""

from collections.abc import Sequence

import msgspec

from trimtab.store.database import Transaction
from trimtab.store.tasks import let_go

RATE_GRANT_S = 1.0
"""A granted request that is not made by then is forfeited. Makes the window strict: see `_rate`."""

_RATE_SLOTS = 61
"""Whole seconds before the present one that still count. A grant decided at t is used before t + 1, so what is used
in a window of 60 s was granted in the 61 s before its end; of these the first lies 61 slots before the last."""

PERMIT_LOST_MS = 30_000
"""Permits of a process that was not seen for so long are free again. The process itself stops using them earlier."""

AHEAD_PART = 50
"""A slice ahead of need is at most 1/50 of what is left, so that little lies idle with others near the end."""


class Caps(msgspec.Struct, frozen=True):
    """The limits of one account; `None` is no limit."""

    concurrency: int | None = None
    """Requests in flight at a time."""
    requests_per_minute: int | None = None
    """Requests admitted in any 60 seconds."""
    total: int | None = None
    """What may ever be spent on the account, in its unit. Real and simulated use each have it on their own."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """What one process keeps and asks for, for one account. What it keeps is said in full, never as a difference, so
    that a trade whose answer was lost is put right by the next one."""

    account: str
    caps: Caps
    permits_kept: int | None = None
    """`None` leaves permits as they are; then none can be wanted."""
    permits_wanted: int = 0
    rate_back: int = 0
    rate_back_slot: int = 0
    """The slot that the returned requests were granted in."""
    rate_wanted: int = 0
    simulated: bool = False
    """Which side the amounts below are on."""
    amount_kept: int | None = None
    """All that was ever granted on this side, less all that was given back. `None` leaves it as it is."""
    amount_needed: int = 0
    """The least that is of use: less is not granted at all."""
    amount_wanted: int = 0
    """For all who wait; granted as far as there is."""
    amount_ahead: int = 0
    """For those to come; granted as far as it is a small part of what is left."""

    @property
    def asks_or_says(self) -> bool:
        """Whether it is of any use."""
        says = self.permits_kept is not None or self.amount_kept is not None
        return says or self.rate_wanted > 0 or self.rate_back > 0


class Slice(msgspec.Struct, frozen=True):
    """What was granted."""

    permits: int = 0
    requests: int = 0
    slot: int = 0
    """The second that the requests were granted in, by the database's clock."""
    amount: int = 0
    unspent: int | None = None
    """Where an amount was needed: what is not spent yet, what is held for calls in flight included."""
    rate_retry_s: int = 1
    """Where no request was granted: seconds until there will be one again, at the least."""


def join(transaction: Transaction, worker: str, host: str, pid: int) -> None:
    """Make a process known, or say that it is still alive."""
    now = transaction.now_ms()
    transaction.change(
        "INSERT INTO workers (id, host, pid, started_ms, seen_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms",
        (worker, host, pid, now, now),
    )


def last_words(transaction: Transaction) -> dict[str, int]:
    """When each known process was last heard of, by a clock that may jump: compare for change only."""
    return {str(worker): int(seen) for worker, seen in transaction.rows("SELECT id, seen_ms FROM workers")}


def free_permits(transaction: Transaction, silent: Sequence[str]) -> int:
    """Take permits back from these processes, and from those that nobody knows; how many rows that were."""
    freed = transaction.change("DELETE FROM key_permits WHERE worker NOT IN (SELECT id FROM workers)")
    for worker in silent:
        freed += transaction.change("DELETE FROM key_permits WHERE worker = ?", (worker,))
    return freed


def forget_worker(transaction: Transaction, worker: str, *, spent: bool) -> None:
    """A process has ended and all that it spent is recorded: what it still held is free again.

    `spent=True`: it cannot be known what it spent (its journal is gone or incomplete), so all of it counts as spent.
    """
    if spent:
        transaction.change(
            "INSERT INTO key_spend (key_id, simulated, spent_nanousd) "
            "SELECT key_id, simulated, sum(outstanding_nanousd) FROM key_leases "
            "WHERE worker = ? AND outstanding_nanousd > 0 GROUP BY key_id, simulated "
            "ON CONFLICT (key_id, simulated) "
            "DO UPDATE SET spent_nanousd = key_spend.spent_nanousd + excluded.spent_nanousd",
            (worker,),
        )
    for table in ("key_leases", "key_permits"):
        transaction.change(f"DELETE FROM {table} WHERE worker = ?", (worker,))  # noqa: S608 (our own names)
    let_go(transaction, worker, spent=spent)
    transaction.change("DELETE FROM workers WHERE id = ?", (worker,))


def trade(transaction: Transaction, worker: str, trades: Sequence[Trade]) -> list[Slice]:
    """Take back, then grant, for several accounts in one transaction; answers in the order of `trades`."""
    granted: dict[int, Slice] = {}
    # Always in one order, so that two processes cannot wait for one another.
    for n in sorted(range(len(trades)), key=lambda n: (trades[n].account, trades[n].simulated)):
        one = trades[n]
        transaction.change(
            "INSERT INTO limit_locks (key_id) VALUES (?) "
            "ON CONFLICT (key_id) DO UPDATE SET key_id = excluded.key_id",
            (one.account,),
        )
        permits = _permits(transaction, worker, one)
        requests, slot, retry_s = _rate(transaction, one)
        amount, unspent = _amount(transaction, worker, one)
        granted[n] = Slice(permits, requests, slot, amount, unspent, retry_s)
    return [granted[n] for n in range(len(trades))]


def _permits(transaction: Transaction, worker: str, one: Trade) -> int:
    limit = one.caps.concurrency
    if limit is None or one.permits_kept is None:
        return 0
    granted = 0
    if one.permits_wanted:
        others = transaction.row(
            "SELECT coalesce(sum(permits), 0) FROM key_permits WHERE key_id = ? AND worker <> ?",
            (one.account, worker),
        )
        assert others is not None
        granted = max(0, min(one.permits_wanted, limit - int(others[0]) - one.permits_kept))
    transaction.change(
        "INSERT INTO key_permits (key_id, worker, permits) VALUES (?, ?, ?) "
        "ON CONFLICT (key_id, worker) DO UPDATE SET permits = excluded.permits",
        (one.account, worker, one.permits_kept + granted),
    )
    return granted


def _rate(transaction: Transaction, one: Trade) -> tuple[int, int, int]:
    """(requests, slot, seconds to wait where there are none)."""
    if one.rate_back:
        transaction.change(
            "UPDATE rate_slots SET granted = granted - ? WHERE key_id = ? AND slot_s = ?",
            (one.rate_back, one.account, one.rate_back_slot),
        )
    limit = one.caps.requests_per_minute
    if not one.rate_wanted or limit is None:
        return 0, 0, 1
    slot = transaction.now_ms() // 1000
    transaction.change(
        "DELETE FROM rate_slots WHERE key_id = ? AND slot_s < ?", (one.account, slot - _RATE_SLOTS)
    )
    _pull_back(transaction, one.account, slot)
    slots = transaction.rows(
        "SELECT slot_s, granted FROM rate_slots WHERE key_id = ? AND granted > 0 ORDER BY slot_s",
        (one.account,),
    )
    left = limit - sum(int(granted) for _, granted in slots)
    if left <= 0:
        return 0, slot, max(1, int(slots[0][0]) + _RATE_SLOTS + 1 - slot) if slots else 60
    granted = min(one.rate_wanted, left)
    transaction.change(
        "INSERT INTO rate_slots (key_id, slot_s, granted) VALUES (?, ?, ?) "
        "ON CONFLICT (key_id, slot_s) DO UPDATE SET granted = rate_slots.granted + excluded.granted",
        (one.account, slot, granted),
    )
    return granted, slot, 1


def _pull_back(transaction: Transaction, account: str, slot: int) -> None:
    """Slots of the future are from before the clock was set back: they count as granted now, not until then."""
    ahead = transaction.row(
        "SELECT coalesce(sum(granted), 0) FROM rate_slots WHERE key_id = ? AND slot_s > ?",
        (account, slot + 1),
    )
    if ahead is None or not int(ahead[0]):
        return
    transaction.change("DELETE FROM rate_slots WHERE key_id = ? AND slot_s > ?", (account, slot + 1))
    transaction.change(
        "INSERT INTO rate_slots (key_id, slot_s, granted) VALUES (?, ?, ?) "
        "ON CONFLICT (key_id, slot_s) DO UPDATE SET granted = rate_slots.granted + excluded.granted",
        (account, slot, int(ahead[0])),
    )


def _amount(transaction: Transaction, worker: str, one: Trade) -> tuple[int, int | None]:
    """(granted, unspent)."""
    cap = one.caps.total
    if cap is None or one.amount_kept is None:
        return 0, None
    _set_granted(transaction, worker, one, one.amount_kept)
    if not one.amount_needed:
        return 0, None
    # What this process overspent is in what was spent, and asked for again to be covered: it counts once. Of others it
    # gives nobody anything.
    found = transaction.row(
        "SELECT coalesce((SELECT spent_nanousd FROM key_spend WHERE key_id = ? AND simulated = ?), 0), "
        "coalesce((SELECT sum(outstanding_nanousd) FROM key_leases WHERE key_id = ? AND simulated = ? "
        "AND (outstanding_nanousd > 0 OR worker = ?)), 0)",
        (one.account, one.simulated, one.account, one.simulated, worker),
    )
    assert found is not None
    spent, out = int(found[0]), int(found[1])
    left = cap - spent - out
    if left < one.amount_needed:
        return 0, cap - spent
    granted = max(
        min(max(one.amount_needed, one.amount_wanted), left), min(one.amount_ahead, left // AHEAD_PART)
    )
    _set_granted(transaction, worker, one, one.amount_kept + granted)
    return granted, cap - spent


def _set_granted(transaction: Transaction, worker: str, one: Trade, granted: int) -> None:
    transaction.change(
        "INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (key_id, simulated, worker) DO UPDATE SET "
        "outstanding_nanousd = key_leases.outstanding_nanousd + excluded.granted_nanousd - key_leases.granted_nanousd, "
        "granted_nanousd = excluded.granted_nanousd",
        (one.account, one.simulated, worker, granted, granted),
    )
