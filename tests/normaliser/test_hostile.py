"""Bodies that no program sends on purpose: they pass as they are, or get a 400; never an internal error."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from normaliser_drive import CATALOGUE, NEW, OLD, body_of, headers_of, model_of, normalised
from searches import examples

from trimtab.catalogue.effort import EffortSettings
from trimtab.errors import RequestError
from trimtab.messages import MessagesBody
from trimtab.messages.tolerant import FREELY_DECODED
from trimtab.normaliser import Asked, EffortPolicy, Normaliser, NormaliserSettings, shipped_rules
from trimtab.normaliser.draft import Draft

SAYING = Normaliser(
    NormaliserSettings(),
    shipped_rules(),
    None,
    EffortPolicy(EffortSettings(without="budget"), CATALOGUE.efforts),
)
WORDS = st.sampled_from(
    ["type", "role", "content", "user", "assistant", "system", "thinking", "enabled", "adaptive", "disabled", "tool_use",
     "tool_result", "id", "name", "display", "budget_tokens", "effort", "max", "task_budget", "total", "format", "citations",
     "text", "image", "source", "data", "computer_20250124", "text_editor_20250124", "any", "tool", "signature", "defer_loading",
     "between_tools", "enabled", "url", "file", "base64", "web_search_20250305", "document", "us", "fast", "remaining", "{name}", "\ud800", "\x00"]
)  # fmt: skip
ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 30000), st.floats(allow_nan=False, allow_infinity=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=20,
)  # fmt: skip
TURN = st.one_of(
    ODD, st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": ODD})
)
BLOCKS = st.lists(
    st.dictionaries(WORDS, ODD, max_size=4).map(lambda block: {"type": "tool_use", **block}), max_size=3
)
FIELDS = ("thinking", "output_config", "tools", "tool_choice", "temperature", "top_p", "top_k", "speed", "inference_geo", "system", "compaction", "output_format", "anthropic_beta", "mcp_servers", "container", "cache_control", "fallbacks")  # fmt: skip


@settings(max_examples=examples(150, of=600), deadline=None)
@given(
    st.fixed_dictionaries(
        {"messages": st.lists(st.one_of(TURN, st.fixed_dictionaries({"role": st.just("assistant"), "content": BLOCKS})), max_size=4)},
        optional={name: st.one_of(ODD, st.dictionaries(WORDS, ODD), st.lists(st.dictionaries(WORDS, ODD), max_size=3)) for name in FIELDS},
    ),
    st.sampled_from([model.id for model in CATALOGUE.models]),
    st.sampled_from([OLD, NEW]),
    st.integers(0, 5),
    st.sampled_from(["", "bedrock", "vertex", "foundry"]),
)  # fmt: skip
def test_whatever_stands_in_the_fields_no_mode_breaks(
    fields: dict[str, Any], model: str, version: str, foreign: int, platform: str
) -> None:
    raw = json.dumps({"model": model, "max_tokens": 3000, **fields}).encode()
    try:
        MessagesBody(raw)
    except RequestError:
        return
    for mode in ("adapt", "strict", "observe", "off"):
        try:
            result = normalised(raw, headers_of(version), mode, foreign=foreign, platform=platform)  # type: ignore[arg-type]
        except RequestError:
            continue
        for note in result.adaptations:
            assert note.isascii()
            assert note.isprintable()
            assert "," not in note
        assert len(result.observations) <= 24
    if not model_of(model).effort_levels:
        asked = Asked(
            body=MessagesBody(raw), headers=headers_of(version), model=model_of(model), send_model=model, version=version,
            versions=(OLD, NEW), said_effort="high", most_effort="low", set_thinking="budget",
        )  # fmt: skip
        said = SAYING.normalise(asked, "off", tier=None, rewrites=True)
        assert said.adaptations or said.observations


def test_a_body_nested_to_the_limit_is_left_to_the_platform() -> None:
    for depth in range(100, 1000, 50):
        deep = "[" * depth + "]" * depth
        block = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": "DEEP"}}
        turns = [{"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, block]}]
        raw = body_of("claude-opus-4-7", messages=turns).replace(b'"DEEP"', deep.encode())
        try:
            MessagesBody(raw)
        except (
            RequestError
        ):  # refused before: how deep is too deep depends on the stack that it is asked from
            assert depth > 500
            return
        result = normalised(raw, headers_of())
        assert result.body is None or deep.encode() in result.body


@pytest.mark.parametrize("piece", [b"[]", b"{}", b"1", b'{"type":"text"}'])
def test_a_body_of_millions_of_small_parts_is_not_built_in_memory(piece: bytes) -> None:
    """As objects of Python they would take ten times their bytes."""
    parts = b",".join([piece] * (20_000_000 // (len(piece) + 1)))
    raw = b'{"model":"claude-opus-4-7","max_tokens":9,"messages":[%b]}' % parts
    draft = Draft(MessagesBody(raw), headers_of(), model_of("claude-opus-4-7"), OLD, (OLD,), 0)
    assert draft.value("messages") is None
    assert normalised(raw, headers_of()).body is None
    tools = raw.replace(b'"messages"', b'"tools"')[:-1] + b',"messages":[{"role":"user","content":"hi"}]}'
    assert normalised(tools, headers_of(), platform="bedrock").body is None


def test_a_long_text_is_held_against_the_rules_like_a_short_one() -> None:
    text = "a, b [c] {d} and so on, for many a line of prose and code; " * 40_000
    fields = {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "So"}]}
    raw = json.dumps({"model": "claude-opus-4-7", "max_tokens": 9, **fields}).encode()
    assert len(raw) > FREELY_DECODED
    assert normalised(raw, headers_of()).adaptations == ("messages.2=asks to continue the prefill",)


def test_an_old_tool_without_a_name_and_no_choice_of_tools_breaks_nothing() -> None:
    for name in ({}, {"name": None}):
        raw = body_of("claude-opus-4-7", tools=[{"type": "text_editor_20250124", **name}])
        normalised(raw, headers_of())
