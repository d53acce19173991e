"""What the tables of jobs hold, as data.

What it is not: a statement. Times are Unix milliseconds by the database's clock.
"""

from typing import Literal, NewType, TypeAlias

import msgspec

JobId = NewType("JobId", str)

JobState: TypeAlias = Literal["ready", "waiting", "running", "paused", "done", "failed", "cancelled"]
FINISHED: tuple[JobState, ...] = ("done", "failed", "cancelled")

StepState: TypeAlias = Literal["intent", "waiting", "done", "timeout"]
Wanted: TypeAlias = Literal["cancel", "pause"]
Scope: TypeAlias = Literal["queue", "kind", "owner"]
Missed: TypeAlias = Literal["skip", "once"]


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be stored."""

    kind: str
    """Names the handler."""
    input: bytes = b"null"
    """Opaque here; handlers read it as JSON."""
    owner: str = ""
    """Who shares the workers fairly with others: a team, a key ..."""
    queue: str = "default"
    priority: int = 0
    """The smaller runs first, whoever owns it."""
    unique_key: str | None = None
    """A second job of this kind and key is not stored while the first exists."""
    run_at_ms: int = 0
    """Not before this."""
    max_attempts: int = 5
    """How often the handler may raise."""
    backoff_ms: int = 1_000
    """Before the second attempt; doubles for each further one."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is stored."""

    id: JobId
    kind: str
    queue: str
    owner: str
    priority: int
    unique_key: str | None
    state: JobState
    wanted: Wanted | None
    """What a person asked of a job while it runs."""
    run_at_ms: int
    """Its place among the ready jobs of its owner."""
    due_ms: int | None
    """When it needs a worker: to be started, to be woken, or to be taken over because its lease has run out."""
    epoch: int
    """How often it was claimed; whoever holds an older one may record nothing."""
    worker: str | None
    waiting_for: str | None
    """The event that wakes it."""
    attempts: int
    """How often its handler has raised."""
    max_attempts: int
    backoff_ms: int
    losses: int
    """How many workers in a row died on it without finishing a step."""
    forked_from: JobId | None
    forked_at: str | None
    created_ms: int
    updated_ms: int
    finished_ms: int | None
    input: bytes
    result: bytes | None
    error: str | None


class Step(msgspec.Struct, frozen=True):
    """One entry of a job's journal."""

    name: str
    n: int
    """Its place in the journal, from 1."""
    state: StepState
    """`intent`: begun, result unknown; `waiting`: for an event or a time; the others are final."""
    epoch: int
    """Who wrote it."""
    at_ms: int
    until_ms: int | None
    """When a wait ends by itself."""
    result: bytes | None


class Claimed(msgspec.Struct, frozen=True):
    """A job that this worker holds now."""

    job: Job
    steps: tuple[Step, ...]


class Held(msgspec.Struct, frozen=True):
    """A claim, as its holder names it."""

    job: JobId
    epoch: int


class Limit(msgspec.Struct, frozen=True):
    """How many jobs of a queue, kind or owner may run at a time, over all workers."""

    scope: Scope
    name: str
    """`*`: each one that has no limit of its own."""
    max_running: int


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is stored again and again."""

    name: str
    rule: str
    """`every 300s`, or five fields of cron."""
    missed: Missed
    paused: bool
    next_ms: int
    job: NewJob
