"""Counts kinds of characters in UTF-8: what token estimates and content classes are made from.

What it is not: a tokenizer. Invariant: the cost stops growing beyond 32 kB; a longer text is sampled.
"""

from typing import NamedTuple

SAMPLE_BYTES = 32 * 1024
"""Of a text, looked at."""

_WINDOW_BYTES = 1024

_ENGLISH = (b" the ", b" of ", b" and ", b" to ", b" in ", b" is ", b" a ")

ENGLISH_SHARE = 12
"""One in so many words being one of these marks whole English prose; fewer, a mixture. Chosen with the weights."""


def _kinds() -> bytes:
    """One letter for each byte: what kind of character it starts. Continuation bytes are `.`."""
    kinds = bytearray(b"." * 256)
    for code in range(256):
        character = chr(code)
        if code < 0x80:
            if character.islower():
                kinds[code] = ord("l")
            elif character.isupper():
                kinds[code] = ord("u")
            elif character.isdigit():
                kinds[code] = ord("d")
            elif 0x21 <= code <= 0x7E:
                kinds[code] = ord("p")
        elif 0xC2 <= code <= 0xCC:
            kinds[code] = ord("L")
        elif 0xD0 <= code <= 0xD3:
            kinds[code] = ord("T")
        elif 0xCD <= code <= 0xDF:
            kinds[code] = ord("G")
        elif 0xE0 <= code <= 0xE2:
            kinds[code] = ord("S")
        elif 0xEA <= code <= 0xED:
            kinds[code] = ord("H")
        elif 0xE3 <= code <= 0xEF:
            kinds[code] = ord("C")
        elif code >= 0xF0:
            kinds[code] = ord("A")
    return bytes(kinds)


_KINDS = _kinds()
_NOT_CONTINUATION = bytes(code for code in range(256) if not 0x80 <= code <= 0xBF)


class Counts(NamedTuple):
    """Characters of each kind; the names are those of `token_tables.WEIGHTS`."""

    lower: int
    upper: int
    digit: int
    space: int
    line_end: int
    punctuation: int
    latin: int
    two_byte: int
    """Cyrillic."""
    greek_arabic: int
    """The other scripts of two bytes: Greek, Armenian, Hebrew, Arabic."""
    symbol: int
    """Scripts of India and South-East Asia, dashes, curly quotes, arrows."""
    cjk: int
    hangul: int
    astral: int
    english_lower: int
    """Lower-case letters that belong to English prose."""


def sample(data: bytes, most: int = SAMPLE_BYTES) -> bytes:
    """All of a short text; evenly spaced windows of a long one, the first at its beginning. At least 2 kB."""
    most = max(most, 2 * _WINDOW_BYTES)
    if len(data) <= most:
        return data
    windows = most // _WINDOW_BYTES
    step = (len(data) - _WINDOW_BYTES) // (windows - 1)
    return b"".join(data[start : start + _WINDOW_BYTES] for start in range(0, step * windows, step))


def count_kinds(data: bytes) -> Counts:
    """The characters of a text by kind. Cost: 5 us for 1 kB, 0.2 ms for 32 kB (measured)."""
    kinds = data.translate(_KINDS)
    count = kinds.count
    lower, space, line_end = count(b"l"), data.count(b" ") - data.count(b"  "), data.count(b"\n")
    english, words = sum(data.count(word) for word in _ENGLISH), space + line_end
    return Counts(
        lower=lower,
        upper=count(b"u"),
        digit=count(b"d"),
        space=space,
        line_end=line_end,
        punctuation=count(b"p"),
        latin=count(b"L"),
        two_byte=count(b"T"),
        greek_arabic=count(b"G"),
        symbol=count(b"S"),
        cjk=count(b"C"),
        hangul=count(b"H"),
        astral=count(b"A"),
        english_lower=lower * min(english * ENGLISH_SHARE, words) // words if words else 0,
    )


def characters(data: bytes) -> int:
    """How many characters UTF-8 spells."""
    return len(data) - len(data.translate(None, delete=_NOT_CONTINUATION))
