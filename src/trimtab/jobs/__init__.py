"""Durable jobs: work that may be killed at any line and is taken over by another worker.

What it is not: a replay of arbitrary code, or workflows within workflows. A handler is an async function over a
journal of named steps; the engine underneath is the store's SQLite file or PostgreSQL database.
Invariants: a finished step is never run again; at most one worker can record for a job; limits count over all workers.
"""

from trimtab.jobs.board import JobBoard
from trimtab.jobs.context import JobContext
from trimtab.jobs.settings import JobSettings, check_jobs
from trimtab.jobs.worker import Handler, Worker
from trimtab.store.jobs import Job, JobExchange, JobId, JobState, JobTables, Limit, NewJob, Schedule, Step

__all__ = [
    "Handler",
    "Job",
    "JobBoard",
    "JobContext",
    "JobExchange",
    "JobId",
    "JobSettings",
    "JobState",
    "JobTables",
    "Limit",
    "NewJob",
    "Schedule",
    "Step",
    "Worker",
    "check_jobs",
]
