-- Attempts that verifiers judged, and all attempts of requests that went through several steps of a cascade.
-- works with: 21
-- says: accept, escalate, unsure; empty: not judged. released: the client was given this answer.
-- total_ms: until the end of the answer, without the checks. verdicts: JSON, [verifier, says, nano-dollars, ms, failed].
-- texts: evidence in the record quotes what was asked or answered.
CREATE TABLE judged_attempts (
    request_id TEXT NOT NULL,
    n INTEGER NOT NULL,
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    route TEXT NOT NULL,
    task_class TEXT NOT NULL,
    model TEXT NOT NULL,
    effort TEXT NOT NULL,
    thinking TEXT NOT NULL,
    result TEXT NOT NULL,
    says TEXT NOT NULL,
    released INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    checks_nanousd INTEGER NOT NULL,
    checks_ms REAL NOT NULL,
    total_ms REAL NOT NULL,
    verdicts TEXT NOT NULL,
    texts INTEGER NOT NULL,
    PRIMARY KEY (request_id, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX judged_attempts_by_time ON judged_attempts (at_ms);
CREATE INDEX judged_attempts_with_texts ON judged_attempts (at_ms) WHERE texts = 1;
