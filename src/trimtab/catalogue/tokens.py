"""Token counts without asking the platform: estimates for planning, and a bound for money.

What it is not: exact. The order of trust is the platform's usage, then its `count_tokens`, then this. Text only: a
whole request is `estimating`, images are `image_tokens`.
Invariants: `upper_bound_tokens` never falls below the true count of a text; an estimate is a positive number of
tokens for any text, at a cost that stops growing beyond 32 kB (the text is then sampled).
"""

from typing import Literal, NamedTuple

from trimtab.catalogue.character_kinds import SAMPLE_BYTES, Counts, characters, count_kinds, sample
from trimtab.catalogue.content_classes import classify
from trimtab.catalogue.token_tables import (
    BASE64_TOKENS_PER_1000_BYTES,
    DENSITY,
    FITS,
    OWN_WEIGHTS,
    WEIGHTS,
    ContentClass,
)

Generation = Literal["v3", "v4.7"]
"""Vocabularies: tokenizers of one generation make the same tokens of a text."""

GENERATIONS: tuple[Generation, ...] = ("v3", "v4.7")

_GENERATION: dict[str, Generation] = {"v3": "v3", "v4.7": "v4.7", "v4.7-family": "v4.7", "v4.8": "v4.7"}
"""v4.8 uses the vocabulary of v4.7. Source: ctok 1.3.0 (2026-09)."""


class Weighed(NamedTuple):
    """What kind of text it is, and about how many tokens on each generation."""

    content_class: ContentClass
    v3: int
    v47: int

    def on(self, generation: Generation) -> int:
        """Tokens on one of them."""
        return self.v3 if generation == "v3" else self.v47


def weigh(data: bytes, sample_bytes: int = SAMPLE_BYTES) -> Weighed:
    """Class and estimates of a text in UTF-8, at least a token each; an empty one has none.

    Cost: 20 us for 1 kB, 0.7 ms for 32 kB and all above (measured); `sample_bytes` makes it look at less.
    """
    if not data:
        return Weighed("english_docs", 0, 0)
    part = sample(data, sample_bytes)
    counts = count_kinds(part)
    content_class = classify(part, counts)
    v3, v47 = (
        min(
            max(_thousandths(part, counts, content_class, one) * len(data) // (len(part) * 1000), 1),
            len(data),
        )
        for one in GENERATIONS
    )
    return Weighed(content_class, v3, v47)


def estimate_tokens(text: str | bytes, tokenizer: str, content_class: ContentClass | None = None) -> int:
    """About how many tokens a text has; bytes are taken as UTF-8. Raises `ValueError` for an unknown tokenizer.

    With a content class, its measured characters per token; without one, a count of character kinds with the weights
    of the class that it shows. Expect 5 to 13 % error (docs/catalogue.md). Cost: at most 0.7 ms for 100 kB (measured).
    """
    generation = generation_of(tokenizer)
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if content_class is not None:
        per_token, ratio = DENSITY[content_class]
        return round(characters(data) / per_token * (ratio if generation == "v4.7" else 1.0))
    return weigh(data).on(generation)


def token_ratio(from_tokenizer: str, to_tokenizer: str, content_class: ContentClass) -> float:
    """Tokens on one tokenizer for each token on another, for content of a class; 1.42 is 42 % more."""
    before, after = generation_of(from_tokenizer), generation_of(to_tokenizer)
    if before == after:
        return 1.0
    ratio = DENSITY[content_class][1]
    return ratio if after == "v4.7" else 1.0 / ratio


def upper_bound_tokens(n_bytes: int) -> int:
    """The most tokens that so many bytes of text can be: one each.

    The vocabularies fall back to single bytes, and real content comes close: measured tokens per byte on v4.7 are
    1.00 for random printable ASCII and 0.95 for base64, against 0.67 for hex and 0.33 for English. A bound taken
    from hex, the densest class of the table, would fall 30 % short on base64. Text made of the few code points that
    Unicode normalisation expands can exceed it by a few per cent. Images and files given by reference are not text.
    Source: measured with ctok 1.3.0, 29 kinds of random text (docs/catalogue.md).
    """
    return max(n_bytes, 0)


def generation_of(tokenizer: str) -> Generation:
    """The vocabulary of a tokenizer. Raises `ValueError` for one that is not known."""
    generation = _GENERATION.get(tokenizer)
    if generation is None:
        raise ValueError(f"{tokenizer!r}: tokenizer must be one of {', '.join(_GENERATION)}")
    return generation


def _weights(generation: Generation, content_class: ContentClass) -> tuple[int, ...]:
    """Of each kind of character, in the order of `Counts`; in thousandths of a token."""
    fit = FITS[content_class]
    factor = fit.v3 if generation == "v3" else fit.v47
    weights = WEIGHTS[generation] | OWN_WEIGHTS.get(content_class, {}).get(generation, {})
    return tuple(round(factor * weights[kind]) for kind in Counts._fields)


_WEIGHTS = {
    (one, content_class): _weights(one, content_class) for one in GENERATIONS for content_class in FITS
}


def _thousandths(part: bytes, counts: Counts, content_class: ContentClass, generation: Generation) -> int:
    if content_class == "base64":
        return len(part) * BASE64_TOKENS_PER_1000_BYTES[generation]
    weights = _WEIGHTS[generation, content_class]
    return sum([weight * number for weight, number in zip(weights, counts, strict=True)])
