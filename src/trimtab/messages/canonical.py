"""What a JSON body says, apart from how it is written: whether two requests ask the very same.

What it is not: the reading of a body that is sent on (`body`), which is never changed by what is found here.
Invariant: two values have one digest exactly where they are the same JSON value: the order of members, white space and
escapes make no difference, nor how a number is written (`1`, `1.0`, `10e-1`); everything else does. What readers may
understand differently (a key twice in one object, however deep) has no digest at all.
"""

import hashlib
import json
from typing import Any

import msgspec

SHORT_DIGITS = 18
"""Whole numbers up to so many digits are compared as such; others by their digits and power of ten."""

MAX_EXPONENT_CHARS = 9
"""No number that a request needs has a longer one; Python refuses to read very long numbers."""


_PLAIN = msgspec.json.Encoder(order="sorted")


class Unclear(ValueError):
    """What the body says depends on who reads it, or it cannot be read here."""


class Number:
    """A number that is no short whole one, written in the one way: `-15e-1` for -1.5."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def read_exactly(raw: bytes) -> Any:
    """The value, with numbers as whole numbers or `Number`. Raises `Unclear`. 0.1 ms for 50 KB of conversation."""
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_once,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError) as problem:
        raise Unclear(str(problem)) from None


def digest_of(value: Any) -> bytes:
    """SHA-256 over the one way to write a value that `read_exactly` gave. Raises `Unclear` for one nested too deep.

    Cost: 0.06 ms for 50 KB of conversation; 0.2 ms where it holds a `Number`, or half a character.
    """
    try:
        return hashlib.sha256(b"plain" + _PLAIN.encode(value)).digest()
    except (TypeError, UnicodeEncodeError):
        pass  # there is something in it that this one cannot write
    except RecursionError:
        raise Unclear("it is nested too deeply") from None
    parts = [b"any"]
    try:
        _write(value, parts)
    except RecursionError:
        raise Unclear("it is nested too deeply") from None
    return hashlib.sha256(b"".join(parts)).digest()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unclear("an object in it has a key twice")
    return found


def _constant(name: str) -> Any:
    raise Unclear(f"{name} is not JSON")


def _number(text: str) -> int | Number:
    """A number by its value: digits without zeros at their ends, and a power of ten."""
    if len(text) <= SHORT_DIGITS and text.lstrip("-").isdigit():
        return int(text)
    mantissa, _, exponent = text.lower().partition("e")
    if len(exponent) > MAX_EXPONENT_CHARS:
        raise Unclear("a number in it has too long an exponent")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    written = (whole + fraction).lstrip("0")
    digits = written.rstrip("0")
    if not digits:
        return 0
    power = int(exponent or 0) - len(fraction) + len(written) - len(digits)
    sign = "-" if text.startswith("-") else ""
    if power >= 0 and len(digits) + power <= SHORT_DIGITS:
        return int(sign + digits + "0" * power)
    return Number(f"{sign}{digits}e{power}")


def _write(value: Any, parts: list[bytes]) -> None:
    """Each value begins with a sign of its kind, and texts with their length, so that no two are written alike."""
    if isinstance(value, Number):
        parts.append(b"#%b;" % value.text.encode())
    elif isinstance(value, str):
        written = value.encode(errors="surrogatepass")
        parts.append(b"s%d:" % len(written))
        parts.append(written)
    elif isinstance(value, dict):
        parts.append(b"{")
        for name in sorted(value):
            _write(name, parts)
            _write(value[name], parts)
        parts.append(b"}")
    elif isinstance(value, list):
        parts.append(b"[")
        for one in value:
            _write(one, parts)
        parts.append(b"]")
    elif value is None:
        parts.append(b"n")
    elif value is True:
        parts.append(b"t")
    elif value is False:
        parts.append(b"f")
    else:
        parts.append(b"i%d;" % value)
