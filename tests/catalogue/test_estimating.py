"""A whole request: what it is made of, what it comes to on a model, and what a body full of odd things does."""

import base64
import json
import struct
from typing import Any

import msgspec
import pytest
from class_samples import samples
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue, Model
from trimtab.catalogue.estimating import Estimate, Tokenizers, estimate, measure
from trimtab.catalogue.tokens import weigh
from trimtab.messages import MessagesBody

SAMPLES = samples()


def body(**fields: Any) -> MessagesBody:
    whole = {
        "model": "claude-opus-4-6",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }
    return MessagesBody(json.dumps(whole).encode())


def model(catalogue: Catalogue, name: str) -> Model:
    found = catalogue.find(name)
    assert found is not None
    return found


def png(width: int, height: int) -> dict[str, Any]:
    data = (
        b"\x89PNG\r\n\x1a\n"
        + b"\0\0\0\rIHDR"
        + struct.pack(">II", width, height)
        + b"\x08\x02\0\0\0"
        + b"\0" * 9
    )
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(data).decode()},
    }


AGENT = {
    "system": [
        {"type": "text", "text": SAMPLES["english_docs"].text, "cache_control": {"type": "ephemeral"}}
    ],
    "tools": [{"name": "look", "description": "Look at it.", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": SAMPLES["english_article"].text},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Let me look at it first.", "signature": "c2ln"},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "the file"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": SAMPLES["python_code"].text},
                {"type": "text", "text": SAMPLES["chinese_simplified"].text},
                png(1920, 1080),
            ],
        },
    ],
}


def test_an_agents_request_is_told_apart_by_part_and_class_and_all_of_it_adds_up(
    catalogue: Catalogue,
) -> None:
    for name, image in (("claude-opus-4-6", 1560), ("claude-opus-4-7", 2691)):
        found = estimate(measure(body(**AGENT)), model(catalogue, name))
        assert found.by_part["images"] == found.by_item["images"] == image, "by the vendor's rule"
        assert found.tokens == round(sum(found.by_item.values())) == round(sum(found.by_part.values()))
        assert {"english_docs", "english_article", "python_code", "chinese_simplified"} < set(found.by_item)
        assert {"system", "user", "thinking", "tool_use", "tool_result", "tools"} < set(found.by_part)
        assert found.low < found.tokens < found.high
        assert found.source == "table"


def test_text_and_tools_come_within_15_percent_of_what_was_counted(catalogue: Catalogue) -> None:
    for name, column, tools in (("claude-opus-4-6", 1, 497), ("claude-opus-4-7", 2, 675)):
        found = estimate(measure(body(**AGENT)), model(catalogue, name))
        counted = sum(
            SAMPLES[part][column]
            for part in ("english_docs", "english_article", "python_code", "chinese_simplified")
        )
        text = sum(
            found.by_item[part]
            for part in ("english_docs", "english_article", "python_code", "chinese_simplified")
        )
        assert text == pytest.approx(counted, rel=0.15)
        assert found.by_item["tool_prompt"] == tools, "the vendor's figure"


def test_forced_calls_vendor_tools_and_deferred_ones_count_as_the_vendor_says(catalogue: Catalogue) -> None:
    tool = {"name": "look", "description": "Look at it. " * 50, "input_schema": {"type": "object"}}
    opus = model(catalogue, "claude-opus-4-7")
    plain = estimate(measure(body(tools=[tool])), opus)
    forced = estimate(measure(body(tools=[tool], tool_choice={"type": "any"})), opus)
    assert forced.tokens - plain.tokens == 804 - 675
    deferred = estimate(measure(body(tools=[tool, {**tool, "name": "later", "defer_loading": True}])), opus)
    assert deferred.tokens == plain.tokens
    bash = estimate(measure(body(tools=[tool, {"type": "bash_20250124", "name": "bash"}])), opus)
    assert bash.by_item["tool_prompt"] == 675 + 325


def test_what_stands_before_the_last_cache_mark_is_told(catalogue: Catalogue) -> None:
    opus = model(catalogue, "claude-opus-4-6")
    found = estimate(measure(body(**AGENT)), opus)
    assert found.marked is not None
    assert found.marked == pytest.approx(497 + SAMPLES["english_docs"].v3, rel=0.15)
    assert estimate(measure(body()), opus).marked is None
    whole = estimate(measure(body(**AGENT, cache_control={"type": "ephemeral"})), opus)
    assert whole.marked == pytest.approx(whole.tokens, abs=3)


def test_images_and_documents_of_unknown_size_are_guessed_and_widen_the_interval(
    catalogue: Catalogue,
) -> None:
    url = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    pdf = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x" * 1000},
    }
    opus = model(catalogue, "claude-opus-4-7")
    found = estimate(measure(body(messages=[{"role": "user", "content": [url, pdf]}])), opus)
    assert found.guessed_images == 1
    assert found.high - found.low > found.tokens / 2
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "word " * 100}}
    assert (
        estimate(measure(body(messages=[{"role": "user", "content": [text]}])), opus).by_part["documents"]
        > 90
    )


class Words:
    """A tokenizer for the test: words."""

    name = "words"
    families = ("v3",)

    def count(self, text: str) -> int:
        return len(text.split())


class Broken(Words):
    def count(self, text: str) -> int:
        raise RuntimeError("no vocabulary")


def test_a_plugged_in_tokenizer_counts_its_own_models_and_the_estimate_says_so(catalogue: Catalogue) -> None:
    measured = measure(body(**AGENT), Tokenizers([Words()]))
    old, new = (
        estimate(measured, model(catalogue, name)) for name in ("claude-sonnet-4-6", "claude-opus-4-7")
    )
    assert (old.source, new.source) == ("tokenizer:words", "table")
    assert old.by_item["english_article"] == len(SAMPLES["english_article"].text.split())
    plain = estimate(measure(body(**AGENT)), model(catalogue, "claude-opus-4-7"))
    assert new.tokens == plain.tokens


def test_a_tokenizer_that_fails_leaves_the_estimate_as_it_would_be_without_it(catalogue: Catalogue) -> None:
    measured = measure(body(**AGENT), Tokenizers([Broken()]))
    assert measured.problems == (
        "tokenizer words: RuntimeError: no vocabulary; estimated by content class instead",
    )
    opus = model(catalogue, "claude-opus-4-6")
    assert estimate(measured, opus) == estimate(measure(body(**AGENT)), opus)


def test_many_short_turns_are_weighed_like_one_long_text(catalogue: Catalogue) -> None:
    words = SAMPLES["english_article"].text.split(". ")
    turns = [
        {"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(words)
    ]
    found = estimate(measure(body(messages=turns)), model(catalogue, "claude-opus-4-6"))
    assert found.by_item["english_article"] == pytest.approx(SAMPLES["english_article"].v3, rel=0.15)


def test_a_body_of_millions_of_objects_is_estimated_by_its_bytes(catalogue: Catalogue) -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[' + b",".join([b"{}"] * 700_000) + b"]}"
    found = estimate(measure(MessagesBody(raw)), model(catalogue, "claude-opus-4-6"))
    assert found.tokens > 100_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**18) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "text", "content", "source", "data", "input", "name", "role", "cache_control"])
        | st.text(max_size=3),
        inner | st.sampled_from(["text", "image", "document", "tool_result", "tool_use", "thinking", "base64"]),
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@given(JSON, JSON, st.lists(JSON, max_size=4), JSON)
def test_whatever_a_body_holds_it_has_an_estimate(
    system: Any, tools: Any, messages: list[Any], choice: Any
) -> None:
    raw = msgspec.json.encode(
        {
            "model": "m",
            "max_tokens": 1,
            "system": system,
            "tools": tools,
            "messages": messages,
            "tool_choice": choice,
        }
    )
    measured = measure(MessagesBody(raw))
    for name in ("claude-haiku-4-5", "claude-opus-5-5"):
        found: Estimate = estimate(measured, model(_CATALOGUE, name))
        assert 0 <= found.low <= found.tokens <= found.high
        assert found.marked is None or 0 <= found.marked <= found.tokens + 1


_CATALOGUE = Catalogue.load()


def test_a_text_in_a_request_and_the_same_text_alone_have_the_same_tokens(catalogue: Catalogue) -> None:
    text = SAMPLES["english_docs"].text * 2
    found = estimate(
        measure(body(messages=[{"role": "user", "content": text}])), model(catalogue, "claude-opus-4-7")
    )
    assert found.by_part["user"] == weigh(text.encode()).v47
