"""Finds where in a text a model says what its answer comes to.

What it is not: how the place is read (`readings`), or whether the answer is right. Invariants: what was marked as the
final answer goes before what merely stands last; nothing raises for any text, and the time is linear in what is looked
at, which is bounded.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

Found = Literal["field", "boxed", "hashes", "mark", "bold", "whole", "last line"]
"""How the place was found. `field`: a member `answer` of the first complete JSON object. `hashes`: after `####`.
`mark`: after words such as "the answer is". `whole`: the text is short enough to be an answer. The others say it
themselves; `whole` and `last line` are not marked by the model as its answer."""

MAX_JSON_CHARS = 200_000
MAX_TAIL_CHARS = 20_000
"""Final answers stand at the end."""
MAX_STARTS = 16
"""Places where an object is tried: nested ones that never end would else take the square of their length."""
MAX_SPAN_CHARS = 2_000
MAX_WHOLE_CHARS = 200
"""A longer text of one line is prose."""

FIELDS = ("answer", "final_answer", "Answer", "final answer", "finalAnswer")

MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("answer", ("is", "would be", "will be", "should be", "equals", "comes to")),
    ("correct option", ("is",)),
    ("correct choice", ("is",)),
    ("antwort", ("ist", "lautet")),
    ("réponse", ("est",)),
    ("respuesta", ("es", "correcta es")),
    ("risposta", ("è",)),
    ("resposta", ("é",)),
    ("答案", ("是", "为")),
    ("答え", ("は",)),
)
"""Nouns that announce an answer, with the verbs that may follow; a colon or an equals sign may follow any of them."""

_DECORATION = " \t*_`\"'“”"
_SHORT_FORMS = frozenset(("dr", "mr", "mrs", "ms", "st", "no", "vs", "prof", "e.g", "i.e", "approx", "ca"))
_DECODER = json.JSONDecoder(strict=False)
"""Not strict: models write line ends into strings."""


class Final(msgspec.Struct, frozen=True):
    """Where the final answer stands."""

    text: str
    found: Found
    value: Any = None
    """The JSON value, where `found` is `field`."""

    @property
    def marked(self) -> bool:
        """Whether the model marked it as its answer."""
        return self.found not in ("whole", "last line")


def final_answer(text: str) -> Final | None:
    """The final answer of a text by the ways in which models write one; `None` for an empty text.

    Cost: 30 us for a page; no more than some milliseconds for any text.
    """
    field = _field(text[:MAX_JSON_CHARS])
    if field is not None:
        return field
    tail = text[-MAX_TAIL_CHARS:].strip()
    if not tail:
        return None
    marks = [found for find in (_boxed, _hashes, _marked) if (found := find(tail)) is not None]
    if marks:
        return max(marks, key=lambda found: found[0])[1]  # the last; a box may stand behind "the answer is"
    if len(text) <= MAX_TAIL_CHARS and len(tail) <= MAX_WHOLE_CHARS and "\n" not in tail:
        return Final(tail, "whole")
    last = tail.rpartition("\n")[2].strip()
    parts = last.split("**")
    if len(parts) == 3 and parts[1].strip():
        return Final(parts[1].strip()[:MAX_SPAN_CHARS], "bold")
    return Final(last[-MAX_SPAN_CHARS:], "last line")


def first_object(text: str) -> Any:
    """The first complete JSON object in a text, as JSON values; `None` where there is none."""
    return next(_objects(text[:MAX_JSON_CHARS]), None)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    place = -1
    for _ in range(MAX_STARTS):
        place = text.find("{", place + 1)
        if place < 0:
            return
        try:
            value, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        yield value
        place = end - 1


def _field(text: str) -> Final | None:
    """ZeroEval's way: the member `answer` of the first complete object."""
    value = first_object(text)
    if value is None:
        return None
    for name in FIELDS:
        if name in value:
            answer = value[name]
            written = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
            return Final(written.strip()[:MAX_SPAN_CHARS], "field", answer)
    return None


def _boxed(text: str) -> tuple[int, Final] | None:
    """What stands in the last `\\boxed{...}`, and where."""
    place = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if place < 0:
        return None
    begin = text.index("{", place) + 1
    depth = 1
    for end in range(begin, min(len(text), begin + MAX_SPAN_CHARS)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if not depth:
            inner = text[begin:end].strip()
            return (place, Final(inner, "boxed")) if inner else None
    return None


def _hashes(text: str) -> tuple[int, Final] | None:
    """What stands behind `####` at the beginning of the last such line (GSM8K's way)."""
    place = len(text)
    while (place := text.rfind("####", 0, place)) >= 0:
        if place and text[place - 1] not in "\n ":
            continue
        line = text[place:].partition("\n")[0].strip("# \t*")
        is_answer = line != "" and text[place + 4 : place + 5] != "#"
        return (place, Final(line[:MAX_SPAN_CHARS], "hashes")) if is_answer else None
    return None


def _marked(text: str) -> tuple[int, Final] | None:
    """What follows the last words that announce an answer."""
    low = text.lower()
    if len(low) != len(text):  # a few letters are two in lower case
        low = "".join(one.lower() if one.isascii() else one for one in text)
    best: tuple[int, int] | None = None
    for noun, verbs in MARKS:
        place = len(low)
        for _ in range(MAX_STARTS):
            place = low.rfind(noun, 0, place)
            if place < 0 or (best is not None and place < best[0]):
                break
            begin = _announced(low, place, len(noun), verbs)
            if begin is not None and _cut(text, begin):
                best = place, begin
                break
    return (best[0], Final(_cut(text, best[1]), "mark")) if best is not None else None


def _announced(low: str, place: int, length: int, verbs: tuple[str, ...]) -> int | None:
    """Where the answer begins that these words announce; `None` where they do not."""
    if place and low[place - 1].isalnum() and low[place].isascii():
        return None
    at = _skipped(low, place + length)
    if low[at : at + 1] in (":", "=", "："):
        return _skipped(low, at + 1)
    for verb in verbs:
        end = at + len(verb)
        if low.startswith(verb, at) and (not verb.isascii() or not low[end : end + 1].isalnum()):
            end = _skipped(low, end)
            return _skipped(low, end + 1) if low[end : end + 1] in (":", "=", "：") else end
    return None


def _skipped(text: str, at: int) -> int:
    end = min(len(text), at + 40)
    while at < end and text[at] in _DECORATION:
        at += 1
    return at


def _cut(text: str, begin: int) -> str:
    """From there to the end of the line, or of the sentence; the next line where nothing is left of this one."""
    span = text[begin : begin + MAX_SPAN_CHARS]
    line, _, rest = span.partition("\n")
    if not line.strip(_DECORATION):
        line = rest.strip().partition("\n")[0]
    place = -1
    for _ in range(MAX_STARTS):
        place = line.find(". ", place + 1)
        if place < 0:
            break
        word = line[:place].rpartition(" ")[2].strip("(").lower()
        if word not in _SHORT_FORMS and not (len(word) == 1 and word.isalpha()):
            line = line[:place]
            break
    return line.strip().rstrip(",}").strip(_DECORATION)
