"""Which job is next: takeover, wake-up, limits and fairness, all inside one transaction.

What it is not: a schedule or a handler. Invariants: limits are counted while nobody else claims, so no number of
workers exceeds them; of two owners the one with fewer running jobs is served first, whatever the length of its queue;
the cost of a claim depends on how many lanes (queue, priority, owner, kind) of the first priority have ready jobs,
not on how many jobs.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from trimtab.store.database import Transaction
from trimtab.store.jobs.rows import Claimed, Job
from trimtab.store.jobs.tables import JOB_COLUMNS, job_from, steps_of

LOSSES_MAX = 10
"""A job whose workers died so often in a row, with no step finished in between, is taken to be what kills them."""

LANES_MAX = 2_000
"""Lanes of one priority that a claim looks at, in the order of their owners. With more, those behind must wait until
some in front have nothing ready."""

BEFORE_ALL = -(1 << 31)
"""Below all priorities."""

TAKEN_OVER_MAX = 200
"""Expired leases and ended waits that one claim sees to; the next claim, 50 ms later, goes on."""


class Wish(msgspec.Struct, frozen=True):
    """What a worker would take."""

    queues: tuple[str, ...]
    kinds: frozenset[str]
    most: int


class Lane(msgspec.Struct):
    """Ready jobs that differ in nothing but age."""

    queue: str
    priority: int
    owner: str
    kind: str
    run_at_ms: int
    """Of its oldest job."""
    given: int = 0
    """Places given to it in this round."""


_LANES = """
WITH RECURSIVE lanes(next_id, n, queue, priority, owner, kind, run_at_ms) AS (
    SELECT (SELECT id FROM jobs WHERE state = 'ready' AND queue = ? AND priority > ?
            ORDER BY priority, owner, kind, run_at_ms, id LIMIT 1),
        CAST(0 AS BIGINT), CAST('' AS TEXT), CAST(0 AS BIGINT), CAST('' AS TEXT), CAST('' AS TEXT), CAST(0 AS BIGINT)
    UNION ALL
    SELECT coalesce(
            (SELECT id FROM jobs WHERE state = 'ready' AND queue = here.queue AND priority = here.priority
             AND owner = here.owner AND kind > here.kind ORDER BY kind, run_at_ms, id LIMIT 1),
            (SELECT id FROM jobs WHERE state = 'ready' AND queue = here.queue AND priority = here.priority
             AND owner > here.owner ORDER BY owner, kind, run_at_ms, id LIMIT 1)),
        lanes.n + 1, here.queue, here.priority, here.owner, here.kind, here.run_at_ms
    FROM lanes CROSS JOIN jobs here WHERE here.id = lanes.next_id AND lanes.n < ?
)
SELECT queue, priority, owner, kind, run_at_ms FROM lanes WHERE n > 0
"""
"""The oldest ready job of each lane of the next priority, by seeks from lane to lane. Two seeks rather than one
comparison of rows, which SQLite answers by reading all jobs in between."""

_RUNNING = """
SELECT 0, owner, kind, queue, count(*) FROM jobs WHERE state = 'running' GROUP BY owner, kind, queue
UNION ALL SELECT 1, scope, name, '', max_running FROM job_limits
"""

_TAKE = """
WITH oldest AS MATERIALIZED (
    SELECT id FROM jobs WHERE state = 'ready' AND queue = ? AND priority = ? AND owner = ? AND kind = ?
    AND run_at_ms <= ? ORDER BY run_at_ms, id LIMIT ? {skip_locked}
)
UPDATE jobs SET state = 'running', worker = ?, epoch = epoch + 1, due_ms = ?, updated_ms = ?
WHERE id IN (SELECT id FROM oldest) RETURNING {columns}
"""
"""Materialized, because the planner might else pick, and lock, more than once."""


def claim(transaction: Transaction, worker: str, lease_ms: int, wish: Wish, now: int) -> list[Claimed]:
    """Take up to `wish.most` jobs, with their journals."""
    words = transaction.words
    if words.lock_row:
        transaction.row(f"SELECT one FROM job_turn {words.lock_row}")  # noqa: S608 - our words
    for queue in wish.queues:
        _see_to_due(transaction, queue, now)
    running = _Running(transaction)
    levels = _Levels(transaction, wish.queues)
    claimed: list[Job] = []
    while len(claimed) < wish.most and (lanes := levels.next()):
        lanes = [lane for lane in lanes if lane.kind in wish.kinds and lane.run_at_ms <= now]
        while lanes and len(claimed) < wish.most:
            chosen = _share_out(lanes, running, wish.most - len(claimed))
            if not chosen:
                break
            for lane in chosen:
                jobs = _take(transaction, lane, worker, now, now + lease_ms)
                claimed += jobs
                if len(jobs) < lane.given:
                    running.give_back(lane, lane.given - len(jobs))
                    lanes.remove(lane)
                lane.given = 0
    claimed.sort(key=lambda job: (job.priority, job.run_at_ms, job.id))
    # A job that runs for the first time has no journal, unless it is a fork.
    return [
        Claimed(job, steps_of(transaction, job.id) if job.epoch > 1 or job.forked_from else ())
        for job in claimed
    ]


class _Levels:
    """The lanes of some queues, one priority after the other; each is read when it is its turn."""

    def __init__(self, transaction: Transaction, queues: Sequence[str]) -> None:
        self._transaction = transaction
        self._above = dict.fromkeys(queues, BEFORE_ALL)
        self._ahead: dict[str, list[Lane]] = {}

    def next(self) -> list[Lane]:
        """All lanes of the first priority that has any and was not given yet; empty at the end."""
        for queue, above in self._above.items():
            if queue not in self._ahead:
                rows = self._transaction.rows(_LANES, (queue, above, LANES_MAX))
                self._ahead[queue] = [Lane(*row) for row in rows]
        level = min((lanes[0].priority for lanes in self._ahead.values() if lanes), default=None)
        if level is None:
            return []
        given = []
        for queue in self._above:
            if self._ahead[queue] and self._ahead[queue][0].priority == level:
                given += self._ahead.pop(queue)
                self._above[queue] = level
        return given


def _take(transaction: Transaction, lane: Lane, worker: str, now: int, until_ms: int) -> list[Job]:
    rows = transaction.rows(
        _TAKE.format(skip_locked=transaction.words.skip_locked, columns=JOB_COLUMNS),
        (
            *(lane.queue, lane.priority, lane.owner, lane.kind, now, lane.given),
            *(worker, until_ms, now),
        ),
    )
    return [job_from(row) for row in rows]


def _see_to_due(transaction: Transaction, queue: str, now: int) -> None:
    """Jobs whose worker is gone and waits whose time has come are ready again, where they stood in their lane."""
    words = transaction.words
    due = transaction.rows(
        "SELECT id, state, wanted, CASE WHEN state = 'running' AND EXISTS (SELECT 1 FROM job_steps "  # noqa: S608 - our words
        "WHERE job_steps.job = jobs.id AND job_steps.epoch = jobs.epoch) THEN 1 ELSE losses + 1 END "
        "FROM jobs WHERE queue = ? AND state IN ('running', 'waiting') AND due_ms <= ? ORDER BY due_ms LIMIT ? "
        f"{words.skip_locked}",
        (queue, now, TAKEN_OVER_MAX),
    )
    for job, state, wanted, losses in due:
        if state == "waiting":
            transaction.change(
                "UPDATE jobs SET state = 'ready', waiting_for = NULL, due_ms = run_at_ms, updated_ms = ? WHERE id = ?",
                (now, job),
            )
            continue
        error = None
        after = {"cancel": "cancelled", "pause": "paused"}.get(wanted or "", "ready")
        if after == "ready" and losses >= LOSSES_MAX:
            after = "failed"
            error = f"{losses} workers in a row died on it or lost it, and none of them finished a step"
        transaction.change(
            "UPDATE jobs SET state = ?, worker = NULL, wanted = NULL, losses = ?, error = coalesce(?, error), "
            "finished_ms = ?, updated_ms = ?, due_ms = CASE WHEN ? = 1 THEN run_at_ms END WHERE id = ?",
            (
                after,
                losses,
                error,
                now if after in ("cancelled", "failed") else None,
                now,
                int(after == "ready"),
                job,
            ),
        )


class _Running:
    """How many jobs run, by what limits and fairness count."""

    def __init__(self, transaction: Transaction) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._limits: dict[tuple[str, str], int] = {}
        for is_limit, a, b, c, n in transaction.rows(_RUNNING):
            if is_limit:
                self._limits[a, b] = n
            else:
                self._counts.update({("owner", a): n, ("kind", b): n, ("queue", c): n})

    @staticmethod
    def _scopes(lane: Lane) -> Iterable[tuple[str, str]]:
        return (("owner", lane.owner), ("kind", lane.kind), ("queue", lane.queue))

    def of_owner(self, lane: Lane) -> int:
        return self._counts["owner", lane.owner]

    def room(self, lane: Lane) -> bool:
        for scope in self._scopes(lane):
            limit = self._limits.get(scope, self._limits.get((scope[0], "*")))
            if limit is not None and self._counts[scope] >= limit:
                return False
        return True

    def give(self, lane: Lane) -> None:
        for scope in self._scopes(lane):
            self._counts[scope] += 1

    def give_back(self, lane: Lane, places: int) -> None:
        for scope in self._scopes(lane):
            self._counts[scope] -= places


def _share_out(lanes: list[Lane], running: _Running, places: int) -> list[Lane]:
    """Give places to lanes one by one, as if each had jobs without end; those that got any."""

    def turn(n: int) -> tuple[int, int, int, int, int]:
        lane = lanes[n]
        return (lane.priority, running.of_owner(lane), lane.given, lane.run_at_ms, n)

    waiting = [turn(n) for n in range(len(lanes))]
    heapq.heapify(waiting)
    while places and waiting:
        first = heapq.heappop(waiting)
        n = first[-1]
        if first != (now := turn(n)):  # another lane of its owner got a place meanwhile
            heapq.heappush(waiting, now)
        elif running.room(lanes[n]):
            lanes[n].given += 1
            running.give(lanes[n])
            places -= 1
            heapq.heappush(waiting, turn(n))
    return [lane for lane in lanes if lane.given]
