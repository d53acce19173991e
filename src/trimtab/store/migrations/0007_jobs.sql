-- Durable jobs.
-- works with: 6
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    queue TEXT NOT NULL,
    owner TEXT NOT NULL,
    priority INTEGER NOT NULL,
    unique_key TEXT,
    state TEXT NOT NULL,
    wanted TEXT,
    run_at_ms INTEGER NOT NULL,
    due_ms INTEGER,
    epoch INTEGER NOT NULL,
    worker TEXT,
    waiting_for TEXT,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    backoff_ms INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    forked_from TEXT,
    forked_at TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    input BLOB NOT NULL,
    result BLOB,
    error TEXT
) STRICT;
-- Whose turn it is: the first entry of each (queue, priority, owner, kind) is found by a seek.
CREATE INDEX jobs_ready ON jobs (queue, priority, owner, kind, run_at_ms, id) WHERE state = 'ready';
-- What needs a worker now: to be started, to be woken, or to be taken over.
CREATE INDEX jobs_due ON jobs (queue, state, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX jobs_running ON jobs (owner, kind, queue) WHERE state = 'running';
CREATE UNIQUE INDEX jobs_unique ON jobs (kind, unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_ms) WHERE finished_ms IS NOT NULL;
CREATE TABLE job_steps (
    job TEXT NOT NULL,
    name TEXT NOT NULL,
    n INTEGER NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    until_ms INTEGER,
    result BLOB,
    PRIMARY KEY (job, name)
) STRICT;
CREATE TABLE job_events (
    job TEXT NOT NULL,
    n INTEGER NOT NULL,
    event TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (job, n)
) STRICT;
CREATE TABLE job_limits (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    max_running INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT;
CREATE TABLE job_schedules (
    name TEXT NOT NULL PRIMARY KEY,
    rule TEXT NOT NULL,
    missed TEXT NOT NULL,
    paused INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    job BLOB NOT NULL
) STRICT;
-- One row: who claims holds it, so that limits are counted by one worker at a time.
CREATE TABLE job_turn (one INTEGER NOT NULL PRIMARY KEY) STRICT;
INSERT INTO job_turn (one) VALUES (1);
