-- Slices of limits that are leased to processes.
-- works with: 5
-- Processes that hold slices, or held some when they died.
CREATE TABLE workers (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
) STRICT;
-- Money that a process may still spend for a key, what it spent but has not yet recorded included, and what it was
-- granted in all, less what it gave back.
CREATE TABLE key_leases (
    key_id TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    worker TEXT NOT NULL,
    outstanding_nanousd INTEGER NOT NULL,
    granted_nanousd INTEGER NOT NULL,
    PRIMARY KEY (key_id, simulated, worker)
) STRICT, WITHOUT ROWID;
-- Calls that a process may have in flight for a key.
CREATE TABLE key_permits (
    key_id TEXT NOT NULL,
    worker TEXT NOT NULL,
    permits INTEGER NOT NULL,
    PRIMARY KEY (key_id, worker)
) STRICT, WITHOUT ROWID;
-- Requests granted in each second of the last minute.
CREATE TABLE rate_slots (
    key_id TEXT NOT NULL,
    slot_s INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    PRIMARY KEY (key_id, slot_s)
) STRICT, WITHOUT ROWID;
-- One row for each key with limits: who changes its slices holds this row.
CREATE TABLE limit_locks (
    key_id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key_spend (key_id TEXT NOT NULL, simulated INTEGER NOT NULL, spent_nanousd INTEGER NOT NULL, PRIMARY KEY (key_id, simulated)) STRICT;
