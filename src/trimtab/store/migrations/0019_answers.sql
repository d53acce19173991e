-- Answers that are kept to be given again, and how often they were.
-- works with: 18
-- digest: of what was asked, and by whom it may be asked again. answer: packed (zlib) headers and body.
CREATE TABLE cached_answers (
    digest TEXT NOT NULL PRIMARY KEY,
    request_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    place TEXT NOT NULL,
    key_id TEXT NOT NULL,
    user_name TEXT NOT NULL,
    team_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    model TEXT NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    size INTEGER NOT NULL,
    answer BLOB NOT NULL
) STRICT;
CREATE INDEX cached_answers_by_use ON cached_answers (used_ms, size);
CREATE INDEX cached_answers_by_end ON cached_answers (expires_ms);
CREATE INDEX cached_answers_by_request ON cached_answers (request_id);
CREATE INDEX cached_answers_by_key ON cached_answers (key_id, at_ms) WHERE key_id <> '';
CREATE INDEX cached_answers_by_user ON cached_answers (organisation, user_name, at_ms) WHERE organisation <> '';
CREATE TABLE cache_by_hour (
    hour_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    organisation TEXT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    hits INTEGER NOT NULL,
    misses INTEGER NOT NULL,
    saved_nanousd INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, simulated, organisation, key_id, model)
) STRICT, WITHOUT ROWID;
