"""The rules as data: each applies where it should, not beside it, and a bad file is refused with what to do."""

import json
from typing import Any

import pytest
from normaliser_drive import CATALOGUE, NEW, NORMALISER, OLD, body_of, headers_of, model_of

from trimtab.errors import ConfigError, RequestError
from trimtab.messages import MessagesBody
from trimtab.normaliser import Asked, Normaliser, NormaliserSettings
from trimtab.normaliser.checks import CHECKS
from trimtab.normaliser.fixes import FIXES
from trimtab.normaliser.rules import applies_to, load_rules

S46, O46, O47, O5, O55, S55 = "claude-sonnet-4-6", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-5", "claude-opus-5-5", "claude-sonnet-5-5"  # fmt: skip
H45, S45, S5, H55, O45, OLD35 = "claude-haiku-4-5", "claude-sonnet-4-5", "claude-sonnet-5", "claude-haiku-5-5", "claude-opus-4-5", "claude-3-5-sonnet-20241022"  # fmt: skip
BETA = "task-budgets-2026-03-13"

ASKS = {"role": "user", "content": "hi"}
SAYS = {"role": "assistant", "content": "So"}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {"role": "assistant", "type": "system"}}
DONE = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]}
CALLS = {"role": "assistant", "content": [CALL]}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
LATE = {**TOOL, "defer_loading": True}
EDITOR, COMPUTER = (
    {"name": "str_replace_editor"},
    {"name": "computer", "display_width_px": 8, "display_height_px": 6},
)
ENABLED = {"type": "enabled", "budget_tokens": 2000}
BUDGET = {"type": "tokens", "total": 50000}
FORMAT = {"type": "json_schema", "schema": {}}

Case = tuple[str, dict[str, Any]]
"""A model and the fields of a request; `_version`, `_betas` and `_foreign` are not fields."""

APPLIES: dict[str, list[Case]] = {
    "format-unknown": [(OLD35, {"output_config": {"format": FORMAT}})],
    "document-in-assistant": [(O47, {"_version": NEW, "messages": [ASKS, {"role": "assistant", "content": [DOCUMENT]}, ASKS]})],
    "citations-on-user-text": [(S46, {"_version": NEW, "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "citations": [{}]}]}]})],
    "sampling-by-version": [(S46, {"_version": NEW, "temperature": 1}), (O47, {"_version": NEW, "top_k": 1})],
    "max-tokens-over-limit": [(H45, {"max_tokens": 64001}), (OLD35, {"max_tokens": 8193})],
    "thinking-between-tools": [(O47, {"thinking": {"type": "between_tools"}})],
    "thinking-enabled-rejected": [(O47, {"thinking": ENABLED}), (O55, {"thinking": {"type": "enabled"}})],
    "thinking-enabled-unknown": [(OLD35, {"thinking": ENABLED})],
    "thinking-adaptive-unknown": [(H45, {"thinking": {"type": "adaptive"}}), (OLD35, {"thinking": {"type": "adaptive"}})],
    "thinking-disabled-rejected": [(O55, {"thinking": {"type": "disabled"}}), (S55, {"thinking": {"type": "disabled"}})],
    "thinking-off-at-high-effort": [(O5, {"thinking": {"type": "disabled"}, "output_config": {"effort": "xhigh"}}), (H55, {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}})],
    "thinking-between-at-high-effort": [(S55, {"thinking": {"type": "between_tools"}, "output_config": {"effort": "max"}})],
    "thinking-budget-too-small": [(S46, {"thinking": {"type": "enabled", "budget_tokens": 1023}})],
    "thinking-budget-too-large": [(S46, {"thinking": {"type": "enabled", "budget_tokens": 4000}})],
    "thinking-display-without-thinking": [(S46, {"thinking": {"type": "disabled", "display": None}})],
    "thinking-with-forced-tool": [(S46, {"thinking": ENABLED, "tools": [TOOL], "tool_choice": {"type": "any"}})],
    "thinking-missing-in-tool-loop": [(S46, {"thinking": ENABLED, "messages": [ASKS, CALLS, DONE]}), (O45, {"thinking": ENABLED, "messages": [ASKS, SAYS]})],
    "thinking-not-shown": [(O47, {"thinking": {"type": "adaptive"}}), (O47, {"thinking": ENABLED})],
    "thinking-on-by-default": [(S5, {}), (O55, {"thinking": None})],
    "effort-unknown": [(H45, {"output_config": {"effort": "low"}}), (S45, {"output_config": {"effort": "high"}})],
    "effort-not-taken": [(S46, {"output_config": {"effort": "xhigh"}}), (O45, {"output_config": {"effort": "max"}})],
    "effort-without-room": [(O47, {"output_config": {"effort": "max"}, "max_tokens": 63999})],
    "sampling-rejected": [(O47, {"temperature": 0.9}), (O47, {"top_p": 0.9}), (O47, {"top_k": 0})],
    "sampling-beside-thinking": [(S46, {"thinking": {"type": "adaptive"}, "temperature": 0}), (S45, {"thinking": ENABLED, "top_p": 0.94}), (S46, {"thinking": ENABLED, "top_k": 2})],
    "sampling-one": [(S46, {"temperature": 1, "top_p": 1}), (H45, {"temperature": 0, "top_p": 0.2})],
    "task-budget-unknown": [(S46, {"output_config": {"task_budget": BUDGET}}), (S5, {"output_config": {"task_budget": BUDGET}})],
    "task-budget-small": [(O47, {"output_config": {"task_budget": {"type": "tokens", "total": 19999}}})],
    "task-budget-remaining": [(O47, {"output_config": {"task_budget": {**BUDGET, "remaining": 5}}, "compaction": {}}), (O47, {"output_config": {"task_budget": {**BUDGET, "remaining": 5}}, "messages": [ASKS, {"role": "assistant", "content": [{"type": "compaction"}]}, ASKS]})],
    "task-budget-beta": [(O47, {"output_config": {"task_budget": BUDGET}}), (O47, {"_betas": ("task-budgets-2025-01-01",), "output_config": {"task_budget": BUDGET}})],
    "text-editor-version": [(O47, {"tools": [TOOL, {"type": "text_editor_20250124", **EDITOR}]}), (OLD35, {"tools": [{"type": "text_editor_20250728", **EDITOR}]})],
    "text-editor-name": [(O47, {"tools": [{"type": "text_editor_20250429", **EDITOR}]})],
    "computer-version": [(O47, {"tools": [{"type": "computer_20250124", **COMPUTER}]}), (O55, {"tools": [{"type": "computer_20251124", **COMPUTER}]})],
    "computer-beta": [(O47, {"tools": [{"type": "computer_20251124", **COMPUTER}]})],
    "tools-all-deferred": [(O47, {"tools": [LATE, {**LATE, "name": "b"}]})],
    "forced-tool-rejected": [(O55, {"tools": [TOOL], "tool_choice": {"type": "any"}}), (S55, {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}})],
    "speed-fast": [(O47, {"speed": "fast"}), (H45, {"speed": "fast"})],
    "speed-fast-ignored": [(O46, {"speed": "fast"})],
    "inference-geo-global": [(H45, {"inference_geo": "global"})],
    "inference-geo-bound": [(H45, {"inference_geo": "us"})],
    "thinking-of-another-model": [(O47, {"_foreign": 3, "messages": [ASKS, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "x"}]}, ASKS]})],
    "thinking-unsigned": [(O47, {"messages": [ASKS, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": ""}]}, ASKS]})],
    "system-turn": [(O47, {"messages": [{"role": "system", "content": "x"}, ASKS]}), (H45, {"messages": [ASKS, {"role": "system", "content": "x"}]})],
    "system-turn-ignored": [(S5, {"messages": [ASKS, SAYS, {"role": "system", "content": "x"}, ASKS]})],
    "tool-results-missing": [(O47, {"messages": [ASKS, CALLS]}), (O47, {"messages": [ASKS, CALLS, {"role": "user", "content": [{"type": "text", "text": "x"}, *DONE["content"]]}]})],
    "prefill": [(O47, {"messages": [ASKS, SAYS]}), (S46, {"messages": [ASKS, {"content": [{"type": "text", "text": "x"}], "role": "assistant"}]})],
    "citations-beside-format": [(O47, {"output_config": {"format": FORMAT}, "messages": [{"role": "user", "content": [{**DOCUMENT, "citations": {"enabled": True}}]}]})],
    "images-many-and-large": [],  # test_moves.py has the pictures
    "beta-now-general": [(O47, {"_betas": ("effort-2025-11-24",)}), (O55, {"_betas": ("x", "interleaved-thinking-2025-05-14")})],
}  # fmt: skip

MISSES: dict[str, list[Case]] = {
    "format-unknown": [(OLD35, {"output_config": {"format": None}}), (H45, {"output_config": {"format": FORMAT}})],
    "document-in-assistant": [(O47, {"_version": OLD, "messages": [ASKS, {"role": "assistant", "content": [DOCUMENT]}, ASKS]}), (O47, {"_version": NEW, "messages": [{"role": "user", "content": [DOCUMENT]}]})],
    "citations-on-user-text": [(S46, {"_version": NEW, "messages": [{"role": "user", "content": [{"type": "text", "text": "citations", "citations": []}]}]})],
    "sampling-by-version": [(S46, {"temperature": 0.3}), (S46, {"_version": NEW, "temperature": None}), (S46, {"_version": NEW})],
    "max-tokens-over-limit": [(H45, {"max_tokens": 64000}), (O47, {"max_tokens": 128000})],
    "thinking-between-tools": [(S55, {"thinking": {"type": "between_tools"}}), (O47, {"thinking": {"type": "adaptive"}})],
    "thinking-enabled-rejected": [(S46, {"thinking": ENABLED}), (O47, {"thinking": {"type": "adaptive", "budget_tokens": 5}}), (OLD35, {"thinking": ENABLED})],
    "thinking-enabled-unknown": [(H45, {"thinking": ENABLED}), (OLD35, {"thinking": {"type": "disabled"}})],
    "thinking-adaptive-unknown": [(S46, {"thinking": {"type": "adaptive"}}), (H45, {"thinking": ENABLED})],
    "thinking-disabled-rejected": [(O47, {"thinking": {"type": "disabled"}}), (H55, {"thinking": {"type": "disabled"}}), (O55, {})],
    "thinking-off-at-high-effort": [(O5, {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}), (O47, {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}), (O5, {"output_config": {"effort": "max"}})],
    "thinking-between-at-high-effort": [(S55, {"thinking": {"type": "between_tools"}, "output_config": {"effort": "high"}})],
    "thinking-budget-too-small": [(S46, {"thinking": {"type": "enabled", "budget_tokens": 1024}}), (S46, {"thinking": {"type": "enabled", "budget_tokens": "few"}}), (S46, {"thinking": {"type": "adaptive", "budget_tokens": 1}})],
    "thinking-budget-too-large": [(S46, {"thinking": {"type": "enabled", "budget_tokens": 3999}})],
    "thinking-display-without-thinking": [(S46, {"thinking": {"type": "disabled"}}), (S46, {"thinking": {"type": "adaptive", "display": "omitted"}})],
    "thinking-with-forced-tool": [(S46, {"thinking": ENABLED, "tool_choice": {"type": "auto"}}), (S46, {"thinking": {"type": "adaptive"}, "tool_choice": {"type": "any"}})],
    "thinking-missing-in-tool-loop": [(S46, {"thinking": ENABLED, "messages": [ASKS, SAYS, ASKS]}), (S46, {"thinking": ENABLED, "messages": [ASKS, CALLS, DONE, {"role": "assistant", "content": "x"}, ASKS]}), (S46, {"thinking": ENABLED, "messages": [ASKS, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, CALL]}, DONE]}), (S46, {"thinking": {"type": "adaptive"}, "messages": [ASKS, CALLS, DONE]})],
    "thinking-not-shown": [(S46, {"thinking": {"type": "adaptive"}}), (O47, {"thinking": {"type": "disabled"}}), (O47, {"thinking": {"type": "adaptive", "display": "omitted"}})],
    "thinking-on-by-default": [(S5, {"thinking": {"type": "adaptive"}}), (O47, {})],
    "effort-unknown": [(H45, {"output_config": {"effort": None}}), (H45, {"output_config": {}}), (S46, {"output_config": {"effort": "low"}})],
    "effort-not-taken": [(O47, {"output_config": {"effort": "xhigh"}}), (S46, {"output_config": {"effort": "max"}}), (S46, {"output_config": {"effort": "huge"}})],
    "effort-without-room": [(O47, {"output_config": {"effort": "max"}, "max_tokens": 64000}), (O47, {"output_config": {"effort": "high"}}), (O47, {"output_config": {"effort": "max"}, "max_tokens": 0})],
    "sampling-rejected": [(O47, {"temperature": 1, "top_p": 1}), (O47, {"temperature": None}), (S46, {"temperature": 0.5})],
    "sampling-beside-thinking": [(S46, {"temperature": 0}), (S46, {"thinking": {"type": "adaptive"}, "temperature": 1, "top_p": 0.95}), (S46, {"thinking": {"type": "disabled"}, "top_k": 4})],
    "sampling-one": [(S46, {"temperature": 0.2, "top_k": 4}), (OLD35, {"temperature": 0.2, "top_p": 0.2}), (S46, {"temperature": 0.2, "top_p": None})],
    "task-budget-unknown": [(O47, {"output_config": {"task_budget": BUDGET}}), (S46, {"output_config": {"task_budget": None}})],
    "task-budget-small": [(O47, {"output_config": {"task_budget": {"type": "tokens", "total": 20000}}}), (S46, {"output_config": {"task_budget": {"type": "tokens", "total": 1}}})],
    "task-budget-remaining": [(O47, {"output_config": {"task_budget": {**BUDGET, "remaining": 5}}}), (O47, {"output_config": {"task_budget": BUDGET}, "compaction": {}})],
    "task-budget-beta": [(O47, {"_betas": ("a", BETA), "output_config": {"task_budget": BUDGET}}), (O47, {"output_config": {"effort": "low"}})],
    "text-editor-version": [(O47, {"tools": [{"type": "text_editor_20250429", **EDITOR}]}), (O47, {"tools": [{"name": "text_editor_20250124", "input_schema": {}}]})],
    "text-editor-name": [(O47, {"tools": [{"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}]}), (O47, {"tools": [{"type": "custom", "name": "str_replace_editor", "description": "since _2025"}]})],
    "computer-version": [(O47, {"tools": [{"type": "computer_20251124", **COMPUTER}]}), (O55, {"tools": [{"type": "computer_toolset_20260801"}]})],
    "computer-beta": [(O47, {"_betas": ("computer-use-2025-11-24",), "tools": [{"type": "computer_20251124", **COMPUTER}]}), (O55, {"tools": [{"type": "computer_toolset_20260801"}]})],
    "tools-all-deferred": [(O47, {"tools": [LATE, TOOL]}), (O47, {"tools": []})],
    "forced-tool-rejected": [(O47, {"tools": [TOOL], "tool_choice": {"type": "any"}}), (H55, {"tool_choice": {"type": "any"}}), (O55, {"tool_choice": {"type": "none"}})],
    "speed-fast": [(O47, {"speed": "standard"}), (O55, {"speed": "fast"}), (O46, {"speed": "fast"}), (S5, {"speed": "fast"})],
    "speed-fast-ignored": [(O47, {"speed": "fast"}), (O46, {"speed": "standard"})],
    "inference-geo-global": [(H45, {"inference_geo": "us"}), (O47, {"inference_geo": "global"}), (H45, {"inference_geo": None})],
    "inference-geo-bound": [(H45, {"inference_geo": "global"}), (O47, {"inference_geo": "us"})],
    "thinking-of-another-model": [(O47, {"_foreign": 0, "messages": [ASKS, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]}, ASKS]}), (O47, {"_foreign": 3, "messages": [ASKS, SAYS, ASKS]})],
    "thinking-unsigned": [(O47, {"messages": [ASKS, {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}]}, ASKS]})],
    "system-turn": [(O5, {"messages": [{"role": "system", "content": "x"}, ASKS]}), (O47, {"messages": [{"role": "user", "content": "\"role\": \"system\""}]}), (O47, {"messages": [ASKS, CALLS, DONE]})],
    "system-turn-ignored": [(S5, {"messages": [ASKS]}), (O47, {"messages": [{"role": "system", "content": "x"}, ASKS]})],
    "tool-results-missing": [(O47, {"messages": [ASKS, CALLS, DONE]}), (O47, {"messages": [ASKS, CALLS, {"role": "system", "content": "x"}, DONE]})],
    "prefill": [(S45, {"messages": [ASKS, SAYS]}), (O47, {"messages": [ASKS, CALLS]}), (O47, {"messages": [ASKS, SAYS, ASKS]}), (O47, {"messages": [ASKS, CALLS, DONE]})],
    "citations-beside-format": [(O47, {"output_config": {"format": FORMAT}, "messages": [{"role": "user", "content": [{**DOCUMENT, "citations": {"enabled": False}}]}]}), (O47, {"output_config": {}, "messages": [{"role": "user", "content": [{**DOCUMENT, "citations": {"enabled": True}}]}]})],
    "images-many-and-large": [(O47, {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}] * 21}]})],
    "beta-now-general": [(S45, {"_betas": ("interleaved-thinking-2025-05-14",)}), (O47, {"_betas": ("effort-2027-11-24",)})],
}  # fmt: skip

RULES = {rule.id: rule for rule in NORMALISER.rules if not rule.about_platforms}
"""Those about platforms are in test_platforms.py."""


def sees(rule: str, case: Case) -> bool:
    """Whether this rule, alone, says anything about the request in any of the modes; they must agree."""
    model, fields = case
    special = {name: fields.get(name, default) for name, default in (("_version", OLD), ("_betas", ()), ("_foreign", 0))}  # fmt: skip
    whole = {"max_tokens": 4000, "messages": [ASKS], **fields}
    raw = json.dumps({"model": model, **{k: v for k, v in whole.items() if not k.startswith("_")}}).encode()
    alone = Normaliser(NormaliserSettings(), (RULES[rule],))
    version = str(special["_version"])
    asked = Asked(
        body=MessagesBody(raw), headers=headers_of(version, *special["_betas"]), model=model_of(model),
        send_model=model, version=version, versions=(OLD, NEW), foreign=special["_foreign"],
    )  # fmt: skip
    result = alone.normalise(asked, "adapt", tier="default")
    seen = bool(result.adaptations or result.observations)
    try:
        strict = bool(alone.normalise(asked, "strict", tier="default").observations)
    except RequestError:
        assert RULES[rule].kind == "refused"
        strict = True
    assert strict is seen
    if not RULES[rule].deep and RULES[rule].fields and RULES[rule].glance != "starts_with_system":
        observed = alone.normalise(asked, "observe", tier=None)
        assert bool(observed.observations) is seen
    return seen


@pytest.mark.parametrize("rule", APPLIES)
def test_a_rule_applies_where_the_model_refuses_or_misreads_a_request(rule: str) -> None:
    for case in APPLIES[rule]:
        assert sees(rule, case), case


@pytest.mark.parametrize("rule", MISSES)
def test_a_rule_leaves_alone_what_only_looks_like_its_case(rule: str) -> None:
    for case in MISSES[rule]:
        assert not sees(rule, case), case


def test_every_rule_has_cases_on_both_sides() -> None:
    assert set(RULES) == set(APPLIES) == set(MISSES)
    assert all(MISSES.values())


def test_every_rule_is_about_a_shipped_model_and_every_check_and_fix_is_some_rules() -> None:
    for rule in NORMALISER.rules:
        assert any(applies_to(rule, model) for model in CATALOGUE.models), rule.id
    assert {rule.check for rule in RULES.values()} - {None} == set(CHECKS)
    assert {rule.adapt for rule in RULES.values()} - {None} == set(FIXES)


def test_a_rule_without_a_fix_says_that_nothing_is_done() -> None:
    for rule in NORMALISER.rules:
        assert (rule.adapt is None) == rule.does.startswith("nothing"), rule.id


RULE = """rules:
- {id: %s, about: x, kind: refused, fields: [tools], says: x, does: x, source: x, %s}
"""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (RULE % ("a-b", "check: no_such"), "a-b.check: 'no_such': must be one of"),
        (RULE % ("a-b", "adapt: no_such"), "a-b.adapt: 'no_such': must be one of"),
        (RULE % ("a-b", "model: {thinking.enabledd: [rejected]}"), "a catalogue row has no such key"),
        (
            RULE % ("a-b", "model: {thinking.enabled: [refused]}"),
            "'refused' is not one of accepted, deprecated",
        ),
        (RULE % ("a-b", "profile: betos"), "a-b.profile: 'betos': a profile has no such key"),
        (RULE % ("a-b", "platforms: [bedrok]"), "bedrok"),
        (RULE % ("a-b", "chek: x"), "did you mean 'check'?"),
        (RULE % ("a-b", "kind: silent"), "given twice"),
        (RULE % ("A_b", "deep: true"), "expected text matching"),
        (RULE % ("a-b", "deep: 3"), "true or false"),
        (RULE % ("a-b", "deep: true") + (RULE % ("a-b", "deep: true")).split("\n", 1)[1], "stands twice"),
        ("rules: []\nmore: 1", "more: nothing reads this key"),
    ],
)
def test_a_file_of_rules_that_says_something_else_is_refused_with_the_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_rules(CHECKS, FIXES, text.encode())
    assert problem in str(refused.value)
    assert str(refused.value).startswith("rules.yaml: ")


def test_a_model_of_the_operators_own_is_only_held_against_what_its_row_says() -> None:
    """A row that records nothing about task budgets, tools or places is never said to lack them."""
    bare = type(model_of(O47))(id="own", limits=model_of(O47).limits, prices=model_of(O47).prices)
    ids = {rule.id for rule in NORMALISER.rules if applies_to(rule, bare)}
    assert not ids & {"task-budget-unknown", "inference-geo-bound", "inference-geo-global", "system-turn", "speed-fast"}  # fmt: skip
    body = MessagesBody(body_of("own", tools=[{"type": "computer_20250124", **COMPUTER}]))
    result = NORMALISER.normalise(
        Asked(body=body, headers=headers_of(OLD, "computer-use-2025-01-24"), model=bare, send_model="own", version=OLD, versions=(OLD,)),
        "adapt", tier="default",
    )  # fmt: skip
    assert (result.body, result.observations) == (None, ())
