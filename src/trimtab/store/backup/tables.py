"""The tables of a store as they are, read from the engine itself, and the sum by which two copies of one are compared.

What it is not: a copy (`making`, `restore`) or the schema's steps.
Invariant: the same rows have the same sum on both engines, in whatever order they come.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import apsw
import msgspec

from trimtab.errors import StoreError
from trimtab.store.database import Row

if TYPE_CHECKING:
    import psycopg

Kind = Literal["INTEGER", "REAL", "TEXT", "BLOB"]

VERSIONS = "schema_version"
"""Made with the schema, never copied."""

MANIFEST = "backup_manifest"
"""Only in backup files."""

_NOT_COPIED = (VERSIONS, MANIFEST)

_SQLITE_KINDS: dict[str, Kind] = {"INTEGER": "INTEGER", "REAL": "REAL", "TEXT": "TEXT", "BLOB": "BLOB"}

_POSTGRES_KINDS: dict[str, Kind] = {
    "bigint": "INTEGER",
    "integer": "INTEGER",
    "double precision": "REAL",
    "text": "TEXT",
    "bytea": "BLOB",
}

_COPY_TYPES = {"INTEGER": "int8", "REAL": "float8", "TEXT": "text", "BLOB": "bytea"}

_SUM_BYTES = 16


class Column(msgspec.Struct, frozen=True):
    """One column that holds what was written (not a generated one)."""

    name: str
    kind: Kind


class Table(msgspec.Struct, frozen=True):
    """One table. Columns are in alphabetical order, so that the order of later ALTERs does not matter."""

    name: str
    columns: tuple[Column, ...]

    @property
    def list(self) -> str:
        """The columns for a statement."""
        return ", ".join(quoted(column.name) for column in self.columns)

    @property
    def select(self) -> str:
        """All rows."""
        return f"SELECT {self.list} FROM {quoted(self.name)}"  # noqa: S608 (names quoted)


def quoted(name: str) -> str:
    """A name for a statement, on both engines."""
    return '"' + name.replace('"', '""') + '"'


def sqlite_tables(connection: apsw.Connection, schema: str = "main") -> tuple[Table, ...]:
    """All tables with rows of ours, by name. Raises `StoreError`, `apsw.Error`."""
    found = []
    names = connection.execute(
        f"SELECT name FROM {quoted(schema)}.sqlite_schema "  # noqa: S608 (name quoted)
        "WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    for (name,) in names:
        if name in _NOT_COPIED:
            continue
        columns = connection.execute(
            "SELECT name, type FROM pragma_table_xinfo(?, ?) WHERE hidden = 0 ORDER BY name", (name, schema)
        ).fetchall()
        kept = []
        for column, kind in columns:
            if kind not in _SQLITE_KINDS:
                raise StoreError(f"column {name}.{column} is {kind!r}, which no copy is made of")
            kept.append(Column(str(column), _SQLITE_KINDS[str(kind)]))
        found.append(Table(str(name), tuple(kept)))
    return tuple(found)


def postgres_tables(connection: "psycopg.Connection[Any]") -> tuple[Table, ...]:
    """All tables of the schema `trimtab`, by name. Raises `StoreError`, `psycopg.Error`."""
    found: dict[str, list[Column]] = {}
    rows = connection.execute(
        """
        SELECT t.table_name, c.column_name, c.data_type
        FROM information_schema.tables t
        JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name
        WHERE t.table_schema = 'trimtab' AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
        ORDER BY t.table_name COLLATE "C", c.column_name COLLATE "C"
        """
    )
    for table, column, kind in rows:
        if table in _NOT_COPIED:
            continue
        if kind not in _POSTGRES_KINDS:
            raise StoreError(f"column {table}.{column} is {kind!r}, which no copy is made of")
        found.setdefault(table, []).append(Column(column, _POSTGRES_KINDS[kind]))
    return tuple(Table(name, tuple(columns)) for name, columns in found.items())


def copy_types(connection: "psycopg.Connection[Any]", table: Table) -> list[str]:
    """The types of a table's columns, for binary COPY, which does not convert."""
    found = connection.execute(
        "SELECT column_name, udt_name FROM information_schema.columns "
        "WHERE table_schema = 'trimtab' AND table_name = %s",
        (table.name,),
    )
    exact: dict[str, str] = dict(found.fetchall())
    return [exact.get(column.name, _COPY_TYPES[column.kind]) for column in table.columns]


def plain_reals(table: Table, rows: Iterator[Row]) -> Iterator[Row]:
    """Rows with REAL figures as SQLite keeps them: it has no negative zero, and no value that is not a number."""
    places = [n for n, column in enumerate(table.columns) if column.kind == "REAL"]
    if not places:
        yield from rows
        return
    for row in rows:
        changed = list(row)
        for place in places:
            value = changed[place]
            if value is not None:
                changed[place] = 0.0 if math.isnan(value) else value + 0.0
        yield tuple(changed)


class TableSum:
    """Adds up a table's rows: their number, and a sum of their hashes that does not depend on their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0
        self._encode = msgspec.msgpack.Encoder().encode

    def add(self, row: Sequence[Any]) -> None:
        """Count one row in; about 3 us for a record."""
        self.rows += 1
        hashed = hashlib.blake2b(self._encode(row), digest_size=_SUM_BYTES).digest()
        self._sum += int.from_bytes(hashed, "little")

    @property
    def digest(self) -> str:
        """32 hexadecimal characters."""
        return (self._sum % (1 << 8 * _SUM_BYTES)).to_bytes(_SUM_BYTES, "little").hex()
