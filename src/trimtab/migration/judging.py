"""Holds one request against the model it goes to: what is refused, what changes silently, what the gateway would send.

What it is not: sums over requests (`report`). Invariant: a refusal is named where a rule of the normaliser says so, or
the estimate shows that the request does not fit; one that the old model gives too is marked so.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from trimtab.catalogue import Model
from trimtab.catalogue.estimating import Corrections, Estimate, Measured, Tokenizers, estimate, measure
from trimtab.catalogue.images import image_tokens
from trimtab.catalogue.token_tables import FITS
from trimtab.catalogue.tokens import generation_of, token_ratio
from trimtab.errors import NotFound, RequestTooLarge, RuleRefused, shortened
from trimtab.messages import MessagesBody
from trimtab.messages.tolerant import field_value
from trimtab.migration.reading import VERSION, Headers, Request
from trimtab.normaliser import Asked, Normaliser, Rule, Seen

VERSIONS = ("2023-06-01", "2026-10-21")
"""What the vendor's own API speaks. Source: vendor page on API versions (2026-11)."""

NEARLY_SAME = 1.02
"""A ratio of tokens below this is no change."""

ROOMY = 16_000
"""`max_tokens` from which on a few more tokens for the same answer are not worth a word: few answers are so long."""

LITTLE_TEXT = 200
"""Tokens; fewer do not tell what an answer will be like."""

ABOUT_HEADERS = frozenset(("task-budget-beta", "computer-beta", "platform-beta", "beta-now-general"))
"""Rules about headers, which records do not keep."""

SILENT = (
    "tokens", "images-larger", "images-smaller", "context-window", "max-tokens", "cache-minimum", "cache-cold",
    "effort-default", "compaction-trigger",
)  # fmt: skip
"""Silent changes beside those of the normaliser's rules."""

Kind = Literal["refused", "silent"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is different for one request."""

    id: str
    """The rule's, or that of a silent change; `--allow` takes it."""
    kind: Kind
    place: str
    """Key path in the body, or a header."""
    says: str
    """The vendor's words of a refusal; ours of a silent change."""
    does: str = ""
    """What mode `adapt` does about it."""
    mended: bool = False
    """Whether mode `adapt` mends it."""
    before_too: bool = False
    """The old model refuses it, too."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One request on both models."""

    name: str
    findings: tuple[Finding, ...]
    before: Estimate
    after: Estimate
    measured: Measured
    adapted: bytes | None
    """What the gateway would send in mode `adapt`; `None` where it would refuse."""
    headers: Headers
    adaptations: tuple[str, ...]
    refused: str = ""
    """Why the gateway itself would refuse, in mode `adapt`."""
    request: Request

    @property
    def breaks(self) -> bool:
        """Whether the target refuses it as it is."""
        return any(finding.kind == "refused" for finding in self.findings)


class Judge:
    """Two models, and everything that does not depend on a request."""

    def __init__(
        self,
        before: Model,
        after: Model,
        normaliser: Normaliser,
        *,
        platform: str = "anthropic",
        tokenizers: Tokenizers,
        corrections: dict[str, Corrections] | None = None,
    ) -> None:
        """`corrections` by model id."""
        self.before = before
        self.after = after
        self._normaliser = normaliser
        self._platform = platform
        self._tokenizers = tokenizers
        self._corrections = corrections or {}

    def judge(self, request: Request) -> Judged:
        """Judge one. Never raises. Cost: 3 ms for 53 kB."""
        measured = measure(request.body, self._tokenizers)
        before, after = (
            estimate(measured, model, self._corrections.get(model.id)) for model in (self.before, self.after)
        )
        old = self._normaliser.examine(self._asked(request, self.before))
        seen_before = {seen.rule.id for seen in old}
        refused_before = any(seen.rule.kind == "refused" for seen in old)
        asked = self._asked(request, self.after)
        adapted, headers, adaptations, refused, left = self._adapted(asked)
        findings = [
            _finding(seen, seen_before, left if not refused else {seen.rule.id, *left})
            for seen in self._normaliser.examine(asked)
            if (seen.rule.kind == "refused" or refused_before or seen.rule.id not in seen_before)
            and (request.headers_known or seen.rule.id not in ABOUT_HEADERS)
        ]
        findings += self._silent(request, measured, before, after)
        return Judged(
            name=request.name,
            findings=tuple(findings),
            before=before,
            after=after,
            measured=measured,
            adapted=adapted,
            headers=headers,
            adaptations=adaptations,
            refused=refused,
            request=request,
        )

    def _asked(self, request: Request, model: Model) -> Asked:
        version = next(value for name, value in request.headers if name == VERSION).decode("latin-1")
        switched = model is self.after and model is not self.before
        return Asked(
            body=request.body,
            headers=list(request.headers),
            model=model,
            send_model=model.id,
            version=version,
            versions=model.api_versions(self._platform, VERSIONS),
            foreign=request.body.count_messages() if switched else 0,
            platform=self._platform,
        )

    def _adapted(self, asked: Asked) -> tuple[bytes | None, Headers, tuple[str, ...], str, set[str]]:
        """What goes out, what was changed, why nothing goes out, and the rules that nothing could be done about."""
        try:
            result = self._normaliser.normalise(asked, "adapt", tier="default")
        except (RuleRefused, RequestTooLarge, NotFound) as problem:
            return None, [], (), str(problem), set()
        body = result.body if result.body is not None else asked.body.spliced(model=asked.send_model)
        left = {note.partition(":")[0] for note in result.observations}
        headers = result.headers if result.headers is not None else asked.headers
        return body, headers, result.adaptations, "", left

    # What changes in silence, beside what the normaliser's rules say

    def _silent(
        self, request: Request, measured: Measured, before: Estimate, after: Estimate
    ) -> Iterator[Finding]:
        body = request.body
        ratio = after.tokens / before.tokens if before.tokens else 1.0
        if ratio > NEARLY_SAME or ratio < 1 / NEARLY_SAME:
            yield _changed(
                "tokens",
                "request",
                f"{before.tokens:,} input tokens become {after.tokens:,} ({ratio - 1:+.0%})",
            )
        yield from self._image_changes(measured)
        yield from self._room(body, request, before, after)
        yield from self._cache(before, after)
        levels = self.after.effort.default, self.before.effort.default
        if not body.has_effort and levels[0] != levels[1]:
            yield _changed(
                "effort-default",
                "output_config.effort",
                f"not given: {self.before.id} works at {levels[1] or 'none'}, {self.after.id} at {levels[0] or 'none'}",
            )
        yield from self._triggers(body, ratio)

    def _image_changes(self, measured: Measured) -> Iterator[Finding]:
        tiers = self.before.vision, self.after.vision
        if not measured.images or tiers[0] == tiers[1] or "none" in tiers:
            return
        known = [size for size in measured.images if size != (0, 0)]
        was, becomes = (sum([image_tokens(*size, tier) for size in known]) for tier in tiers)
        unknown = len(measured.images) - len(known)
        if was != becomes or unknown:
            more = f", and {unknown} of unknown size" if unknown else ""
            yield _changed(
                "images-larger" if becomes >= was else "images-smaller",
                "messages",
                f"{len(known)} images of {was:,} tokens become {becomes:,}{more}; at most "
                f"{4784 if tiers[1] == 'high' else 1568:,} tokens each",
            )

    def _room(
        self, body: MessagesBody, request: Request, before: Estimate, after: Estimate
    ) -> Iterator[Finding]:
        asked, window = body.max_tokens or 0, self.after.limits.context
        if after.low > window:
            yield Finding(
                id="prompt-too-long",
                kind="refused",
                place="messages",
                says=f"prompt is too long: about {after.tokens:,} tokens > {window:,} maximum",
                does="nothing; nobody shortens a prompt here",
            )
        elif after.tokens + asked > window >= 0:
            yield _changed(
                "context-window",
                "max_tokens",
                f"about {after.tokens:,} tokens of input and max_tokens {asked:,} pass the window of {window:,}; "
                "an answer may end with model_context_window_exceeded",
            )
        same = generation_of(self.before.tokenizer) == generation_of(self.after.tokenizer)
        ratio = self._text_ratio(before, after)
        wrote = request.usage.output_tokens if request.usage is not None else None
        if wrote is not None:
            if wrote <= asked < wrote * ratio:
                yield _changed(
                    "max-tokens",
                    "max_tokens",
                    f"its answer had {wrote:,} tokens, and the same text has about {round(wrote * ratio):,}, more than "
                    f"max_tokens {asked:,}",
                )
        elif not same and 0 < asked < ROOMY:
            yield _changed(
                "max-tokens",
                "max_tokens",
                f"{asked:,} tokens hold less text than before; {round(asked * max(ratio, 1)):,} hold the same",
            )

    def _text_ratio(self, before: Estimate, after: Estimate) -> float:
        """Of tokens for a text like those of the request; for English where it holds little text."""
        was, becomes = (
            sum([one.by_item[item] for item in one.by_item if item in FITS]) for one in (before, after)
        )
        if was < LITTLE_TEXT:
            return token_ratio(self.before.tokenizer, self.after.tokenizer, "english_docs")
        return becomes / was

    def _cache(self, before: Estimate, after: Estimate) -> Iterator[Finding]:
        least = [model.features.prompt_cache_min or 0 for model in (self.before, self.after)]
        if before.marked is None or after.marked is None:
            return
        was, becomes = before.marked >= least[0], after.marked >= least[1]
        if was != becomes:
            yield _changed(
                "cache-minimum",
                "cache_control",
                f"its marked prefix of about {after.marked:,} tokens is "
                f"{'cached now' if becomes else 'no longer cached'}: the least is {least[1]:,}, and was {least[0]:,}",
            )
        if becomes:
            yield _changed(
                "cache-cold",
                "cache_control",
                f"the first request on the new model writes about {after.marked:,} tokens to the cache again",
            )

    def _triggers(self, body: MessagesBody, ratio: float) -> Iterator[Finding]:
        """Thresholds that are counted in tokens of the model."""
        if ratio <= NEARLY_SAME:
            return
        management = field_value(body.fields.get("context_management"))
        edits = management.get("edits") if isinstance(management, dict) else None
        for place, edit in enumerate(edits if isinstance(edits, list) else ()):
            trigger = edit.get("trigger") if isinstance(edit, dict) else None
            value = trigger.get("value") if isinstance(trigger, dict) else None
            if isinstance(trigger, dict) and isinstance(value, int) and trigger.get("type") == "input_tokens":
                yield _changed(
                    "compaction-trigger",
                    f"context_management.edits.{place}.trigger",
                    f"{value:,} tokens are reached with less text; {round(value * ratio):,} hold the same",
                )


def _changed(name: str, place: str, says: str) -> Finding:
    return Finding(id=name, kind="silent", place=place, says=says)


def _finding(seen: Seen, before: set[str], left: set[str]) -> Finding:
    rule: Rule = seen.rule
    return Finding(
        id=rule.id,
        kind=rule.kind,
        place=seen.place,
        says=shortened(seen.says, 400),
        does=rule.does,
        mended=rule.adapt is not None and rule.id not in left,
        before_too=rule.id in before,
    )
