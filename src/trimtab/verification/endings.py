"""Verifiers of how an answer ends: that it was not cut off, and that it is no refusal.

What they are not: a judgement of what was answered before the end, or whether a refusal is right. Invariant: words that
look like a refusal count at the beginning of an answer only, as they are written here or in the configuration.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from trimtab.config import decoded, fail
from trimtab.errors import shortened
from trimtab.records import Fact
from trimtab.verification.refusals import CANNOT, DO, OPENINGS, REFUSALS
from trimtab.verification.seam import Case, Finding, Spends

HEAD_CHARS = 400
"""So much of an answer is looked at for words of refusal; the longest that is shipped has 60."""

MAX_PHRASES = 1000
MAX_PHRASE_CHARS = 200
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})
_MARKUP = "*_# \t\r\n"
"""What Markdown writes before words; no quotation marks or `>`: what is quoted is not said."""


class NotTruncatedOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a `[verifiers.NAME]` of kind `not_truncated`: there are none."""


class NotRefusedOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `not_refused`."""

    phrases: tuple[str, ...] = ()
    """Beginnings of answers that refuse, beside those that are shipped."""
    shipped: bool = True
    """Whether those count too."""
    short_chars: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 600
    """An answer up to here that begins so is taken for a refusal; a longer one may go on to help, and is unsure."""


def not_truncated(options: Mapping[str, Any], where: Callable[[str], str]) -> "NotTruncated":
    """The verifier. Raises `ConfigError`."""
    decoded(dict(options), NotTruncatedOptions, where)
    return NotTruncated()


def not_refused(options: Mapping[str, Any], where: Callable[[str], str]) -> "NotRefused":
    """The verifier of these options. Raises `ConfigError`."""
    read = decoded(dict(options), NotRefusedOptions, where)
    if len(read.phrases) > MAX_PHRASES:
        fail(where("phrases"), len(read.phrases), f"must be at most {MAX_PHRASES}")
    for phrase in read.phrases:
        if not _plain(phrase) or len(phrase) > MAX_PHRASE_CHARS:
            fail(where("phrases"), phrase[:80], f"must have from 1 to {MAX_PHRASE_CHARS} characters")
    return NotRefused(read)


class NotTruncated:
    """Kind `not_truncated`."""

    spends: Spends = "nothing"

    async def check(self, case: Case) -> Finding:
        """See the seam."""
        answer = case.answer
        facts: dict[str, Fact] = {"stop": answer.stop_reason or answer.stop, "complete": answer.complete}
        limit = case.question.max_tokens
        if limit is not None:
            facts["max_tokens"] = limit
        match answer.stop:
            case "max_tokens" if limit == 0:
                return Finding("accept", "no words were asked for", facts)  # to warm a cache
            case "max_tokens":
                return Finding("escalate", "it was cut at the limit of its tokens", facts)
            case "context":
                return Finding("escalate", "it was cut at the end of the model's context", facts)
            case "error":
                return Finding("escalate", "it ends in an error", facts)
            case _ if not answer.complete:
                return Finding("escalate", "it broke off", facts)
            case "none":
                return Finding("unsure", "it does not say why it ends", facts)
            case "unknown":
                return Finding("unsure", "it ends for a reason that is not known here", facts)
        return Finding("accept", "", facts)


class NotRefused:
    """Kind `not_refused`."""

    spends: Spends = "nothing"

    def __init__(self, options: NotRefusedOptions) -> None:
        self._shipped = options.shipped
        self._phrases = tuple(_plain(phrase) for phrase in options.phrases)
        self._short_chars = options.short_chars

    async def check(self, case: Case) -> Finding:
        """See the seam."""
        answer = case.answer
        if answer.stop == "refusal":
            return Finding("escalate", "the model refused", {"stop": answer.stop_reason})
        if answer.refusal.strip():
            return Finding(
                "escalate", "the model refused", {"refusal": shortened(answer.refusal.strip(), 100)}
            )
        if answer.tool_calls:
            return Finding("accept", "", {"tool_calls": len(answer.tool_calls)})
        said = self._said(answer.text)
        if said is None:
            return Finding("accept")
        facts: dict[str, Fact] = {"begins": said, "chars": len(answer.text)}
        if len(answer.text) <= self._short_chars:
            return Finding("escalate", "it begins as a refusal does", facts)
        return Finding("unsure", "it begins as a refusal does, and goes on", facts)

    def _said(self, text: str) -> str | None:
        """The words of refusal that the text begins with."""
        head = _plain(text[:HEAD_CHARS])
        own = _begun(head, self._phrases)
        return own if own is not None or not self._shipped else _shipped(head)


def _shipped(head: str) -> str | None:
    for opening in OPENINGS:
        if not head.startswith(opening):
            continue
        rest = head[len(opening) :]
        if (whole := _begun(rest, REFUSALS)) is not None:
            return opening + whole
        for cannot in CANNOT:
            if rest.startswith(cannot) and (done := _begun(rest[len(cannot) :], DO)) is not None:
                return opening + cannot + done
    return None


def _begun(text: str, phrases: tuple[str, ...]) -> str | None:
    """The first of the phrases that the text begins with, as words: `help you` does not begin `help youngsters`."""
    if not text.startswith(phrases):
        return None
    return next(
        (one for one in phrases if text.startswith(one) and not text[len(one) : len(one) + 1].isalnum()), None
    )


def _plain(text: str) -> str:
    """Without case, markup before it, and differences of apostrophes and white space."""
    return " ".join(text.lstrip(_MARKUP).translate(_QUOTES).casefold().split())
