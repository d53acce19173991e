"""The tables, as numbered steps that only go forward.

What it is not: the statements that fill and read the tables (`rows`).
Invariant: each step runs in its own transaction and a step once released never changes, so a file of any age comes
to the newest schema, and a crash in between leaves it at a whole step.
"""

from collections.abc import Callable

import apsw

from trimtab.errors import StoreError

APPLICATION_ID = 0x54524D54
"""Marks the file as ours ("TRMT"), so that no other program's database is written to."""

PAGE_BYTES = 8192
"""A typical record is a row of 1.5 KB. Measured on 20,000 of them with indexes and attempts: pages of 4096 bytes took
2,280 bytes a record, 8192 took 1,870, 16384 took 1,720 but doubles what a small commit writes. The same table
WITHOUT ROWID at 4096 took 4,930 and read 14 times as slowly, because such rows overflow their page."""

_FIRST = """
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
"""

_GAPS = """
CREATE TABLE record_gaps (
    writer TEXT NOT NULL,
    serial INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    PRIMARY KEY (writer, serial, purpose, simulated, from_ms)
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _GAPS)
"""Step n brings the schema from n - 1 to n. Only ever append."""

LATEST = len(MIGRATIONS)

_VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT
"""


def version_of(connection: apsw.Connection) -> int:
    """The schema that the file holds; 0 for an empty file. Raises `StoreError` for another program's database."""
    if not connection.execute("SELECT count(*) FROM sqlite_schema").get:
        return 0
    if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        raise StoreError("it is another program's database; point store.url at a file of its own")
    version = int(connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").get)
    if version > LATEST:
        raise StoreError(
            f"its schema is {version} and this Trimtab knows {LATEST}; run the newer Trimtab that wrote it, "
            "or point store.url at another file"
        )
    return version


def migrate(connection: apsw.Connection, clock_ms: Callable[[], int]) -> None:
    """Bring the file to the newest schema. Raises `StoreError`, `apsw.Error`."""
    while version_of(connection) < LATEST:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _step(connection, clock_ms())
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _step(connection: apsw.Connection, at_ms: int) -> None:
    """The next step, if another process has not just done it."""
    version = version_of(connection)
    if version == LATEST:
        return
    if version == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(_VERSION_TABLE)
    connection.execute(MIGRATIONS[version])
    connection.execute("INSERT INTO schema_version (version, at_ms) VALUES (?, ?)", (version + 1, at_ms))
