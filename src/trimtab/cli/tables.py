"""Tables in a terminal of any width, or in a pipe, which has none.

Invariants: what is printed is text, never markup, and holds no character that a terminal obeys; where a table does not
fit, each row gets lines of its own, of which the first is never cut or wrapped.
"""

import os
import sys
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

from trimtab.errors import visible

WIDE = 1000
"""Piped output has no width of its own; a table is as wide as what it holds."""


class _Visible(Console):
    """Styles are its own; of the texts in it none reaches the terminal as a command."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text, keep="\n"), style, control)


def console(wide: int = WIDE) -> Console:
    """Where tables go; without a terminal so many columns wide."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return _Visible(highlight=False, markup=False)
    return _Visible(width=wide, highlight=False, markup=False)


class _Rows(Table):
    """Measures its cells as they are shown."""

    def add_row(
        self, *cells: RenderableType | None, style: StyleType | None = None, end_section: bool = False
    ) -> None:
        seen = [
            Text(visible(one.plain), one.style)
            if isinstance(one, Text) and not one.plain.isprintable()
            else visible(one)
            if isinstance(one, str)
            else one
            for one in cells
        ]
        super().add_row(*seen, style=style, end_section=end_section)


def headed(*columns: str) -> Table:
    """An empty table with these columns, none of which is wrapped."""
    table = _Rows(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
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
