"""Bills, worked out by hand. Rates in comments are US dollars per million tokens; 1 of them is 1000 nano per token."""

import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from trimtab.catalogue import Catalogue, NanoUSD
from trimtab.messages import CacheCreation, IterationUsage, Usage

TODAY = "2026-11-20"
OPUS, OPUS_46, SONNET, HAIKU = "claude-opus-4-7", "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"
OPUS_48, OPUS_55, HAIKU_55, OLD_HAIKU = (
    "claude-opus-4-8",
    "claude-opus-5-5",
    "claude-haiku-5-5",
    "claude-3-5-haiku-20241022",
)
SONNET_55, FABLE_52, SONNET_45 = "claude-sonnet-5-5", "claude-fable-5-2", "claude-sonnet-4-5"


def day(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def usage(**fields: object) -> Usage:
    return msgspec.convert(fields, Usage)


def split(five: int | None, hour: int | None) -> dict[str, int | None]:
    return {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}


BILLS = [
    # --- the plain call ---
    # 1000 * 3 + 500 * 15 = 10,500 per million = 10,500,000 nano
    ("plain", SONNET, TODAY, {"input_tokens": 1000, "output_tokens": 500}, 10_500_000),
    # 12 * 5 + 1 * 25 = 85
    ("a few tokens of Opus", OPUS, TODAY, {"input_tokens": 12, "output_tokens": 1}, 85_000),
    ("nothing", SONNET, TODAY, {"input_tokens": 0, "output_tokens": 0}, 0),
    ("nothing said", SONNET, TODAY, {}, 0),
    # null fields count as nothing: 10 * 3
    (
        "null fields",
        SONNET,
        TODAY,
        {
            "input_tokens": 10,
            "output_tokens": None,
            "cache_creation_input_tokens": None,
            "cache_read_input_tokens": None,
            "cache_creation": None,
            "server_tool_use": None,
            "iterations": None,
            "service_tier": None,
            "speed": None,
            "inference_geo": None,
        },
        30_000,
    ),
    # thinking is part of the 800 output tokens: 100 * 5 + 800 * 25 = 20,500
    (
        "thinking is not charged twice",
        OPUS,
        TODAY,
        {"input_tokens": 100, "output_tokens": 800, "output_tokens_details": {"thinking_tokens": 700}},
        20_500_000,
    ),
    # a stream cut after message_start: 2000 * 3 + 1 * 15 + 5000 * 0.30 = 7,515
    (
        "a stream cut after its start",
        SONNET,
        TODAY,
        {"input_tokens": 2000, "output_tokens": 1, "cache_read_input_tokens": 5000},
        7_515_000,
    ),
    # --- caches ---
    # no split means 5 minutes: 100 * 3 + 1000 * 3.75 = 4,050
    (
        "a write without a split",
        SONNET,
        TODAY,
        {"input_tokens": 100, "cache_creation_input_tokens": 1000},
        4_050_000,
    ),
    # 100 * 3 + 600 * 3.75 + 400 * 6 = 300 + 2250 + 2400 = 4,950
    (
        "a write with a split",
        SONNET,
        TODAY,
        {"input_tokens": 100, "cache_creation_input_tokens": 1000, "cache_creation": split(600, 400)},
        4_950_000,
    ),
    # a split alone: 600 * 3.75 + 400 * 6 = 4,650
    ("a split without a total", SONNET, TODAY, {"cache_creation": split(600, 400)}, 4_650_000),
    # 250 tokens that the split leaves out are 1-hour writes: 600 * 3.75 + (150 + 250) * 6 = 2250 + 2400 = 4,650
    (
        "a split below the total",
        SONNET,
        TODAY,
        {"cache_creation_input_tokens": 1000, "cache_creation": split(600, 150)},
        4_650_000,
    ),
    # a split above the total is charged as it is: 600 * 3.75 + 700 * 6 = 2250 + 4200 = 6,450
    (
        "a split above the total",
        SONNET,
        TODAY,
        {"cache_creation_input_tokens": 1000, "cache_creation": split(600, 700)},
        6_450_000,
    ),
    # an empty split says nothing: 1000 * 3.75
    (
        "a split of nulls",
        SONNET,
        TODAY,
        {"cache_creation_input_tokens": 1000, "cache_creation": split(None, None)},
        3_750_000,
    ),
    # a split of zeros beside a total is a contradiction, so the dearer rate: 1000 * 6
    (
        "a split of zeros",
        SONNET,
        TODAY,
        {"cache_creation_input_tokens": 1000, "cache_creation": split(0, 0)},
        6_000_000,
    ),
    # zero cache beside real tokens: 10 * 3 + 10 * 15
    (
        "zero cache",
        SONNET,
        TODAY,
        {
            "input_tokens": 10,
            "output_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": split(0, 0),
        },
        180_000,
    ),
    # everything: 3 * 3 + 70 * 15 + 20 * 3.75 + 10 * 6 + 100,000 * 0.30 = 9 + 1050 + 75 + 60 + 30,000 = 31,194
    (
        "everything at once",
        SONNET,
        TODAY,
        {
            "input_tokens": 3,
            "output_tokens": 70,
            "cache_creation_input_tokens": 30,
            "cache_creation": split(20, 10),
            "cache_read_input_tokens": 100_000,
        },
        31_194_000,
    ),
    # 5.5 Opus reads at 0.05x of 4 = 0.20: 1,000,000 * 0.20
    ("cache reads of Opus 5.5", OPUS_55, TODAY, {"cache_read_input_tokens": 1_000_000}, 200_000_000),
    # 5.5 Sonnet reads at 0.10 (not 0.20)
    ("cache reads of Sonnet 5.5", SONNET_55, TODAY, {"cache_read_input_tokens": 1_000_000}, 100_000_000),
    # Fable 5.2: read 0.025x of 8 = 0.20, 1-hour write 16: 10 * 0.20 + 10 * 16 = 162
    (
        "caches of Fable 5.2",
        FABLE_52,
        TODAY,
        {"cache_read_input_tokens": 10, "cache_creation": split(0, 10)},
        162_000,
    ),
    # --- multipliers ---
    # batch columns 1.5 / 7.5, writes 1.875 / 3, read 0.15:
    # 1000 * 1.5 + 500 * 7.5 + 100 * 1.875 + 100 * 3 + 1000 * 0.15 = 1500 + 3750 + 187.5 + 300 + 150 = 5887.5
    (
        "batch, caches included",
        SONNET,
        TODAY,
        {
            "input_tokens": 1000,
            "output_tokens": 500,
            "cache_creation_input_tokens": 200,
            "cache_creation": split(100, 100),
            "cache_read_input_tokens": 1000,
            "service_tier": "batch",
        },
        5_887_500,
    ),
    # a model without batch columns gets half: 100 * 5 + 100 * 25 = 3,000
    (
        "batch without batch prices",
        "claude-mythos-preview",
        TODAY,
        {"input_tokens": 100, "output_tokens": 100, "service_tier": "batch"},
        3_000_000,
    ),
    # 1000 * 3.3 + 100 * 16.5 + 10 * 0.33 = 3300 + 1650 + 3.3 = 4953.3
    (
        "US-only inference",
        SONNET,
        TODAY,
        {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 10, "inference_geo": "us"},
        4_953_300,
    ),
    # elsewhere the plain price: 1000 * 3
    ("global inference", SONNET, TODAY, {"input_tokens": 1000, "inference_geo": "global"}, 3_000_000),
    # 4.5 has no such option: 1000 * 1
    ("US-only on a model without it", HAIKU, TODAY, {"input_tokens": 1000, "inference_geo": "us"}, 1_000_000),
    # US-only and batch: 100 * 3 * 0.5 * 1.1 = 165
    (
        "US-only batch",
        SONNET,
        TODAY,
        {"input_tokens": 100, "inference_geo": "us", "service_tier": "batch"},
        165_000,
    ),
    # 1000 * 8 + 100 * 40 + 50 * (5 * 2) + 10 * (0.2 * 2) = 8000 + 4000 + 500 + 4 = 12,504
    (
        "fast mode, caches included",
        OPUS_55,
        TODAY,
        {
            "input_tokens": 1000,
            "output_tokens": 100,
            "cache_creation_input_tokens": 50,
            "cache_read_input_tokens": 10,
            "speed": "fast",
        },
        12_504_000,
    ),
    # fast and US-only: 100 * 8 * 1.1 = 880
    (
        "fast and US-only",
        OPUS_55,
        TODAY,
        {"input_tokens": 100, "speed": "fast", "inference_geo": "us"},
        880_000,
    ),
    # 4.8 sells fast mode through 30 November: 100 * 10 + 100 * 50 = 6,000
    (
        "fast mode on its last day",
        OPUS_48,
        "2026-11-30T23:59:59",
        {"input_tokens": 100, "output_tokens": 100, "speed": "fast"},
        6_000_000,
    ),
    # then the standard 5 / 25: 100 * 5 + 100 * 25 = 3,000
    (
        "fast mode after its last day",
        OPUS_48,
        "2026-12-01T00:00:00",
        {"input_tokens": 100, "output_tokens": 100, "speed": "fast"},
        3_000_000,
    ),
    # 4.6 takes the word and runs at the standard speed and price: 100 * 5
    ("fast mode that is silently standard", OPUS_46, TODAY, {"input_tokens": 100, "speed": "fast"}, 500_000),
    # --- long prompts ---
    # 100,000 tokens of prompt are still short: 60,000 * 0.1 + 40,000 * 0.01 + 10 * 0.5 = 6000 + 400 + 5 = 6,405
    (
        "Haiku 5.5 at 100,000",
        HAIKU_55,
        TODAY,
        {"input_tokens": 60_000, "cache_read_input_tokens": 40_000, "output_tokens": 10},
        6_405_000,
    ),
    # one more, and every rate is five times, for the whole request:
    # 60,001 * 0.5 + 40,000 * 0.05 + 10 * 2.5 = 30,000.5 + 2000 + 25 = 32,025.5
    (
        "Haiku 5.5 at 100,001",
        HAIKU_55,
        TODAY,
        {"input_tokens": 60_001, "cache_read_input_tokens": 40_000, "output_tokens": 10},
        32_025_500,
    ),
    # cache writes count as prompt, too: 1 * 0.5 + 100,000 * 0.625 = 62,500.5
    (
        "Haiku 5.5, long by cache writes",
        HAIKU_55,
        TODAY,
        {"input_tokens": 1, "cache_creation_input_tokens": 100_000},
        62_500_500,
    ),
    # output does not: 100 * 0.1 + 128,000 * 0.5 = 64,010
    (
        "Haiku 5.5 with a long answer",
        HAIKU_55,
        TODAY,
        {"input_tokens": 100, "output_tokens": 128_000},
        64_010_000,
    ),
    # long, batch: 200,000 * 0.05 * 5 = 50,000
    (
        "Haiku 5.5, long, in a batch",
        HAIKU_55,
        TODAY,
        {"input_tokens": 200_000, "service_tier": "batch"},
        50_000_000,
    ),
    # until 12 March 2026: 200,001 * 6 + 100 * 22.5 = 1,200,006 + 2250 = 1,202,256
    (
        "Sonnet 4.6 over 200,000 on the last dear day",
        SONNET,
        "2026-03-12T23:59:59",
        {"input_tokens": 200_001, "output_tokens": 100},
        1_202_256_000,
    ),
    # 200,000 * 3 + 100 * 15 = 601,500
    (
        "Sonnet 4.6 at 200,000 on the last dear day",
        SONNET,
        "2026-03-12T23:59:59",
        {"input_tokens": 200_000, "output_tokens": 100},
        601_500_000,
    ),
    # from 13 March: 200,001 * 3 + 100 * 15 = 600,003 + 1500 = 601,503
    (
        "Sonnet 4.6 over 200,000 afterwards",
        SONNET,
        "2026-03-13T00:00:00",
        {"input_tokens": 200_001, "output_tokens": 100},
        601_503_000,
    ),
    # Opus 4.6, long, before: 1000 * 10 + 200,000 * 1 (read 0.5 * 2) + 10 * 37.5 = 10,000 + 200,000 + 375
    (
        "Opus 4.6, long by cache reads",
        OPUS_46,
        "2026-03-01",
        {"input_tokens": 1000, "cache_read_input_tokens": 200_000, "output_tokens": 10},
        210_375_000,
    ),
    # Sonnet 4.5 while its 1M beta lasted: 300,000 * 6 = 1,800,000
    ("Sonnet 4.5, long, in its beta", SONNET_45, "2026-04-29", {"input_tokens": 300_000}, 1_800_000_000),
    # --- dates ---
    # 3.5 Haiku at launch 1 / 5: 1000 + 5000
    (
        "3.5 Haiku at launch",
        OLD_HAIKU,
        "2024-11-04",
        {"input_tokens": 1000, "output_tokens": 1000},
        6_000_000,
    ),
    # later 0.80 / 4, read 0.08: 800 + 4000 + 80
    (
        "3.5 Haiku after the cut",
        OLD_HAIKU,
        "2025-01-01",
        {"input_tokens": 1000, "output_tokens": 1000, "cache_read_input_tokens": 1000},
        4_880_000,
    ),
    # a clock that is behind gets the first price: 1000 * 5
    ("before the first row", OPUS, "2020-01-01", {"input_tokens": 1000}, 5_000_000),
    # --- server tools ---
    # 3 searches at 10 / 1000 = 0.03 dollars, fetches free: 30,000,000 + 100 * 3000
    (
        "web search and fetch",
        SONNET,
        TODAY,
        {"input_tokens": 100, "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 5}},
        30_300_000,
    ),
    # not halved in a batch: 10,000,000 + 100 * 1.5
    (
        "web search in a batch",
        SONNET,
        TODAY,
        {"input_tokens": 100, "service_tier": "batch", "server_tool_use": {"web_search_requests": 1}},
        10_150_000,
    ),
    ("web search of nothing", SONNET, TODAY, {"server_tool_use": {"web_search_requests": None}}, 0),
    # --- iterations ---
    # compaction 180,000 * 5 + 3500 * 25, then 23,000 * 5 + 1000 * 25:
    # 900,000 + 87,500 + 115,000 + 25,000 = 1,127,500; the top level (23,000 / 1000) is left out
    (
        "compaction",
        OPUS,
        TODAY,
        {
            "input_tokens": 23_000,
            "output_tokens": 1000,
            "iterations": [
                {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
                {"type": "message", "input_tokens": 23_000, "output_tokens": 1000},
            ],
        },
        1_127_500_000,
    ),
    # Sonnet 4.6 asks Opus 4.7: 100 * 3 + 50 * 15 + (200 * 5 + 80 * 25) + 300 * 3 + 60 * 15
    # = 300 + 750 + 3000 + 900 + 900 = 5,850, and one web search
    (
        "an advisor",
        SONNET,
        TODAY,
        {
            "input_tokens": 400,
            "output_tokens": 110,
            "server_tool_use": {"web_search_requests": 1},
            "iterations": [
                {"type": "message", "input_tokens": 100, "output_tokens": 50},
                {"type": "advisor_message", "model": OPUS, "input_tokens": 200, "output_tokens": 80},
                {"type": "message", "input_tokens": 300, "output_tokens": 60},
            ],
        },
        15_850_000,
    ),
    # Opus 5.5 refuses, Haiku 4.5 (by its dated id) answers: 100 * 4 + 10 * 20 + 100 * 1 + 40 * 5 = 600 + 300
    (
        "a fallback",
        OPUS_55,
        TODAY,
        {
            "input_tokens": 100,
            "output_tokens": 40,
            "iterations": [
                {"type": "message", "input_tokens": 100, "output_tokens": 10},
                {
                    "type": "fallback_message",
                    "model": "claude-haiku-4-5-20251001",
                    "input_tokens": 100,
                    "output_tokens": 40,
                },
            ],
        },
        900_000,
    ),
    # an id with a date that only some price files know is the same model: 100 * 5
    (
        "an iteration named with a date",
        SONNET,
        TODAY,
        {"iterations": [{"model": "claude-opus-4-7-20260416", "input_tokens": 100}]},
        500_000,
    ),
    # a model that nobody knows is charged as the costliest: 100 * 10 (Fable 5.1 and its like)
    (
        "an iteration of an unknown model",
        SONNET,
        TODAY,
        {"iterations": [{"model": "claude-opus-9", "input_tokens": 100}]},
        1_000_000,
    ),
    # each iteration is long or short by itself: 60,000 * 0.1 + 60,000 * 0.1 = 12,000
    (
        "two short iterations of Haiku 5.5",
        HAIKU_55,
        TODAY,
        {"input_tokens": 120_000, "iterations": [{"input_tokens": 60_000}, {"input_tokens": 60_000}]},
        12_000_000,
    ),
    # iterations take part in batch, and have cache splits: (100 * 3.75 + 100 * 6) / 2 = 487.5
    (
        "iterations in a batch",
        SONNET,
        TODAY,
        {
            "service_tier": "batch",
            "iterations": [{"cache_creation_input_tokens": 200, "cache_creation": split(100, 100)}],
        },
        487_500,
    ),
    # zeros, negatives and less than the top level hide nothing of it: 1000 * 3 + 500 * 15 = 10,500
    *(
        (
            f"{name} beside a top level",
            SONNET,
            TODAY,
            {"input_tokens": 1000, "output_tokens": 500, "iterations": [iteration]},
            10_500_000,
        )
        for name, iteration in {
            "zeros": {"input_tokens": 0},
            "fewer tokens": {"input_tokens": 1000, "output_tokens": 499},
        }.items()
    ),
    # fewer tokens that cost more are charged all the same: 400 * 5 + 400 * 25 = 12,000
    (
        "fewer tokens of a dearer model",
        SONNET,
        TODAY,
        {
            "input_tokens": 1000,
            "output_tokens": 500,
            "iterations": [{"model": OPUS, "input_tokens": 400, "output_tokens": 400}],
        },
        12_000_000,
    ),
    # an empty list, or iterations that say nothing, leave the top level to be the bill: 100 * 3
    ("no iterations", SONNET, TODAY, {"input_tokens": 100, "iterations": []}, 300_000),
    ("empty iterations", SONNET, TODAY, {"input_tokens": 100, "iterations": [{"type": "message"}]}, 300_000),
]


def test_counts_below_zero_are_no_usage_and_never_lower_a_bill(catalogue: Catalogue) -> None:
    with pytest.raises(msgspec.ValidationError):
        usage(input_tokens=-5, output_tokens=100)
    row = catalogue.find(SONNET)
    assert row is not None
    # Built in code, past the decoder: read as zero, 100 * 15
    assert catalogue.price(row, Usage(input_tokens=-5, output_tokens=100), day(TODAY)) == 1_500_000


@pytest.mark.parametrize(("name", "model", "at", "fields", "nano"), BILLS, ids=[bill[0] for bill in BILLS])
def test_a_usage_costs_exactly_its_bill(
    catalogue: Catalogue, name: str, model: str, at: str, fields: dict[str, object], nano: int
) -> None:
    row = catalogue.find(model)
    assert row is not None
    cost = catalogue.price(row, usage(**fields), day(at))
    assert cost == nano
    assert type(cost) is int


def test_batch_can_be_said_by_the_caller(catalogue: Catalogue) -> None:
    model = catalogue.find(SONNET)
    assert model is not None
    assert catalogue.price(model, usage(input_tokens=1000), day(TODAY), batch=True) == 1_500_000


def test_a_fraction_of_a_nano_dollar_is_rounded_once_and_half_up(catalogue: Catalogue) -> None:
    model = catalogue.find(HAIKU_55)
    assert model is not None
    # A batch read on Haiku 5.5 costs 5 nano-dollars, US-only 5.5: one token 5.5 -> 6, three 16.5 -> 17, not 18.
    for tokens, nano in ((1, 6), (2, 11), (3, 17), (4, 22)):
        bill = usage(cache_read_input_tokens=tokens, service_tier="batch", inference_geo="us")
        assert catalogue.price(model, bill, day(TODAY)) == nano
    # Several parts are summed before they are rounded: read 5.5 + input 55 + output 275 = 335.5 -> 336.
    bill = usage(
        cache_read_input_tokens=1, input_tokens=1, output_tokens=1, service_tier="batch", inference_geo="us"
    )
    assert catalogue.price(model, bill, day(TODAY)) == 336


def test_the_day_is_counted_in_utc(catalogue: Catalogue) -> None:
    model = catalogue.find(SONNET)
    assert model is not None
    east = datetime.timezone(datetime.timedelta(hours=9))
    still_dear = datetime.datetime(2026, 3, 13, 8, 59, tzinfo=east)
    cheap = datetime.datetime(2026, 3, 13, 9, 0, tzinfo=east)
    bill = usage(input_tokens=300_000)
    assert catalogue.price(model, bill, still_dear) == 1_800_000_000
    assert catalogue.price(model, bill, cheap) == 900_000_000


def test_a_time_without_a_zone_is_refused_rather_than_guessed(catalogue: Catalogue) -> None:
    model = catalogue.find(SONNET)
    assert model is not None
    with pytest.raises(ValueError, match="time zone"):
        catalogue.price(model, usage(input_tokens=1), datetime.datetime(2026, 11, 20))


@pytest.mark.parametrize(
    ("model", "at", "into", "out", "nano"),
    [
        # 1-hour writes are the costliest input: 1000 * 6 + 500 * 15 = 13,500
        (SONNET, TODAY, 1000, 500, 13_500_000),
        # long: 100,001 * 0.2 * 5 + 10 * 0.5 * 5 = 100,001 + 25
        (HAIKU_55, TODAY, 100_001, 10, 100_026_000),
        (HAIKU_55, TODAY, 100_000, 10, 20_005_000),
        # 300,000 * 6 * 2 + 100 * 15 * 1.5
        (SONNET, "2026-03-12", 300_000, 100, 3_602_250_000),
        (OPUS, TODAY, 0, 0, 0),
        (OPUS, TODAY, -5, -5, 0),
    ],
)
def test_the_worst_case_reserves_the_costliest_reading(
    catalogue: Catalogue, model: str, at: str, into: int, out: int, nano: int
) -> None:
    row = catalogue.find(model)
    assert row is not None
    assert catalogue.worst_case(row, into, out, day(at)) == nano


def test_the_worst_case_knows_fast_mode_and_us_only_inference(catalogue: Catalogue) -> None:
    model = catalogue.find(OPUS_55)
    assert model is not None
    # 100 * 16 + 10 * 40 = 2,000; times 1.1
    assert catalogue.worst_case(model, 100, 10, day(TODAY), fast=True) == 2_000_000
    assert catalogue.worst_case(model, 100, 10, day(TODAY), fast=True, us=True) == 2_200_000


@pytest.mark.parametrize("platform", ["bedrock", "bedrock_mantle", "bedrock_converse", "vertex"])
def test_a_regional_endpoint_of_bedrock_and_vertex_costs_a_tenth_more(
    catalogue: Catalogue, platform: str
) -> None:
    model = catalogue.find(SONNET)
    assert model is not None
    bill = usage(input_tokens=1000, output_tokens=500, cache_read_input_tokens=10)
    at = day(TODAY)
    # 1000 * 3 + 500 * 15 + 10 * 0.3 = 10,503
    assert catalogue.price(model, bill, at, platform=platform) == 10_503_000
    assert catalogue.price(model, bill, at, platform=platform, regional=True) == 11_553_300
    # 1000 * 6 + 500 * 15 = 13,500
    assert catalogue.worst_case(model, 1000, 500, at, platform=platform, regional=True) == 14_850_000


def test_a_discount_is_off_the_regional_price_and_a_negotiated_one_too(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    bill = usage(input_tokens=1000, output_tokens=500)
    eighth = Decimal("0.125")
    at = day(TODAY)
    model = catalogue.find(SONNET)
    assert model is not None
    # 1000 * 3 + 500 * 15 = 10,500; times 1.1, less an eighth
    assert catalogue.price(model, bill, at, platform="bedrock", regional=True, discount=eighth) == 10_106_250
    # 1000 * 6 + 500 * 15 = 13,500 in the dearest reading
    assert catalogue.worst_case(model, 1000, 500, at, platform="bedrock", discount=eighth) == 11_812_500
    file = tmp_path / "overlay.yaml"
    file.write_text(
        f"prices:\n- model: {SONNET}\n  platform: bedrock\n  rows:\n"
        "  - {effective_from: 2026-01-01, input: 2, output: 10, cache_write_5m: 2.5, cache_write_1h: 4, cache_read: 0.2}\n"
    )
    negotiated = Catalogue.load(file)
    # 1000 * 2 + 500 * 10 = 7,000; times 1.1, less an eighth
    assert negotiated.price(model, bill, at, platform="bedrock", regional=True, discount=eighth) == 6_737_500


def test_one_cheap_token_is_rounded_half_up_with_a_discount_as_without(catalogue: Catalogue) -> None:
    model = catalogue.find(SONNET)
    assert model is not None
    bill = usage(cache_read_input_tokens=1)  # 300 nano-dollars
    for percent, nano in (("0", 300), ("0.1", 300), ("0.1667", 299), ("0.5", 299), ("99.9", 0), ("99.8", 1)):
        discount = Decimal(percent) / 100
        assert catalogue.price(model, bill, day(TODAY), discount=discount) == nano, percent


def test_elsewhere_a_region_costs_nothing_more(catalogue: Catalogue) -> None:
    model = catalogue.find(SONNET)
    assert model is not None
    bill = usage(input_tokens=1000)
    for platform in ("anthropic", "anthropic_on_aws", "foundry", "simulator", "elsewhere"):
        assert catalogue.price(model, bill, day(TODAY), platform=platform, regional=True) == 3_000_000


def test_an_unknown_platform_pays_the_list_price(catalogue: Catalogue) -> None:
    model = catalogue.find(SONNET)
    assert model is not None
    bill = usage(input_tokens=1000)
    for platform in (
        "anthropic",
        "anthropic_on_aws",
        "bedrock",
        "vertex",
        "foundry",
        "simulator",
        "elsewhere",
    ):
        assert catalogue.price(model, bill, day(TODAY), platform=platform) == NanoUSD(3_000_000)


def test_iterations_below_zero_hide_nothing_of_the_top_level(catalogue: Catalogue) -> None:
    row = catalogue.find(SONNET)
    assert row is not None
    minus = IterationUsage(input_tokens=-5, cache_creation=CacheCreation(-1, 0))
    assert catalogue.price(row, Usage(input_tokens=1000, iterations=[minus]), day(TODAY)) == 3_000_000
