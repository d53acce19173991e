"""Sums over requests: ratios and costs against figures worked out by hand, and intervals that mean something."""

import datetime
import json
import random
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from class_samples import samples
from normaliser_drive import CATALOGUE, NORMALISER, model_of

from trimtab.catalogue.estimating import NO_TOKENIZERS
from trimtab.messages import MessagesBody, Usage
from trimtab.migration import Judge, Judged, Report, Request, Tokens, Traffic, drawn, made_report

O46, O47, S46, S55 = "claude-opus-4-6", "claude-opus-4-7", "claude-sonnet-4-6", "claude-sonnet-5-5"
SAMPLES = samples()
DAY = datetime.date(2026, 11, 20)


def request(text: str, usage: Usage | None = None, **fields: Any) -> Request:
    body = {"model": O46, "max_tokens": 20000, "messages": [{"role": "user", "content": text}], **fields}
    headers = [(b"anthropic-version", b"2023-06-01")]
    return Request(name="r", body=MessagesBody(json.dumps(body).encode()), headers=headers, usage=usage)


def report(requests: list[Request], before: str = O46, after: str = O47, **more: Any) -> Report:
    models = model_of(before), model_of(after)
    judge = Judge(*models, NORMALISER, tokenizers=NO_TOKENIZERS)
    judged: list[Judged] = [judge.judge(one) for one in requests]
    return made_report(judged, [], catalogue=CATALOGUE, before=models[0], after=models[1], day=DAY, **more)


def test_the_ratio_by_content_is_that_of_the_counted_texts_and_its_interval_holds_it() -> None:
    names = ("english_docs", "english_article", "python_code", "json_pretty", "chinese_simplified")
    found = report([request(SAMPLES[name].text) for name in names for _ in range(4)])
    by_name = {share.name: share for share in found.shares}
    for name in names:
        share, counted = by_name[name], SAMPLES[name].v47 / SAMPLES[name].v3
        assert share.after / share.before == pytest.approx(counted, rel=0.1)
        assert share.ratio.low < share.after / share.before < share.ratio.high
        assert share.ratio.low < counted < share.ratio.high
    assert found.input_ratio.low < found.input_after / found.input_before < found.input_ratio.high


def test_more_requests_of_mixed_content_make_the_interval_of_the_whole_narrower() -> None:
    chance = random.Random(5)
    mixed = [request(SAMPLES[chance.choice(list(SAMPLES))].text) for _ in range(300)]
    few, many = report(mixed[:6]), report(mixed)
    width = [one.input_ratio.high - one.input_ratio.low for one in (few, many)]
    assert width[1] < width[0]
    assert width[1] > 0.01, "what the table does not know does not go away"


def test_costs_are_tokens_times_the_list_price() -> None:
    usage = Usage(
        input_tokens=1000, cache_creation_input_tokens=2000, cache_read_input_tokens=10_000, output_tokens=500
    )
    found = report([request("a b c " * 400, usage)], S46, S55)
    assert found.input_cost is not None
    assert found.input_cost.before_usd == pytest.approx(found.input_before * 3e-6)
    assert found.input_cost.after_usd == pytest.approx(found.input_after * 2e-6)
    assert found.request_cost is not None
    assert found.request_cost.before_usd == pytest.approx(
        1000 * 3e-6 + 2000 * 3.75e-6 + 10_000 * 0.3e-6 + 500 * 15e-6
    )
    cost = found.request_cost
    assert cost.after.low < cost.after_usd < cost.after.high
    assert found.month_cost is None, "files say nothing of the traffic"


def test_a_month_is_worked_out_from_the_traffic_and_the_cold_cache_from_live_conversations() -> None:
    traffic = Traffic(
        days=3.044,
        requests=1000,
        tokens=Tokens(input=1_000_000, output=100_000),
        live_conversations=10,
        live_prefix_tokens=200_000,
    )
    found = report([], traffic=traffic)
    assert found.verdict == "not known"
    assert found.month_requests == 10_000
    assert found.month_cost is not None
    assert found.month_cost.before_usd == pytest.approx(10 * (1 * 5 + 0.1 * 25))
    assert found.month_cost.after.high - found.month_cost.after.low > 0.3 * found.month_cost.before_usd, (
        "wide"
    )
    assert found.cold_cache is not None
    assert found.cold_cache.before_usd == pytest.approx(200_000 * 0.5e-6)
    assert found.cold_cache.after.low == pytest.approx(200_000 * 6.25e-6 * found.input_ratio.low)


def test_a_move_between_models_of_one_tokenizer_has_no_ratio_to_tell_but_that_of_tools_and_frames() -> None:
    found = report([request(SAMPLES["english_article"].text)], O47, "claude-opus-4-8")
    article = next(share for share in found.shares if share.name == "english_article")
    assert (article.ratio.low, article.ratio.high) == (1.0, 1.0)
    assert report([], O47, "claude-opus-4-8").input_ratio.low == 1.0


def test_the_verdict_follows_the_worst_finding() -> None:
    assert report([request("hi", temperature=0.3)]).verdict == "breaks"
    assert report([request("hi")]).verdict == "changes silently"


def test_what_the_two_models_say_of_themselves_is_told() -> None:
    facts = " ".join(report([request("hi")], "claude-sonnet-4-5", S55).facts)
    assert "$3/$15 -> $2/$10" in facts
    assert "claude-sonnet-4-5-20250929 on 2026-11-30, in 10 days" in facts
    assert "sonnet-4 -> claude-sonnet-5-5" in facts


def test_the_picture_is_an_svg_with_two_bars_for_each_class_and_texts_are_escaped() -> None:
    found = report([request(SAMPLES["english_docs"].text), request(SAMPLES["json_pretty"].text)])
    root = ET.fromstring(drawn(found))
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if one.get("height") == "14"]
    assert len(bars) == 2 * (1 + len(found.shares))
    assert all(float(bar.get("x", "0")) + float(bar.get("width", "0")) <= 980 for bar in bars)
