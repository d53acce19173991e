"""The tables of durable jobs: `JobTables` for those who ask for work, `JobExchange` for the workers who do it.

What it is not: handlers, schedules or the loop of a worker (the package `trimtab.jobs`).
Invariants: a job changes state only under a lock of its row; only the worker that holds a job records anything for it;
limits are never exceeded, however many workers there are.
"""

from trimtab.store.jobs.claiming import Wish
from trimtab.store.jobs.rows import (
    Claimed,
    Held,
    Job,
    JobId,
    JobState,
    Limit,
    Missed,
    NewJob,
    Schedule,
    Scope,
    Step,
)
from trimtab.store.jobs.running import (
    LOST,
    Answer,
    Begun,
    Ended,
    Entry,
    JobExchange,
    Recorded,
    Taken,
    Undone,
    Wait,
)
from trimtab.store.jobs.tables import JobTables, insert_job

__all__ = [
    "LOST",
    "Answer",
    "Begun",
    "Claimed",
    "Ended",
    "Entry",
    "Held",
    "Job",
    "JobExchange",
    "JobId",
    "JobState",
    "JobTables",
    "Limit",
    "Missed",
    "NewJob",
    "Recorded",
    "Schedule",
    "Scope",
    "Step",
    "Taken",
    "Undone",
    "Wait",
    "Wish",
    "insert_job",
]
