"""Which warnings of budgets were given, and which still have to be sent: a queue that survives every process.

What it is not: the sending (`budgets.webhooks`). Invariants: of all processes one makes a warning's row, and that one
tells of it; a row is sent by one process at a time, which first says until when nobody else is to try.
"""

from collections.abc import Mapping, Sequence

import msgspec

from trimtab.store.database import Database, Row, Transaction

KEPT_MS = 400 * 86_400_000
"""A period is over by then, so nobody asks again whether its warning was given; those of totals stay."""

SENDING_MS = 60_000
"""Whoever sends has so long; after that another process may try: it may have died."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A warning that was given, for people."""

    budget: str
    account: str
    simulated: bool
    level: int
    """Per cent of the limit; 0: it refuses what may come to more than is left."""
    at_ms: int
    state: str
    """`told` where there is no webhook, `waiting` to be sent (again), `sent`, or `failed` for good."""
    tries: int
    problem: str
    """What the last try to send it came to."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One warning: an account passed a level of a budget, or a request does not fit into it any more."""

    budget: str
    """The name of the limit, as `team-a.usd_per_month`."""
    account: str
    simulated: bool
    level: int
    limit: int
    spent: int
    asked: int = 0
    """What a request that is refused may come to at the most."""
    at_ms: int = 0
    tries: int = 0


_KEY = "budget = ? AND account = ? AND simulated = ? AND level = ? AND limit_amount = ?"


def _key(one: Notice) -> tuple[str, str, int, int, int]:
    return one.budget, one.account, int(one.simulated), one.level, one.limit


def claim(database: Database, found: Sequence[Notice], sends: Mapping[str, bool]) -> list[Notice]:
    """Those that nobody has given yet, which are now this process's to tell. `sends` says which budgets have a webhook;
    their rows wait to be sent. Blocks. Raises `StoreError`."""

    def work(tx: Transaction) -> list[Notice]:
        now_ms = tx.now_ms()
        mine = []
        for one in found:
            waits = sends.get(one.budget, False)
            new = tx.change(
                "INSERT INTO budget_warnings (budget, account, simulated, level, limit_amount, spent_amount, "
                "asked_amount, at_ms, state, tries, due_ms, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, '') "
                "ON CONFLICT DO NOTHING",
                (*_key(one), one.spent, one.asked, now_ms, "waiting" if waits else "told", now_ms),
            )
            if new:
                mine.append(msgspec.structs.replace(one, at_ms=now_ms))
        if mine:
            tx.change(
                "DELETE FROM budget_warnings WHERE at_ms < ? AND state <> 'waiting' AND account NOT LIKE '%/total'",
                (now_ms - KEPT_MS,),
            )
        return mine

    return database.write(work)


def given_of(tx: Transaction, budgets: Sequence[str], most: int = 10) -> tuple[Given, ...]:
    """The newest warnings of these limits."""
    rows = tx.rows(
        "SELECT budget, account, simulated, level, at_ms, state, tries, problem FROM budget_warnings "  # noqa: S608
        f"WHERE budget IN {tx.words.texts} ORDER BY at_ms DESC, budget, level LIMIT ?",
        (msgspec.json.encode(list(budgets)).decode(), most),
    )
    return tuple(
        Given(
            budget=row[0],
            account=row[1],
            simulated=bool(row[2]),
            level=row[3],
            at_ms=row[4],
            state=row[5],
            tries=row[6],
            problem=row[7],
        )
        for row in rows
    )


def take_due(database: Database, most: int = 10) -> list[Notice]:
    """Some that are to be sent now, which nobody else tries for `SENDING_MS`. Blocks. Raises `StoreError`."""
    due = database.read(
        lambda tx: tx.row(
            "SELECT 1 FROM budget_warnings WHERE state = 'waiting' AND due_ms <= ? LIMIT 1", (tx.now_ms(),)
        )
    )
    if due is None:
        return []

    def work(tx: Transaction) -> list[Notice]:
        now_ms = tx.now_ms()
        rows = tx.rows(
            "SELECT budget, account, simulated, level, limit_amount, spent_amount, asked_amount, at_ms, tries "  # noqa: S608
            "FROM budget_warnings "
            f"WHERE state = 'waiting' AND due_ms <= ? ORDER BY due_ms LIMIT ? {tx.words.skip_locked}",
            (now_ms, most),
        )
        taken = [_read(row) for row in rows]
        for one in taken:
            tx.change(
                f"UPDATE budget_warnings SET due_ms = ?, tries = tries + 1 WHERE {_KEY}",  # noqa: S608 (our own words)
                (now_ms + SENDING_MS, *_key(one)),
            )
        return taken

    return database.write(work)


def put_back(database: Database, one: Notice, *, state: str, wait_ms: int, problem: str) -> None:
    """What came of sending: `sent`, `failed` for good, or `waiting` for so long. Blocks. Raises `StoreError`."""
    database.write(
        lambda tx: tx.change(
            f"UPDATE budget_warnings SET state = ?, due_ms = ?, problem = ? WHERE {_KEY}",  # noqa: S608 (our own words)
            (state, tx.now_ms() + wait_ms, problem, *_key(one)),
        )
    )


def _read(row: Row) -> Notice:
    return Notice(
        budget=row[0],
        account=row[1],
        simulated=bool(row[2]),
        level=row[3],
        limit=row[4],
        spent=row[5],
        asked=row[6],
        at_ms=row[7],
        tries=row[8],
    )
