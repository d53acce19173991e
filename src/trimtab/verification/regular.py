"""Holds final answers to a form that can be read: a number within bounds, a label of a set, a date, a choice, JSON.

What it is not: a check that the answer is right. Invariants: the evidence says what was read and where; what can be
read in two ways, or was read from a sentence and breaks a bound, is unsure, for it may not be the final answer; nothing
is read from an answer that was cut off.
"""

import math
from collections.abc import Callable, Mapping
from datetime import date
from fractions import Fraction
from typing import Any, Literal

import msgspec

from trimtab.config import decoded, fail
from trimtab.errors import printable
from trimtab.messages.exchange import Answered
from trimtab.records import Fact
from trimtab.textmodel.patterns import Patterns, Rule
from trimtab.verification.canonical import Canonical, Kind, Reading, canonical
from trimtab.verification.final_answer import Final, final_answer
from trimtab.verification.numerals import UNITS, numbers_in
from trimtab.verification.readings import date_of, label_of
from trimtab.verification.seam import Case, Finding, Spends

MAX_JSON_CHARS = 1_000_000
"""4 ms of processor time."""

JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


class RegularOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `regular_answer`."""

    answer: Literal["number", "label", "choice", "date", "json", "pattern"]
    place: Literal["final", "whole"] = "final"
    min: float | None = None
    max: float | None = None
    integer: bool = False
    unit: str = ""
    labels: tuple[str, ...] = ()
    letters: str = "ABCDEFGHIJ"
    earliest: date | None = None
    latest: date | None = None
    day_first: bool | None = None
    json_type: Literal["any", "object", "array", "string", "number", "boolean", "null"] = "any"
    pattern: str = ""
    cased: bool = False


OF: dict[str, tuple[str, ...]] = {
    "number": ("min", "max", "integer", "unit"),
    "label": ("labels",),
    "choice": ("letters",),
    "date": ("earliest", "latest", "day_first"),
    "json": ("json_type",),
    "pattern": ("pattern", "cased"),
}
"""Which options say something of which answers."""


def regular_answer(options: Mapping[str, Any], where: Callable[[str], str]) -> "RegularAnswer":
    """The verifier of these options. Raises `ConfigError`."""
    read = decoded(dict(options), RegularOptions, where)
    for kind, names in OF.items():
        for name in names:
            if name in options and kind != read.answer:
                fail(where(name), options[name], f"says nothing of answer = {read.answer!r}; remove it")
    for name in ("min", "max"):
        bound = getattr(read, name)
        if bound is not None and not math.isfinite(bound):
            fail(where(name), bound, "must be a finite number")
    if read.min is not None and read.max is not None and read.min > read.max:
        fail(where("min"), read.min, f"is more than max = {read.max:g}")
    if read.earliest and read.latest and read.earliest > read.latest:
        fail(where("earliest"), read.earliest, f"is later than latest = {read.latest}")
    if read.unit and read.unit.lower() not in UNITS:
        fail(
            where("unit"),
            read.unit,
            f"is none that is told from others; there are {', '.join(sorted(set(UNITS.values())))}",
        )
    if read.answer == "label":
        _check_labels(read.labels, where("labels"))
    if not read.letters or not (read.letters.isascii() and read.letters.isalpha() and read.letters.isupper()):
        fail(where("letters"), read.letters, "must be capital letters, as 'ABCD'")
    pattern = None
    if read.answer == "pattern":
        if not read.pattern:
            fail(where("pattern"), read.pattern, "missing; the final answer must match it from end to end")
        Patterns([Rule(name="pattern", text=read.pattern, kind="pattern", cased=read.cased)], where)
        whole = rf"\A(?:{read.pattern})\z"
        pattern = Patterns([Rule(name="pattern", text=whole, kind="pattern", cased=read.cased)], where)
    return RegularAnswer(read, pattern)


def _check_labels(labels: tuple[str, ...], place: str) -> None:
    if not labels:
        fail(place, [], "missing; name the labels that may be answered")
    folds: dict[str, str] = {}
    for label in labels:
        fold = label_of(label)
        if not fold:
            fail(place, label, "has no letter or digit; remove it")
        if fold in folds:
            fail(place, label, f"is not told from {folds[fold]!r}; remove one")
        folds[fold] = label


class RegularAnswer:
    """See `regular_answer`."""

    spends: Spends = "nothing"

    def __init__(self, options: RegularOptions, pattern: Patterns | None) -> None:
        self._options = options
        self._pattern = pattern
        self._reading = Reading(labels=options.labels, letters=options.letters, day_first=options.day_first)
        self._unit = UNITS.get(options.unit.lower(), "")

    async def check(self, case: Case) -> Finding:
        """Read one final answer: 0.02 to 0.1 ms, however long the answer is."""
        answer = case.answer
        if not answer.text.strip():
            if answer.tool_calls:
                return Finding("accept", "it calls tools; there is no final answer yet")
            return Finding("escalate", "there is no text, so no final answer")
        if _cut(answer):
            return Finding("unsure", "the answer was cut off, perhaps within its final answer")
        if self._options.answer == "json":
            return self._json(answer.text)
        final = self._final(answer.text)
        if final is None:
            return Finding("escalate", "there is no final answer")
        if self._pattern is not None:
            return self._matched(final)
        kind: Kind = self._options.answer if self._options.answer != "pattern" else "text"
        text = final.text if self._options.place == "whole" else answer.text
        read = canonical(text, kind, self._reading)
        if read is not None and self._options.place == "whole" and read.found != "whole":
            return self._unread(final, answer.text)
        return self._unread(final, answer.text) if read is None else self._within(read)

    def _final(self, text: str) -> Final | None:
        if self._options.place == "whole":
            return Final(text.strip(), "whole")
        return final_answer(text)

    def _within(self, read: Canonical) -> Finding:
        """What was read, held against the bounds."""
        options = self._options
        evidence: dict[str, Fact] = {
            "read": printable(read.value, 120),
            "found": read.found,
            "marked": read.marked,
        }
        if read.unit:
            evidence["unit"] = read.unit
        problem = ""
        if options.answer == "number":
            value = Fraction(read.value)
            if options.min is not None and value < Fraction(options.min):
                problem = f"is less than {options.min:g}"
            elif options.max is not None and value > Fraction(options.max):
                problem = f"is more than {options.max:g}"
            elif options.integer and value.denominator != 1:
                problem = "is no whole number"
            elif self._unit and read.unit and read.unit != self._unit:
                problem = f"is in {read.unit}, not in {self._unit}"
        elif options.answer == "date":
            day = date.fromisoformat(read.value)
            if options.earliest is not None and day < options.earliest:
                problem = f"is earlier than {options.earliest}"
            elif options.latest is not None and day > options.latest:
                problem = f"is later than {options.latest}"
        if not problem:
            return Finding("accept", "", evidence)
        if read.found == "last line":
            return Finding("unsure", f"what was read from its last sentence {problem}", evidence)
        return Finding("escalate", f"its final answer {problem}", evidence)

    def _unread(self, final: Final, text: str) -> Finding:
        options = self._options
        evidence: dict[str, Fact] = {"found": final.found, "marked": final.marked}
        what = f"its final answer is no {options.answer}"
        if options.answer == "number" and options.place == "final" and not numbers_in(text[-20_000:], 1):
            return Finding("escalate", "there is no number in it", evidence)
        if options.answer == "label":
            said = f" {label_of(text)} "
            if not any(f" {label_of(label)} " in said for label in options.labels):
                return Finding("escalate", "it names none of the labels", evidence)
            return Finding("unsure", "which label it means could not be told", evidence)
        if options.answer == "date" and date_of(final.text, day_first=True):
            return Finding("unsure", "its date can be read in two ways; day_first says which", evidence)
        if final.marked or options.place == "whole":
            return Finding("escalate", what, evidence)
        return Finding(
            "unsure", f"no {options.answer} could be found in it that is its final answer", evidence
        )

    def _matched(self, final: Final) -> Finding:
        assert self._pattern is not None
        evidence: dict[str, Fact] = {"found": final.found, "marked": final.marked}
        if self._pattern.find(final.text, 1):
            return Finding("accept", "", evidence)
        if final.marked or final.found == "whole":
            return Finding("escalate", "its final answer does not match the pattern", evidence)
        return Finding(
            "unsure", "its last line does not match the pattern, and may not be its answer", evidence
        )

    def _json(self, text: str) -> Finding:
        """The answer as a whole, or in the one block of code that it is; else what is marked as the final answer."""
        whole = self._options.place == "whole"
        value, found = _decoded(_unfenced(text.strip())), "whole"
        final = None if whole else final_answer(text)
        if final is not None and final.marked:
            value = final.value if final.found == "field" else _decoded(final.text)
            found = final.found
        if value is msgspec.UNSET and len(text) > MAX_JSON_CHARS:
            return Finding(
                "unsure", f"it is longer than the {MAX_JSON_CHARS} characters that are read as JSON"
            )
        if value is msgspec.UNSET:
            return Finding("escalate", "its final answer is not JSON", {"found": found})
        name = next(name for name, kind in JSON_TYPES.items() if _is(value, name, kind))
        evidence: dict[str, Fact] = {"read": name, "found": found}
        if self._options.json_type not in ("any", name):
            reason = f"its final answer is JSON of type {name}, not {self._options.json_type}"
            return Finding("escalate", reason, evidence)
        return Finding("accept", "", evidence)


def _decoded(text: str) -> Any:
    """JSON values; `UNSET` where it is no JSON, or longer than `MAX_JSON_CHARS`."""
    if len(text) > MAX_JSON_CHARS:
        return msgspec.UNSET
    try:
        return msgspec.json.decode(text.encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        return msgspec.UNSET


def _is(value: Any, name: str, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not (name == "number" and isinstance(value, bool))


def _cut(answer: Answered) -> bool:
    return not answer.complete or answer.stop in ("max_tokens", "context", "error", "paused")


def _unfenced(text: str) -> str:
    """What stands in the block of code that a text is."""
    if not (text.startswith("```") and text.endswith("```") and len(text) > 6):
        return text
    first, _, rest = text[3:-3].partition("\n")
    return rest if first.strip().isalnum() or not first.strip() else text[3:-3]
