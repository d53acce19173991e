"""Which tokens of a usage are billed, by kind.

What it is not: a price (`catalogue`). Invariant: this is the only arithmetic over usage besides that of prices, so that
rows, roll-ups and budgets agree.
"""

from trimtab.messages import IterationUsage, Usage

Tokens = tuple[int, int, int, int, int, int]
"""Input, cache writes for 5 minutes and for an hour, cache reads, output; and thinking, a part of the output."""

NO_TOKENS: Tokens = (0, 0, 0, 0, 0, 0)

COUNT_MAX = 2**53
"""A figure beyond this is nonsense from a platform (9e15: nine million USD, or as many tokens). It is cut to it in
columns and sums, so that 64-bit sums hold; `detail` keeps what was said."""


def plain_count(value: int | None) -> int:
    """A figure as columns hold it."""
    if value is None:
        return 0
    return value if 0 <= value <= COUNT_MAX else min(max(value, 0), COUNT_MAX)


def _input_tokens(usage: Usage | IterationUsage) -> tuple[int, int, int, int]:
    """input, cache_write_5m, cache_write_1h, cache_read; read as `catalogue` prices them.

    No split by lifetime means 5-minute writes; a rest that a split leaves out has an unknown lifetime and counts as
    a 1-hour write. Source: vendor prompt caching page (2026-11).
    """
    written = plain_count(usage.cache_creation_input_tokens)
    five, hour = written, 0
    split = usage.cache_creation
    if split is not None:
        said_five, said_hour = split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens
        if said_five is not None or said_hour is not None:
            five, hour = plain_count(said_five), plain_count(said_hour)
            if hour < written - five:
                hour = written - five
    return plain_count(usage.input_tokens), five, hour, plain_count(usage.cache_read_input_tokens)


def _named(part: Usage | IterationUsage) -> int:
    return sum(_input_tokens(part)) + plain_count(part.output_tokens)


def billed_tokens(usage: Usage | None) -> Tokens:
    """Tokens by kind. Iterations are the bill, unless the top level names more than they."""
    if usage is None:
        return NO_TOKENS
    details = usage.output_tokens_details
    thinking = plain_count(details.thinking_tokens) if details is not None else 0
    if not usage.iterations:
        return *_input_tokens(usage), plain_count(usage.output_tokens), thinking
    billed: list[Usage | IterationUsage] = list(usage.iterations or ())
    if sum(map(_named, billed)) < max(_named(usage), 1):
        billed = [usage]
    plain = five = hour = read = output = 0
    for part in billed:
        new, new_five, new_hour, new_read = _input_tokens(part)
        plain, five, hour, read = plain + new, five + new_five, hour + new_hour, read + new_read
        output += plain_count(part.output_tokens)
    return (
        plain_count(plain),
        plain_count(five),
        plain_count(hour),
        plain_count(read),
        plain_count(output),
        thinking,
    )
