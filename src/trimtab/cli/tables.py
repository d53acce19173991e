"""The one way in which commands lay out what they show: rows under columns, and cards.

Rows take the first layout that fits the width: every column beside the others; those that belong together below each
other; the same two with sentences wrapped; each row as lines of its own. Names, ids and figures are not wrapped. A pipe
has 120 columns, or as many as `COLUMNS` says.

What it is not: what programs read (`--json`). Invariants: what is printed is text, never markup, and holds no character
that a terminal obeys; no line is wider than there is room, but for one that begins a row of its own, which is never cut
or wrapped.
"""

import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from trimtab.errors import printable, visible

PIPED = 120
"""Columns of a pipe: what a pager, a ticket and half of a screen still show."""

MOST_CHARS = 500
"""Of one cell; `--json` has all. The longest that is meant to be read are results of jobs."""

_BOUNDLESS = 100_000

_GAP = 2
"""Between two columns."""

_Group = tuple[tuple[str, int], ...]
"""Columns that stand below each other, each with its place in a row."""


class _Visible(Console):
    """Styles are its own; of the texts in it none reaches the terminal as a command."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text, keep="\n"), style, control)

    def print(self, *objects: Any, **how: Any) -> None:
        """As always, but that lines which were laid out to be whole are not cut."""
        super().print(*objects, **{"crop": False, **how})


def console() -> Console:
    """Where tables go."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED
    return _Visible(width=wide, highlight=False, markup=False, emoji=False)


def say_sentences(text: str, indent: int = 0) -> None:
    """What is said in sentences, wrapped at words to the room that tables have; long names stay whole."""
    for line in textwrap.wrap(
        visible(text),
        console().width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    ):
        print(line, flush=True)


class Rows:
    """Rows of texts under named columns, which choose their layout when they are printed.

    A tuple among the columns is of those that may stand below each other. `wraps` says by name which columns hold
    sentences, and how narrow these may become; `right` which hold figures. Columns without any content are left out.
    """

    def __init__(
        self,
        *columns: str | tuple[str, ...],
        wraps: Mapping[str, int] | None = None,
        right: Sequence[str] = (),
    ) -> None:
        self._groups = [(one,) if isinstance(one, str) else one for one in columns]
        self._wraps = wraps or {}
        self._right = right
        self._rows: list[tuple[tuple[str, ...], str]] = []

    def add(self, *cells: str, style: str = "") -> None:
        """A row; as many cells as there are columns, in their order."""
        names = [name for group in self._groups for name in group]
        assert len(cells) == len(names), (names, cells)
        self._rows.append((tuple(printable(cell, MOST_CHARS) for cell in cells), style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        groups = self._filled()
        flat = [(one,) for group in groups for one in group]
        for wraps in ({}, self._wraps):
            for layout in (flat, groups):
                widths = self._widths(layout, wraps, options.max_width)
                if widths is not None:
                    yield self._table(layout, widths)
                    return
        yield from self._lines([one for group in groups for one in group])

    def _filled(self) -> list[_Group]:
        """Groups of the columns that hold anything."""
        groups, place = [], 0
        for group in self._groups:
            placed = [(name, place + n) for n, name in enumerate(group)]
            place += len(group)
            held = tuple(one for one in placed if any(row[one[1]] for row, _ in self._rows))
            if held:
                groups.append(held)
        return groups

    def _widths(self, layout: Sequence[_Group], wraps: Mapping[str, int], room: int) -> list[int] | None:
        """How wide each column is: as its longest cell, less where sentences wrap; `None` if that is too wide."""
        widths, least = [], []
        for n, group in enumerate(layout):
            wide, narrow = 0, 0
            for m, (name, place) in enumerate(group):
                indent = _indent(n, m)
                widest = indent + max((cell_len(row[place]) for row, _ in self._rows), default=0)
                wide = max(wide, widest, indent + cell_len(name))
                narrow = max(narrow, min(widest, indent + wraps.get(name, widest)), indent + cell_len(name))
            widths.append(wide)
            least.append(narrow)
        room -= _GAP * (len(layout) - 1)
        if sum(least) > room:
            return None
        while sum(widths) > room:
            slack = [wide - narrow for wide, narrow in zip(widths, least, strict=True)]
            widths[slack.index(max(slack))] -= 1
        return widths

    def _table(self, layout: Sequence[_Group], widths: Sequence[int]) -> Table:
        table = Table(
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - 1, 0, 0),
            header_style="bold",
        )
        names = _stacked(layout, [name for group in layout for name, _ in group], widths)
        high = max((name.plain.count("\n") for name in names), default=0)
        for name, group, width in zip(names, layout, widths, strict=True):
            name.append("\n" * (high - name.plain.count("\n")))  # at the top, as what stands below it
            table.add_column(name, width=width, justify="right" if group[0][0] in self._right else "left")
        for row, style in self._rows:
            cells = [row[place] for group in layout for _, place in group]
            table.add_row(*_stacked(layout, cells, widths), style=style)
        return table

    def _lines(self, columns: Sequence[tuple[str, int]]) -> RenderResult:
        for row, style in self._rows:
            shown = [(name, row[place]) for name, place in columns if row[place]]
            yield _Whole(Text(shown[0][1] if shown else "", style=f"bold {style}".strip()))
            yield Padding(card(shown[1:]), (0, 0, 0, 2), expand=False)


class _Whole:
    """A line that is never cut or wrapped, however narrow the terminal."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(
            self._text, options.update(width=_BOUNDLESS, no_wrap=True, overflow="ignore")
        )


def _indent(column: int, part: int) -> int:
    """What stands below the first column's texts is indented, so that rows are told apart."""
    return 2 if column == 0 and part > 0 else 0


def _stacked(layout: Sequence[_Group], texts: Iterable[str], widths: Sequence[int]) -> list[Text]:
    """The cells of a row: in each column its texts below each other, wrapped, those of one line side by side."""
    given = iter(texts)
    columns = [
        [
            [" " * _indent(n, part) + line for line in _wrapped(next(given), width - _indent(n, part))]
            for part in range(len(group))
        ]
        for n, (group, width) in enumerate(zip(layout, widths, strict=True))
    ]
    several = [column for column in columns if len(column) > 1]
    for part in range(max(map(len, several), default=0)):
        high = max(len(column[part]) for column in several if len(column) > part)
        for column in several:
            if len(column) > part + 1:
                column[part] += [""] * (high - len(column[part]))
    return [Text("\n".join(line for part in column for line in part).rstrip("\n")) for column in columns]


def _wrapped(text: str, width: int) -> list[str]:
    """Between words where that is possible."""
    if cell_len(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        tried = f"{line} {word}" if line else word
        if cell_len(tried) <= width:
            line = tried
            continue
        if line:
            lines.append(line)
        *whole, line = chop_cells(word, width) or [""]
        lines += whole
    return [*lines, line]


def card(rows: Iterable[tuple[str, str]]) -> Table:
    """What there is to say of one thing: names, and behind each its text. What is empty is left out."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        if text:
            table.add_row(Text(visible(name)), Text(visible(text)))
    return table
