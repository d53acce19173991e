-- Idempotency keys: who answers, or answered, a request that may come twice.
-- works with: 7
CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL PRIMARY KEY,
    body_hash TEXT NOT NULL,
    request_id TEXT NOT NULL,
    worker TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    done INTEGER NOT NULL,
    answer BLOB
) STRICT;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (at_ms);
