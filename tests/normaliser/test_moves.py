"""A request that worked on one model, sent to another: the cases that people meet when they move.

Each is asked three ways. The simulator, as the vendor, refuses it on the new model; `strict` says the same without
asking it; `adapt` sends what the simulator answers, and says what it changed.
"""

import base64
import json
import struct
from typing import Any

import pytest
from normaliser_drive import NEW, OLD, adapted, body_of, headers_of, normalised, refusal, simulated

S46, O46, O47, O48 = "claude-sonnet-4-6", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8"
O5, O55, S55, H55, S5 = (
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-sonnet-5",
)
H45, S45, F52 = "claude-haiku-4-5", "claude-sonnet-4-5", "claude-fable-5-2"

ASKS = {"role": "user", "content": "hi"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
COMPUTER = {"name": "computer", "display_width_px": 800, "display_height_px": 600}
BUDGET = {"type": "tokens", "total": 50000}
FORMAT = {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
CITED = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "citations": {"enabled": True}}  # fmt: skip
ENABLED = {"type": "enabled", "budget_tokens": 2000}


def png(side: int) -> dict[str, Any]:
    data = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", side, side) + b"\x08\x02\0\0\0"
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


def move(
    model: str, says: str, does: tuple[str, ...] | None, *, version: str = OLD, betas: tuple[str, ...] = (), **fields: Any
) -> tuple[Any, ...]:  # fmt: skip
    """A case: the model it goes to, a part of the refusal, the adaptations (`None`: it cannot be mended)."""
    return model, says, does, version, betas, fields


MOVES = {
    # --- What Opus 4.7 began to refuse
    "01 a thinking budget": move(O47, '"thinking.type.enabled" is not supported', ("output_config.effort=low", "thinking=adaptive", "thinking.display=summarized"), thinking=ENABLED),
    "01 a large thinking budget beside an effort": move(O47, '"thinking.type.enabled" is not supported', ("thinking=adaptive", "thinking.display=summarized"), thinking={"type": "enabled", "budget_tokens": 3999}, output_config={"effort": "max"}),
    "02 temperature": move(O47, "`temperature` is deprecated", ("temperature removed",), temperature=0.2),
    "02 top_p and top_k": move(O47, "`top_p` is deprecated", ("top_p removed", "top_k removed"), top_p=0.5, top_k=5),
    "03 fast mode": move(O47, "Fast mode is not supported", ("speed removed",), speed="fast", betas=("fast-mode-2026-02-01",)),
    # --- What older ones refuse too
    "04 a beginning of the answer": move(S46, "assistant message prefill", ("messages.2=asks to continue the prefill",), messages=[ASKS, {"role": "assistant", "content": "{"}]),
    "04 an empty beginning": move(O47, "assistant message prefill", ("messages.1 removed",), messages=[ASKS, {"role": "assistant", "content": ""}]),
    "05 temperature and top_p together": move(S46, "cannot both be specified", ("top_p removed",), temperature=0.5, top_p=0.5),
    "06 a system message first": move(S46, 'Unexpected role "system"', ("system=messages.0",), messages=[{"role": "system", "content": "be kind"}, ASKS]),
    "06 a system message later": move(O47, 'Unexpected role "system"', ("messages.1.role=user",), messages=[ASKS, {"role": "system", "content": "be kind"}]),
    "07 an effort the model does not have": move(S46, "does not support effort level 'xhigh'", ("output_config.effort=high",), output_config={"effort": "xhigh"}),
    "07 any effort where the model has none": move(H45, "does not support the effort parameter", ("output_config.effort removed",), output_config={"effort": "low"}),
    "08 a task budget where the model has none": move(O46, "does not support task budgets", ("output_config.task_budget removed",), output_config={"task_budget": BUDGET}, betas=("task-budgets-2026-03-13",)),
    "08 a task budget under the least": move(O47, "greater than or equal to 20000", ("output_config.task_budget.total=20000",), output_config={"task_budget": {"type": "tokens", "total": 500}}, betas=("task-budgets-2026-03-13",)),
    "08 a task budget without its beta": move(O47, "Extra inputs are not permitted", ("anthropic-beta=+task-budgets-2026-03-13",), output_config={"task_budget": BUDGET}),
    "09 display where thinking is off": move(O47, "thinking.disabled.display: Extra inputs", ("thinking.display removed",), thinking={"type": "disabled", "display": "summarized"}),
    "10 a budget over max_tokens": move(S46, "must be greater than `thinking.budget_tokens`", ("thinking.budget_tokens=3999",), thinking={"type": "enabled", "budget_tokens": 9000}),
    "10 a budget with no room": move(S46, "must be greater than `thinking.budget_tokens`", ("thinking removed",), max_tokens=800, thinking={"type": "enabled", "budget_tokens": 9000}),
    "11 an old text editor": move(O47, "Did you mean text_editor_20250728?", ("tools.0.type=text_editor_20250728", "tools.0.name=str_replace_based_edit_tool"), tools=[{"type": "text_editor_20250124", "name": "str_replace_editor"}]),
    "11 an old text editor that must be used": move(S46, "Did you mean text_editor_20250728?", ("tools.1.type=text_editor_20250728", "tools.1.name=str_replace_based_edit_tool", "tool_choice.name=str_replace_based_edit_tool"), tools=[TOOL, {"type": "text_editor_20250124", "name": "str_replace_editor"}], tool_choice={"type": "tool", "name": "str_replace_editor"}),
    "11 a new text editor by its old name": move(O47, "Input should be 'str_replace_based_edit_tool'", ("tools.0.name=str_replace_based_edit_tool",), tools=[{"type": "text_editor_20250728", "name": "str_replace_editor"}]),
    "11 an old computer": move(O47, "Did you mean computer_20251124?", ("tools.0.type=computer_20251124", "anthropic-beta=+computer-use-2025-11-24", "anthropic-beta=-computer-use-2025-01-24"), tools=[{"type": "computer_20250124", **COMPUTER}], betas=("computer-use-2025-01-24",)),
    "11 a new computer on an older model": move(H45, "Did you mean computer_20250124?", ("tools.0.type=computer_20250124", "anthropic-beta=+computer-use-2025-01-24"), tools=[{"type": "computer_20251124", **COMPUTER, "enable_zoom": True}]),
    "11 a computer without its beta": move(O47, "header computer-use-2025-11-24 is required", ("anthropic-beta=+computer-use-2025-11-24",), tools=[{"type": "computer_20251124", **COMPUTER}]),
    "11 a toolset on a model before it": move(O47, "Did you mean computer_20251124?", None, tools=[{"type": "computer_toolset_20260801"}]),
    "12 thinking dropped from an open tool loop": move(S45, "Expected `thinking` or `redacted_thinking`, but found `tool_use`", ("thinking removed",), thinking=ENABLED, tools=[TOOL], messages=[ASKS, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}]),
    "12 thinking dropped where it can adapt": move(S46, "Expected `thinking` or `redacted_thinking`, but found `tool_use`", ("thinking=adaptive",), thinking=ENABLED, tools=[TOOL], output_config={"effort": "low"}, messages=[ASKS, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}]),
    "12 thinking that nobody signed": move(O47, "signature", ("messages.thinking=1 blocks removed",), messages=[ASKS, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}]}, ASKS]),
    "13 many images of which one is large": move(O47, "many-image requests: 2000 pixels", None, messages=[{"role": "user", "content": [png(10)] * 20 + [png(2001)]}]),
    "14 citations beside a format": move(O47, "citations cannot be combined", ("messages.citations=off",), output_config={"format": FORMAT}, messages=[{"role": "user", "content": [CITED]}]),
    "15 no tool that is not deferred": move(O47, "At least one tool must have defer_loading=false", ("tools.0.defer_loading=false",), tools=[{**TOOL, "defer_loading": True}]),
    "16 a tool call without its result": move(O47, "without `tool_result` blocks immediately after: t1", None, tools=[TOOL], messages=[ASKS, {"role": "assistant", "content": [CALL]}, ASKS]),
    "17 a place on a model that has none": move(S45, "does not support the inference_geo parameter", ("inference_geo removed",), inference_geo="global"),
    "17 a place that data may not leave": move(H45, "does not support the inference_geo parameter", None, inference_geo="us"),
    "18 sampling on the newer version": move(S46, "temperature: Extra inputs are not permitted on anthropic-version 2026-10-21", ("anthropic-version=2023-06-01",), version=NEW, temperature=1),
    "18 sampling on the newer version and a model without": move(O47, "temperature: Extra inputs are not permitted on anthropic-version 2026-10-21", ("temperature removed",), version=NEW, temperature=1),
    "18 a document of the assistant's on the newer version": move(O47, "not permitted in assistant messages", ("anthropic-version=2023-06-01",), version=NEW, messages=[ASKS, {"role": "assistant", "content": [{**CITED, "citations": None}]}, ASKS]),
    "18 citations on a user's text on the newer version": move(O47, "must be empty on user text blocks", ("anthropic-version=2023-06-01",), version=NEW, messages=[{"role": "user", "content": [{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}]}]),
    # --- Later hops
    "19 thinking off at a high effort": move(O5, "not supported when thinking is disabled", ("output_config.effort=high",), thinking={"type": "disabled"}, output_config={"effort": "max"}, max_tokens=64000),
    "20 thinking off where it cannot be": move(O55, '"thinking.type.disabled" is not supported', ("output_config.effort=low", "thinking removed"), thinking={"type": "disabled"}),
    "20 thinking off where it can be between tools": move(S55, '"thinking.type.disabled" is not supported', ("thinking=between_tools",), thinking={"type": "disabled"}),
    "20 thinking between tools at a high effort": move(S55, "not supported when thinking is disabled", ("output_config.effort=high",), thinking={"type": "between_tools"}, output_config={"effort": "xhigh"}, max_tokens=64000),
    "20 thinking between tools where it cannot be": move(O47, '"thinking.type.between_tools" is not supported', ("thinking=disabled",), thinking={"type": "between_tools"}),
    "21 a forced tool": move(O55, "tool_choice: 'any' is not supported", ("tool_choice=auto", "messages.0=asks for the tool"), tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}),
    "21 a named tool": move(S55, "tool_choice: 'tool' is not supported", ("tool_choice=auto", "messages.0=asks for the tool"), tools=[TOOL], tool_choice={"type": "tool", "name": "look"}),
    "22 a computer of one tool on a model after it": move(O55, "Did you mean computer_toolset_20260801?", None, tools=[{"type": "computer_20251124", **COMPUTER}], betas=("computer-use-2025-11-24",)),
    "23 adaptive thinking on an older model": move(H45, '"thinking.type.adaptive" is not supported', ("thinking=enabled(2000)",), thinking={"type": "adaptive"}),
    "23 adaptive thinking without room": move(H45, '"thinking.type.adaptive" is not supported', ("thinking removed",), thinking={"type": "adaptive"}, max_tokens=1024),
    "23 a thinking budget beside a forced tool": move(S46, "when tool_choice forces tool use", ("thinking=adaptive",), thinking=ENABLED, output_config={"effort": "low"}, tools=[TOOL], tool_choice={"type": "any"}),
    "23 sampling beside thinking": move(S46, "`temperature` may only be set to 1 when thinking is enabled.", ("temperature removed",), thinking={"type": "adaptive"}, temperature=0.3),
    "23 more output than the model has": move(H45, "which is the maximum allowed number of output tokens", ("max_tokens=64000",), max_tokens=128000),
    "23 a budget under the least": move(S46, "greater than or equal to 1024", ("thinking.budget_tokens=1024",), thinking={"type": "enabled", "budget_tokens": 100}),
}  # fmt: skip


@pytest.mark.parametrize("case", MOVES)
def test_the_new_model_refuses_it_and_strict_says_so_in_the_same_words(case: str) -> None:
    model, says, _, version, betas, fields = MOVES[case]
    body, headers = body_of(model, **fields), headers_of(version, *betas)
    status, message = simulated(body, headers)
    assert status == 400
    assert says in message
    refused = refusal(body, headers)
    assert refused is not None
    assert says in refused
    if not case.startswith(("12 thinking that", "18 ", "21")):  # wording by place, not by model
        assert refused == message


@pytest.mark.parametrize("case", [case for case in MOVES if MOVES[case][2] is not None])
def test_adapted_it_is_answered_and_the_answer_says_what_was_changed(case: str) -> None:
    model, _, does, version, betas, fields = MOVES[case]
    body, headers, result = adapted(body_of(model, **fields), headers_of(version, *betas))
    assert result.adaptations == does
    assert simulated(body, headers) == (200, "")


@pytest.mark.parametrize("case", [case for case in MOVES if MOVES[case][2] is None])
def test_what_cannot_honestly_be_changed_goes_out_as_it_came_and_is_noted(case: str) -> None:
    model, says, _, version, betas, fields = MOVES[case]
    body, headers = body_of(model, **fields), headers_of(version, *betas)
    result = normalised(body, headers)
    assert (result.body, result.headers, result.adaptations) == (None, None, ())
    assert any(says in note for note in result.observations)


def test_the_effort_in_place_of_a_thinking_budget_grows_with_the_budget() -> None:
    for budget, effort in ((1024, "low"), (4095, "low"), (4096, "medium"), (16383, "medium"), (16384, "high"), (60000, "high")):  # fmt: skip
        body = body_of(O47, max_tokens=64000, thinking={"type": "enabled", "budget_tokens": budget})
        sent, _, _ = adapted(body, headers_of())
        assert json.loads(sent)["output_config"] == {"effort": effort}


def test_a_tiers_effort_wins_over_what_a_thinking_budget_suggests() -> None:
    body = body_of(O47, thinking=ENABLED)
    sent, _, result = adapted(body, headers_of(), set_effort="xhigh")
    assert json.loads(sent)["output_config"] == {"effort": "xhigh"}
    assert "output_config.effort=low" not in result.adaptations


def test_a_tiers_own_thinking_takes_the_clients_temperature_along() -> None:
    """A tier with +adaptive would otherwise break every request that carries a temperature."""
    body = body_of(S46, temperature=0.2)
    assert normalised(body, headers_of()).adaptations == ()
    sent, _, result = adapted(body, headers_of(), set_adaptive=True)
    assert result.adaptations == ("temperature removed",)
    assert json.loads(sent)["thinking"] == {"type": "adaptive"}


def test_the_beginning_of_an_answer_stays_and_a_question_follows_it() -> None:
    turns = [ASKS, {"role": "assistant", "content": [{"type": "text", "text": '{"a":'}]}]
    body = body_of(O47, messages=turns)
    sent, _, _ = adapted(body, headers_of())
    assert sent.startswith(body[: body.rindex(b"]")])
    messages = json.loads(sent)["messages"]
    assert messages[:2] == turns
    assert messages[2]["role"] == "user"
    assert "exactly where it ends" in messages[2]["content"]


def test_a_paused_turn_is_no_beginning_of_an_answer() -> None:
    paused = [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}]
    body = body_of(O47, messages=[ASKS, {"role": "assistant", "content": paused}])
    assert refusal(body, headers_of()) is None
    assert normalised(body, headers_of()).body is None


def test_a_request_for_the_tool_stands_at_the_end_of_the_last_user_turn() -> None:
    for content in ('hi \\ "you"', [{"type": "text", "text": "hi"}]):
        body = body_of(O55, tools=[TOOL], tool_choice={"type": "tool", "name": "look"}, messages=[{"role": "user", "content": content}])  # fmt: skip
        sent, _, _ = adapted(body, headers_of())
        last = json.loads(sent)["messages"][-1]["content"]
        text = last if isinstance(last, str) else last[-1]["text"]
        assert text.endswith("calling the tool look.")
        assert json.loads(sent)["tool_choice"] == {"type": "auto"}


def test_two_editors_cannot_both_get_the_new_name() -> None:
    tools = [{"type": "text_editor_20250124", "name": "str_replace_editor"}, {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}]  # fmt: skip
    result = normalised(body_of(O47, tools=tools), headers_of())
    assert result.body is None
    assert result.observations[0].startswith("text-editor-version: ")


def test_the_tool_search_is_what_is_loaded_from_the_start() -> None:
    search = {
        "type": "tool_search_tool_regex_20251119",
        "name": "tool_search_tool_regex",
        "defer_loading": True,
    }
    sent, _, result = adapted(body_of(O47, tools=[{**TOOL, "defer_loading": True}, search]), headers_of())
    assert result.adaptations == ("tools.1.defer_loading=false",)
    assert simulated(sent, headers_of()) == (200, "")


def test_a_system_turn_between_a_call_and_its_result_is_left_alone() -> None:
    turns = [ASKS, {"role": "assistant", "content": [CALL]}, {"role": "system", "content": "x"}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}]  # fmt: skip
    result = normalised(body_of(O47, tools=[TOOL], messages=turns), headers_of())
    assert result.body is None
    assert result.observations[0].startswith("system-turn: ")


def test_remaining_stays_unless_the_platform_compacts() -> None:
    config = {"task_budget": {**BUDGET, "remaining": 400}}
    betas = ("task-budgets-2026-03-13", "compact-2026-09-04")
    body = body_of(O47, output_config=config)
    assert normalised(body, headers_of(OLD, *betas)).body is None
    compacting = body_of(O47, output_config=config, compaction={"type": "summarize"})
    assert "cannot be combined with compaction" in str(refusal(compacting, headers_of(OLD, *betas)))
    sent, headers, result = adapted(compacting, headers_of(OLD, *betas))
    assert result.adaptations == ("output_config.task_budget.remaining removed",)
    assert simulated(sent, headers) == (200, "")


def test_a_platform_that_only_speaks_the_newer_version_gets_no_sampling() -> None:
    body = body_of(S46, temperature=0.4)
    sent, headers, result = adapted(body, headers_of(NEW), versions=(NEW,))
    assert result.adaptations == ("temperature removed",)
    assert simulated(sent, headers) == (200, "")


# --- Silent changes


def test_thinking_that_older_models_show_is_asked_for_and_an_adaptive_request_is_only_noted() -> None:
    _, _, result = adapted(body_of(O47, thinking=ENABLED), headers_of())
    assert "thinking.display=summarized" in result.adaptations
    for model, noted in ((O47, True), (S46, False)):
        result = normalised(body_of(model, thinking={"type": "adaptive"}), headers_of())
        assert result.body is None
        assert any(note.startswith("thinking-not-shown: ") for note in result.observations) is noted
    said = body_of(O47, thinking={"type": "adaptive", "display": "omitted"})
    assert normalised(said, headers_of()).observations == ()


def test_a_tier_whose_model_thinks_by_default_says_so() -> None:
    for model, noted in ((S5, True), (O55, True), (O47, False)):
        notes = normalised(body_of(model), headers_of()).observations
        assert any(note.startswith("thinking-on-by-default: ") for note in notes) is noted
    assert normalised(body_of(S5), headers_of(), tier=None).observations == ()


def test_fast_mode_that_is_silently_standard_is_noted() -> None:
    [note] = normalised(body_of(O46, speed="fast"), headers_of()).observations
    assert note == "speed-fast-ignored: speed: this model answers at the standard speed"


def test_a_system_turn_that_is_silently_ignored_is_moved_to_where_it_is_heard() -> None:
    body = body_of(S5, messages=[{"role": "system", "content": "be kind"}, ASKS])
    assert refusal(body, headers_of()) is None
    sent, _, _ = adapted(body, headers_of())
    assert json.loads(sent)["system"] == "be kind"


def test_little_room_at_a_high_effort_is_noted() -> None:
    [note] = normalised(body_of(O47, output_config={"effort": "xhigh"}), headers_of()).observations
    assert note.startswith("effort-without-room: max_tokens: 4000 is little")
    assert not normalised(
        body_of(O47, output_config={"effort": "xhigh"}, max_tokens=64000), headers_of()
    ).observations


def test_betas_that_have_become_general_are_dropped_and_others_stay() -> None:
    headers = headers_of(OLD, "effort-2025-11-24", "x-new-2027-01-01", "output-128k-2025-02-19")
    _, sent, result = adapted(body_of(O47), headers)
    assert (b"anthropic-beta", b"x-new-2027-01-01") in sent
    assert result.adaptations == (
        "anthropic-beta=-effort-2025-11-24", "anthropic-beta=-output-128k-2025-02-19",
    )  # fmt: skip
    assert normalised(body_of(S45), headers).headers is None, (
        "interleaved thinking still needs its beta there"
    )


# --- Histories


def thinking(text: str = "hm") -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": "c2lnbg=="}


HISTORY = [
    ASKS,
    {"role": "assistant", "content": [thinking(), {"type": "text", "text": "one"}]},
    ASKS,
    {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
    ASKS,
    {"role": "assistant", "content": [thinking(), CALL]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]},
]


def kept(sent: bytes) -> list[list[str]]:
    turns = [turn for turn in json.loads(sent)["messages"] if turn["role"] == "assistant"]
    return [[block["type"] for block in turn["content"]] for turn in turns]


def test_thinking_of_another_model_is_taken_out_but_never_of_an_open_tool_loop() -> None:
    body = body_of(O47, messages=HISTORY, tools=[TOOL])
    assert normalised(body, headers_of()).body is None, "nothing is known of another model"
    sent, _, result = adapted(body, headers_of(), foreign=7)
    assert kept(sent) == [["text"], ["thinking", "tool_use"]], "a turn that held nothing else is gone"
    assert result.adaptations == ("messages.thinking=2 blocks removed",)
    sent, _, _ = adapted(body, headers_of(), foreign=3)
    assert kept(sent) == [["text"], ["redacted_thinking"], ["thinking", "tool_use"]]


def test_a_model_that_only_takes_its_own_thinking_gets_no_other() -> None:
    body = body_of(F52, messages=HISTORY, tools=[TOOL])
    sent, _, _ = adapted(body, headers_of(), foreign=7)
    assert kept(sent) == [["text"], ["tool_use"]]
