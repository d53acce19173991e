"""When a stored schedule is due, and storing its job then.

What it is not: a clock of its own: time is the database's. Invariant: for one schedule and due time at most one job is
stored, whatever number of workers looks; times that passed while no worker looked are fired once together, or not.
"""

from typing import Protocol

from trimtab.jobs.cron import Cron
from trimtab.jobs.seam import NewId, Schedules
from trimtab.store.jobs import JobId, Missed, NewJob, Schedule

LATE_MS = 60_000
"""A due time that is older was missed. Workers look every second, so only an outage makes one so old."""

INTERVAL_MIN_S = 5
INTERVAL_MAX_S = 366 * 86_400


class Rule(Protocol):
    """When to fire."""

    def after(self, unix_ms: int) -> int:
        """The first due time after a moment, in Unix milliseconds."""
        ...


class Interval:
    """Every so many seconds, counted from the Unix epoch, so that all workers agree."""

    def __init__(self, seconds: int) -> None:
        self._ms = seconds * 1_000

    def after(self, unix_ms: int) -> int:
        """See `Rule.after`."""
        return (unix_ms // self._ms + 1) * self._ms


def parse_rule(text: str) -> Rule:
    """`every 300s`, or five fields of cron in UTC. Raises `ValueError` with what is wrong."""
    word, _, rest = text.strip().partition(" ")
    if word != "every":
        return Cron.parse(text)
    number = rest.strip().removesuffix("s")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ValueError(f"{text!r}: write 'every 300s', or five fields of cron")
    if not INTERVAL_MIN_S <= int(number) <= INTERVAL_MAX_S:
        raise ValueError(f"{text!r}: an interval has {INTERVAL_MIN_S} to {INTERVAL_MAX_S} seconds")
    return Interval(int(number))


def plan(rule: Rule, missed: Missed, next_ms: int, now_ms: int) -> tuple[int | None, int]:
    """The due time to fire now, if any, and the next one: of several that have passed only the last can be fired."""
    latest = next_ms
    following = rule.after(latest)
    if following <= now_ms:  # some were passed over; the last of them is the one before the next
        following = rule.after(now_ms)
        latest = _last_before(rule, latest, following)
    late = now_ms - latest > LATE_MS
    return (None if late and missed == "skip" else latest), following


def _last_before(rule: Rule, first: int, end: int) -> int:
    """The last due time before `end`, by halving: `after` never decreases. `first` is one."""
    low, high = first, end
    while high - low > 1:
        middle = (low + high) // 2
        if rule.after(middle) < end:
            low = rule.after(middle)
        else:
            high = middle
    return low


def fire_due(tables: Schedules, new_id: NewId) -> list[tuple[str, int, JobId]]:
    """Store the jobs of all schedules that are due: name, due time and job of each that this call stored. Blocks.

    A rule that cannot be read (stored by a newer version) is passed over. Raises `StoreError`.
    """
    fired = []
    now_ms, due = tables.schedules(due=True)
    for schedule in due:
        try:
            rule = parse_rule(schedule.rule)
        except ValueError:
            continue
        due_ms, next_ms = plan(rule, schedule.missed, schedule.next_ms, now_ms)
        job = None if due_ms is None else (new_id(), _job_for(schedule, due_ms))
        if tables.advance(schedule, next_ms, job) and due_ms is not None and job is not None:
            fired.append((schedule.name, due_ms, job[0]))
    return fired


def _job_for(schedule: Schedule, due_ms: int) -> NewJob:
    job = schedule.job
    return NewJob(
        kind=job.kind,
        input=job.input,
        owner=job.owner,
        queue=job.queue,
        priority=job.priority,
        unique_key=f"schedule {schedule.name} {due_ms}",
        max_attempts=job.max_attempts,
        backoff_ms=job.backoff_ms,
    )
