"""Reads numbers as people and models write them, and writes them in one way.

What it is not: arithmetic, or a parser of formulas. Invariants: numbers are exact, and one value has one form; what can
be no number is none; nothing raises for any text, and time is linear in it.
"""

import unicodedata
from fractions import Fraction

import msgspec

MAX_NUMBER_CHARS = 100
MAX_EXPONENT = 400
MAX_WORDS_BEHIND = 6
"""`18 duck eggs per day for each`: with more words it is a sentence that begins with a number."""
MAX_PLAIN_CHARS = 40
"""Longer numbers are written as digits and a power of ten."""

UNITS: dict[str, str] = {
    name: unit
    for unit, names in {
        "%": ("%", "percent", "per cent", "pct"),
        "usd": ("$", "usd", "us$", "dollar", "dollars"),
        "eur": ("€", "eur", "euro", "euros"),
        "gbp": ("£", "gbp"),
        "jpy": ("¥", "jpy", "yen"),
        "cent": ("cent", "cents", "¢"),
        "mm": ("mm", "millimeters", "millimetres"),
        "cm": ("cm", "centimeters", "centimetres"),
        "m": ("m", "meter", "meters", "metre", "metres"),
        "km": ("km", "kilometer", "kilometers", "kilometres"),
        "in": ("in", "inch", "inches"),
        "ft": ("ft", "foot", "feet"),
        "mile": ("mile", "miles", "mi"),
        "mg": ("mg", "milligrams"),
        "g": ("g", "gram", "grams"),
        "kg": ("kg", "kilogram", "kilograms"),
        "lb": ("lb", "lbs", "pounds"),
        "ml": ("ml", "milliliters", "millilitres"),
        "l": ("l", "liter", "liters", "litre", "litres"),
        "ms": ("ms", "milliseconds"),
        "s": ("s", "sec", "second", "seconds"),
        "min": ("min", "mins", "minute", "minutes"),
        "h": ("h", "hr", "hrs", "hour", "hours"),
        "day": ("day", "days"),
        "week": ("week", "weeks"),
        "month": ("month", "months"),
        "year": ("year", "years"),
    }.items()
    for name in names
}
"""Units that are told from one another; any other word behind a number says nothing (`18 eggs`)."""

_DIGITS = frozenset("0123456789")
_SPACES = "\u00a0\u2009\u202f"
"""Those that stand between groups of digits."""
_DROPPED = ("\\left", "\\right", "\\displaystyle", "\\,", "\\!", "\\;", "{,}", "^\\circ", "^{\\circ}")
_WRAPPERS = ("\\text{", "\\mathrm{", "\\textbf{", "\\mathbf{", "\\mbox{", "\\textit{")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_CURRENCIES = "$€£¥"
_SIGNS = ("%", "$", "€", "£", "¥", "¢")
_LATEX_SIGNS = (
    ("\\times", "×"),
    ("\\cdot", "×"),
    ("\\$", "$"),
    ("\\%", "%"),
    ("\\(", " "),
    ("\\)", " "),
    ("\\[", " "),
    ("\\]", " "),
    ("\\ ", " "),
    ("\\_", "_"),
)
_APPROXIMATE = ("approximately ", "about ", "roughly ", "around ", "exactly ", "≈", "~", "=", "≅")


class Number(msgspec.Struct, frozen=True):
    """A number that was read."""

    value: str
    """Its one way to be written: `1234.5`, `1/3`, `-2e60`."""
    unit: str = ""
    """One of `UNITS`, else empty."""
    end: int = 0
    """Where in the text the digits end."""


def plain(text: str) -> str:
    """A short text without the LaTeX and Markdown around it, and with compatible characters made one (NFKC).

    The space that groups digits (U+00A0) stays what it is.
    """
    text = text.strip()
    if "\\" in text:
        text = _without_latex(text)
    if not text.isascii():
        text = _raised(text).replace("\u2009", "\u00a0").replace("\u202f", "\u00a0")
        text = "\u00a0".join(unicodedata.normalize("NFKC", part) for part in text.split("\u00a0"))
        text = text.replace("\u2044", "/").replace("\u2212", "-").replace("\u2013", "-")
    text = text.strip().strip("*_`").strip()
    if len(text) > 1 and text[0] == "$" and text[-1] == "$":
        text = text.strip("$").strip()
    return text


def number(text: str) -> Number | None:
    """The number that a short text is: `$1,234.50`, `3/4`, `1 1/2`, `2.5e3 km`, `about 1 234,5 kg.`, `50 %`."""
    text = plain(text)
    if len(text) > MAX_NUMBER_CHARS + 80:
        return None
    for _ in range(2):
        for word in _APPROXIMATE:
            if text[: len(word)].lower() == word:
                text = text[len(word) :].lstrip()
    if text[:1] == "(" and text[-1:] == ")":
        text = text[1:-1].strip()
    at, sign, unit = _prefix(text)
    read = _unsigned(text, at, loose=True)
    if read is None:
        return None
    value, end = read
    rest = text[end:].strip().rstrip(".!,;").strip(" *_`\u00a0")
    if len(rest.split()) > MAX_WORDS_BEHIND:
        return None
    if any(char in _DIGITS for char in rest) or rest[:1] in (
        "/",
        "-",
        ":",
        "^",
        "*",
        "+",
        "=",
        "×",
        ")",
        "<",
        ">",
    ):
        return None
    if text[end : end + 1].isalpha() and rest.lower() not in UNITS:
        return None  # 4th, 10x, 3D
    return Number(written(value * sign), unit or _unit(rest), end)


def numbers_in(text: str, most: int = 1000) -> list[Number]:
    """All numbers of a text, in order; at most so many. Linear in the text."""
    found: list[Number] = []
    at, size = 0, len(text)
    while at < size and len(found) < most:
        if text[at] not in _DIGITS:
            at += 1
            continue
        begin = at
        if at and (text[at - 1].isalpha() or text[at - 1] == "_"):  # x2, SHA256
            read = None
        else:
            if at and text[at - 1] == "." and (at == 1 or text[at - 2] in " -+$€£¥(="):
                begin = at - 1
            read = _unsigned(text, begin, loose=False)
        if read is not None and text[read[1] : read[1] + 1] == ":" and _digits(text, read[1] + 1).strip("0"):
            read = None  # a time, of which only a whole hour is a number
        if read is None:
            while at < size and (text[at].isalnum() or text[at] in "_.,/:" or text[at] in _SPACES):
                at += 1
            continue
        value, at = read
        sign, unit = _sign_before(text, begin)
        rest = text[at : at + 20].lstrip(" *")
        found.append(Number(written(value * sign), unit or _unit(_first_word(rest)), at))
    return found


def written(value: Fraction) -> str:
    """The one way to write a number: a whole one or decimal where it ends, else a fraction."""
    top, bottom = value.numerator, value.denominator
    twos = fives = 0
    while bottom % 2 == 0:
        bottom //= 2
        twos += 1
    while bottom % 5 == 0:
        bottom //= 5
        fives += 1
    if bottom != 1:
        return f"{top}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(top) * 10**places // value.denominator)
    sign = "-" if top < 0 else ""
    if len(digits) <= MAX_PLAIN_CHARS and places <= MAX_PLAIN_CHARS:
        if not places:
            return sign + digits
        digits = digits.rjust(places + 1, "0")
        return f"{sign}{digits[:-places]}.{digits[-places:]}"
    short = digits.rstrip("0")
    return f"{sign}{short}e{len(digits) - len(short) - places}"


def _without_latex(text: str) -> str:
    for name in ("\\dfrac", "\\tfrac", "\\cfrac"):
        text = text.replace(name, "\\frac")
    for name in _WRAPPERS:
        text = text.replace(name, "{")
    for name in _DROPPED:
        text = text.replace(name, "")
    for name, sign in _LATEX_SIGNS:
        text = text.replace(name, sign)
    place = text.find("\\frac{")
    if place >= 0:  # one is enough for an answer; more are a formula
        top, between, rest = text[place + 6 :].partition("}{")
        bottom, closing, rest = rest.partition("}")
        if between and closing and top.isdigit() and bottom.isdigit():
            space = " " if text[:place].rstrip()[-1:].isdigit() else ""
            text = f"{text[:place].rstrip()}{space}{top}/{bottom}{rest}"
    return text.replace("{", "").replace("}", "") if "\\" not in text else text


def _raised(text: str) -> str:
    """`10⁸` as `10^8`, and `1½` as `1 1/2`: NFKC alone would make 108 and 11/2 of them."""
    parts: list[str] = []
    raised = False
    for char in text:
        lowered = char.translate(_SUPERSCRIPTS)
        if lowered != char:
            parts.append(lowered if raised else "^" + lowered)
            raised = True
            continue
        raised = False
        if char in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞" and parts and parts[-1] in _DIGITS:
            parts.append(" ")
        parts.append(char)
    return "".join(parts)


def _prefix(text: str) -> tuple[int, int, str]:
    """Where the digits begin, the sign, and the currency before them."""
    at, sign, unit = 0, 1, ""
    for _ in range(4):
        if text[at : at + 1] in ("-", "+"):
            sign = -sign if text[at] == "-" else sign
            at += 1
        elif text[at : at + 1] and text[at] in _CURRENCIES:
            unit = UNITS[text[at]]
            at += 1
        elif text[at : at + 3].lower() in ("usd", "eur", "gbp", "us$", "jpy"):
            unit = UNITS[text[at : at + 3].lower()]
            at += 3
        while text[at : at + 1] in (" ", "\u00a0"):
            at += 1
    return at, sign, unit


def _sign_before(text: str, begin: int) -> tuple[int, str]:
    """The sign and the currency that stand directly before a number in a text."""
    at, unit = begin - 1, ""
    if at >= 0 and text[at] in _CURRENCIES:
        unit = UNITS[text[at]]
        at -= 1
    if (
        at >= 0
        and text[at] in "-\u2212"
        and (at == 0 or not (text[at - 1].isalnum() or text[at - 1] in ")]%-"))
    ):
        return -1, unit
    return 1, unit


def _unsigned(text: str, at: int, *, loose: bool) -> tuple[Fraction, int] | None:
    """The number whose digits begin there, and where it ends. `loose`: a plain space may group digits and stand before
    a fraction, as it may where nothing else is around."""
    groups, end = [_digits(text, at)], at
    separators = ""
    between_groups = ",._'’\u00a0 " if loose else ",._\u00a0"
    if not groups[0] and not (text[at : at + 1] == "." and _digits(text, at + 1)):
        return None
    end += len(groups[0])
    while len(groups) < 40 and text[end : end + 1] and text[end] in between_groups:
        group = _digits(text, end + 1)
        if not group or (text[end] not in ",." and len(group) != 3):
            break
        separators += text[end]
        groups.append(group)
        end += 1 + len(group)
    if end - at > MAX_NUMBER_CHARS:
        return None
    value = _grouped(groups, separators)
    return None if value is None else _scaled(text, end, value, loose=loose)


def _digits(text: str, at: int) -> str:
    end, limit = at, min(len(text), at + MAX_NUMBER_CHARS + 1)
    while end < limit and text[end] in _DIGITS:
        end += 1
    return text[at:end]


def _grouped(groups: list[str], separators: str) -> Fraction | None:
    """The value of groups of digits, by what stands between them; `None` where that can be no number."""
    last, point = separators[-1:], ""
    others = separators[:-1]
    if last == ".":
        point = "." if "." not in others else ""
    elif last == ",":
        short = len(groups[-1]) != 3 or len(groups[0]) > 3 or groups[0] in ("", "0")
        point = "," if others and "," not in others else "," if not others and short else ""
    grouping = set(others if point else separators)
    whole = groups[:-1] if point else groups
    if len(grouping) > 1 or (len(whole) > 1 and not _is_grouped(whole, grouping.pop())):
        return None
    fraction = groups[-1] if point else ""
    return Fraction(int("".join(whole) + fraction or "0"), 10 ** len(fraction))


def _is_grouped(groups: list[str], separator: str) -> bool:
    """Whether digits are grouped by thousands, or as in India (`12,34,567`)."""
    middle, last = groups[1:-1], groups[-1]
    if not 1 <= len(groups[0]) <= 3 or len(last) != 3:
        return False
    return all(len(one) == 3 for one in middle) or (separator == "," and all(len(one) == 2 for one in middle))


def _scaled(text: str, end: int, value: Fraction, *, loose: bool) -> tuple[Fraction, int] | None:
    """The value with what follows its digits: a power of ten, or the lower part of a fraction."""
    if value == 10 and text[end : end + 1] == "^":
        power, after = _exponent(text, end + 1, end)
        value = Fraction(1)
    else:
        power, after = _power(text, end)
    if after > end:
        return None if power is None else (value * Fraction(10) ** power, after)
    spaced = _past_spaces(text, end) if loose else end
    if spaced > end and value.denominator == 1:  # 1 1/2
        top = _digits(text, spaced)
        bottom, after = _lower(text, spaced + len(top)) if top else (None, end)
        if bottom:
            return value + Fraction(int(top), bottom), after
    if value.denominator == 1 and text[spaced : spaced + 1] == "/":
        bottom, after = _lower(text, spaced)
        if bottom == 0 or text[after : after + 1] == "/":  # a date
            return None
        if bottom:
            return value / bottom, after
    return value, end


def _lower(text: str, at: int) -> tuple[int | None, int]:
    if text[at : at + 1] != "/":
        return None, at
    begin = _past_spaces(text, at + 1)
    bottom = _digits(text, begin)
    if not bottom or len(bottom) > MAX_NUMBER_CHARS // 2:
        return None, at
    return int(bottom), begin + len(bottom)


def _power(text: str, at: int) -> tuple[int | None, int]:
    """The power of ten behind digits (`e3`, ` × 10^3`) and where it ends; no power where it ends where it began."""
    if text[at : at + 1] in ("e", "E"):
        return _exponent(text, at + 1, at)
    begin = _past_spaces(text, at)
    if text[begin : begin + 1] and text[begin] in "×x*":
        begin = _past_spaces(text, begin + 1)
        if text.startswith("10^", begin):
            return _exponent(text, begin + 3, at)
    return None, at


def _exponent(text: str, begin: int, none: int) -> tuple[int | None, int]:
    """A power that begins there, in brackets or not; it ends at `none` where there is none."""
    closed = text[begin : begin + 1] in ("{", "(")
    begin += closed
    signed = text[begin : begin + 1] in ("-", "+")
    sign = -1 if text[begin : begin + 1] == "-" else 1
    begin += signed
    digits = _digits(text, begin)
    end = begin + len(digits)
    if not digits or text[end : end + 1].isalpha():
        return None, none
    if len(digits) > 4 or int(digits) > MAX_EXPONENT:
        return None, end
    return sign * int(digits), end + (closed and text[end : end + 1] in ("}", ")"))


def _past_spaces(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at


def _unit(rest: str) -> str:
    """The unit that stands behind a number: the whole rest, or its first word where that can be nothing else."""
    low = " ".join(rest.lower().split())
    first = low.partition(" ")[0].rstrip(".,;:")
    return UNITS.get(low.rstrip("."), UNITS.get(first, "") if len(first) > 2 or first in _SIGNS else "")


def _first_word(rest: str) -> str:
    if rest[:1] in _SIGNS:
        return "" if rest[1:2].isdigit() else rest[:1]  # the sign may be that of the next number
    return rest
