-- People who use the console, and where they are logged in. (`users` are those whom keys were made for.)
-- works with: 11
CREATE TABLE console_users (
    name TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    password_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    disabled_ms INTEGER
) STRICT, WITHOUT ROWID;
-- The SHA-256 of each session's token.
CREATE TABLE console_sessions (
    digest BLOB NOT NULL PRIMARY KEY,
    user_name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX console_sessions_by_user ON console_sessions (user_name, created_ms);
