-- Task budgets: what each has left, what is held for its calls in flight, and what happened to it.
-- A program that knows only step 16 makes no calls of tasks, and records none.
-- works with: 16
-- `detail` is the task as `budgets.tasks` writes it; the columns beside it are for lists.
CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    team TEXT NOT NULL,
    user_name TEXT NOT NULL,
    name TEXT NOT NULL,
    scenario TEXT NOT NULL,
    tags TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    events INTEGER NOT NULL,
    detail BLOB NOT NULL
) STRICT;
CREATE INDEX tasks_of_key ON tasks (key_id, id);
CREATE INDEX tasks_of_organisation ON tasks (organisation, id);
CREATE INDEX tasks_changed ON tasks (changed_ms);
-- One row for each call in flight. What it came to is written here by whoever knows it first, and taken out of the
-- task's `detail` by the next who changes the task. Not known tokens, or NULL money, count as all that was held.
CREATE TABLE task_holds (
    request_id TEXT NOT NULL PRIMARY KEY,
    task TEXT NOT NULL,
    worker TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    known INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    nanousd INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX task_holds_of ON task_holds (task, settled);
CREATE INDEX task_holds_worker ON task_holds (worker);
CREATE TABLE task_events (
    task TEXT NOT NULL,
    n INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    phase TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    request_id TEXT NOT NULL,
    nanousd INTEGER NOT NULL,
    PRIMARY KEY (task, n)
) STRICT, WITHOUT ROWID;
