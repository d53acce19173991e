import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue, Model
from trimtab.messages import CacheCreation, IterationUsage, ServerToolUse, Usage

CATALOGUE = Catalogue.load()
AT = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)

MODELS = st.sampled_from(CATALOGUE.models)
COUNT = st.integers(min_value=0, max_value=2_000_000)
SMALL = st.integers(min_value=0, max_value=20_000)
MAYBE = st.none() | st.integers(min_value=-10, max_value=2_000_000)
MOMENTS = st.datetimes(
    min_value=datetime.datetime(2024, 1, 1),
    max_value=datetime.datetime(2028, 1, 1),
    timezones=st.just(datetime.UTC),
)
SPLITS = st.none() | st.builds(CacheCreation, MAYBE, MAYBE)
USAGES = st.builds(
    Usage,
    input_tokens=MAYBE,
    output_tokens=MAYBE,
    cache_creation_input_tokens=MAYBE,
    cache_read_input_tokens=MAYBE,
    cache_creation=SPLITS,
    server_tool_use=st.none() | st.builds(ServerToolUse, MAYBE, MAYBE),
    iterations=st.none()
    | st.lists(
        st.builds(
            IterationUsage,
            model=st.none() | st.sampled_from([model.id for model in CATALOGUE.models]) | st.just("unknown"),
            input_tokens=MAYBE,
            output_tokens=MAYBE,
            cache_creation_input_tokens=MAYBE,
            cache_read_input_tokens=MAYBE,
            cache_creation=SPLITS,
        ),
        max_size=3,
    ),
    service_tier=st.sampled_from([None, "standard", "batch", "priority"]),
    speed=st.sampled_from([None, "standard", "fast"]),
    inference_geo=st.sampled_from([None, "us", "global", "not_available"]),
)
DISCOUNTS = st.integers(0, 999_999).map(lambda millionths: Decimal(millionths).scaleb(-6))
"""As `discount_percent` gives them: up to four decimals of a percentage."""
COUNTED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@given(MODELS, USAGES, MOMENTS)
def test_a_bill_is_a_whole_number_and_never_negative(
    model: Model, usage: Usage, at: datetime.datetime
) -> None:
    cost = CATALOGUE.price(model, usage, at)
    assert type(cost) is int
    assert cost >= 0


@given(MODELS, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, MOMENTS)
def test_two_short_calls_cost_what_one_with_their_sum_costs(
    model: Model,
    in_a: int,
    out_a: int,
    read_a: int,
    in_b: int,
    out_b: int,
    read_b: int,
    at: datetime.datetime,
) -> None:
    def bill(into: int, out: int, read: int) -> int:
        usage = Usage(input_tokens=into, output_tokens=out, cache_read_input_tokens=read)
        return CATALOGUE.price(model, usage, at)

    whole = bill(in_a + in_b, out_a + out_b, read_a + read_b)
    assert abs(whole - bill(in_a, out_a, read_a) - bill(in_b, out_b, read_b)) <= 1


@given(MODELS, USAGES, st.sampled_from(COUNTED), st.integers(min_value=1, max_value=300_000), MOMENTS)
def test_more_tokens_never_cost_less(
    model: Model, usage: Usage, field: str, more: int, at: datetime.datetime
) -> None:
    before = max(getattr(usage, field) or 0, 0)
    larger = msgspec.structs.replace(usage, **{field: before + more})
    assert CATALOGUE.price(model, larger, at) >= CATALOGUE.price(model, usage, at)


@given(MODELS, COUNT, COUNT, COUNT, COUNT, COUNT, MOMENTS, st.booleans(), st.booleans(), st.booleans())
def test_what_was_reserved_covers_whatever_the_cache_did(
    model: Model,
    fresh: int,
    read: int,
    five: int,
    hour: int,
    out: int,
    at: datetime.datetime,
    fast: bool,
    us: bool,
    batch: bool,
) -> None:
    usage = Usage(
        input_tokens=fresh,
        output_tokens=out,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=five + hour,
        cache_creation=CacheCreation(five, hour),
        speed="fast" if fast else None,
        inference_geo="us" if us else None,
    )
    reserved = CATALOGUE.worst_case(model, fresh + read + five + hour, out, at, fast=fast, us=us)
    assert CATALOGUE.price(model, usage, at, batch=batch) <= reserved


@given(MODELS, USAGES, MOMENTS)
def test_a_batch_never_costs_more(model: Model, usage: Usage, at: datetime.datetime) -> None:
    assert CATALOGUE.price(model, usage, at, batch=True) <= CATALOGUE.price(model, usage, at)


@given(USAGES, MOMENTS, st.sampled_from(["anthropic", "bedrock", "elsewhere"]), st.booleans())
def test_an_unknown_model_costs_what_the_costliest_known_one_costs(
    usage: Usage, at: datetime.datetime, platform: str, batch: bool
) -> None:
    iteration = IterationUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_creation=usage.cache_creation,
    )

    def cost(name: str) -> int:
        named = msgspec.structs.replace(iteration, model=name)
        alone = Usage(iterations=[named], speed=usage.speed, inference_geo=usage.inference_geo)
        return CATALOGUE.price(CATALOGUE.models[0], alone, at, platform=platform, batch=batch)

    assert cost("unknown") == max(cost(model.id) for model in CATALOGUE.models)


def test_few_prices_can_be_the_costliest() -> None:
    """A thousand iterations of unknown models take a millisecond or two because few prices are tried for each."""
    at = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    for platform in ("anthropic", "bedrock"):
        kept = CATALOGUE._dearest(platform, at.toordinal(), False, False, False, False)
        assert 1 <= len(kept) <= 4
        assert CATALOGUE._dearest(platform, at.toordinal(), False, False, False, False) is kept


@given(MODELS, USAGES, MOMENTS, st.sampled_from(["bedrock", "vertex"]))
def test_a_regional_endpoint_costs_a_tenth_more_to_the_nano_dollar(
    model: Model, usage: Usage, at: datetime.datetime, platform: str
) -> None:
    plain = msgspec.structs.replace(usage, server_tool_use=None)
    globally = CATALOGUE.price(model, plain, at, platform=platform)
    regionally = CATALOGUE.price(model, plain, at, platform=platform, regional=True)
    # Each is rounded once, by half a nano-dollar at most.
    assert abs(10 * regionally - 11 * globally) <= 11


@given(MODELS, COUNT, COUNT, COUNT, COUNT, MOMENTS, st.booleans(), st.sampled_from(["bedrock", "vertex"]))
def test_a_regional_call_never_costs_more_than_was_reserved_for_it(
    model: Model,
    fresh: int,
    read: int,
    written: int,
    out: int,
    at: datetime.datetime,
    fast: bool,
    platform: str,
) -> None:
    usage = Usage(
        input_tokens=fresh,
        output_tokens=out,
        cache_read_input_tokens=read,
        cache_creation=CacheCreation(0, written),
        speed="fast" if fast else None,
    )
    reserved = CATALOGUE.worst_case(
        model, fresh + read + written, out, at, platform=platform, fast=fast, regional=True
    )
    assert CATALOGUE.price(model, usage, at, platform=platform, regional=True) <= reserved


@given(MODELS, USAGES, MOMENTS, DISCOUNTS, st.booleans())
def test_a_discount_is_taken_off_tokens_and_rounded_once(
    model: Model, usage: Usage, at: datetime.datetime, discount: Decimal, regional: bool
) -> None:
    more = {"platform": "bedrock", "regional": regional}
    plain = msgspec.structs.replace(usage, server_tool_use=None)
    listed = CATALOGUE.price(model, plain, at, **more)
    paid = CATALOGUE.price(model, plain, at, **more, discount=discount)
    assert type(paid) is int
    assert 0 <= paid <= listed
    # Each bill is rounded once, by half a nano-dollar at most: the list price's half counts for its undiscounted part.
    assert abs(paid - listed * (1 - Fraction(discount))) <= Fraction(1, 2) * (2 - Fraction(discount))
    if not discount:
        assert paid == listed


@given(MODELS, MOMENTS, st.integers(0, 50), DISCOUNTS)
def test_server_tools_have_no_discount(
    model: Model, at: datetime.datetime, searches: int, discount: Decimal
) -> None:
    usage = Usage(server_tool_use=ServerToolUse(searches, None))
    assert CATALOGUE.price(model, usage, at, discount=discount) == CATALOGUE.price(model, usage, at)


@given(
    MODELS,
    COUNT,
    COUNT,
    COUNT,
    COUNT,
    COUNT,
    MOMENTS,
    st.booleans(),
    st.booleans(),
    DISCOUNTS,
    st.sampled_from(["anthropic", "bedrock", "vertex", "foundry"]),
)
def test_a_discounted_call_never_costs_more_than_was_reserved_for_it(
    model: Model,
    fresh: int,
    read: int,
    five: int,
    hour: int,
    out: int,
    at: datetime.datetime,
    fast: bool,
    regional: bool,
    discount: Decimal,
    platform: str,
) -> None:
    usage = Usage(
        input_tokens=fresh,
        output_tokens=out,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=five + hour,
        cache_creation=CacheCreation(five, hour),
        speed="fast" if fast else None,
    )
    more = {"platform": platform, "regional": regional, "discount": discount}
    reserved = CATALOGUE.worst_case(model, fresh + read + five + hour, out, at, fast=fast, **more)
    assert CATALOGUE.price(model, usage, at, **more) <= reserved
    assert CATALOGUE.price(model, usage, at, batch=True, **more) <= reserved


def test_every_regional_rate_is_exact() -> None:
    for model in CATALOGUE.models:
        row = CATALOGUE.price_row(model, AT.date(), platform="bedrock")
        for rate in (row.input, row.output, row.cache_write_5m, row.cache_write_1h, row.cache_read):
            assert (rate * 11 * 10**11) % 1 == 0
