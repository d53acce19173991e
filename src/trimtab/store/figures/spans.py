"""The spans of time that figures are kept for, and how a window is put together from them.

What it is not: the figures. Invariant: a moment of a window is covered by exactly one piece.
"""

import bisect
from collections.abc import Mapping, Sequence

import msgspec

from trimtab.store.database import Transaction

MINUTE_MS = 60_000
QUARTER_MS = 15 * MINUTE_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Level(msgspec.Struct, frozen=True):
    """Spans of one width."""

    width_ms: int
    kept_ms: int | None
    """How long; `None`: until retention deletes roll-ups."""


LEVELS = (
    Level(MINUTE_MS, 3 * HOUR_MS),
    Level(QUARTER_MS, 3 * DAY_MS),
    Level(HOUR_MS, 40 * DAY_MS),
    Level(4 * HOUR_MS, 40 * DAY_MS),
    Level(DAY_MS, None),
)
"""From fine to coarse; each is put together from the one before it. The coarser ones bound what a long window reads
(30 days are 30 spans, a week is 42), the finer ones what has to be added up from records (the last two minutes)."""


class Piece(msgspec.Struct, frozen=True):
    """A part of a window: spans of one width, or records."""

    from_ms: int
    to_ms: int
    width_ms: int | None
    """`None`: nothing is worked out here yet."""


def cover(
    from_ms: int, to_ms: int, worked_out: Mapping[int, Sequence[int]], bucket_ms: int | None
) -> list[Piece]:
    """The fewest pieces, in order; spans of one width that follow one another are one piece, and so is what lies
    between them. No span is over the edge of a bucket. `worked_out` has the beginnings of spans by width, sorted."""
    widths = [
        level.width_ms
        for level in reversed(LEVELS)
        if level.width_ms in worked_out and (bucket_ms is None or bucket_ms % level.width_ms == 0)
    ]
    there = {width: frozenset(worked_out[width]) for width in widths}
    pieces: list[Piece] = []
    at = from_ms
    while at < to_ms:
        width = next((width for width in widths if at in there[width] and at + width <= to_ms), None)
        end = at + width if width is not None else _next(at, to_ms, worked_out, widths)
        last = pieces[-1] if pieces else None
        if last is not None and last.width_ms == width:
            pieces[-1] = Piece(last.from_ms, end, width)
        else:
            pieces.append(Piece(at, end, width))
        at = end
    return pieces


def _next(at: int, to_ms: int, worked_out: Mapping[int, Sequence[int]], widths: Sequence[int]) -> int:
    """Where the next span begins."""
    found = to_ms
    for width in widths:
        starts = worked_out[width]
        place = bisect.bisect_right(starts, at)
        if place < len(starts):
            found = min(found, starts[place])
    return found


def worked_out(view: Transaction, from_ms: int, to_ms: int, bucket_ms: int | None) -> dict[int, list[int]]:
    """The beginnings of the spans within a window, by width, sorted."""
    found: dict[int, list[int]] = {}
    widths: Sequence[int] = [
        level.width_ms for level in LEVELS if bucket_ms is None or bucket_ms % level.width_ms == 0
    ]
    for width in widths:
        rows = view.rows(
            "SELECT from_ms FROM figure_spans WHERE width_ms = ? AND from_ms >= ? AND from_ms < ? ORDER BY from_ms",
            (width, from_ms - from_ms % width, to_ms),
        )
        found[width] = [row[0] for row in rows]
    return found
