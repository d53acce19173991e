-- Prompts and answers, where a policy keeps them.
-- works with: 10
-- Texts are packed (zlib). NULL: that side was not kept.
CREATE TABLE content (
    request_id TEXT NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    user_name TEXT NOT NULL,
    team_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    mode TEXT NOT NULL,
    request BLOB,
    request_bytes INTEGER NOT NULL,
    request_cut INTEGER NOT NULL,
    answer BLOB,
    answer_bytes INTEGER NOT NULL,
    answer_cut INTEGER NOT NULL,
    answer_kind TEXT NOT NULL,
    answer_encoding TEXT NOT NULL
) STRICT;
CREATE INDEX content_by_time ON content (at_ms);
CREATE INDEX content_by_key ON content (key_id, at_ms) WHERE key_id <> '';
CREATE INDEX content_by_user ON content (organisation, user_name, at_ms) WHERE organisation <> '';
-- What was deleted, so that what still waits in some process's memory is not written afterwards: content of requests
-- that arrived up to a moment. kind: request, key, user, organisation, everything.
CREATE TABLE content_deletions (
    kind TEXT NOT NULL,
    organisation TEXT NOT NULL,
    subject TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, organisation, subject)
) STRICT, WITHOUT ROWID;
-- Kept answers are deleted by key too.
ALTER TABLE idempotency_keys ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
