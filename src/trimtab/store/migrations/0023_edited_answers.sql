-- What people call an answer in a word, and the answer as they corrected it, which is content and goes with it.
-- works with: 22
ALTER TABLE feedback ADD COLUMN label TEXT NOT NULL DEFAULT '';
-- 1: an edited answer was told with the word that counts, be it kept or not.
ALTER TABLE feedback ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
-- at_ms: the request's arrival. mode: redacted or full. answer: JSON, packed (zlib).
CREATE TABLE edited_answers (
    request_id TEXT NOT NULL,
    source TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    user_name TEXT NOT NULL,
    organisation TEXT NOT NULL,
    mode TEXT NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (request_id, source)
) STRICT;
CREATE INDEX edited_answers_by_time ON edited_answers (at_ms);
CREATE INDEX edited_answers_by_key ON edited_answers (key_id, at_ms) WHERE key_id <> '';
CREATE INDEX edited_answers_by_user ON edited_answers (organisation, user_name, at_ms) WHERE organisation <> '';
