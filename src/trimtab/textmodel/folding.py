"""Makes texts one that look the same: compatible characters, what is not seen, and case.

What it is not: a defence against letters of other scripts that look alike (the Cyrillic а). Invariant: a place in a
folded text is traced to a place of the text as given that holds at least what was found.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

UNSEEN = (
    *(
        "\u00ad",
        "\u034f",
        "\u061c",
        "\u180e",
        "\u200b",
        "\u200c",
        "\u200d",
        "\u200e",
        "\u200f",
        "\u202a",
        "\u202b",
        "\u202c",
    ),
    *(
        "\u202d",
        "\u202e",
        "\u2060",
        "\u2061",
        "\u2062",
        "\u2063",
        "\u2064",
        "\u2066",
        "\u2067",
        "\u2068",
        "\u2069",
        "\ufeff",
    ),
    *("\ufe0e", "\ufe0f"),
)
"""Characters that are not seen, or only change how their neighbours look: within a word they would hide it."""

WIDE = tuple((chr(code), chr(code - 0xFEE0)) for code in map(ord, "，：；！？（）．"))
"""Punctuation of Chinese and Japanese, with what NFKC makes of it. Most texts hold no other character that changes, and
replacing it takes a twentieth of the time."""

BLOCK = 256
"""Characters that are folded at once to trace a place: 8 ms for a million of them, then 0.2 ms in the block itself."""


def cased_fold(text: str) -> str:
    """NFKC without what is not seen. 1 us for 50 KB of ASCII, 0.3 ms for 50,000 other characters; 4 ms where rarer ones
    among them change."""
    if text.isascii():
        return text
    for char in UNSEEN:
        if char in text:
            text = text.replace(char, "")
    for char, plain in WIDE:
        text = text.replace(char, plain)
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def fold(text: str) -> str:
    """The same, without case (`ß` is `ss`). 20 us for 50 KB of ASCII."""
    return text.lower() if text.isascii() else without_case(cased_fold(text))


def without_case(cased: str) -> str:
    """A text that `cased_fold` gave, without case."""
    return cased.lower() if cased.isascii() else cased_fold(cased.casefold())


class Places:
    """Traces places in a folded text to the text as given. Costs nothing where folding moved nothing."""

    def __init__(self, text: str, folded: str, *, cased: bool) -> None:
        self._text = text
        self._folded = folded
        self._fold = cased_fold if cased else fold
        self._moved = not (text.isascii() or folded == text or (not cased and _only_case(text, folded)))
        self._blocks: tuple[list[int], list[int]] | None = None
        self._last = -1
        self._inner: tuple[list[int], list[int]] = ([], [])

    def traced(self, start: int, end: int) -> tuple[int, int]:
        """The place in the text as given, in characters; all of the text where it cannot be told."""
        if not self._moved:
            return start, end
        if self._blocks is None:
            self._blocks = _aligned(self._text, self._folded, self._fold, BLOCK)
        given, folded = self._blocks
        if not given:
            return 0, len(self._text)
        return self._within(bisect_right(folded, start) - 1, start)[0], self._within(
            bisect_left(folded, end) - 1, end
        )[1]

    def _within(self, block: int, place: int) -> tuple[int, int]:
        """The boundaries around a place of a block, in the text as given."""
        assert self._blocks is not None
        given, folded = self._blocks
        block = min(max(block, 0), len(given) - 2)
        if block != self._last:  # places are asked for in order, many of them in one block
            text = self._text[given[block] : given[block + 1]]
            part = self._folded[folded[block] : folded[block + 1]]
            self._last, self._inner = block, _aligned(text, part, self._fold, 1)
        inner, at = self._inner
        if not inner:
            return given[block], given[block + 1]
        before = inner[bisect_right(at, place - folded[block]) - 1]
        after = inner[min(bisect_left(at, place - folded[block]), len(inner) - 1)]
        return given[block] + before, given[block] + after


def _only_case(text: str, folded: str) -> bool:
    """Whether each character became one: none becomes less than one by case."""
    return len(folded) == len(text) and cased_fold(text) == text and text.casefold() == folded


def _aligned(text: str, folded: str, how: Callable[[str], str], size: int) -> tuple[list[int], list[int]]:
    """Where pieces of about `size` characters begin in both texts, and where the last one ends. Both are empty where
    pieces fold otherwise than the whole."""
    given, at = [0], [0]
    parts: list[str] = []
    for begin, end in _pieces(text, size):
        parts.append(how(text[begin:end]))
        given.append(end)
        at.append(at[-1] + len(parts[-1]))
    return (given, at) if "".join(parts) == folded else ([], [])


def _pieces(text: str, size: int) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(text):
        end = begin + size
        while end < len(text) and _joins(text[end]):
            end += 1
        yield begin, min(end, len(text))
        begin = end


def _joins(char: str) -> bool:
    """Whether it may become one character with that before it: marks, and vowels and final consonants of Hangul."""
    return unicodedata.combining(char) != 0 or "\u1160" <= char <= "\u11ff" or char in UNSEEN
