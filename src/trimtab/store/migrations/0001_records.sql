-- Records of requests, and the configuration versions that they name.
CREATE TABLE requests (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    surface TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    model TEXT,
    effort TEXT,
    tier TEXT,
    platform TEXT,
    session TEXT NOT NULL,
    result TEXT NOT NULL,
    status INTEGER NOT NULL,
    error TEXT,
    stream INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    attempt_count INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    total_ms REAL NOT NULL,
    first_content_ms REAL,
    request_bytes INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    config_version TEXT NOT NULL,
    catalogue_version TEXT NOT NULL,
    parent TEXT,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_time ON requests (at_ms);
CREATE INDEX requests_by_session ON requests (session);
CREATE INDEX requests_by_parent ON requests (parent) WHERE parent IS NOT NULL;
CREATE TABLE attempts (
    request_id TEXT NOT NULL,
    n INTEGER NOT NULL,
    platform TEXT NOT NULL,
    model TEXT NOT NULL,
    status INTEGER,
    result TEXT NOT NULL,
    error TEXT,
    stop_reason TEXT,
    provider_request_id TEXT,
    cost_nanousd INTEGER NOT NULL,
    cost_source TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    head_ms REAL,
    first_content_ms REAL,
    total_ms REAL NOT NULL,
    PRIMARY KEY (request_id, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE config_versions (
    version TEXT NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
