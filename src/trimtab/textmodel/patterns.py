"""Looks for many texts, words and RE2 patterns in a text at once.

What it is not: a decision about what is found. Invariants: time is linear in the text, whatever the patterns are and
whatever the text is; memory has a bound; no match is missed because a bound was reached: where many patterns together
need too much, they are tried in smaller numbers. What is wrong with a pattern is said before any text meets it.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import re2

from trimtab.config import fail
from trimtab.errors import printable
from trimtab.textmodel.folding import Places, cased_fold, fold, without_case

MAX_RULES = 2_000
MAX_RULE_CHARS = 1_000

MAX_MEM = 1 << 20
"""Bytes that one pattern may take, compiled and with what it remembers while it runs. The newest 128 are kept."""
MAX_SIZE = 5_000
"""Instructions of RE2 that one pattern may have. Where it has to be run the slow way, without remembering, it takes
1.3 ns for each of them and each byte of text. `\\w+@\\w+` has 23, `[\\pL\\pN]+@x` 1,350, `.{0,500}x` 4,000."""
UNION_MEM = 4 << 20
"""The same of those that are tried as one, and of their set; 16 MiB made nothing faster."""
UNION = 256
"""Patterns that are tried as one. 50 KB of text take 0.1 ms for up to 500 of them; for 2,000 the memory is too small to
run them fast, and they take 170 ms."""
UNION_SIZE = MAX_SIZE
"""Instructions of patterns that are tried as one."""
STEP = 64 << 10
"""Bytes of text that are searched before it is asked whether to go on: at most 0.4 s, by the figures above."""
FEW = 3
"""Texts that are looked for one by one: 20 us each in 50 KB, where all together take 80 us."""

_HINTS = (
    (("(?=", "(?!", "(?<=", "(?<!", "(?>"), "RE2 has no look-around"),
    (("escape sequence: \\1", "escape sequence: \\2", "escape sequence: \\k"), "RE2 has no back-references"),
    (("escape sequence: \\Z",), "the end of a text is \\z"),
    (("repetition size",), "a repetition may be at most 1000"),
    (("too large", "budget"), "make repetitions smaller"),
)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Something to look for."""

    name: str
    """How errors call it, as `words[2]`."""
    text: str
    kind: Literal["text", "word", "pattern"] = "text"
    """`text`: wherever it stands. `word`: with no letter, digit or underscore around it. `pattern`: in RE2's syntax."""
    cased: bool = False
    """Whether case matters."""


class Match(msgspec.Struct, frozen=True):
    """A place where a rule holds."""

    rule: int
    """Which, as its number in `Patterns.rules`."""
    start: int
    """In characters of the text as given."""
    end: int


def _always() -> None:
    """Goes on."""


class Patterns:
    """Rules made ready. Build them once (50 us each); safe to use from any thread."""

    def __init__(self, rules: Sequence[Rule], where: Callable[[str], str]) -> None:
        """Raises `ConfigError` for a rule that cannot be used; `where` says which option a rule's name is."""
        if len(rules) > MAX_RULES:
            fail(where(rules[0].name), len(rules), f"may be at most {MAX_RULES} texts and patterns together")
        self.rules = tuple(rules)
        sources = [_source(rule, where) for rule in self.rules]
        cased = [number for number, rule in enumerate(self.rules) if rule.cased or rule.kind == "pattern"]
        uncased = sorted({*range(len(self.rules))}.difference(cased))
        self._cased = _Lane(self.rules, sources, cased)
        self._uncased = _Lane(self.rules, sources, uncased)

    def find(self, text: str, most: int = 20, go_on: Callable[[], None] = _always) -> tuple[Match, ...]:
        """The first so many matches. A rule's matches do not overlap; those of different rules may.

        Cost, for 50 KB of ASCII without a match: 0.07 ms for up to three texts, 0.3 ms for 500 rules of all kinds. What
        patterns that RE2 cannot run fast may cost has a bound, not a small one: `go_on` is called between steps, and
        may raise to end the search.
        """
        return tuple(itertools.islice(self.each(text, go_on), most))

    def each(self, text: str, go_on: Callable[[], None] = _always) -> Iterator[Match]:
        """All matches, rule by rule, as they are asked for."""
        plain = cased_fold(text)
        for lane, cased in ((self._cased, True), (self._uncased, False)):
            if lane.members:
                folded = plain if cased else without_case(plain)
                places: Places | None = None
                for rule, start, end in lane.each(folded, go_on):
                    if places is None:
                        places = Places(text, folded, cased=cased)
                    yield Match(rule, *places.traced(start, end))


class _Source(msgspec.Struct, frozen=True):
    """A rule in RE2's syntax."""

    text: str
    cased: bool
    size: int
    """In instructions of RE2."""

    @property
    def part(self) -> str:
        """As a part of a longer pattern."""
        return f"(?:{self.text})" if self.cased else f"(?i:{self.text})"

    @property
    def compiled(self) -> Any:
        return re2.compile(self.text, _options(MAX_MEM, cased=self.cased))  # the newest 128 are kept


class _Lane:
    """The rules that are looked for in one way of folding."""

    def __init__(self, rules: Sequence[Rule], sources: Sequence[_Source], members: list[int]) -> None:
        self.members = members
        self._sources = sources
        self._needles = {
            number: cased_fold(rules[number].text) if rules[number].cased else fold(rules[number].text)
            for number in members
            if rules[number].kind != "pattern"
        }
        self._words = frozenset(number for number in self._needles if rules[number].kind == "word")
        self._single = list(self._needles) if len(self._needles) <= FEW else []
        self._chunks = _chunks(sources, [number for number in members if number not in self._single])

    def each(self, folded: str, go_on: Callable[[], None]) -> Iterator[tuple[int, int, int]]:
        for number in self._single:
            yield from self._needle(number, folded)
        if not self._chunks:
            return
        raw = folded.encode(errors="replace")  # half a character becomes one that is no letter
        for chunk in self._chunks:
            for number in chunk.which(raw, go_on):
                go_on()
                if number in self._needles:
                    yield from self._needle(number, folded)
                elif _is_there(self._sources[number].compiled, raw, go_on):
                    for span in _spans(number, self._sources[number].compiled, folded, raw):
                        yield span
                        go_on()

    def _needle(self, number: int, folded: str) -> Iterator[tuple[int, int, int]]:
        needle, place = self._needles[number], 0
        while (place := folded.find(needle, place)) >= 0:
            end = place + len(needle)
            if number not in self._words or _alone(folded, place, end):
                yield number, place, end
                place = end
            else:
                place += 1


class _Chunk:
    """Some rules as one pattern. Raises `re2.error` where they are too large together."""

    def __init__(self, members: list[int], parts: list[str]) -> None:
        self._members = members
        self._union = re2.compile("|".join(parts), _options(UNION_MEM))
        self._set: Any = None
        if len(members) > FEW:
            self._set = re2.Set.SearchSet(_options(UNION_MEM))
            for part in parts:
                self._set.Add(part)
            self._set.Compile()

    def which(self, raw: bytes, go_on: Callable[[], None]) -> list[int]:
        """The rules that match; perhaps some more."""
        if not _is_there(self._union, raw, go_on):
            return []
        if self._set is None or len(raw) > STEP:  # a set cannot be asked whether to go on
            return self._members
        # A set that runs out of memory says that nothing matches, which the pattern before it knows better.
        return [self._members[one] for one in sorted(self._set.Match(raw))] or self._members


def _is_there(compiled: Any, raw: bytes, go_on: Callable[[], None]) -> bool:
    """Whether a pattern matches, or seems to in a part of the text: each part is twice as long as that before."""
    size = STEP
    while size < len(raw):
        go_on()
        if compiled.search(raw, 0, size) is not None:
            return True
        size *= 2
    go_on()
    return compiled.search(raw) is not None


def _options(max_mem: int, *, cased: bool = True) -> Any:
    options = re2.Options()
    options.max_mem = max_mem
    options.case_sensitive = cased
    options.never_capture = True
    options.log_errors = False
    return options


def _source(rule: Rule, where: Callable[[str], str]) -> _Source:
    """A rule in RE2's syntax, tried out. Raises `ConfigError`."""
    place = where(rule.name)
    if len(rule.text) > MAX_RULE_CHARS:
        fail(place, rule.text, f"may have at most {MAX_RULE_CHARS} characters, and has {len(rule.text)}")
    if rule.kind != "pattern":
        needle = cased_fold(rule.text) if rule.cased else fold(rule.text)
        if not needle.strip():
            fail(place, rule.text, "is empty, so that it would be found in every text; remove it")
        return _Source(str(re2.escape(needle)), True, len(needle))
    try:
        compiled = re2.compile(rule.text, _options(MAX_MEM, cased=rule.cased))
    except (re2.error, UnicodeEncodeError) as problem:
        fail(place, rule.text, f"is no pattern that RE2 knows: {_explained(problem)}")
    size = compiled.programsize
    if size > MAX_SIZE:
        fail(place, rule.text, f"has {size} instructions, and may have {MAX_SIZE}; make repetitions smaller")
    if compiled.search(b"") is not None:
        fail(place, rule.text, "matches an empty text, so every text; make it need a character")
    return _Source(rule.text, rule.cased, size)


def _explained(problem: Exception) -> str:
    said = problem.args[0] if problem.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(problem)
    hints = [hint for signs, hint in _HINTS if any(sign in text for sign in signs)]
    return "; ".join([printable(text, 120), *hints])


def _chunks(sources: Sequence[_Source], members: list[int]) -> list[_Chunk]:
    """Rules in such numbers that each number of them fits into the memory."""
    left: list[list[int]] = [[]]
    size = 0
    for number in members:
        size += sources[number].size
        if left[-1] and (size > UNION_SIZE or len(left[-1]) >= UNION):
            left.append([])
            size = sources[number].size
        left[-1].append(number)
    chunks: list[_Chunk] = []
    while left:
        some = left.pop()
        if not some:
            continue
        try:
            chunks.append(_Chunk(some, [sources[one].part for one in some]))
        except re2.error:
            if len(some) == 1:
                raise
            left += [some[: len(some) // 2], some[len(some) // 2 :]]
    return chunks


def _spans(number: int, compiled: Any, folded: str, raw: bytes) -> Iterator[tuple[int, int, int]]:
    """The places of a pattern, in characters."""
    if len(raw) == len(folded):
        for match in compiled.finditer(raw):
            start, end = match.span()
            if end > start:
                yield number, start, end
        return
    at = chars = 0
    for match in compiled.finditer(raw):
        start, end = match.span()
        if end > start:
            first = chars + len(raw[at:start].decode(errors="ignore"))
            chars = first + len(raw[start:end].decode(errors="ignore"))
            at = end
            yield number, first, chars


def _alone(text: str, start: int, end: int) -> bool:
    """Whether no part of a longer word touches; a sign at the edge of what was found needs nothing around it."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (_of_word(before) and _of_word(text[start])) and not (
        _of_word(after) and _of_word(text[end - 1])
    )


def _of_word(char: str) -> bool:
    return char.isalnum() or char == "_"
