"""Deleting what is older than the operator wants to keep, a little at a time.

What it is not: the clock that starts it (`app.housekeeping`), or the retention of jobs and of idempotency keys.
Invariants: no transaction holds the store for much longer than `BATCH_S`, and most of the time nothing is held; a
record, its attempts, what verifiers said of them, what was told of it and what is kept of its content go together;
roll-ups, what keys have spent and the audit trail stay, so totals stay right.

Configuration versions stay too: they are a few KB for each change, and to find those that no record names any more
would take a look at every record.
"""

import functools
import time
from collections.abc import Callable

import msgspec

import trimtab.store.content.deletion as content_deletion
from trimtab.store.database import Database, Transaction
from trimtab.store.feedback import delete_feedback_of
from trimtab.store.housekeeping.chores import renew

CHORE = "retention"
CONTENT_CHORE = "content retention"

LEASE_MS = 60_000
"""Renewed with each batch; a batch takes milliseconds."""

BATCH_S = 0.01
"""What a transaction should take. A request may wait for an exchange of slices, which has 50 ms in all."""

BATCH_LEAST = 10
BATCH_FIRST = 200
BATCH_MOST = 2_000

REST = 2
"""Rests between batches are so many times as long as the batch took, so others have two thirds of the time."""

REST_LEAST_S = 0.025
"""A writer that waits for its turn looks every 20 ms."""

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

ROLLUPS = (
    "usage_by_hour",
    "usage_by_key",
    "usage_by_team",
    "latency_by_hour",
    "latency_by_model",
    "cache_by_hour",
)
"""`attempts_by_hour` stays: what was spent on a platform since a commitment began is added up from it, maybe for years.
It tells of nobody, and ten combinations of entry, key and model used in every hour are 9 MB a year."""


class Retention(msgspec.Struct, frozen=True):
    """How long things are kept; 0 is for ever."""

    records_days: int
    rollups_days: int
    """Never shorter than that of records: totals are read from roll-ups."""

    def records_before(self, now_ms: int) -> int | None:
        """Records that arrived before this Unix millisecond go. A whole hour, as the roll-ups have it."""
        return _before(now_ms, self.records_days)

    def rollups_before(self, now_ms: int) -> int | None:
        """Roll-ups of hours before this one go."""
        if self.records_days == 0 or self.rollups_days == 0:
            return None
        return _before(now_ms, max(self.records_days, self.rollups_days))


def _before(now_ms: int, days: int) -> int | None:
    if days == 0:
        return None
    before = now_ms - days * DAY_MS
    return before - before % HOUR_MS


class Deleted(msgspec.Struct, frozen=True):
    """What one round took away."""

    records: int = 0
    gaps: int = 0
    rollups: int = 0
    finished: bool = True
    """Whether nothing that is too old is left."""


class TurnLost(Exception):
    """Another process does this now: we had not been heard of for longer than the lease."""


def delete_old(
    database: Database,
    retention: Retention,
    *,
    holder: str,
    rest: Callable[[float], bool],
    monotonic: Callable[[], float] = time.monotonic,
) -> Deleted:
    """Delete in batches until nothing too old is left. Blocks for long; the caller holds the chore.

    `rest` waits for so many seconds and says whether to stop. Raises `StoreError`, `TurnLost`.
    """
    now_ms = database.read(lambda view: view.now_ms())
    records_before, rollups_before = retention.records_before(now_ms), retention.rollups_before(now_ms)
    records = gaps = rollups = 0
    if records_before is not None:
        deleting = _Batches(database, CHORE, holder, rest, monotonic)
        finished = deleting.run(functools.partial(_records, records_before))
        records = deleting.deleted
        if not finished:
            return Deleted(records, finished=False)
        gaps = database.write(functools.partial(_gaps, records_before), durable=False)
    if rollups_before is not None:
        for table in ROLLUPS:
            deleting = _Batches(database, CHORE, holder, rest, monotonic)
            finished = deleting.run(functools.partial(_rollups, table, rollups_before))
            rollups += deleting.deleted
            if not finished:
                return Deleted(records, gaps, rollups, finished=False)
    return Deleted(records, gaps, rollups)


def delete_old_content(
    database: Database,
    days: int,
    *,
    holder: str,
    rest: Callable[[float], bool],
    monotonic: Callable[[], float] = time.monotonic,
) -> Deleted:
    """Delete prompts and answers older than `days`, and what deletions named but left. Blocks for long.

    Raises `StoreError`, `TurnLost`.
    """
    before_ms = database.read(lambda view: view.now_ms()) - days * DAY_MS
    removed = 0
    for delete in (
        lambda tx, most: content_deletion.delete_old(tx, before_ms),
        lambda tx, most: content_deletion.sweep_all(tx),
    ):
        deleting = _Batches(database, CONTENT_CHORE, holder, rest, monotonic)
        finished = deleting.run(delete)
        removed += deleting.deleted
        if not finished:
            return Deleted(removed, finished=False)
    database.write(content_deletion.forget_old, durable=False)
    return Deleted(removed)


class _Batches:
    """Runs one kind of deletion again and again, each time with about as many rows as fit into `BATCH_S`."""

    def __init__(
        self,
        database: Database,
        chore: str,
        holder: str,
        rest: Callable[[float], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._database, self._chore = database, chore
        self._holder, self._rest, self._monotonic = holder, rest, monotonic
        self._most = BATCH_FIRST
        self._began = 0.0
        self.deleted = 0

    def run(self, delete: Callable[[Transaction, int], int]) -> bool:
        """Until a batch finds nothing; whether it came to that."""

        def work(transaction: Transaction) -> int:
            self._began = self._monotonic()
            if not renew(transaction, self._chore, self._holder, lease_ms=LEASE_MS):
                raise TurnLost
            return delete(transaction, self._most)

        while True:
            gone = self._database.write(work, durable=False)
            # With the commit, which may cost more than the statements, and without the wait for our turn.
            took_s = self._monotonic() - self._began
            self.deleted += gone
            if gone == 0:
                return True
            if took_s > BATCH_S:
                self._most = max(self._most * 2 // 3, BATCH_LEAST)
            elif took_s < BATCH_S / 2:
                self._most = min(self._most * 3 // 2, BATCH_MOST)
            if self._rest(max(took_s * REST, REST_LEAST_S)):
                return False


def _records(before_ms: int, transaction: Transaction, most: int) -> int:
    found = transaction.rows(
        "SELECT id FROM requests WHERE at_ms < ? ORDER BY at_ms LIMIT ?", (before_ms, most)
    )
    if not found:
        return 0
    ids = msgspec.json.encode([row[0] for row in found]).decode()
    texts = transaction.words.texts
    content_deletion.delete_of(transaction, ids)
    delete_feedback_of(transaction, ids)
    for table in ("attempts", "judged_attempts"):
        transaction.change(f"DELETE FROM {table} WHERE request_id IN {texts}", (ids,))  # noqa: S608 (our own words)
    return transaction.change(f"DELETE FROM requests WHERE id IN {texts}", (ids,))  # noqa: S608


def _gaps(before_ms: int, transaction: Transaction) -> int:
    """Gaps, and what was told of requests whose records were lost, or left behind where an older program deleted them:
    all others of that age are gone by now."""
    for table in ("feedback", "judged_attempts"):
        transaction.change(f"DELETE FROM {table} WHERE at_ms < ?", (before_ms,))  # noqa: S608 (our own words)
    return transaction.change("DELETE FROM record_gaps WHERE to_ms < ?", (before_ms,))


def _rollups(table: str, before_ms: int, transaction: Transaction, most: int) -> int:
    """One hour at a time: how many rows that is depends on how many keys and models were used in it."""
    return transaction.change(
        f"DELETE FROM {table} WHERE hour_ms = (SELECT min(hour_ms) FROM {table}) AND hour_ms < ?",  # noqa: S608
        (before_ms,),
    )
