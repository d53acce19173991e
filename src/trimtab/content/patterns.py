"""What looks like a secret or names a person, in one text.

What it is not: JSON (`redaction`), or complete: names of people, addresses of houses and secrets that look like words
are not found. Invariants: time is linear in the text, whatever it holds; the interpreter lock is let go of at least
every `WINDOW_CHARS` characters; of two findings that overlap nothing survives.
"""

import ipaddress
import re
import string
import time
from collections.abc import Callable, Iterator

import msgspec

from trimtab.telemetry.secret_patterns import Span, long_words_of, lower_case, secrets_that_may_be_in

WINDOW_CHARS = 16 * 1024
"""A search holds the interpreter lock until it ends; one over so many characters takes some 0.2 ms."""

OVERLAP_CHARS = 1024
"""How far a window looks into the next: a finding that begins in one and reaches no further is seen whole."""

FINDING_CHARS = 1024 * 1024
"""A finding that reaches further is followed for so long (base64 of whole files)."""

MIN_CHARS = 5
"""A shorter text holds nothing that is looked for."""

CARD_DIGITS = (13, 19)
CARD_GROUPS = 8
"""Groups that a card's number is written in, at most: 16 digits in pairs."""
IBAN_CHARS = (15, 34)
PHONE_DIGITS = (7, 15)
"""Source: ISO/IEC 7812, ISO 13616, ITU-T E.164."""


class _Kind(msgspec.Struct, frozen=True):
    """One thing that is looked for."""

    label: str
    marks: tuple[str, ...]
    """A text that holds none of them, in lower case, is not searched; none at all: every text is."""
    pattern: re.Pattern[str]
    spans: Callable[[re.Match[str]], Iterator[Span]]
    """What of a match is hidden; nothing of one that only looked like it."""
    digits: bool = False
    """A text without a digit is not searched."""
    word_chars: int = 0
    """A text without a word so long is not searched."""


def luhn(digits: str) -> bool:
    """Whether a number of a card's length has a card's check digit."""
    if not CARD_DIGITS[0] <= len(digits) <= CARD_DIGITS[1] or not digits.strip("0"):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def _all(match: re.Match[str]) -> Iterator[Span]:
    yield match.span()


def _card(match: re.Match[str]) -> Iterator[Span]:
    """Runs of whole groups of digits that a card may be: "42 4111 1111 1111 1111" holds one."""
    groups = [
        (match.start() + one.start(), match.start() + one.end()) for one in _DIGITS.finditer(match.group())
    ]
    first = 0
    while first < len(groups):
        size, found = 0, None
        for last in range(first, min(len(groups), first + CARD_GROUPS)):
            size += groups[last][1] - groups[last][0]
            if size > CARD_DIGITS[1]:
                break
            if size >= CARD_DIGITS[0]:
                digits = "".join(match.string[start:end] for start, end in groups[first : last + 1])
                found = last if luhn(digits) else found
        if found is not None:
            yield groups[first][0], groups[found][1]
            first = found
        first += 1


def _iban(match: re.Match[str]) -> Iterator[Span]:
    """The longest run from here whose check digits are right and that ends where a word ends.

    Source: ISO 13616, check digits by ISO 7064 MOD 97-10.
    """
    text, start, at = match.string, match.start() - 2, match.end()
    country = int(text[start : start + 2], 36)
    tail = (country // 36) * 10_000 + (country % 36) * 100 + int(text[start + 2 : start + 4])
    size, rest, end = 4, 0, None
    while at < len(text) and size <= IBAN_CHARS[1]:
        char = text[at]
        at += 1
        if char in _IBAN_VALUES:
            value = _IBAN_VALUES[char]
            rest = (rest * (100 if value > 9 else 10) + value) % 97
            size += 1
            ends = at == len(text) or text[at] not in _IBAN_VALUES
            if ends and IBAN_CHARS[0] <= size <= IBAN_CHARS[1] and (rest * 1_000_000 + tail) % 97 == 1:
                end = at
        elif char not in " -\u00a0" or text[at : at + 1] not in _IBAN_VALUES:
            break
    if end is not None:
        yield start, end


def _phone(match: re.Match[str]) -> Iterator[Span]:
    digits = sum(char.isdigit() for char in match.group())
    least = PHONE_DIGITS[0] if match.group()[0] == "+" else 9
    if least <= digits <= PHONE_DIGITS[1] + 2:
        yield match.span()


def _ip4(match: re.Match[str]) -> Iterator[Span]:
    if all(int(part) <= 255 for part in match.group().split(".")):
        yield match.span()


def _ip6(match: re.Match[str]) -> Iterator[Span]:
    """`host:2001:db8::1` holds one, `std::add` none."""
    text, (start, end) = match.string, match.span()
    found = match.group()
    if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        if not found.startswith(":") or found.startswith("::"):
            return
        found, start = found[1:], start + 1
    if found.endswith(":") and not found.endswith("::"):
        found, end = found[:-1], end - 1
    if not any(char.isdigit() for char in found):
        return  # "a::b" is code
    try:
        ipaddress.IPv6Address(found)
    except ValueError:
        return
    yield start, end


_IBAN_VALUES = {char: int(char, 36) for char in string.digits + string.ascii_letters}
_DIGITS = re.compile(r"[0-9]+")
_GAP = r"[ .\-/()\u00a0\u2010-\u2013]{0,2}"

# Every pattern is linear: where it fails, it fails within a bounded number of characters. What must not stand before
# is looked at behind the first character, so that the search for that character is a fast one.
_DASH = r"\-\u2010-\u2013"

_KINDS: tuple[_Kind, ...] = (
    _Kind(
        "base64",
        (),
        re.compile(r"[A-Za-z0-9+/_\-](?<![A-Za-z0-9+/_\-]{2})[A-Za-z0-9+/_\-]{255,}={0,2}"),
        _all,
        word_chars=256,
    ),
    _Kind(
        "base64",
        ("\n",),
        re.compile(
            r"[A-Za-z0-9+/](?<![A-Za-z0-9+/]{2})"
            r"(?:[A-Za-z0-9+/]{59,75}\r?\n[A-Za-z0-9+/]){3,}[A-Za-z0-9+/]{0,76}={0,2}"
        ),
        _all,
        word_chars=60,
    ),
    _Kind(
        "email",
        ("@",),
        re.compile(r"[\w.%+\-](?<![\w.%+\-]{2})[\w.%+\-]{0,255}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}"),
        _all,
    ),
    _Kind(
        "iban",
        (),
        re.compile(
            r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![A-Za-z0-9][A-Za-z]{2}[0-9])[0-9](?=[ \-\u00a0]?[A-Za-z0-9])"
        ),
        _iban,
        digits=True,
    ),
    _Kind(
        "card",
        (),
        re.compile(rf"[0-9](?<![0-9]{{2}})(?:[ .\u00a0{_DASH}]?[0-9]){{12,}}"),
        _card,
        digits=True,
    ),
    _Kind(
        "phone",
        (),
        re.compile(
            r"[+(0-9](?:"
            rf"(?<=\+)[0-9](?:{_GAP}[0-9]){{6,14}}(?![0-9])"
            rf"|(?<=0)(?<![\w.\-/+]0)[0-9]{{1,4}}{_GAP}(?:[0-9]{_GAP}){{5,12}}[0-9](?!\w)"
            r"|(?<=\()[0-9]{3}\) ?[0-9]{3}[ .\-][0-9]{4}(?!\w)"
            r"|(?<=[0-9])(?<![\w.\-/+][0-9])[0-9]{2}[ .\-][0-9]{3}[ .\-][0-9]{4}(?!\w)"
            r")"
        ),
        _phone,
        digits=True,
    ),
    _Kind(
        "ip",
        (),
        re.compile(r"[0-9](?<![0-9.][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])"),
        _ip4,
        digits=True,
    ),
    _Kind(
        "ip",
        (":",),
        re.compile(
            r"[0-9A-Fa-f:](?<![0-9A-Fa-f:]{2})(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{1,38}(?:\.[0-9]{1,3}){0,3}(?!\w)"
        ),
        _ip6,
        digits=True,
    ),
)


def redacted_text(text: str) -> str:
    """The text with a labelled placeholder for each finding, as `[redacted: email]`."""
    if len(text) < MIN_CHARS:
        return text
    lowered = lower_case(text)
    has_digit = _DIGITS.search(lowered) is not None
    long_words = long_words_of(text)
    longest = max(map(len, long_words.split()), default=0)
    found = [
        (start, end, kind.label)
        for kind in _KINDS
        if (has_digit or not kind.digits) and longest >= kind.word_chars and _may_hold(lowered, kind.marks)
        for start, end in _findings(kind.pattern, kind.spans, text)
    ]
    for secret in secrets_that_may_be_in(text, lowered, long_words):
        searched = lowered if secret.lowered else text
        found += ((start, end, "secret") for start, end in _findings(secret.pattern, secret.spans, searched))
    found.sort()
    if not found:
        return text
    parts, at = [], 0
    for start, end, label in found:
        if end <= at:
            continue
        if start >= at:
            parts += [text[at:start], f"[redacted: {label}]"]
        at = end  # of two that overlap the second's rest goes with the first
    return "".join([*parts, text[at:]])


def _may_hold(lowered: str, marks: tuple[str, ...]) -> bool:
    """Whether one of the marks is there. A plain loop: most texts are short, and there are many of them."""
    for mark in marks:
        if mark in lowered:
            return True
    return not marks


def _findings(
    pattern: re.Pattern[str], spans: Callable[[re.Match[str]], Iterator[Span]], text: str
) -> Iterator[Span]:
    """Window by window; a finding belongs to the window in which it begins."""
    begin = 0
    while begin < len(text):
        stop = begin + WINDOW_CHARS
        edge = min(stop + OVERLAP_CHARS, len(text))
        searching = True
        while searching:
            searching = False
            for match in pattern.finditer(text, begin, edge):
                if match.start() >= stop:
                    break
                if match.end() == edge < len(text):
                    longer = pattern.match(text, match.start(), match.start() + FINDING_CHARS)
                    match = longer if longer is not None else match
                begin = match.end()
                for span in spans(match):
                    yield span
                    begin = max(begin, span[1])
                if begin > match.end():  # what is hidden already is not searched again
                    searching = True
                    break
        begin = max(stop, begin)
        if begin < len(text):
            time.sleep(0)  # others first
