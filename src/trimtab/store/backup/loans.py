"""What becomes of each table when a backup is restored, and the processes that it tells of are gone.

What it is not: the copying. Invariant: every table is in exactly one of the two lists (a test compares them with the
schema), so that a new table makes whoever adds it decide.
"""

from collections.abc import Iterable

COPIED = frozenset(
    {
        "artefacts",
        "attempts",
        "attempts_by_hour",
        "audit",
        "audit_head",
        "budget_warnings",
        "budgets",
        "cache_by_hour",
        "catalogue_versions",
        "config_versions",
        "console_users",
        "content",
        "content_deletions",
        "edited_answers",
        "feedback",
        "figure_spans",
        "figures",
        "idempotency_keys",
        "job_events",
        "job_limits",
        "job_schedules",
        "job_steps",
        "job_turn",
        "judged_attempts",
        "key_secrets",
        "key_spend",
        "keys",
        "latency_by_hour",
        "latency_by_model",
        "limit_locks",
        "organisations",
        "price_terms",
        "record_gaps",
        "requests",
        "store_identity",
        "task_events",
        "tasks",
        "teams",
        "usage_by_hour",
        "usage_by_key",
        "usage_by_team",
        "users",
    }
)
"""Tables that come back as they were."""

ON_LOAN: dict[str, tuple[str, ...]] = {
    # What a process might have spent by the time of the backup is not known, so all that it could have counts.
    "key_leases": (
        "INSERT INTO key_spend (key_id, simulated, spent_nanousd) "
        "SELECT key_id, simulated, sum(outstanding_nanousd) FROM key_leases "
        "WHERE outstanding_nanousd > 0 GROUP BY key_id, simulated "
        "ON CONFLICT (key_id, simulated) "
        "DO UPDATE SET spent_nanousd = key_spend.spent_nanousd + excluded.spent_nanousd",
        "DELETE FROM key_leases",
    ),
    "key_permits": ("DELETE FROM key_permits",),
    "rate_slots": ("DELETE FROM rate_slots",),
    # The same of calls of tasks that were in flight.
    "task_holds": ("UPDATE task_holds SET settled = 1, known = 0, nanousd = NULL WHERE settled = 0",),
    "workers": ("DELETE FROM workers",),
    # Whoever comes first takes the job over, as from a worker that died: finished steps stay finished.
    "jobs": ("UPDATE jobs SET due_ms = 0 WHERE state = 'running'",),
    # A session that has ended since the backup must not come back.
    "console_sessions": ("DELETE FROM console_sessions",),
    # Nor an answer that was deleted, or was over: what is asked again is answered anew.
    "cached_answers": ("DELETE FROM cached_answers",),
    "chores": ("UPDATE chores SET holder = NULL, until_ms = 0",),
}
"""Tables that say what running processes hold, and the statements, for both engines, after which nobody holds it."""


def giving_up(tables: Iterable[str]) -> list[str]:
    """The statements for these tables, in the words that both engines share."""
    return [statement for table in tables for statement in ON_LOAN.get(table, ())]
