"""Holds answers to rules of form: how long they are, what they begin and end with, headings, code, Markdown, emojis.

What it is not: a judgement of how well something is written (`rubric`), or of words (`forbidden_text`). Invariants:
every rule that is broken is named with what was found and what was asked for; nothing of the answer is evidence; what
is missing from an answer that was cut off on its way is unsure.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from trimtab.config import decoded, fail
from trimtab.errors import ConfigError, printable
from trimtab.records import Fact
from trimtab.textmodel import TextFigures, cased_fold, figures_of, fold
from trimtab.verification.seam import Case, Finding, Spends

MAX_CHARS = 1_000_000
"""Of an answer that is measured, on the event loop: 70 ms, or 150 ms of Chinese. No model writes as much in one."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Texts = str | tuple[str, ...]


class StyleOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `style`. What is left out is not asked for."""

    min_chars: Count | None = None
    max_chars: Count | None = None
    min_words: Count | None = None
    max_words: Count | None = None
    min_sentences: Count | None = None
    max_sentences: Count | None = None
    min_lines: Count | None = None
    max_lines: Count | None = None
    must_contain: Texts = ()
    must_start_with: Texts = ()
    must_end_with: Texts = ()
    headings: Texts = ()
    code: Literal["any", "none", "required"] = "any"
    code_language: str = ""
    markdown: Literal["any", "none"] = "any"
    max_emojis: Count | None = None
    cased: bool = False


LENGTHS = ("chars", "words", "sentences", "lines")


class _Broken(msgspec.Struct, frozen=True):
    """A rule that does not hold."""

    rule: str
    reason: str
    found: Fact
    missing: bool
    """Whether more of the answer could have kept it."""


def style(options: Mapping[str, Any], where: Callable[[str], str]) -> "Style":
    """The verifier of these options. Raises `ConfigError`."""
    read = decoded(dict(options), StyleOptions, where)
    if read == StyleOptions(cased=read.cased):
        raise ConfigError(where("max_words"), "nothing is asked for; name a rule, as max_words = 200")
    for name in LENGTHS:
        least, most = getattr(read, f"min_{name}"), getattr(read, f"max_{name}")
        if least is not None and most is not None and least > most:
            fail(where(f"min_{name}"), least, f"is more than max_{name} = {most}")
    for name in ("must_contain", "must_start_with", "must_end_with", "headings"):
        for text in _listed(getattr(read, name)):
            if not fold(text).strip():
                fail(where(name), text, "is empty; remove it")
    if read.code_language and read.code != "required":
        fail(where("code_language"), read.code_language, "needs code = 'required' beside it")
    if read.markdown == "none" and (read.headings or read.code == "required"):
        fail(
            where("markdown"),
            read.markdown,
            "headings and blocks of code are Markdown; ask for one or the other",
        )
    return Style(read)


def _listed(texts: Texts) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else texts


class Style:
    """See `style`."""

    spends: Spends = "nothing"

    def __init__(self, options: StyleOptions) -> None:
        self._options = options
        self._fold = _cased if options.cased else _uncased
        self._contain = self._folded(options.must_contain)
        self._start = self._folded(options.must_start_with)
        self._end = self._folded(options.must_end_with)
        self._headings = self._folded(options.headings)
        self._bounds = [
            (name, getattr(options, f"min_{name}"), getattr(options, f"max_{name}")) for name in LENGTHS
        ]

    def _folded(self, texts: Texts) -> list[tuple[str, str]]:
        return [(text, self._fold(text)) for text in _listed(texts)]

    async def check(self, case: Case) -> Finding:
        """Measure one answer: 0.2 ms for a page, 3 ms for 50 KB."""
        answer = case.answer
        if not answer.text.strip():
            if answer.tool_calls:
                return Finding("accept", "it calls tools and says nothing")
            return Finding("unsure", "there is no text to judge")
        if len(answer.text) > MAX_CHARS:
            return self._too_long(len(answer.text))
        broken = [*self._measured(figures_of(answer.text)), *self._worded(answer.text)]
        if not broken:
            return Finding("accept")
        certain = [one for one in broken if answer.complete or not one.missing]
        evidence = {one.rule: one.found for one in certain or broken}
        if not certain:
            return Finding("unsure", f"the answer was cut off, and so far {broken[0].reason}", evidence)
        more = f"; and {_of(len(certain) - 1, 'more rules')}" if len(certain) > 1 else ""
        return Finding("escalate", certain[0].reason + more, evidence)

    def _too_long(self, chars: int) -> Finding:
        most = self._options.max_chars
        if most is not None and chars > most:
            return Finding(
                "escalate", f"it has {chars} characters, and may have {most}", {"max_chars": chars}
            )
        return Finding(
            "unsure", f"it is longer than the {MAX_CHARS} characters that are measured", {"chars": chars}
        )

    def _measured(self, of: TextFigures) -> Iterator[_Broken]:
        options = self._options
        for name, least, most in self._bounds:
            count = of.characters if name == "chars" else getattr(of, name)
            what = "characters" if name == "chars" else name
            if most is not None and count > most:
                yield _Broken(f"max_{name}", f"it has {_of(count, what)}, and may have {most}", count, False)
            if least is not None and count < least:
                yield _Broken(f"min_{name}", f"it has {_of(count, what)}, and needs {least}", count, True)
        if options.max_emojis is not None and of.emojis > options.max_emojis:
            reason = f"it has {_of(of.emojis, 'emojis')}, and may have {options.max_emojis}"
            yield _Broken("max_emojis", reason, of.emojis, False)
        if options.markdown == "none" and of.markdown:
            yield _Broken("markdown", f"it has Markdown in {_of(of.markdown, 'places')}", of.markdown, False)
        if options.code == "none" and of.fences:
            yield _Broken("code", f"it has {_of(len(of.fences), 'blocks')} of code", len(of.fences), False)
        if options.code == "required" and not of.fences:
            yield _Broken("code", "it has no block of code", 0, True)
        language = options.code_language.lower()
        if language and of.fences and all(fence.language != language for fence in of.fences):
            reason = (
                f"of {_of(len(of.fences), 'blocks')} of code none says that it is {printable(language, 40)}"
            )
            yield _Broken("code_language", reason, len(of.fences), True)
        there = {self._fold(heading.text) for heading in of.headings} if self._headings else set()
        for text, folded in self._headings:
            if folded not in there:
                yield _Broken(
                    "headings", f"it has no heading {printable(text, 60)!r}", printable(text, 60), True
                )

    def _worded(self, text: str) -> Iterator[_Broken]:
        if not (self._contain or self._start or self._end):
            return
        folded = self._fold(text)
        for wanted, one in self._contain:
            if one not in folded:
                said = printable(wanted, 60)
                yield _Broken("must_contain", f"it does not hold {said!r}", said, True)
        if self._start and not any(folded.startswith(one) for _, one in self._start):
            yield _Broken("must_start_with", "it begins otherwise", printable(self._start[0][0], 60), False)
        if self._end and not any(folded.endswith(one) for _, one in self._end):
            yield _Broken("must_end_with", "it ends otherwise", printable(self._end[0][0], 60), True)


def _of(count: int, things: str) -> str:
    """`1 word`, `2 words`."""
    return f"{count:,} {things.removesuffix('s') if count == 1 else things}"


def _cased(text: str) -> str:
    return " ".join(cased_fold(text).split())


def _uncased(text: str) -> str:
    return " ".join(fold(text).split())
