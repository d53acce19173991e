"""The seam to an SQL engine: short transactions over one dialect, for tables that are not records.

What it is not: the records' path, which has a writer and a format of its own per engine, or a query builder. Callers
are the other files of this package; SQL is written nowhere else.
Invariants: a unit of work runs whole or not at all; it may run more than once (after a deadlock or on a connection that
had died), so it must only touch the database; every failure is a `StoreError` of one line.

The dialect is what SQLite 3.53 and PostgreSQL 14 share: `?` for values (never inside a literal), `ON CONFLICT`,
`RETURNING`, common table expressions; types as in `migrations/`. The few differences are in `Words`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from trimtab.store.steps import Engine

Value = str | int | float | bytes | None
Row = tuple[Any, ...]
T = TypeVar("T")


class Words(msgspec.Struct, frozen=True):
    """Where the engines differ."""

    engine: Engine
    skip_locked: str
    """Ends a sub-select that picks rows to change: rows that another transaction holds are passed over."""
    lock_row: str
    """Ends a select of rows that the transaction is going to change."""
    texts: str
    """A sub-select of the texts in one value, a JSON array: `id IN {texts}`."""
    least: str
    greatest: str
    """Scalar functions of two values."""


SQLITE_WORDS = Words("sqlite", "", "", "(SELECT value FROM json_each(?))", "min", "max")
POSTGRES_WORDS = Words(
    "postgresql",
    "FOR UPDATE SKIP LOCKED",
    "FOR UPDATE",
    "(SELECT jsonb_array_elements_text(?::text::jsonb))",
    "least",
    "greatest",
)


class Transaction(Protocol):
    """One transaction; valid until the unit of work returns."""

    words: Words

    def now_ms(self) -> int:
        """Unix milliseconds by the clock that all users of this database share."""
        ...

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a statement."""
        ...

    def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row, if there is one."""
        ...

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; how many rows it changed."""
        ...

    def change_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once for each row of values."""
        ...


class Database(Protocol):
    """Runs units of work. Safe to use from any thread; every call blocks."""

    words: Words

    def write(self, work: Callable[[Transaction], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction that may write, and commit it; an exception rolls it back.

        On SQLite one such transaction runs at a time in the whole file. `durable=False` lets the last moments be lost
        with the machine's power (never with the process). Raises `StoreError`.
        """
        ...

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on one unchanging view of the database. Raises `StoreError`."""
        ...

    def fold(self) -> bool:
        """Let go of copies that the engine keeps of what was changed; whether none is left that it knows of.

        SQLite empties its write-ahead log, which waits for readers and writers, seconds at the most. PostgreSQL lets go
        in its own time: False. Raises `StoreError`.
        """
        ...

    def close(self) -> None:
        """Close all connections. Idempotent."""
        ...
