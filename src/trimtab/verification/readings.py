"""Reads a short answer as a date, a choice or a label, and folds texts that are to be compared.

What it is not: the search for the answer in a text (`final_answer`), or numbers (`numerals`). Invariants: two ways to
write the same are written alike; what can be read in two ways (`03/04/2026`) is not read; nothing raises.
"""

import unicodedata
from collections.abc import Sequence
from datetime import date

from trimtab.verification.numerals import plain

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sep sept",
            "october oct",
            "november nov",
            "december dec",
        ),
        1,
    )
    for name in names.split()
}
_ARTICLES = frozenset(("a", "an", "the"))
_DAYS = frozenset(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))
_DENIALS = frozenset(("not", "no", "never", "neither", "nor", "isn", "aren", "wasn", "cannot", "without"))
_ALIKE = {
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "–": "-",
    "—": "-",
    "−": "-",
    "‐": "-",
    "‑": "-",
    "\u00ad": "",
}
_AROUND = ".,;:!?\"'*_`"


def date_of(text: str, *, day_first: bool | None = None) -> str | None:
    """A date as `2026-11-22`, however it is written. `day_first` says what `03/04/2026` is; without it is no date."""
    text = plain(text).strip(" .")
    if len(text) > 80:
        return None
    for sign in "-/.":
        parts = text.partition("T")[0].partition(" ")[0].split(sign)
        if len(parts) == 3 and all(part.isdecimal() and part.isascii() and len(part) <= 4 for part in parts):
            return _date_of_figures([int(part) for part in parts], len(parts[0]), sign, day_first)
    words = text.lower().replace(",", " ").replace(".", " ").split()
    words = [word for word in words if not _is_day(word) and word not in ("of", "the", "on")]
    if len(words) != 3:
        return None
    month = next((_MONTHS[word] for word in words if word in _MONTHS), None)
    figures = [_ordinal(word) for word in words if word not in _MONTHS]
    if month is None or len(figures) != 2 or None in figures:
        return None
    year = next((one for one in figures if one is not None and one > 31), None)
    day = next((one for one in figures if one is not None and one <= 31), None)
    return None if year is None or day is None else _valid(year, month, day)


def _is_day(word: str) -> bool:
    """Whether it is a day of the week, or the beginning of one (`sun`, `thurs`)."""
    return len(word) >= 3 and any(day.startswith(word) for day in _DAYS)


def _date_of_figures(figures: list[int], first: int, sign: str, day_first: bool | None) -> str | None:
    if first == 4:
        return _valid(*figures)
    one, two, year = figures
    if year < 1000:
        return None
    if day_first is None:
        day_first = True if sign == "." or one > 12 else False if two > 12 or one == two else None
    if day_first is None:
        return None
    return _valid(year, two, one) if day_first else _valid(year, one, two)


def _ordinal(word: str) -> int | None:
    digits = word.rstrip("stndrh")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 4 else None


def _valid(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def folded(text: str) -> str:
    """A text by its words: compatible characters, case, white space, quotes and the punctuation between words are one.

    What stands within a word or a figure is kept (`3.5`, `a-b`, `x[1]`).
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join(_ALIKE.get(char, char) for char in text)
    words = (word.strip(_AROUND).replace("**", "") for word in text.split())
    return " ".join(word for word in words if word)


def label_of(text: str) -> str:
    """A label by its words: as `folded`, with all punctuation between words and without articles."""
    text = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(char if char.isalnum() or char in "+#%" else " " for char in text).split()
    kept = [word for word in words if word not in _ARTICLES]
    return " ".join(kept or words)


def one_label(text: str, labels: Sequence[str]) -> str | None:
    """Which of the labels a text says: it is one, or names exactly one and denies none."""
    said = label_of(text)
    folds = {label_of(label): label for label in labels}
    if said in folds:
        return folds[said]
    named = {fold for fold in folds if fold and f" {fold} " in f" {said} "}
    named = {one for one in named if not any(one != other and f" {one} " in f" {other} " for other in named)}
    if len(named) != 1:
        return None
    name = named.pop()
    denied = any(word in _DENIALS and word not in name.split() for word in said.split())
    return None if denied else folds[name]


def choice_of(text: str, letters: str, *, spaced: bool = False) -> tuple[str, str] | None:
    """The letter that a short answer chooses, and what stands behind it: `(B)`, `B.`, `**B) Paris**`, `Option B`.

    `spaced`: words may follow with nothing between (`B because ...`), where a letter must be meant.
    """
    text = plain(text).strip(" *_`\"'")
    if "\n" in text:
        text = text.partition("\n")[0]
    low = text.lower()
    named = next(
        (word for word in ("option", "choice", "answer", "letter") if low.startswith(word + " ")), ""
    )
    text = text[len(named) :].lstrip(" :*")
    bracket = text[:1] in ("(", "[", "{")
    text = text[bracket:].lstrip(" *") if bracket else text
    letter, rest = text[:1], text[1:]
    if not letter or letter.upper() not in letters:
        return None
    closed = rest[:1] in (")", "]", "}")
    bare = not rest.strip(" .)*_`\"'")
    if letter.islower() and not (bracket or bare or closed or named):
        return None
    apart = rest[:1] == " " and ((spaced and letter != "I") or bool(named))
    if not (bare or closed or apart) and rest[0] not in ".:,;*-":
        return None
    behind = rest.strip(" .):*]}_`-")
    several = behind.partition(" ")[0].lower() in ("or", "and", "/", "&")
    if several or (rest.lstrip(" )")[:1] in ("/", ",", "&") and _lone(behind)):
        return None
    return letter.upper(), behind


def _lone(text: str) -> bool:
    """Whether a letter of its own stands first: one more choice."""
    text = text.lstrip(" (/,&")
    return text[:1].isalpha() and not text[1:2].isalnum()
