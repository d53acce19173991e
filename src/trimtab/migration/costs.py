"""What the change costs: input at list price, requests as they were billed, a month, and the cold cache.

What it is not: a bill. Prices are those of one day, negotiated ones included; where records are known, their tokens are
multiplied by the ratios of tokens and priced for the new model. What a model writes more or less is not known before
it has written: output is the same text.
"""

import datetime
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from trimtab.catalogue import Catalogue, Model, PriceRow
from trimtab.catalogue.tokens import generation_of
from trimtab.messages import Usage
from trimtab.migration.judging import Judged
from trimtab.migration.resampling import unknown_ratio
from trimtab.stats import Interval

MONTH_DAYS = 30.44

_SAID = ("assistant", "thinking", "tool_use")
"""Parts of a request that the model wrote before: the best that is known of what it will write."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """In US dollars."""

    before_usd: float
    after_usd: float
    after: Interval
    """Of the latter, 95 %."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Sums by what they are priced as."""

    input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    @property
    def prompt(self) -> int:
        """All that went in."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What records say of the old model's requests."""

    days: float
    requests: int
    tokens: Tokens
    """The sums of all."""
    live_conversations: int = 0
    """Sessions that asked within the last hour of that time."""
    live_prefix_tokens: int = 0
    """Tokens that these had in the cache: read or written with their last request."""
    simulated: bool = False


def tokens_of(usage: Usage) -> Tokens:
    """The tokens of one usage."""
    written, split = usage.cache_creation_input_tokens or 0, usage.cache_creation
    hour = (split.ephemeral_1h_input_tokens or 0) if split is not None else 0
    return Tokens(
        input=usage.input_tokens or 0,
        cache_write_5m=max(written - hour, 0),
        cache_write_1h=hour,
        cache_read=usage.cache_read_input_tokens or 0,
        output=usage.output_tokens or 0,
    )


class Prices:
    """Both models on one day."""

    def __init__(
        self, catalogue: Catalogue, before: Model, after: Model, day: datetime.date, platform: str
    ) -> None:
        self._before = catalogue.price_row(before, day, platform=platform)
        self._after = catalogue.price_row(after, day, platform=platform)
        self._models = before, after

    def input(self, judged: Sequence[Judged], ratio: Interval) -> Cost:
        """One request's input, uncached, at the price of its own length; the mean."""
        number = len(judged)
        before = (
            sum([one.before.tokens * _input_rate(self._before, one.before.tokens) for one in judged]) / number
        )
        after = (
            sum([one.after.tokens * _input_rate(self._after, one.after.tokens) for one in judged]) / number
        )
        point = sum([one.after.tokens for one in judged]) / max(1, sum([one.before.tokens for one in judged]))
        return Cost(
            before_usd=before,
            after_usd=after,
            after=Interval(after * ratio.low / point, after * ratio.high / point),
        )

    def billed(self, tokens: Tokens, ratio: Interval, said: Interval, shares: float = 1.0) -> Cost:
        """Billed tokens on both models, as part `shares` of them."""
        middle = (ratio.low + ratio.high) / 2, (said.low + said.high) / 2
        return Cost(
            before_usd=shares * _usd(self._before, tokens, 1.0, 1.0),
            after_usd=shares * _usd(self._after, tokens, *middle),
            after=Interval(
                shares * _usd(self._after, tokens, ratio.low, said.low),
                shares * _usd(self._after, tokens, ratio.high, said.high),
            ),
        )

    def cold(self, prefix_before: int, ratio: Interval) -> Cost:
        """Prefixes that were read from the cache, and must be written once more."""
        read, write = float(self._before.cache_read) / 1e6, float(self._after.cache_write_5m) / 1e6
        return Cost(
            before_usd=prefix_before * read,
            after_usd=prefix_before * write * (ratio.low + ratio.high) / 2,
            after=Interval(prefix_before * write * ratio.low, prefix_before * write * ratio.high),
        )

    def said_ratio(self, judged: Sequence[Judged]) -> Interval:
        """Of output tokens for the same text: by what the model wrote in these conversations, else unknown."""
        before, after = self._models
        if generation_of(before.tokenizer) == generation_of(after.tokenizer):
            return Interval(1.0, 1.0)
        pairs = [
            (
                sum([one.before.by_part.get(part, 0.0) for part in _SAID]),  # type: ignore[call-overload]
                sum([one.after.by_part.get(part, 0.0) for part in _SAID]),  # type: ignore[call-overload]
            )
            for one in judged
        ]
        was, becomes = sum([pair[0] for pair in pairs]), sum([pair[1] for pair in pairs])
        if was < LITTLE_TOKENS:
            return unknown_ratio(before, after)
        point = becomes / was
        return Interval(point * (1 - ERROR_SAID), point * (1 + ERROR_SAID))


LITTLE_TOKENS = 2000
"""Of what a model wrote; less tells nothing of what it writes."""

ERROR_SAID = 0.10
"""Two standard deviations of the ratio of a class (5 %)."""


def _input_rate(row: PriceRow, tokens: int) -> float:
    factor = (
        row.long_prompt.input_factor
        if row.long_prompt and tokens > row.long_prompt.above_tokens
        else Decimal(1)
    )
    return float(row.input * factor) / 1e6


def _usd(row: PriceRow, tokens: Tokens, ratio: float, said: float) -> float:
    prompt = (
        tokens.input * float(row.input)
        + tokens.cache_write_5m * float(row.cache_write_5m)
        + tokens.cache_write_1h * float(row.cache_write_1h)
        + tokens.cache_read * float(row.cache_read)
    )
    return (prompt * ratio + tokens.output * float(row.output) * said) / 1e6
