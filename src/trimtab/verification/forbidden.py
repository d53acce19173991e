"""Refuses answers that hold a text, a word or a pattern which the operator forbids.

What it is not: a judgement of what is harmful, or of anything but the words. Invariants: compatible characters, unseen
ones and case make no difference unless the operator says so; what was not searched is not accepted; the evidence names
the rule and the place, and nothing of the answer.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from trimtab.config import decoded
from trimtab.errors import ConfigError, printable
from trimtab.messages.exchange import Answered
from trimtab.records import Fact
from trimtab.textmodel.patterns import Match, Patterns, Rule
from trimtab.verification.seam import Case, Finding, Spends

MOST_S = 0.5
"""For one answer. Patterns take a thousandth of it, but for those that RE2 has to run the slow way."""

MAX_CHARS = 1_000_000
"""Of one text that is searched, on the event loop: 2 ms, or 40 ms of Chinese. No model writes as much in one answer."""

MAX_PLACES = 1_000
"""Of rules, in one answer, that are looked at: 5 us each. Where so many were all excepted, it is not known whether the
next one is."""

MAX_COUNTED = 100
"""Places that are counted; the first decides."""

MAX_EXCEPTIONS = 2_000
MAX_VALUES = 10_000
MAX_NESTING = 100
"""Of the input of a tool call."""


class ForbiddenOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `forbidden_text`."""

    texts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    cased: bool = False
    tool_calls: bool = False


def forbidden_text(options: Mapping[str, Any], where: Callable[[str], str]) -> "ForbiddenText":
    """The verifier of these options. Raises `ConfigError`."""
    read = decoded(dict(options), ForbiddenOptions, where)
    rules = [
        *_rules(read.texts, "texts", "text", read.cased),
        *_rules(read.words, "words", "word", read.cased),
        *_rules(read.patterns, "patterns", "pattern", read.cased),
    ]
    if not rules:
        raise ConfigError(where("texts"), "nothing is forbidden; name texts, words or patterns")
    allow = Patterns([*_rules(read.allow, "allow", "text", read.cased)], where)
    return ForbiddenText(Patterns(rules, where), allow, tool_calls=read.tool_calls)


def _rules(texts: tuple[str, ...], name: str, kind: Any, cased: bool) -> Iterator[Rule]:
    for number, text in enumerate(texts):
        yield Rule(name=f"{name}[{number}]", text=text, kind=kind, cased=cased)


class ForbiddenText:
    """See `forbidden_text`."""

    spends: Spends = "nothing"

    def __init__(self, patterns: Patterns, allow: Patterns, *, tool_calls: bool) -> None:
        self._patterns = patterns
        self._allow = allow
        self._tool_calls = tool_calls

    async def check(self, case: Case) -> Finding:
        """Search one answer: 0.1 to 0.3 ms for 50 KB."""
        answer = case.answer
        late = case.means.monotonic() + MOST_S

        def go_on() -> None:
            if case.means.monotonic() > late:
                raise _Late

        for place, text in self._searched(answer):
            try:
                found = self._in(text[:MAX_CHARS], place, go_on)
            except _Late:
                return Finding(
                    "unsure", f"its patterns need more than {MOST_S:g} s for it", {"chars": len(text)}
                )
            if found is None and len(text) > MAX_CHARS:
                found = Finding(
                    "unsure", f"only the first {MAX_CHARS} characters are searched", {"chars": len(text)}
                )
            if found is not None:
                return found
        if not answer.complete:
            return Finding("unsure", "the answer was cut off, so that what follows is not known")
        return Finding("accept")

    def _searched(self, answer: Answered) -> Iterator[tuple[str, str]]:
        yield "", answer.text
        if self._tool_calls:
            for call in answer.tool_calls:
                if call.readable:
                    yield f"tool call {call.name}", "\n".join(_texts_in(call.input))
                else:
                    yield f"tool call {call.name}", call.arguments.decode(errors="replace")

    def _in(self, text: str, place: str, go_on: Callable[[], None]) -> Finding | None:
        excepted = _Excepted(itertools.islice(self._allow.each(text), MAX_EXCEPTIONS))
        first: Match | None = None
        count = 0
        looked_at = 0
        for match in itertools.islice(self._patterns.each(text, go_on), MAX_PLACES):
            looked_at += 1
            if not excepted.holds(match):
                first = first or match
                count += 1
                if count == MAX_COUNTED:
                    break
        if first is not None:
            return self._finding(first, count, text, place)
        if looked_at == MAX_PLACES:
            return Finding(
                "unsure",
                f"rules hold at {MAX_PLACES} places that are excepted; no more are looked at",
                {"excepted": looked_at},
            )
        return None

    def _finding(self, match: Match, count: int, text: str, place: str) -> Finding:
        rule = self._patterns.rules[match.rule]
        what = {"text": "text", "word": "word", "pattern": "pattern"}[rule.kind]
        evidence: dict[str, Fact] = {
            "rule": rule.name,
            what: printable(rule.text, 80),
            "at": match.start,
            "line": text.count("\n", 0, match.start) + 1,
            "places": count,
        }
        if place:
            evidence["in"] = printable(place, 80)
        return Finding("escalate", f"it holds a forbidden {what} ({rule.name})", evidence)


class _Late(Exception):
    """The time for one answer is over."""


class _Excepted:
    """The places of texts that are allowed."""

    def __init__(self, allowed: Iterator[Match]) -> None:
        spans = sorted((one.start, one.end) for one in allowed)
        self._starts = [start for start, _ in spans]
        self._furthest = list(itertools.accumulate((end for _, end in spans), max))
        """The furthest end of all that begin no later."""

    def holds(self, match: Match) -> bool:
        """Whether it stands within one of them."""
        before = bisect_right(self._starts, match.start)
        return before > 0 and self._furthest[before - 1] >= match.end


def _texts_in(value: Any) -> Iterator[str]:
    """The texts of a tool call's input, names of members included."""
    left: list[tuple[Any, int]] = [(value, 0)]
    for _ in range(MAX_VALUES):
        if not left:
            return
        one, depth = left.pop()
        if isinstance(one, str):
            yield one
        elif depth < MAX_NESTING and isinstance(one, dict):
            left += [(part, depth + 1) for pair in one.items() for part in pair]
        elif depth < MAX_NESTING and isinstance(one, list):
            left += [(part, depth + 1) for part in one]
