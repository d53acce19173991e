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

from collections.abc import Iterable, Sequence

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
    amount_unknown: bool = False
    """The process does not know any more what it kept: the database says it. Only where some is needed."""
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
    """Where some were wanted and others have too many for those that are kept, below 0: so many fewer may be used."""
    requests: int = 0
    slot: int = 0
    """The second that the requests were granted in, by the database's clock."""
    amount: int = 0
    unspent: int | None = None
    """Where an amount was needed: what is not spent yet, what is held for calls in flight included."""
    rate_retry_s: int = 1
    """Where no request was granted: seconds until there will be one again, at the least."""
    amount_kept: int | None = None
    """Where that was unknown: without `amount`, what the process is taken to have kept."""


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
    """Take back, then grant, for several accounts in one transaction; answers in the order of `trades`.

    The same few statements for one account as for sixty, so that many that begin at once do not each wait for all
    others: with some for each, 64 new accounts took PostgreSQL 60 ms, and a request may wait 50.
    """
    accounts = sorted({one.account for one in trades})
    if not accounts:
        return []
    # Always in one order, so that two processes cannot wait for one another.
    transaction.change(
        f"INSERT INTO limit_locks (key_id) SELECT * FROM {transaction.words.texts} AS named WHERE true ORDER BY 1 "  # noqa: S608 (our own words)
        "ON CONFLICT (key_id) DO UPDATE SET key_id = excluded.key_id",
        (_json(accounts),),
    )
    permits = _permits(transaction, worker, trades)
    rates = _rates(transaction, trades)
    amounts = _amounts(transaction, worker, trades)
    granted = []
    for n in range(len(trades)):
        requests, slot, retry_s = rates.get(n, (0, 0, 1))
        amount, kept, unspent = amounts.get(n, (0, None, None))
        granted.append(Slice(permits.get(n, 0), requests, slot, amount, unspent, retry_s, kept))
    return granted


def _json(texts: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(set(texts))).decode()


def _permits(transaction: Transaction, worker: str, trades: Sequence[Trade]) -> dict[int, int]:
    """What is granted, by the place of the trade; only where there is a limit."""
    said = {n: one for n, one in enumerate(trades) if one.permits_kept is not None}
    limited = {n: one for n, one in said.items() if one.caps.concurrency is not None}
    if len(limited) < len(said):  # a limit that was taken away; nothing may be left of it if it comes back
        free = [(one.account, worker) for one in said.values() if one.caps.concurrency is None]
        transaction.change_many("DELETE FROM key_permits WHERE key_id = ? AND worker = ?", free)
    if not limited:
        return {}
    others: dict[str, int] = {}
    if wanted := {one.account for one in limited.values() if one.permits_wanted}:
        found = transaction.rows(
            f"SELECT key_id, sum(permits) FROM key_permits WHERE key_id IN {transaction.words.texts} AND worker <> ? "  # noqa: S608
            "GROUP BY key_id",
            (_json(wanted), worker),
        )
        others = {str(account): int(permits) for account, permits in found}
    granted = {}
    held = []
    for n, one in limited.items():
        limit, kept = one.caps.concurrency or 0, one.permits_kept or 0
        left = limit - others.get(one.account, 0) - kept
        granted[n] = min(one.permits_wanted, left) if one.permits_wanted else 0
        held.append((one.account, worker, kept + max(0, granted[n])))
    transaction.change_many(
        "INSERT INTO key_permits (key_id, worker, permits) VALUES (?, ?, ?) "
        "ON CONFLICT (key_id, worker) DO UPDATE SET permits = excluded.permits",
        held,
    )
    return granted


def _rates(transaction: Transaction, trades: Sequence[Trade]) -> dict[int, tuple[int, int, int]]:
    """(requests, slot, seconds to wait where there are none) by the place of the trade; only where some are wanted."""
    if back := [(one.rate_back, one.account, one.rate_back_slot) for one in trades if one.rate_back]:
        transaction.change_many(
            "UPDATE rate_slots SET granted = granted - ? WHERE key_id = ? AND slot_s = ?", back
        )
    limited = {
        n: one for n, one in enumerate(trades) if one.rate_wanted and one.caps.requests_per_minute is not None
    }
    if not limited:
        return {}
    slot = transaction.now_ms() // 1000
    accounts = _json(one.account for one in limited.values())
    named = transaction.words.texts
    transaction.change(
        f"DELETE FROM rate_slots WHERE key_id IN {named} AND slot_s < ?",  # noqa: S608 (our own words)
        (accounts, slot - _RATE_SLOTS),
    )
    known: dict[str, list[tuple[int, int]]] = {}
    for account, at, count in transaction.rows(
        f"SELECT key_id, slot_s, granted FROM rate_slots WHERE key_id IN {named} AND granted > 0 ORDER BY slot_s",  # noqa: S608
        (accounts,),
    ):
        if int(at) > slot + 1:  # from before the clock was set back: it counts as granted now, not until then
            transaction.change("DELETE FROM rate_slots WHERE key_id = ? AND slot_s = ?", (account, at))
            _add_to_slot(transaction, [(account, slot, int(count))])
            at = slot
        known.setdefault(str(account), []).append((int(at), int(count)))
    granted: dict[int, tuple[int, int, int]] = {}
    counted = []
    for n, one in limited.items():
        slots = known.setdefault(one.account, [])
        left = (one.caps.requests_per_minute or 0) - sum(count for _, count in slots)
        if left > 0:
            requests = min(one.rate_wanted, left)
            granted[n] = requests, slot, 1
            slots.append((slot, requests))
            counted.append((one.account, slot, requests))
        else:
            granted[n] = 0, slot, max(1, slots[0][0] + _RATE_SLOTS + 1 - slot) if slots else 60
    if counted:
        _add_to_slot(transaction, counted)
    return granted


def _add_to_slot(transaction: Transaction, counted: Sequence[tuple[str, int, int]]) -> None:
    transaction.change_many(
        "INSERT INTO rate_slots (key_id, slot_s, granted) VALUES (?, ?, ?) "
        "ON CONFLICT (key_id, slot_s) DO UPDATE SET granted = rate_slots.granted + excluded.granted",
        counted,
    )


def _amounts(
    transaction: Transaction, worker: str, trades: Sequence[Trade]
) -> dict[int, tuple[int, int | None, int | None]]:
    """(granted, kept where that was unknown, unspent) by the place of the trade; only where some were needed."""
    limited = {
        n: one for n, one in enumerate(trades) if one.caps.total is not None and one.amount_kept is not None
    }
    if not limited:
        return {}
    needed = [one.account for one in limited.values() if one.amount_needed]
    out = _out(transaction, worker, needed) if needed else {}
    granted: dict[int, tuple[int, int | None, int | None]] = {}
    totals = []
    for n, one in limited.items():
        kept, amount = one.amount_kept or 0, 0
        if one.amount_needed:
            spent, others, own, own_granted = out.get((one.account, one.simulated), (0, 0, 0, 0))
            if one.amount_unknown:  # what is out stays out, and what was overspent is taken as covered
                kept = own_granted - min(0, own)
            unspent = (one.caps.total or 0) - spent
            left = unspent - others - (own + kept - own_granted)
            if left >= one.amount_needed:
                wanted = min(max(one.amount_needed, one.amount_wanted), left)
                amount = max(wanted, min(one.amount_ahead, left // AHEAD_PART))
            granted[n] = amount, kept if one.amount_unknown else None, unspent
        totals.append((one.account, one.simulated, worker, kept + amount, kept + amount))
    transaction.change_many(
        "INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (key_id, simulated, worker) DO UPDATE SET outstanding_nanousd = "
        "key_leases.outstanding_nanousd + excluded.granted_nanousd - key_leases.granted_nanousd, "
        "granted_nanousd = excluded.granted_nanousd",
        totals,
    )
    return granted


def _out(
    transaction: Transaction, worker: str, accounts: Iterable[str]
) -> dict[tuple[str, bool], tuple[int, int, int, int]]:
    """By account and side: what is spent, what is out with others, what is out with this process, and what that was
    granted. One statement, so that a record that is added meanwhile is in all of it or in none."""
    # What this process overspent is in what was spent, and asked for again to be covered: it counts once. Of others it
    # gives nobody anything.
    found = transaction.rows(
        "SELECT key_id, simulated, spent_nanousd, 0, 0, 0 FROM key_spend "  # noqa: S608 (our own words)
        f"WHERE key_id IN {transaction.words.texts} UNION ALL SELECT key_id, simulated, 0, "
        "sum(CASE WHEN worker <> ? AND outstanding_nanousd > 0 THEN outstanding_nanousd ELSE 0 END), "
        "sum(CASE WHEN worker = ? THEN outstanding_nanousd ELSE 0 END), "
        "sum(CASE WHEN worker = ? THEN granted_nanousd ELSE 0 END) FROM key_leases "
        f"WHERE key_id IN {transaction.words.texts} GROUP BY key_id, simulated",
        (named := _json(accounts), worker, worker, worker, named),
    )
    out: dict[tuple[str, bool], tuple[int, int, int, int]] = {}
    for account, simulated, *amounts in found:
        place = str(account), bool(simulated)
        spent, others, own, granted = out.get(place, (0, 0, 0, 0))
        out[place] = (
            spent + int(amounts[0]),
            others + int(amounts[1]),
            own + int(amounts[2]),
            granted + int(amounts[3]),
        )
    return out
