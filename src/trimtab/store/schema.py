"""The tables of a SQLite file: which schema it holds, and bringing it to the newest.

What it is not: the steps themselves (`migrations/`), or the statements that fill and read the tables.
Invariant: each step runs in its own transaction, so a crash in between leaves the file at a whole step.
"""

from collections.abc import Callable

import apsw

from trimtab.errors import StoreError
from trimtab.store.steps import Step, load_steps

APPLICATION_ID = 0x54524D54
"""Marks the file as ours ("TRMT"), so that no other program's database is written to."""

BACKUP_ID = 0x54524D42
"""Marks a backup ("TRMB"), so that nobody serves from it by mistake."""

PAGE_BYTES = 8192
"""A typical record is a row of 1.5 KB. Measured on 20,000 of them with indexes and attempts: pages of 4096 bytes took
2,280 bytes a record, 8192 took 1,870, 16384 took 1,720 but doubles what a small commit writes. The same table
WITHOUT ROWID at 4096 took 4,930 and read 14 times as slowly, because such rows overflow their page."""

FIRST_WITH_WORKS_WITH = 3

_VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT
"""


def version_of(connection: apsw.Connection) -> int:
    """The schema that the file holds; 0 for an empty file. Raises `StoreError` for another program's database."""
    if not connection.execute("SELECT count(*) FROM sqlite_schema").get:
        return 0
    mark = connection.execute("PRAGMA application_id").get
    if mark == BACKUP_ID:
        raise StoreError("it is a backup; restore it with `trimtab doctor restore`")
    if mark != APPLICATION_ID:
        raise StoreError("it is another program's database; point store.url at a file of its own")
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").get)


def migrate(
    connection: apsw.Connection, clock_ms: Callable[[], int], steps: tuple[Step, ...] | None = None
) -> None:
    """Bring the file to the newest schema. Raises `StoreError`, `apsw.Error`."""
    steps = steps or load_steps("sqlite")
    while (version := version_of(connection)) < len(steps):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _step(connection, clock_ms(), steps)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    if version > len(steps):
        works_with = connection.execute(
            "SELECT works_with FROM schema_version ORDER BY version DESC LIMIT 1"
        ).get
        check_newer(version, works_with, len(steps))


def check_newer(version: int, works_with: int, known: int) -> None:
    """Whether a program that knows fewer steps may use the database. Raises `StoreError`."""
    if known < works_with:
        raise StoreError(
            f"its schema is {version} and this Trimtab knows {known}; run the newer Trimtab that wrote it, "
            "or point store.url elsewhere"
        )


def _step(connection: apsw.Connection, at_ms: int, steps: tuple[Step, ...]) -> None:
    """The next step, if another process has not just done it."""
    version = version_of(connection)
    if version >= len(steps):
        return
    if version == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(_VERSION_TABLE)
    step = steps[version]
    connection.execute(step.sql)
    connection.execute("INSERT INTO schema_version (version, at_ms) VALUES (?, ?)", (step.number, at_ms))
    if step.number >= FIRST_WITH_WORKS_WITH:
        connection.execute(
            "UPDATE schema_version SET works_with = ? WHERE version = ?", (step.works_with, step.number)
        )
