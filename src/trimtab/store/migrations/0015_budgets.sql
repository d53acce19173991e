-- Budgets that people make while the server runs, and the warnings that were given.
-- works with: 14
-- No row is ever deleted; `version` is the number of the audit row of the last change.
CREATE TABLE budgets (
    name TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    removed_ms INTEGER,
    settings TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- A warning is given once for a budget's account, side, level and limit, whichever process comes to it first. Without
-- a webhook `state` is 'told' at once; else 'waiting', then 'sent', or 'failed' after the last try.
CREATE TABLE budget_warnings (
    budget TEXT NOT NULL,
    account TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    level INTEGER NOT NULL,
    limit_amount INTEGER NOT NULL,
    spent_amount INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (budget, account, simulated, level, limit_amount)
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_warnings_due ON budget_warnings (due_ms) WHERE state = 'waiting';
