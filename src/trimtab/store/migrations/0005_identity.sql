-- Organisations, teams, users, keys, and the audit trail of changes. No row is ever deleted.
-- works with: 4
CREATE TABLE organisations (
    name TEXT NOT NULL PRIMARY KEY,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE teams (
    organisation TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (organisation, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE users (
    organisation TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (organisation, name)
) STRICT, WITHOUT ROWID;
-- `version` is the number of the audit row that tells of the last change. Lists and maps are JSON.
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    organisation TEXT NOT NULL,
    team TEXT NOT NULL,
    user_name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER,
    models TEXT,
    tiers TEXT,
    platforms TEXT,
    default_tier TEXT,
    admin INTEGER NOT NULL,
    limits TEXT NOT NULL,
    labels TEXT NOT NULL
) STRICT;
CREATE INDEX keys_by_version ON keys (version, id);
CREATE UNIQUE INDEX keys_by_name ON keys (organisation, name) WHERE revoked_ms IS NULL;
-- The SHA-256 of each secret. Several open one key while it is being rotated.
CREATE TABLE key_secrets (
    digest BLOB NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    prefix TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    ends_ms INTEGER
) STRICT;
CREATE INDEX key_secrets_by_version ON key_secrets (version, digest);
CREATE INDEX key_secrets_by_key ON key_secrets (key_id);
-- Each hash is over the hash before and the row itself.
CREATE TABLE audit (
    n INTEGER NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    organisation TEXT NOT NULL,
    subject TEXT NOT NULL,
    before_json TEXT,
    after_json TEXT,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_organisation ON audit (organisation, n);
-- The end of the chain: at most one row, locked by whoever adds to it, so that numbers become visible in their order.
CREATE TABLE audit_head (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    n INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
