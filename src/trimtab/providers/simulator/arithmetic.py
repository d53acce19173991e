"""Finds one arithmetic question in a text and works it out: a task whose answer is known.

Only integers, + - * / and parentheses, of bounded size. Nothing is ever executed: a scanner finds runs of numbers
and operators, a recursive descent works them out in exact fractions.
"""

from fractions import Fraction
from typing import NamedTuple

import msgspec

_TAIL_CHARS = 2000
"""Only the end of the text is searched: questions stand last, and the cost stays bounded."""
_MAX_TOKENS = 64
_MAX_DIGITS = 15
_MAX_DEPTH = 16
_DATE_NUMBERS = 3

_CUES = (
    "what is", "what's", "what are", "calculat", "comput", "evaluat", "solve", "how much", "work out", "result of",
    "=",
)  # fmt: skip
_SIGNS = {
    "+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "×": "*", "·": "*", "/": "/", "÷": "/", "(": "(", ")": ")",
}  # fmt: skip
_WORDS = {"plus": "+", "minus": "-", "times": "*", "multiplied": "*", "divided": "/", "over": "/"}
_DIGITS = frozenset("0123456789")
_ALONE = _DIGITS.union(_SIGNS, " \n,.?=x")
"""A text of nothing else is a question without a cue."""

_ADD_WEIGHT = 0.25
_MULTIPLY_WEIGHT = 0.5
_NESTING_WEIGHT = 0.3
"""Difficulty per digit (sums) and per pair of digits (products): made up, so that 17 * 23 is 2 and a product of
two four-digit numbers is 8, on the scale of the skills in `behaviour.yaml`."""


class ArithmeticTask(msgspec.Struct, frozen=True):
    """A question with its answer. `difficulty` is in logits, on the scale of the skill table."""

    expression: str
    answer: str
    difficulty: float


class _Token(NamedTuple):
    text: str
    spaced: bool
    """White space or a word stood before it."""


class _Refused(Exception):
    """Not arithmetic of the kind and size that we do."""


def find_arithmetic(text: str) -> ArithmeticTask | None:
    """The last arithmetic question in the text, or `None`. Cost: about 20 us per 200 characters with digits."""
    text = text[-_TAIL_CHARS:].lower()
    if _DIGITS.isdisjoint(text):
        return None
    if not any(cue in text for cue in _CUES) and not _ALONE.issuperset(text):
        return None
    for run in reversed(_runs(text)):
        task = _worked_out(run)
        if task is not None:
            return task
    return None


def _runs(text: str) -> list[list[_Token]]:
    """Runs of numbers, operators and parentheses with nothing but white space between."""
    runs: list[list[_Token]] = [[]]
    at, spaced = 0, False
    while at < len(text):
        char = text[at]
        token, end = "", at + 1
        if char in _DIGITS:
            token, end = _number(text, at)
        elif char in _SIGNS:
            token = _SIGNS[char]
        elif char.isspace():
            at, spaced = end, True
            continue
        elif char.isalpha():
            while end < len(text) and text[end].isalpha():
                end += 1
            word = text[at:end]
            token = "*" if word == "x" and runs[-1] and text[end : end + 2].strip()[:1] in _DIGITS else ""
            token = token or _WORDS.get(word, "")
            if word == "by" and runs[-1] and runs[-1][-1].text in "*/":
                at = end
                continue
        if token:
            runs[-1].append(_Token(token, spaced))
        elif runs[-1]:
            runs.append([])
        at, spaced = end, False
    return [run for run in runs if any(token.text in "+-*/" for token in run)]


def _number(text: str, at: int) -> tuple[str, int]:
    """(digits, end) of the number at `at`, thousands separators dropped; no digits for a decimal fraction."""
    end = at
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    while (
        text[end : end + 1] == ","
        and text[end + 1 : end + 4].isdecimal()
        and len(text[end + 1 : end + 4]) == 3
    ):
        end += 4
    if text[end : end + 1] == "." and text[end + 1 : end + 2] in _DIGITS and text[end + 1 : end + 2]:
        while end < len(text) and (text[end] in _DIGITS or text[end] == "."):
            end += 1
        return "", end
    return text[at:end].replace(",", ""), end


def _worked_out(run: list[_Token]) -> ArithmeticTask | None:
    tokens = [token.text for token in run]
    while tokens and tokens[-1] in "+-*/(":
        tokens.pop()
    while tokens and tokens[0] in "+*/)":
        tokens.pop(0)
    while tokens.count(")") > tokens.count("(") and tokens[-1] == ")":
        tokens.pop()
    while tokens.count("(") > tokens.count(")") and tokens[0] == "(":
        tokens.pop(0)
    if len(tokens) > _MAX_TOKENS or not any(part in "+-*/" for part in tokens[1:]) or _is_date(run):
        return None
    try:
        value, difficulty = _Descent(tokens).whole()
    except (_Refused, ZeroDivisionError):
        return None
    return ArithmeticTask(_spelt(tokens), _shown(value), round(difficulty, 3))


def _is_date(run: list[_Token]) -> bool:
    """Three numbers with one kind of dash or slash and no space between: 2026-11-21, 21/11/2026."""
    numbers, signs = run[::2], run[1::2]
    return (
        len(run) == 2 * _DATE_NUMBERS - 1
        and all(token.text.isdecimal() for token in numbers)
        and signs[0].text in "-/"
        and signs[0].text == signs[1].text
        and not any(token.spaced for token in run[1:])
    )


class _Descent:
    """Works out a token list; each method returns (value, difficulty)."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> tuple[Fraction, float]:
        result = self._sum()
        if self._at < len(self._tokens):
            raise _Refused
        return result

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _sum(self) -> tuple[Fraction, float]:
        value, difficulty = self._product()
        while self._peek() in ("+", "-"):
            sign = self._take()
            right, more = self._product()
            difficulty += more + _ADD_WEIGHT * max(_digits(value), _digits(right))
            value = value + right if sign == "+" else value - right
        return value, difficulty

    def _product(self) -> tuple[Fraction, float]:
        value, difficulty = self._factor()
        while self._peek() in ("*", "/"):
            sign = self._take()
            right, more = self._factor()
            difficulty += more + _MULTIPLY_WEIGHT * _digits(value) * _digits(right)
            value = value * right if sign == "*" else value / right
        return value, difficulty

    def _factor(self) -> tuple[Fraction, float]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refused
        taken = self._take()
        if taken == "-":
            value, difficulty = self._factor()
            value = -value
        elif taken == "(":
            value, difficulty = self._sum()
            difficulty += _NESTING_WEIGHT
            if self._take() != ")":
                raise _Refused
        elif taken.isdecimal() and len(taken) <= _MAX_DIGITS:
            value, difficulty = Fraction(int(taken)), 0.0
        else:
            raise _Refused
        self._depth -= 1
        return value, difficulty


def _digits(value: Fraction) -> int:
    return len(str(abs(value.numerator)))


def _spelt(tokens: list[str]) -> str:
    """The expression with one space around operators and none inside parentheses or behind a sign."""
    text = ""
    before = ""
    for part in tokens:
        sign = part == "-" and (not before or before in "+-*/(")
        glued = not text or before in ("(", "sign") or part == ")"
        text += part if glued else " " + part
        before = "sign" if sign else part
    return text


def _shown(value: Fraction) -> str:
    """An integer as it is, else up to six decimals."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = round(value * 1_000_000)
    sign = "-" if scaled < 0 else ""
    whole, rest = divmod(abs(scaled), 1_000_000)
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".")


def near_miss(answer: str, draw: int) -> str:
    """A plausible wrong answer: off by a little, or by a slipped ten. Never the answer itself."""
    slips = (1, -1, 10, -10, 2, -2, 100, -100)
    whole, dot, rest = answer.partition(".")
    return f"{int(whole) + slips[draw % len(slips)]}{dot}{rest}"
