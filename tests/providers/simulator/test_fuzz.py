"""Whatever comes in, a vendor-shaped response goes out; every request that is taken gets a valid answer."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import examples

PATHS = [
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/x",
    "/",
    "/v1/messages/batches",
    "é",
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def fields_of(names: list[str], types: list[str]) -> st.SearchStrategy[Any]:
    """JSON with the API's own names, so that checks are reached."""
    leaf = st.none() | st.booleans() | st.integers(-1, 30000) | st.sampled_from(types) | st.text(max_size=6)
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=5)
        ),
        max_leaves=20,
    )


NAMES = [
    "type", "role", "content", "text", "thinking", "signature", "budget_tokens", "display", "source", "data", "id",
    "name", "input", "tool_use_id", "cache_control", "ttl", "citations", "input_schema", "properties", "required",
    "schema", "format", "effort", "task_budget", "total", "media_type", "strict", "defer_loading", "items", "$ref",
    "anyOf", "enum", "additionalProperties", "block_binding", "$defs", "minimum",
]  # fmt: skip
TYPES = [
    "user", "assistant", "system", "text", "image", "tool_use", "tool_result", "thinking", "adaptive", "enabled",
    "ephemeral", "json_schema", "object", "array", "string", "base64", "any", "tool", "tokens", "bash_20250124",
    "document", "image/png", "high", "iVBORw0KGgo=", "#/$defs/a",
]  # fmt: skip
TOP = [
    "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "metadata",
    "stop_sequences", "temperature", "top_p", "top_k", "stream", "max_tokens", "model", "context_management",
]  # fmt: skip


def is_vendor_shaped(answer: Any) -> None:
    assert answer.headers["x-trimtab-simulated"] == "true"
    assert answer.headers["request-id"].startswith("req_")
    if answer.status == 200:
        return
    assert 400 <= answer.status < 500, answer.body
    body = answer.json
    assert body["type"] == "error"
    assert body["error"]["type"].endswith(("_error", "request_too_large"))
    assert body["error"]["message"]


@given(
    st.sampled_from(PATHS),
    st.sampled_from(["GET", "POST", "HEAD"]),
    st.binary(max_size=60),
    st.binary(max_size=20),
)
def test_random_bytes_never_break_it(shared: Any, path: str, method: str, body: bytes, query: bytes) -> None:
    is_vendor_shaped(shared.raw(method, path, body, query))


@given(st.dictionaries(st.sampled_from(TOP) | st.text(max_size=5), json_values, max_size=6))
def test_random_json_never_breaks_it(shared: Any, body: dict[str, Any]) -> None:
    is_vendor_shaped(shared.raw(body=msgspec.json.encode(body)))


@settings(max_examples=examples(150, of=600))
@given(
    st.sampled_from(["claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-5-5"]),
    st.dictionaries(st.sampled_from(TOP[:-3]), fields_of(NAMES, TYPES), max_size=4),
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(TYPES[:3]), "content": fields_of(NAMES, TYPES)}),
        max_size=3,
    ),
    st.booleans(),
)
def test_json_with_the_apis_own_names_never_breaks_it(
    shared: Any, model: str, body: dict[str, Any], messages: list[Any], counting: bool
) -> None:
    first = {"role": "user", "content": "x"}
    full = {"messages": [first, *messages], **body, "model": model}
    if not counting:
        full["max_tokens"] = 2000
    path = "/v1/messages/count_tokens" if counting else "/v1/messages"
    answer = shared.raw(path=path, body=msgspec.json.encode(full))
    is_vendor_shaped(answer)
    if answer.body.startswith(b"event:"):
        assert answer.problems == []


def test_deep_nesting_is_refused(shared: Any) -> None:
    for deep in (b"[" * 100_000, b'{"a":' * 100_000, b'{"model":' + b"[" * 900 + b"]" * 900 + b"}"):
        is_vendor_shaped(shared.raw(body=deep))
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for _ in range(300):
        schema = {"type": "object", "additionalProperties": False, "properties": {"a": schema}}
    is_vendor_shaped(shared.ask(output_config={"format": {"type": "json_schema", "schema": schema}}))
    tool = {"name": "deep_tool", "input_schema": schema}
    is_vendor_shaped(shared.ask("deep tool", tools=[tool]))


def test_schemas_that_explode_are_bounded(shared: Any) -> None:
    defs: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 3} for i in range(30)}
    defs["d30"] = {"type": "string"}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "required": ["a"], "$defs": defs}
    is_vendor_shaped(
        shared.ask(
            "call it", tools=[{"name": "explode", "input_schema": schema}], tool_choice={"type": "any"}
        )
    )
    strict = {"name": "explode", "input_schema": {**schema, "additionalProperties": False}, "strict": True}
    assert "Schema is too complex" in shared.ask(tools=[strict]).error


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip)
requests = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            ["claude-opus-4-7", "claude-sonnet-4-6", "claude-opus-5-5", "claude-haiku-4-5"]
        ),
        "max_tokens": st.integers(0, 400),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.just("user"), "content": texts}), min_size=1, max_size=4
        ),
    },
    optional={
        "system": texts,
        "stop_sequences": st.lists(texts, max_size=3),
        "tools": st.just([{"name": "echo", "input_schema": {"type": "object", "properties": {"text": {}}}}]),
    },
)


@given(requests)
def test_every_valid_request_gets_a_valid_answer_the_same_streamed(make: Any, body: dict[str, Any]) -> None:
    whole = make().raw(body=msgspec.json.encode(body))
    assert whole.status == 200, whole.body
    assert whole.usage.output_tokens <= body["max_tokens"]
    stream = make().raw(body=msgspec.json.encode({**body, "stream": True}))
    assert stream.problems == []
    assert stream.usage == whole.usage
    assert stream.text == whole.text


RICH: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 3000,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "metadata": {"user_id": "u"},
    "stop_sequences": ["zz"],
    "thinking": {
        "type": "adaptive",
        "display": "summarized",
        "block_binding": {"prefix_mismatch_behavior": "error"},
    },
    "output_config": {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["a"],
                "properties": {
                    "a": {"type": ["string", "null"]},
                    "b": {"type": "array", "items": {"$ref": "#/$defs/d"}},
                    "c": {"anyOf": [{"type": "integer"}, {"enum": ["x"]}]},
                },
                "$defs": {"d": {"type": "string", "format": "date"}},
            },
        },
        "task_budget": None,
    },
    "tools": [
        {
            "name": "get_weather",
            "description": "d",
            "strict": False,
            "input_schema": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 3}},
                "required": ["n"],
            },
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        },
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
    "messages": [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "t", "citations": []},
                {
                    "type": "tool_use",
                    "id": "t1",
                    "name": "get_weather",
                    "input": {"n": 3},
                    "toolset_name": "x",
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": False,
                    "content": [
                        {"type": "text", "text": "r"},
                        {"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}},
                    ],
                },
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                    "title": "y",
                },
                {
                    "type": "search_result",
                    "source": "s",
                    "title": "t",
                    "content": [{"type": "text", "text": "x"}],
                },
                {"type": "text", "text": "What is 2 + 2?", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        found += places(member, (*path, key))
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    key, *rest = path
    if rest or new is not ...:
        copy[key] = changed(copy[key], tuple(rest), new)
    else:
        del copy[key]
    return copy


def test_the_rich_request_is_taken(shared: Any) -> None:
    answer = shared.raw(body=msgspec.json.encode(RICH))
    assert answer.status == 200, answer.body


@settings(max_examples=examples(250, of=1000))
@given(
    st.sampled_from(places(RICH)),
    st.just(...)
    | json_values
    | st.sampled_from(TYPES)
    | st.sampled_from([RICH["messages"], RICH["tools"], [RICH]]),
    st.booleans(),
    st.sampled_from(["2023-06-01", "2026-10-21"]),
)
def test_one_change_anywhere_never_breaks_it(
    shared: Any, path: tuple[Any, ...], new: Any, stream: bool, version: str
) -> None:
    body = msgspec.json.encode({**changed(RICH, path, new), **({"stream": True} if stream else {})})
    answer = shared.raw(body=body, headers={"anthropic-version": version})
    is_vendor_shaped(answer)
    if answer.body.startswith(b"event:"):
        assert answer.problems == []
