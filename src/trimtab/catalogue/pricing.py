"""What a usage costs, in integer nano-dollars: dated rows compiled once into integer rates, then a few products.

What it is not: a judge of whether a call was billed at all, or at a regional endpoint (the engine knows), or of what a
contract takes off (its owner says).
Invariants: all arithmetic is on integers; a bill is summed exactly and rounded once, half up; where the platform's
figures leave room for doubt, the dearer reading is taken, so that spend is never under-counted.

Source: vendor pricing page and SDK 2.11.0 `beta_usage.py` (2026-11): multipliers stack; cache 5-minute and 1-hour
writes and reads have their own rates; batch is half of every token rate; `inference_geo: "us"` is 1.1 times; fast mode
raises every token rate alike, and so does a regional endpoint (`platforms.yaml`); where `iterations` are present they
are the bill, unless they name fewer tokens than the top level does.
"""

import datetime
from bisect import bisect_right
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import NamedTuple, NewType

from trimtab.catalogue.model import PriceRow
from trimtab.messages import IterationUsage, Usage

NanoUSD = NewType("NanoUSD", int)
"""Billionths of a US dollar."""

UNIT = 10**9
"""Rates are integers in billionths of a nano-dollar per token, which holds every shipped rate exactly; a rate that
an overlay makes finer than that is rounded up."""

NO_DISCOUNT = Decimal(0)

_NANO_PER_TOKEN = 1000
"""1 USD per million tokens is 1000 nano-dollars per token."""

US_GEO_FACTOR = Fraction(11, 10)
"""Source: vendor pricing page, data residency (2026-11)."""

BATCH_FACTOR = Fraction(1, 2)
"""Source: vendor batch processing page (2026-11): half of all token prices, cache rates included."""

_BATCH, _FAST, _US, _LONG, _REGIONAL = 1, 2, 4, 8, 16
_VARIANTS = range(16)
"""Of the global endpoint; as many follow for regional ones."""

Rates = tuple[int, int, int, int, int]
"""input, output, 5-minute write, 1-hour write, cache read; in 1/UNIT nano-dollars per token."""


class Table(NamedTuple):
    """The compiled form of one price row: rates by variant bits, and where a long prompt begins."""

    variants: tuple[Rates, ...]
    long_above: int
    """Prompt tokens up to which the plain rates hold; a huge number where there is no such rule."""
    row: PriceRow
    """Where the rates come from."""


class Timeline(NamedTuple):
    """The tables of one model on one platform, by the day (ordinal) from which each holds."""

    starts: tuple[int, ...]
    tables: tuple[Table, ...]

    def on(self, day: int) -> Table:
        """The table for a day; days before the first row use the first row."""
        index = bisect_right(self.starts, day) - 1
        return self.tables[index if index > 0 else 0]


_NEVER = 1 << 62


def compile_timeline(layers: Iterable[tuple[PriceRow, ...]], platform: str | None) -> Timeline:
    """One timeline from price rows, strongest layer first. No platform: only rows that hold on all.

    Within a layer, rows for this platform are stronger than rows for all platforms. A layer holds from its first
    row on; before that the next layer does.
    """
    chains = [
        sorted((row for row in layer if row.platform == wanted), key=lambda row: row.effective_from)
        for layer in layers
        for wanted in dict.fromkeys((platform, None))
    ]
    days = {row.effective_from.toordinal() for chain in chains for row in chain}
    days |= {
        row.fast.until.toordinal() + 1
        for chain in chains
        for row in chain
        if row.fast and row.fast.until is not None
    }
    starts: list[int] = []
    tables: list[Table] = []
    for day in sorted(days):
        row = _row_on(chains, day)
        if row is not None:
            starts.append(day)
            tables.append(_compile(row, day))
    return Timeline(tuple(starts), tuple(tables))


def with_regional(timeline: Timeline, premium: Decimal) -> Timeline:
    """The same with rates for regional endpoints, which cost so much more, as a part of the price. A rate that this
    makes finer than 1/UNIT nano-dollars is rounded up."""
    factor = 1 + Fraction(premium)

    def dearer(rate: int) -> int:
        return -(-rate * factor.numerator // factor.denominator)

    return Timeline(
        timeline.starts,
        tuple(
            table._replace(
                variants=(
                    *table.variants,
                    *(
                        (dearer(a), dearer(b), dearer(c), dearer(d), dearer(e))
                        for a, b, c, d, e in table.variants
                    ),
                )
            )
            for table in timeline.tables
        ),
    )


def _row_on(chains: list[list[PriceRow]], day: int) -> PriceRow | None:
    for chain in chains:
        for row in reversed(chain):
            if row.effective_from.toordinal() <= day:
                return row
    return None


def _compile(row: PriceRow, day: int) -> Table:
    long_above = row.long_prompt.above_tokens if row.long_prompt else _NEVER
    return Table(tuple(_rates(row, day, bits) for bits in _VARIANTS), long_above, row)


def _rates(row: PriceRow, day: int, bits: int) -> Rates:
    base_in, base_out = Fraction(row.input), Fraction(row.output)
    cache = [Fraction(row.cache_write_5m), Fraction(row.cache_write_1h), Fraction(row.cache_read)]
    fast = row.fast
    if bits & _FAST and fast is not None and (fast.until is None or day <= fast.until.toordinal()):
        cache = [rate * Fraction(fast.input) / base_in for rate in cache] if base_in else cache
        base_in, base_out = Fraction(fast.input), Fraction(fast.output)
        if bits & _BATCH:
            base_in, base_out = base_in * BATCH_FACTOR, base_out * BATCH_FACTOR
    elif bits & _BATCH:
        base_in = base_in * BATCH_FACTOR if row.batch_input is None else Fraction(row.batch_input)
        base_out = base_out * BATCH_FACTOR if row.batch_output is None else Fraction(row.batch_output)
    if bits & _BATCH:
        cache = [rate * BATCH_FACTOR for rate in cache]
    into, out = Fraction(1), Fraction(1)
    if bits & _LONG and row.long_prompt is not None:
        into, out = Fraction(row.long_prompt.input_factor), Fraction(row.long_prompt.output_factor)
    if bits & _US:
        into, out = into * US_GEO_FACTOR, out * US_GEO_FACTOR
    scale = _NANO_PER_TOKEN * UNIT
    write_5m, write_1h, read = cache
    return (
        ceil(base_in * into * scale),
        ceil(base_out * out * scale),
        ceil(write_5m * into * scale),
        ceil(write_1h * into * scale),
        ceil(read * into * scale),
    )


def variant(*, batch: bool, fast: bool, us: bool, regional: bool) -> int:
    """Which rates of a table apply, before the length of the prompt is known."""
    return (
        (_BATCH if batch else 0)
        | (_FAST if fast else 0)
        | (_US if us else 0)
        | (_REGIONAL if regional else 0)
    )


def token_cost(table: Table, usage: Usage | IterationUsage, bits: int) -> int:
    """Cost of one call's tokens in 1/UNIT nano-dollars. Counts below zero are read as zero.

    A `cache_creation` split that falls short of `cache_creation_input_tokens` leaves a rest of unknown lifetime: it
    is charged at the 1-hour rate. A split above the total is charged as it is. No split: 5-minute writes.
    """
    fresh = usage.input_tokens or 0
    output = usage.output_tokens or 0
    read = usage.cache_read_input_tokens or 0
    write_5m = usage.cache_creation_input_tokens or 0
    write_1h = 0
    split = usage.cache_creation
    if split is not None and (
        split.ephemeral_5m_input_tokens is not None or split.ephemeral_1h_input_tokens is not None
    ):
        total = write_5m
        write_5m = max(split.ephemeral_5m_input_tokens or 0, 0)
        write_1h = max(split.ephemeral_1h_input_tokens or 0, 0)
        if total > write_5m + write_1h:
            write_1h = total - write_5m
    if fresh < 0 or output < 0 or read < 0 or write_5m < 0:
        fresh, output, read, write_5m = max(fresh, 0), max(output, 0), max(read, 0), max(write_5m, 0)
    if fresh + write_5m + write_1h + read > table.long_above:
        bits |= _LONG
    rates = table.variants[bits]
    return fresh * rates[0] + output * rates[1] + write_5m * rates[2] + write_1h * rates[3] + read * rates[4]


def tokens_billed(usage: Usage | IterationUsage) -> int:
    """How many tokens of any kind a usage names. Counts below zero are read as zero."""
    written = max(usage.cache_creation_input_tokens or 0, 0)
    split = usage.cache_creation
    if split is not None:
        split_up = max(split.ephemeral_5m_input_tokens or 0, 0) + max(split.ephemeral_1h_input_tokens or 0, 0)
        written = max(written, split_up)
    return (
        max(usage.input_tokens or 0, 0)
        + max(usage.output_tokens or 0, 0)
        + max(usage.cache_read_input_tokens or 0, 0)
        + written
    )


Priced = tuple[Table, int]
"""A table, and the variant of its rates."""


def dearest(candidates: Iterable[Priced]) -> list[Priced]:
    """The candidates that can be the costliest for some usage; the others never cost more than one of these."""
    kept: list[Priced] = []
    for candidate in candidates:
        if any(_never_less(other, candidate) for other in kept):
            continue
        kept = [other for other in kept if not _never_less(candidate, other)]
        kept.append(candidate)
    return kept


def _never_less(one: Priced, other: Priced) -> bool:
    """Whether every usage costs at least as much by `one` as by `other`."""
    (table, bits), (other_table, other_bits) = one, other
    plain, long = table.variants[bits], table.variants[bits | _LONG]
    other_plain, other_long = other_table.variants[other_bits], other_table.variants[other_bits | _LONG]
    return (
        _above(plain, other_plain)
        and _above(long, other_long)
        and (
            (table.long_above <= other_table.long_above and _above(long, other_plain))
            or _above(plain, other_long)
        )
    )


def _above(rates: Rates, others: Rates) -> bool:
    return all(rate >= other for rate, other in zip(rates, others, strict=True))


def costliest(table: Table, input_tokens: int, max_tokens: int, bits: int) -> int:
    """The most that so many tokens can cost, in 1/UNIT nano-dollars, whatever the cache does."""
    if input_tokens > table.long_above:
        bits |= _LONG
    rates = table.variants[bits]
    return input_tokens * max(rates[0], rates[2], rates[3], rates[4]) + max_tokens * rates[1]


def rounded(cost: int) -> NanoUSD:
    """Whole nano-dollars, half up; the only rounding of a bill without a discount."""
    return NanoUSD((2 * cost + UNIT) // (2 * UNIT))


def discounted(tokens: int, discount: Decimal, rest: int = 0) -> NanoUSD:
    """The same for a bill with the part `discount` (0 to less than 1) taken off what tokens cost, and nothing off the
    rest; both in 1/UNIT nano-dollars. Exact up to its one rounding."""
    off, whole = discount.as_integer_ratio()
    cost = tokens * (whole - off) + rest * whole
    unit = UNIT * whole
    return NanoUSD((2 * cost + unit) // (2 * unit))


def utc_day(at: datetime.datetime) -> int:
    """The UTC day as an ordinal. Raises `ValueError` for a time without a zone."""
    if at.tzinfo is datetime.UTC:
        return at.toordinal()
    if at.tzinfo is None:
        raise ValueError(f"{at!r}: a price needs a time with a time zone; use datetime.now(datetime.UTC)")
    return at.astimezone(datetime.UTC).toordinal()
