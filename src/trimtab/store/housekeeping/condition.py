"""How a store is, for the operator: its engine, size and age, and what dead processes still hold.

What it is not: whether records can be written now, which `Store.status` says. Cost: a few statements that use indexes.
"""

import msgspec

from trimtab.store.database import Database, Transaction
from trimtab.store.limits import PERMIT_LOST_MS


class Condition(msgspec.Struct, frozen=True):
    """What `condition_of` found."""

    engine: str
    """With its version."""
    schema: int
    size_bytes: int
    free_bytes: int
    """Part of the size that is used again for new rows; 0 where the engine does not say."""
    oldest_ms: int | None
    """When the oldest record arrived."""
    lost_workers: int
    """Processes that are gone and hold something which nobody has accounted for yet."""
    lost_nanousd: int
    """Money of keys' own limits among it. It counts as spent until then."""
    lost_accounts: int
    """Accounts of budgets among it; the same money may be on several."""
    lost_calls: int
    """Calls of tasks that such processes had in flight. What they hold of their tasks counts as used until then."""


def condition_of(database: Database) -> Condition:
    """Blocks. Raises `StoreError`."""
    return database.read(_look)


def _look(view: Transaction) -> Condition:
    if view.words.engine == "sqlite":
        engine = f"SQLite {_one(view, 'SELECT sqlite_version()')}"
        page = int(str(_one(view, "SELECT page_size FROM pragma_page_size")))
        size = page * int(str(_one(view, "SELECT page_count FROM pragma_page_count")))
        free = page * int(str(_one(view, "SELECT freelist_count FROM pragma_freelist_count")))
    else:
        engine = f"PostgreSQL {str(_one(view, 'SHOW server_version')).split()[0]}"
        free = 0
        size = int(
            str(
                _one(
                    view,
                    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
                    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'trimtab' AND c.relkind = 'r'",
                )
            )
        )
    oldest = _one(view, "SELECT min(at_ms) FROM requests")
    lost = view.row(
        "SELECT count(DISTINCT worker), "
        "coalesce(sum(CASE WHEN key_id LIKE '%=%' THEN 0 ELSE outstanding_nanousd END), 0), "
        "count(DISTINCT CASE WHEN key_id LIKE '%=%' THEN key_id END) FROM key_leases "
        "WHERE outstanding_nanousd > 0 AND worker NOT IN (SELECT id FROM workers WHERE seen_ms > ?)",
        (view.now_ms() - PERMIT_LOST_MS,),
    )
    lost_calls = view.row(
        "SELECT count(*) FROM task_holds WHERE settled = 0 "
        "AND worker NOT IN (SELECT id FROM workers WHERE seen_ms > ?)",
        (view.now_ms() - PERMIT_LOST_MS,),
    )
    assert lost is not None
    assert lost_calls is not None
    return Condition(
        engine=engine,
        schema=int(str(_one(view, "SELECT max(version) FROM schema_version"))),
        size_bytes=size,
        free_bytes=free,
        oldest_ms=None if oldest is None else int(str(oldest)),
        lost_workers=int(lost[0]),
        lost_nanousd=int(lost[1]),
        lost_accounts=int(lost[2]),
        lost_calls=int(lost_calls[0]),
    )


def _one(view: Transaction, sql: str) -> object:
    found = view.row(sql)
    return None if found is None else found[0]
