"""Tables in a terminal of any width, or in a pipe, which has none.

Invariants: what is printed is text, never markup, and holds no character that a terminal obeys; where a table does not
fit, each row gets lines of its own, of which the first is never cut or wrapped.
"""

import os
import sys
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDE = 1000
"""Piped output has no width of its own; a table is as wide as what it holds."""


def console() -> Console:
    """Where tables go."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console(highlight=False, markup=False)
    return Console(width=WIDE, highlight=False, markup=False)


def headed(*columns: str) -> Table:
    """An empty table with these columns, none of which is wrapped."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def print_fitting(table: Table, lines: Iterable[tuple[str, str]]) -> None:
    """The table, or, where it is too wide, two lines for each row."""
    out = console()
    options = out.options.update(max_width=WIDE)
    if Measurement.get(out, options, table).maximum <= out.width:
        out.print(table)
        return
    for first, second in lines:
        out.print(Text(first, style="bold"), soft_wrap=True)
        if second:
            out.print(Padding(Text(second), (0, 0, 0, 4), expand=False))
