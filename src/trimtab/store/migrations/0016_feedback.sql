-- What became of requests, as those who asked tell it; and what route and kind of work a request was of, as columns.
-- A program that knows only step 15 leaves the four columns empty.
-- works with: 15
ALTER TABLE requests ADD COLUMN route TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN task_class TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN task TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN phase TEXT NOT NULL DEFAULT '';
CREATE INDEX requests_by_task ON requests (task) WHERE task <> '';
-- score: 0 (failed) to 1 (succeeded). covers: request, or the whole session or task that the request belongs to.
-- teller: key:<id> or cli:<account>. earlier: JSON, what was told before, the newest last.
CREATE TABLE feedback (
    request_id TEXT NOT NULL,
    source TEXT NOT NULL,
    covers TEXT NOT NULL,
    score REAL NOT NULL,
    note TEXT NOT NULL,
    teller TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    earlier TEXT NOT NULL,
    PRIMARY KEY (request_id, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX feedback_by_time ON feedback (at_ms);
