"""What the vendor refuses, the simulator refuses, with the vendor's shape and words."""

from collections.abc import Callable
from typing import Any

import pytest

import trimtab.providers.simulator.core as core

TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
USER = {"role": "user", "content": "hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Ulm"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


def fmt(schema: dict[str, Any]) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "schema": schema}}


def obj(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


THINK = {"type": "enabled", "budget_tokens": 1024}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
EDITOR = {"type": "text_editor_20250124", "name": "str_replace_editor"}
COMPUTER = {
    "type": "computer_20251124",
    "name": "computer",
    "display_width_px": 800,
    "display_height_px": 600,
}

# The 18 cases that bite on the way from 4.6 to 4.7, in the order of docs/simulator.md.
MIGRATION: list[tuple[str, dict[str, Any], str]] = [
    (
        "1 enabled thinking on 4.7",
        {
            "model": "claude-opus-4-7",
            "max_tokens": 4096,
            "thinking": {"type": "enabled", "budget_tokens": 2048},
        },
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',
    ),
    (
        "2a temperature on 4.7",
        {"model": "claude-opus-4-7", "temperature": 0.5},
        "`temperature` is deprecated",
    ),
    ("2b top_p on 4.7", {"model": "claude-opus-4-7", "top_p": 0.9}, "`top_p` is deprecated"),
    ("2c top_k on 4.7", {"model": "claude-opus-4-7", "top_k": 5}, "`top_k` is deprecated"),
    (
        "3 speed fast on 4.7",
        {"model": "claude-opus-4-7", "speed": "fast", "beta": "fast-mode-2026-02-01"},
        "speed: Fast mode is not supported",
    ),
    (
        "4 prefill",
        {"messages": [USER, {"role": "assistant", "content": "Sure"}]},
        "This model does not support assistant message prefill.",
    ),
    (
        "5 temperature and top_p",
        {"temperature": 0.5, "top_p": 0.9},
        "`temperature` and `top_p` cannot both be specified",
    ),
    ("6 system role", {"messages": [USER, {"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
    (
        "7 xhigh on 4.6",
        {"output_config": {"effort": "xhigh"}},
        "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
    ),
    (
        "8a task budget on 4.6",
        {
            "output_config": {"task_budget": {"type": "tokens", "total": 20000}},
            "beta": "task-budgets-2026-03-13",
        },
        "output_config.task_budget: This model does not support",
    ),
    (
        "8b task budget too small",
        {
            "model": "claude-opus-4-7",
            "output_config": {"task_budget": {"type": "tokens", "total": 19999}},
            "beta": "task-budgets-2026-03-13",
        },
        "output_config.task_budget.total: Input should be greater than or equal to 20000",
    ),
    (
        "9 display with disabled",
        {"thinking": {"type": "disabled", "display": "summarized"}},
        "thinking.disabled.display: Extra inputs are not permitted",
    ),
    (
        "10 budget over max_tokens",
        {"thinking": THINK},
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    ("11a old editor", {"model": "claude-opus-4-7", "tools": [EDITOR]}, "does not support tool types"),
    (
        "11b editor name",
        {"tools": [{"type": "text_editor_20250728", "name": "str_replace_editor"}]},
        "tools.0.text_editor_20250728.name: Input should be 'str_replace_based_edit_tool'",
    ),
    (
        "11c toolset on 4.7",
        {"model": "claude-opus-4-7", "tools": [{"type": "computer_toolset_20260801"}]},
        "does not support tool types: computer_toolset_20260801",
    ),
    (
        "12 thinking dropped in an open tool loop",
        {
            "max_tokens": 4096,
            "thinking": THINK,
            "tools": [TOOL],
            "messages": [
                USER,
                {"role": "assistant", "content": [CALL]},
                {"role": "user", "content": [RESULT]},
            ],
        },
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    (
        "14 citations and format",
        {
            "output_config": fmt(SCHEMA),
            "content": [{**DOCUMENT, "citations": {"enabled": True}}, {"type": "text", "text": "x"}],
        },
        "citations cannot be combined",
    ),
    (
        "15 all tools deferred",
        {"tools": [{**TOOL, "defer_loading": True}]},
        "At least one tool must have defer",
    ),
    (
        "16 missing tool results",
        {"tools": [TOOL], "messages": [USER, {"role": "assistant", "content": [CALL]}, USER]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
    ),
    (
        "17 inference_geo on 4.5",
        {"model": "claude-haiku-4-5", "inference_geo": "us"},
        "inference_geo: This model does not support",
    ),
    ("18a version: sampling", {"version": "2026-10-21", "temperature": 1.0}, "temperature: Extra inputs"),
    (
        "18b version: assistant document",
        {
            "version": "2026-10-21",
            "model": "claude-opus-4-5",
            "messages": [USER, {"role": "assistant", "content": [DOCUMENT]}, USER],
        },
        "document blocks are not permitted in assistant messages",
    ),
    (
        "18c version: citations",
        {
            "version": "2026-10-21",
            "content": [{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}],
        },
        "must be empty on user text blocks",
    ),
]

OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("no max_tokens", {"max_tokens": ...}, "max_tokens: Field required"),
    ("text max_tokens", {"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
    ("true max_tokens", {"max_tokens": True}, "max_tokens: Input should be a valid integer"),
    ("negative max_tokens", {"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
    (
        "max_tokens over the model's",
        {"model": "claude-haiku-4-5", "max_tokens": 64001},
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5-20251001",
    ),
    ("no model", {"model": ...}, "model: Field required"),
    ("no messages", {"messages": ...}, "messages: Field required"),
    ("empty messages", {"messages": []}, "messages: at least one message is required"),
    ("unknown field", {"foo": 1}, "foo: Extra inputs are not permitted"),
    ("effort at top level", {"effort": "high"}, "effort: Extra inputs are not permitted"),
    ("task budget without beta", {"output_config": {"task_budget": {"type": "tokens", "total": 1}}}, "Extra inputs"),
    ("compaction without beta", {"context_management": {"edits": []}}, "context_management: Extra inputs"),
    ("assistant first", {"messages": [{"role": "assistant", "content": "x"}, USER]}, "first message must use"),
    ("odd role", {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be"),
    ("empty content", {"content": ""}, "messages.0: all messages must have non-empty content"),
    ("empty text", {"content": [{"type": "text", "text": ""}]}, "text content blocks must be non-empty"),
    ("unknown block", {"content": [{"type": "smell"}]}, "messages.0.content.0: Input tag 'smell' found using 'type'"),
    ("block extra", {"content": [{"type": "text", "text": "x", "y": 1}]}, "messages.0.content.0.text.y: Extra"),
    ("tool_use in user", {"content": [CALL]}, "`tool_use` blocks can only be in `assistant` messages"),
    (
        "result of no call",
        {"content": [RESULT]},
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.",
    ),
    (
        "unanswered call at the end",
        {"tools": [TOOL], "model": "claude-opus-4-5", "messages": [USER, {"role": "assistant", "content": [CALL]}]},
        "`tool_use` ids were found without",
    ),
    (
        "call ids twice",
        {
            "tools": [TOOL],
            "messages": [USER, {"role": "assistant", "content": [CALL, CALL]}, {"role": "user", "content": [RESULT]}],
        },
        "`tool_use` ids must be unique",
    ),
    (
        "call ids twice over turns",
        {
            "tools": [TOOL],
            "messages": [USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}] * 2,
        },
        "messages.4.content.0: `tool_use` ids must be unique",
    ),
    (
        "text before a result",
        {
            "tools": [TOOL],
            "messages": [
                USER,
                {"role": "assistant", "content": [CALL]},
                {"role": "user", "content": [{"type": "text", "text": "so"}, RESULT]},
            ],
        },
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
    ),
    (
        "two results for a call",
        {
            "tools": [TOOL],
            "messages": [USER, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT, RESULT]}],
        },
        "each tool_use must have a single result.",
    ),
    ("message extra", {"messages": [{**USER, "id": "x"}]}, "messages.0.id: Extra inputs are not permitted"),
    ("tool name", {"tools": [{**TOOL, "name": "get weather"}]}, "tools.0.custom.name: String should match pattern"),
    ("tool names twice", {"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
    ("tool schema", {"tools": [{"name": "a", "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field"),
    ("tool type", {"tools": [{"type": "hammer_1", "name": "x"}]}, "tools.0: Input tag 'hammer_1'"),
    ("computer without beta", {"tools": [COMPUTER]}, "the anthropic-beta header computer-use-2025-11-24"),
    ("choice without tools", {"tool_choice": {"type": "any"}}, "tool_choice may only be specified while providing"),
    (
        "choice of a missing tool",
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}},
        "Tool 'x' not found in provided tools",
    ),
    (
        "forced choice where the model takes none",
        {"model": "claude-opus-5-5", "tools": [TOOL], "tool_choice": {"type": "any"}},
        "tool_choice: 'any' is not supported for this model",
    ),
    (
        "forced choice beside thinking",
        {"max_tokens": 4096, "thinking": THINK, "tools": [TOOL], "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    (
        "small thinking budget",
        {"thinking": {"type": "enabled", "budget_tokens": 1023}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    ("odd thinking", {"thinking": {"type": "deep"}}, "thinking: Input tag 'deep' found using 'type'"),
    (
        "adaptive on 4.5",
        {"model": "claude-opus-4-5", "thinking": {"type": "adaptive"}},
        '"thinking.type.adaptive" is not supported',
    ),
    (
        "disabled where it always thinks",
        {"model": "claude-opus-5-5", "thinking": {"type": "disabled"}},
        '"thinking.type.disabled" is not supported',
    ),
    (
        "disabled at xhigh",
        {"model": "claude-opus-5", "thinking": {"type": "disabled"}, "output_config": {"effort": "xhigh"}},
        "output_config.effort 'xhigh' is not supported when thinking is disabled on this model.",
    ),
    (
        "between_tools elsewhere",
        {"thinking": {"type": "between_tools"}},
        '"thinking.type.between_tools" is not supported',
    ),
    (
        "between_tools at max",
        {
            "model": "claude-sonnet-5-5",
            "thinking": {"type": "between_tools"},
            "output_config": {"effort": "max"},
        },
        "output_config.effort 'max' is not supported when thinking is disabled",
    ),
    ("effort on 4.5", {"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "does not support the effort"),
    ("odd effort", {"output_config": {"effort": "turbo"}}, "output_config.effort: Input should be 'low', 'medium'"),
    (
        "temperature beside thinking",
        {"max_tokens": 4096, "thinking": THINK, "temperature": 0.5},
        "`temperature` may only be set to 1 when thinking is enabled.",
    ),
    ("temperature range", {"temperature": 1.5}, "temperature: range: 0..1"),
    ("blank stop sequence", {"stop_sequences": [" "]}, "each stop sequence must contain non-whitespace"),
    ("metadata extra", {"metadata": {"team": "x"}}, "metadata.team: Extra inputs are not permitted"),
    ("cache ttl", {"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control.ttl: Input should be"),
    (
        "five cache marks",
        {"content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        "1h after 5m",
        {
            "content": [
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "y", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            ]
        },
        "a ttl='1h' cache_control block must not come after a ttl='5m'",
    ),
    (
        "open object",
        {"output_config": fmt({"type": "object", "properties": {}})},
        "For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    (
        "bounds in a schema",
        {"output_config": fmt(obj(n={"type": "integer", "minimum": 1}))},
        "For 'integer' type, property 'minimum' is not supported",
    ),
    (
        "recursive schema",
        {"output_config": fmt({**obj(a={"$ref": "#/$defs/N"}), "$defs": {"N": obj(b={"$ref": "#/$defs/N"})}})},
        "Recursive schemas are not supported",
    ),
    (
        "too many optional parameters",
        {"output_config": fmt({**obj(**{f"p{i}": {"type": "string"} for i in range(25)}), "required": []})},
        "Schema is too complex: 25 optional parameters",
    ),
    (
        "too many unions",
        {"output_config": fmt(obj(**{f"p{i}": {"type": ["string", "null"]} for i in range(17)}))},
        "Schema is too complex: 17 union parameters",
    ),
    ("odd thinking signature", {
        "messages": [
            USER,
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "a", "signature": "b"}]},
            USER,
        ]
    }, "messages.1.content.0: Invalid `signature` in `thinking` block"),
    (
        "trailing space of a prefill",
        {"model": "claude-opus-4-5", "messages": [USER, {"role": "assistant", "content": "So "}]},
        "final assistant content cannot end with trailing whitespace",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"), [case[1:] for case in MIGRATION], ids=[c[0] for c in MIGRATION]
)
def test_what_breaks_between_4_6_and_4_7_is_refused_with_the_vendors_words(
    client: Any, fields: dict[str, Any], message: str
) -> None:
    answer = client.ask(**fields)
    assert answer.status == 400
    assert message in answer.error
    assert answer.error.startswith("invalid_request_error: ")


@pytest.mark.parametrize(("fields", "message"), [case[1:] for case in OTHERS], ids=[c[0] for c in OTHERS])
def test_a_bad_request_names_the_field_and_the_problem(
    client: Any, fields: dict[str, Any], message: str
) -> None:
    answer = client.ask(**fields)
    assert answer.status == 400
    assert message in answer.error


def test_case_13_many_images_must_be_small(client: Any, image: Callable[..., Any]) -> None:
    large, small = image(2001, 100), image(2000, 100)
    assert client.ask([large] * 20).status == 200
    assert client.ask([small] * 21).status == 200
    refused = client.ask([small] * 20 + [large])
    assert refused.status == 400
    assert "many-image requests: 2000 pixels" in refused.error


def test_images_that_lie_about_their_type_or_are_none_are_refused(
    client: Any, image: Callable[..., Any]
) -> None:
    assert "appears to be a image/png image" in client.ask([image(9, 9, "image/jpeg")]).error
    assert "8000 pixels" in client.ask([image(8001, 9)]).error
    junk = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    assert "Could not process image" in client.ask([junk]).error


OK: list[tuple[str, dict[str, Any]]] = [
    ("consecutive user turns", {"messages": [USER, USER]}),
    ("default sampling on 4.7", {"model": "claude-opus-4-7", "temperature": 1.0}),
    ("one sampling value on 4.6", {"temperature": 0.2}),
    ("deprecated enabled thinking on 4.6", {"max_tokens": 4096, "thinking": THINK}),
    ("prefill on 4.5", {"model": "claude-opus-4-5", "messages": [USER, {"role": "assistant", "content": "So"}]}),
    ("empty last assistant turn on 4.5", {"model": "claude-opus-4-5", "messages": [USER, {"role": "assistant", "content": ""}]}),
    ("system in messages on 5", {"model": "claude-opus-5", "messages": [USER, {"role": "system", "content": "x"}]}),
    ("fast on 4.6", {"model": "claude-opus-4-6", "speed": "fast", "beta": "fast-mode-2026-02-01"}),
    ("editor of today", {"tools": [{"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}]}),
    ("computer with beta", {"tools": [COMPUTER], "beta": "computer-use-2025-11-24"}),
    ("server tools", {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]}),
    ("toolset on 5", {"model": "claude-opus-5", "tools": [{"type": "computer_toolset_20260801"}]}),
    ("null fields", {"system": None, "tools": None, "thinking": None, "stop_sequences": None, "temperature": None}),
    (
        "a task budget",
        {
            "model": "claude-opus-4-7",
            "output_config": {"effort": "xhigh", "task_budget": {"type": "tokens", "total": 20000}},
            "beta": "a, task-budgets-2026-03-13",
        },
    ),
    (
        "a paused turn sent back",
        {
            "model": "claude-opus-4-7",
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}],
                },
            ],
        },
    ),
    ("redacted thinking", {"messages": [
        USER,
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "y"}]},
        USER,
    ]}),
    ("version of 2026", {"version": "2026-10-21"}),
    ("a reference in a schema", {"output_config": fmt({**obj(a={"$ref": "#/$defs/N"}), "$defs": {"N": obj(b={"type": "string"})}})}),
]  # fmt: skip


@pytest.mark.parametrize("fields", [case[1] for case in OK], ids=[case[0] for case in OK])
def test_what_the_vendor_takes_is_taken(client: Any, fields: dict[str, Any]) -> None:
    answer = client.ask(**fields)
    assert answer.status == 200, answer.body


def test_headers_and_paths_are_checked(client: Any) -> None:
    body = b'{"model":"claude-sonnet-4-6","max_tokens":5,"messages":[{"role":"user","content":"x"}]}'
    assert "anthropic-version: header is required" in client.raw(body=body, headers={}).error
    assert (
        '"2020-01-01" is not a valid version'
        in client.raw(body=body, headers={"anthropic-version": "2020-01-01"}).error
    )
    assert client.raw(path="/v1/complete").error == "not_found_error: Not found"
    assert "batches are not simulated" in client.raw("GET", "/v1/messages/batches").error
    assert client.raw("PUT").status == 405
    big = client.raw(body=b" " * (32 * 1024 * 1024 + 1))
    assert (big.status, big.json["error"]["type"]) == (413, "request_too_large")


def test_unknown_and_retired_models_are_404(make: Any) -> None:
    client = make()
    assert client.ask(model="claude-nope").error == "not_found_error: model: claude-nope"
    assert client.ask(model="claude-3-5-sonnet-20241022").status == 404
    retired = make(serve_retired=True).ask(model="claude-3-5-sonnet-20241022")
    assert retired.status == 200
    client.clock.now += 30 * 86400
    assert client.ask(model="claude-sonnet-4-5").status == 404, "its announced retirement has passed by then"


def test_keys_are_asked_for_when_required(make: Any) -> None:
    client = make(require_key=True)
    assert client.ask().error == "authentication_error: x-api-key header is required"
    assert client.ask(headers={"x-api-key": ""}).status == 401
    assert client.ask(headers={"x-api-key": "anything"}).status == 200
    assert client.ask(headers={"authorization": "Bearer anything"}).status == 200


def test_every_error_has_the_vendors_shape(client: Any) -> None:
    answer = client.ask(max_tokens=...)
    assert answer.json["type"] == "error"
    assert answer.json["request_id"] == answer.headers["request-id"]
    assert answer.json["request_id"].startswith("req_")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-trimtab-simulated"] == "true"


def test_counting_takes_no_fields_of_a_real_call(client: Any) -> None:
    path = "/v1/messages/count_tokens"
    assert client.ask(path=path).error == "invalid_request_error: max_tokens: Extra inputs are not permitted"
    assert client.ask(path=path, max_tokens=...).json["input_tokens"] > 0


THREADS = "tools-2026-01-01,message-threads-2026-08-12"


def test_a_thread_may_be_asked_for_and_changes_nothing(client: Any) -> None:
    """SDK 2.12's tool runner sends this with every call."""
    create = {"type": "create"}
    assert client.ask("What is 17 * 23?", thread=create, beta=THREADS).text == "17 * 23 = 391"
    refused = client.ask(thread=create)
    assert (refused.status, refused.error) == (
        400, "invalid_request_error: thread: Extra inputs are not permitted",
    )  # fmt: skip
    going_on = client.ask(thread={"type": "continue", "thread_id": "thread_1"}, beta=THREADS)
    assert going_on.status == 400
    assert "thread: threads are not simulated" in going_on.error
    # The code by which the SDK's runner knows to go on without a thread.
    assert going_on.json["error"]["details"]["error_code"] == "thread_unsupported_request"
    assert client.ask(thread=None, beta=THREADS).status == 200
    assert client.ask(thread={"type": "fork"}, beta=THREADS).status == 400


TEXT = b'{"type":"text","text":"a"}'
TURN = b'{"role":"user","content":"a"}'
HEAD = b'{"model":"claude-sonnet-4-6","max_tokens":5,'


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            HEAD + b'"messages":[{"role":"user","content":[' + TEXT + (b"," + TEXT) * 1_000_000 + b"]}]}",
            "messages: should have at most 200000 content blocks",
        ),
        (
            HEAD + b'"messages":[' + TURN + (b"," + TURN) * 1_000_000 + b"]}",
            "messages: List should have at most 100000 items",
        ),
        (
            HEAD + b'"messages":[' + TURN + b'],"stop_sequences":["a"' + b',"a"' * 1_000_000 + b"]}",
            "stop_sequences: List should have at most 10000 items",
        ),
    ],
    ids=["blocks", "messages", "stops"],
)
def test_lists_of_a_million_are_refused_before_anything_is_built(
    client: Any, monkeypatch: pytest.MonkeyPatch, body: bytes, problem: str
) -> None:
    def built(_body: bytes) -> None:
        raise AssertionError("the body was decoded")

    monkeypatch.setattr(core, "_decoded", built)
    refused = client.raw(body=body)
    assert (refused.status, refused.error) == (400, f"invalid_request_error: {problem}")


def test_blocks_are_counted_however_their_type_is_spelt(client: Any) -> None:
    spelt = b'{"t\\u0079pe":"text","text":"a"}'
    body = HEAD + b'"messages":[{"role":"user","content":[' + spelt + (b"," + spelt) * 200_000 + b"]}]}"
    refused = client.raw(body=body)
    assert refused.error == "invalid_request_error: messages: should have at most 200000 content blocks"


def test_ten_thousand_blocks_and_stop_sequences_are_served(client: Any) -> None:
    blocks = [{"type": "text", "text": 'a "type" of its own'}] * 10_000
    assert client.ask(blocks, stop_sequences=["zzz"] * 10_000).status == 200
    refused = client.ask("x", stop_sequences=["zzz"] * 10_001)
    assert refused.error == "invalid_request_error: stop_sequences: List should have at most 10000 items"
