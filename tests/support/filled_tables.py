"""Rows of every kind for every table there is, without knowing the tables."""

from typing import Any

import apsw
from hypothesis import strategies as st

from trimtab.store.backup.tables import Column, Table, quoted, sqlite_tables
from trimtab.store.schema import migrate

MONEY_MAX = 2**53

ODD_TEXTS = [
    "",
    "'",
    '"',
    "\\",
    "\\N",
    "\t\r\n",
    "NULL",
    "%s ?",
    "\u2028",
    "\ud7ff\U0010ffff",
    "ä\u0308",
    "{}",
    " ",
]


def tables() -> tuple[Table, ...]:
    connection = apsw.Connection(":memory:")
    migrate(connection, lambda: 0)
    found = sqlite_tables(connection)
    connection.close()
    return found


def value_of(table: Table, column: Column) -> st.SearchStrategy[Any]:
    if table.name == "audit_head" and column.name == "one":
        return st.just(1)
    if column.name.endswith("_nanousd"):
        return st.integers(0, MONEY_MAX)
    if column.kind == "INTEGER":
        return st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3)
    if column.kind == "REAL":
        return st.floats(allow_nan=False)
    if column.kind == "BLOB":
        return st.binary(max_size=40)
    return st.sampled_from(ODD_TEXTS) | st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
    )


@st.composite
def rows_of(draw: st.DrawFn, table: Table) -> list[tuple[Any, ...]]:
    one = st.tuples(*(value_of(table, column) for column in table.columns))
    return draw(st.lists(one, min_size=1, max_size=6))


@st.composite
def contents(draw: st.DrawFn) -> dict[str, list[tuple[Any, ...]]]:
    """Rows for each table; columns in the order of `Table.columns`."""
    return {table.name: draw(rows_of(table)) for table in tables()}


def fill(connection: apsw.Connection, content: dict[str, list[tuple[Any, ...]]]) -> None:
    """Those that break a uniqueness stay out; of each table at least one gets in."""
    for table in sqlite_tables(connection):
        places = ", ".join("?" * len(table.columns))
        connection.execute(f"DELETE FROM {quoted(table.name)}")
        connection.executemany(
            f"INSERT OR IGNORE INTO {quoted(table.name)} ({table.list}) VALUES ({places})",
            content.get(table.name, []),
        )
