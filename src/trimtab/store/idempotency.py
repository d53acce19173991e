"""Which requests with an `Idempotency-Key` are being answered, or were, so that no process answers one twice.

What it is not: the answering, or the joining of a call in flight (`gateway`).
Invariant: of all who claim a scope, one is told that it is free, until that one ends it, its record says that it
failed, or a day has passed.
"""

from typing import Literal

import msgspec

from trimtab.errors import StoreError
from trimtab.store.content.covering import any_deletion, is_covered, overwriting
from trimtab.store.database import Transaction
from trimtab.store.limits import PERMIT_LOST_MS

KEEP_MS = 24 * 3_600_000
"""Source: DESIGN, invariant 5; vendors keep such keys for 24 hours."""

PURGE_ROWS = 500

HTTP_OK = 200

CLAIM_TRIES = 5
"""A claim is tried again when another process ended or took over the one in its way between two statements."""

State = Literal["running", "done", "lost"]


class Earlier(msgspec.Struct, frozen=True):
    """A request that came before with the same key."""

    request_id: str
    body_hash: str
    worker: str
    """The process that answers it."""
    state: State
    """`lost`: its process died, and what came of it is in its record."""
    settled: bool
    """Whether its process has said so itself; else a `done` is from its record, and its answer may still come."""
    answer: bytes | None
    """The whole answer, where answers are kept."""


def claim(
    transaction: Transaction, scope: str, body_hash: str, request_id: str, worker: str, key: str = ""
) -> Earlier | None:
    """Begin a request with a caller's key, or hear of the one that began before it. Raises `StoreError`.

    A process asks for one scope at a time, and only while it answers none with that scope: a claim of its own that it
    finds is one that it could not take back, and is taken over.
    """
    with overwriting(transaction):
        return _claim(transaction, scope, body_hash, request_id, worker, key)


def _claim(
    transaction: Transaction, scope: str, body_hash: str, request_id: str, worker: str, key: str
) -> Earlier | None:
    for _ in range(CLAIM_TRIES):
        now = transaction.now_ms()
        claimed = transaction.change(
            "INSERT INTO idempotency_keys (scope, body_hash, request_id, worker, at_ms, done, key_id) "
            "VALUES (?, ?, ?, ?, ?, 0, ?) "
            "ON CONFLICT (scope) DO UPDATE SET body_hash = excluded.body_hash, request_id = excluded.request_id, "
            "worker = excluded.worker, at_ms = excluded.at_ms, done = 0, answer = NULL, key_id = excluded.key_id "
            "WHERE idempotency_keys.at_ms < ?",
            (scope, body_hash, request_id, worker, now, key, now - KEEP_MS),
        )
        if claimed:
            return None
        found = transaction.row(
            "SELECT request_id, body_hash, worker, done, answer FROM idempotency_keys WHERE scope = ?",
            (scope,),
        )
        if found is None:
            continue  # released between the two statements
        earlier_id, earlier_hash, owner, done, answer = found
        state = "done" if done else _state(transaction, str(earlier_id), str(owner), worker)
        if state is not None:
            return Earlier(
                request_id=str(earlier_id),
                body_hash=str(earlier_hash),
                worker=str(owner),
                state=state,
                settled=bool(done),
                answer=None if answer is None else bytes(answer),
            )
        taken = transaction.change(
            "UPDATE idempotency_keys SET body_hash = ?, request_id = ?, worker = ?, at_ms = ?, done = 0, answer = NULL "
            "WHERE scope = ? AND request_id = ? AND done = 0",
            (body_hash, request_id, worker, now, scope, earlier_id),
        )
        if taken:
            return None
    raise StoreError("an idempotency key changes hands faster than it can be claimed; try again")


def _state(transaction: Transaction, request_id: str, owner: str, asking: str) -> State | None:
    """How it is with a claim that nobody has ended; `None`: it stands for nothing and may be taken over."""
    recorded = transaction.row("SELECT result, status FROM requests WHERE id = ?", (request_id,))
    if recorded is not None:
        result, status = recorded
        if result == "unknown":
            return "lost"
        return "done" if result == "ok" and status == HTTP_OK else None
    if owner == asking:
        return None
    return "running" if is_seen(transaction, owner) else "lost"


def is_seen(transaction: Transaction, worker: str) -> bool:
    """Whether a process has shown itself of late, as every serving process does every few seconds."""
    found = transaction.row(
        "SELECT 1 FROM workers WHERE id = ? AND seen_ms > ?", (worker, transaction.now_ms() - PERMIT_LOST_MS)
    )
    return found is not None


def finish(transaction: Transaction, scope: str, request_id: str, answer: bytes | None) -> None:
    """The request has been answered whole. An answer whose deletion was asked for meanwhile is not kept."""
    if answer is not None and any_deletion(transaction) and _is_deleted(transaction, scope, request_id):
        answer = None
    with overwriting(transaction):
        transaction.change(
            "UPDATE idempotency_keys SET done = 1, answer = ? WHERE scope = ? AND request_id = ?",
            (answer, scope, request_id),
        )


def _is_deleted(transaction: Transaction, scope: str, request_id: str) -> bool:
    found = transaction.row(
        "SELECT i.at_ms, i.key_id, coalesce(k.organisation, ''), coalesce(k.user_name, '') FROM idempotency_keys i "
        "LEFT JOIN keys k ON k.id = i.key_id WHERE i.scope = ? AND i.request_id = ?",
        (scope, request_id),
    )
    if found is None:
        return False
    at_ms, key, organisation, user = found
    return is_covered(transaction, request_id, int(at_ms), str(key), str(organisation), str(user))


def release(transaction: Transaction, scope: str, request_id: str) -> None:
    """The request was refused, failed or given up, so that it may be tried again."""
    transaction.change("DELETE FROM idempotency_keys WHERE scope = ? AND request_id = ?", (scope, request_id))


def purge(transaction: Transaction) -> int:
    """Delete some that are older than a day; how many."""
    with overwriting(transaction):
        return transaction.change(
            "DELETE FROM idempotency_keys WHERE scope IN "
            "(SELECT scope FROM idempotency_keys WHERE at_ms < ? ORDER BY at_ms LIMIT ?)",
            (transaction.now_ms() - KEEP_MS, PURGE_ROWS),
        )
