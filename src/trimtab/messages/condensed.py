"""A long JSON text without what can hold no sign of its structure, as the pixels of an image in base64.

What it is not: a parser. Invariant: every quote, every backslash and `EDGE` bytes behind each stretch of them are kept,
in order, so that the condensed text is JSON where the whole one is, with the same members, and shorter strings.
"""

from bisect import bisect_right

STEP = 16 * 1024
"""Bytes that are passed over where no quote and no backslash is among them, as in an image: 1 us, where searches take
18. In other text the first of them ends the look."""

EDGE = 16
"""Bytes; a sign that begins in one step may end in the next, and the longest that is looked for has so many."""


def written_parts(raw: bytes) -> list[tuple[int, int]]:
    """Where signs can stand, start and end: all but steps without a quote or backslash, with which every one begins.

    Each part reaches as far into what is passed over as a sign may. Text beyond ASCII is kept: to cut it could cut a
    character in two. Cost: 1 us for each 16 KB that is passed over.
    """
    size = len(raw)
    if size <= STEP:
        return [(0, size)]
    parts: list[tuple[int, int]] = []
    start = -1
    plain: bool | None = None
    for at in range(0, size, STEP):
        end = at + STEP
        if raw.find(b'"', at, end) >= 0 or raw.find(b"\\", at, end) >= 0:
            if start < 0:
                start = at
            continue
        if plain is None:
            plain = raw.isascii()
        if not plain and not raw[at:end].isascii():
            start = at if start < 0 else start
        elif start >= 0:
            parts.append((start, at + EDGE))
            start = -1
    if start >= 0:
        parts.append((start, size))
    return parts


class Condensed:
    """The parts of a text, joined."""

    __slots__ = ("_begins", "_parts", "text")

    def __init__(self, raw: bytes, parts: list[tuple[int, int]] | None = None) -> None:
        """`parts` is what `written_parts` found, where it was asked before."""
        self._parts = written_parts(raw) if parts is None else parts
        self._begins: list[int] = []
        size = 0
        for start, end in self._parts:
            self._begins.append(size)
            size += min(end, len(raw)) - start
        self.text = raw if size == len(raw) else b"".join([raw[start:end] for start, end in self._parts])

    def place(self, at: int) -> int:
        """Where the byte at this place of `text` stands in the whole."""
        part = bisect_right(self._begins, at) - 1
        return self._parts[part][0] + at - self._begins[part]
