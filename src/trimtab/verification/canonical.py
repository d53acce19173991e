"""Writes final answers in one way, so that two can be compared: whether two models say the same.

What it is not: whether an answer is right, or how alike two long texts are. Invariants: answers that say the same in
different ways (`$1,234.50`, `1234.5 dollars`) have one key; what cannot be read has none, and is never taken for an
agreement; nothing raises for any text.
"""

from typing import Any, Literal

import msgspec

from trimtab.verification.final_answer import Final, Found, final_answer, first_object
from trimtab.verification.numerals import Number, number, numbers_in, plain
from trimtab.verification.readings import choice_of, date_of, folded, label_of, one_label

Read = Literal["number", "label", "choice", "json", "date", "literal", "text"]
Kind = Literal["auto", "number", "label", "choice", "json", "date", "literal", "text"]

MAX_VALUE_CHARS = 4_000
"""A longer answer is none that can be compared."""
MAX_JSON_NESTING = 60

_QUOTES = ("'", '"')
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How answers are read. The defaults suit every kind."""

    labels: tuple[str, ...] = ()
    """Of the kind `label`: what may be said. Left out, any short text is one."""
    letters: str = "ABCDEFGHIJ"
    """Of the kind `choice`."""
    fields: tuple[str, ...] = ()
    """Of the kind `json`: what is compared; left out, the whole object."""
    day_first: bool | None = None
    """Of the kind `date`: what `03/04/2026` is; left out, no date."""


class Canonical(msgspec.Struct, frozen=True):
    """A final answer in one way."""

    kind: Read
    value: str
    """As `18`, `1/3`, `B`, `2026-11-22`, `{"a":1}`."""
    unit: str = ""
    """Of a number, where it is one that is told from others (`usd`, `km`, `%`)."""
    behind: str = ""
    """What stands behind a choice's letter, folded."""
    found: Found = "whole"
    """Where it stood. `last line` and `whole` were not marked by the model as its answer."""

    @property
    def key(self) -> tuple[str, str]:
        """What is equal for equal answers; units apart."""
        return self.kind, self.value

    @property
    def marked(self) -> bool:
        return self.found not in ("whole", "last line")


class Agreement(msgspec.Struct, frozen=True):
    """What two answers come to."""

    same: bool | None
    """`None`: one of them could not be read."""
    one: Canonical | None
    other: Canonical | None


_READING = Reading()


def canonical(text: str, kind: Kind = "auto", reading: Reading = _READING) -> Canonical | None:
    """The final answer that a model's text gives, in one way; `None` where none can be read.

    `auto` finds its place by how models write one, then reads it as what it looks like. Cost: 30 to 100 us for a page,
    some milliseconds at most, however long the text is.
    """
    if kind == "json":
        return _json(text, reading)
    final = final_answer(text)
    if final is None:
        return None
    found = _read(final, kind, reading)
    if found is None and final.found in ("whole", "last line", "bold"):
        found = _in_prose(text, final, kind, reading)
    return found if found is not None and len(found.value) <= MAX_VALUE_CHARS else None


def agree(one: str, other: str, kind: Kind = "auto", reading: Reading = _READING) -> Agreement:
    """Whether two texts give the same final answer. With `auto`, what one of them marks says how the other is read."""
    first, second = canonical(one, kind, reading), canonical(other, kind, reading)
    if kind == "auto" and first is not None and second is not None and first.kind != second.kind:
        if _RANK[first.kind] >= _RANK[second.kind]:
            second = _as(first.kind, second, other, reading)
        else:
            first = _as(second.kind, first, one, reading)
    if first is None or second is None:
        return Agreement(None, first, second)
    return Agreement(same(first, second), first, second)


_RANK: dict[Read, int] = {"json": 6, "date": 5, "number": 4, "choice": 3, "literal": 2, "label": 1, "text": 0}
"""What an answer was read as goes before what every text can be read as."""


def _as(kind: Read, read: Canonical, text: str, reading: Reading) -> Canonical | None:
    """An answer that looks like something else, read as this; what it is, where the model marked it as its answer."""
    again = canonical(text, kind, reading) if read.kind == "text" or kind == "literal" else None
    return again if again is not None else read if read.marked else None


def same(one: Canonical, other: Canonical) -> bool:
    """Whether two answers are the same: equal keys, and no units or texts that differ where both have them."""
    if one.key != other.key:
        return False
    if one.unit and other.unit and one.unit != other.unit:
        return False
    if one.behind and other.behind:
        return one.behind.startswith(other.behind) or other.behind.startswith(one.behind)
    return True


def _read(final: Final, kind: Kind, reading: Reading) -> Canonical | None:
    text, found = final.text, final.found
    if kind == "auto":
        return _auto(final, reading)
    if kind == "number":
        read = number(text) or (_last_of_sum(text) if final.marked else None)
        return _of_number(read, found) if read is not None else None
    if kind == "choice":
        chosen = choice_of(text, reading.letters, spaced=final.marked)
        return Canonical("choice", chosen[0], "", folded(chosen[1]), found) if chosen else None
    if kind == "date":
        day = date_of(text, day_first=reading.day_first)
        return Canonical("date", day, found=found) if day else None
    if kind == "label":
        if reading.labels:
            label = one_label(plain(text), reading.labels)
            return Canonical("label", label, found=found) if label is not None else None
        value = label_of(plain(text))
        return Canonical("label", value, found=found) if value else None
    if kind == "literal":
        if isinstance(final.value, str):  # spaces at its ends are part of it
            return Canonical("literal", literal_of(final.value), found=found)
        return Canonical("literal", literal_of(text), found=found) if text else None
    value = folded(plain(text))
    return Canonical("text", value, found=found) if value else None


def _auto(final: Final, reading: Reading) -> Canonical | None:
    """Read as what it looks like: a date, a number, a choice, a literal, else a short text."""
    text = final.text
    if len(text) > 2 and text[0] == text[-1] and text[0] in _QUOTES:
        inner = _of_kinds(Final(text[1:-1], final.found), reading)
        return inner if inner is not None else _read(final, "literal", reading)
    if isinstance(final.value, dict | list):
        return _of_json(final.value, final.found)
    read = _of_kinds(final, reading)
    if read is not None:
        return read
    if text[:1] and text[-1:] == _BRACKETS.get(text[0], text[0] if text[0] in _QUOTES else ""):
        return _read(final, "literal", reading)
    if _is_cased(text):
        return _read(final, "literal", reading)
    return _read(final, "text", reading) if final.found != "last line" else None


def _is_cased(text: str) -> bool:
    """Whether it is one word whose case says something (`toString`, `aB`)."""
    return " " not in text and text.isascii() and not (text.islower() or text.isupper() or text[1:].islower())


def _of_kinds(final: Final, reading: Reading) -> Canonical | None:
    """A date, a choice or a number, if the whole of it is one."""
    day = _read(final, "date", reading)
    if day is not None:
        return day
    chosen = choice_of(final.text, reading.letters)
    if chosen is not None:
        return Canonical("choice", chosen[0], "", folded(chosen[1]), final.found)
    figure = number(final.text)
    return _of_number(figure, final.found) if figure is not None else None


def _in_prose(text: str, final: Final, kind: Kind, reading: Reading) -> Canonical | None:
    """What stands in a sentence: its last number where one is wanted; with `auto`, if it is the only one."""
    if kind in ("number", "auto"):
        there = numbers_in(final.text)
        if not there and kind == "number":
            there = numbers_in(text[-4_000:])
        if there and (kind == "number" or len(there) == 1):
            return _of_number(there[-1], "last line")
    if kind == "choice":
        return _lone_choice(final.text, reading)
    return None


def _lone_choice(text: str, reading: Reading) -> Canonical | None:
    """The only letter in brackets of a sentence."""
    there = {
        text[at + 1].upper()
        for at in range(len(text) - 2)
        if text[at] == "(" and text[at + 2] == ")" and text[at + 1].upper() in reading.letters
    }
    return Canonical("choice", there.pop(), found="last line") if len(there) == 1 else None


def _last_of_sum(text: str) -> Number | None:
    """`$5 + $13 = $18` is 18; `18 eggs in 3 days` is 18."""
    cleaned = plain(text)
    _, equals, last = cleaned.rpartition("=")
    if equals:
        read = number(last)
        if read is not None:
            return read
        cleaned = last
    there = numbers_in(cleaned, 1)
    return there[0] if there else None


def _of_number(read: Number, found: Found) -> Canonical:
    return Canonical("number", read.value, read.unit, "", found)


def _json(text: str, reading: Reading) -> Canonical | None:
    value = first_object(text)
    if value is None:
        return None
    if reading.fields:
        value = {name: value[name] for name in reading.fields if name in value}
        if len(value) < len(reading.fields):
            return None
    return _of_json(value, "field")


def _of_json(value: Any, found: Found) -> Canonical | None:
    parts: list[str] = []
    if not _write(value, parts, MAX_JSON_NESTING):
        return None
    written = "".join(parts)
    return Canonical("json", written, found=found) if len(written) <= MAX_VALUE_CHARS else None


def _write(value: Any, parts: list[str], depth: int) -> bool:
    """JSON in one way: members by name, numbers by value, texts `folded`. False where it is nested too deep."""
    if not depth:
        return False
    if isinstance(value, dict):
        parts.append("{")
        for name in sorted(value):
            parts.append(msgspec.json.encode(name).decode() if _encodable(name) else "?")
            parts.append(":")
            if not _write(value[name], parts, depth - 1):
                return False
            parts.append(",")
        parts.append("}")
    elif isinstance(value, list):
        parts.append("[")
        for one in value:
            if not _write(one, parts, depth - 1):
                return False
            parts.append(",")
        parts.append("]")
    elif isinstance(value, bool) or value is None:
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int | float):
        read = number(repr(value))
        parts.append(read.value if read is not None else repr(value))
    else:
        parts.append(repr(folded(str(value))))
    return True


def _encodable(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def literal_of(text: str) -> str:
    """A literal of a program in one way: without outer quotes, and of lists and the like without white space between
    their entries or a choice of quotes."""
    bare = text.strip().strip("`")
    if len(bare) >= 2 and bare[0] == bare[-1] and bare[0] in _QUOTES:
        return bare[1:-1]
    if bare[:1] not in _BRACKETS:
        return text
    parts: list[str] = []
    quote, escaped = "", False
    for char in bare:
        if quote:
            ends = char == quote and not escaped
            escaped = char == "\\" and not escaped
            parts.append("'" if ends else char)
            quote = "" if ends else quote
        elif char in _QUOTES:
            quote = char
            parts.append("'")
        elif not char.isspace():
            parts.append(char)
    return "".join(parts)
