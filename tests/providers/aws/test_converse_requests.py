"""A Messages request on its way to Converse: AWS's own service model takes it, and nothing of it is lost unsaid."""

import base64
import json
from typing import Any

import pytest
from aws_converse import checked

from trimtab.errors import RequestError
from trimtab.messages import MessagesBody
from trimtab.providers.aws.converse_request import converse_body

PNG = base64.b64encode(b"\x89PNG").decode()
TOOL = {"name": "get", "description": "Gets", "input_schema": {"type": "object", "properties": {}}}
HI = [{"role": "user", "content": "hi"}]


def said(*, betas: str = "", **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 9, "messages": HI, **fields}
    raw = json.dumps(body).encode()
    headers = [(b"anthropic-beta", betas.encode())] if betas else []
    return checked(converse_body(MessagesBody(raw, max_tokens_required=False), headers))


def blocks(*content: Any) -> list[Any]:
    found: list[Any] = said(messages=[{"role": "user", "content": list(content)}])["messages"][0]["content"]
    return found


def test_the_settings_of_a_request_have_their_places() -> None:
    assert said(temperature=0.5, top_p=1, stop_sequences=["a"], stream=True, system="be") == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "be"}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 1, "stopSequences": ["a"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }


def test_what_converse_has_no_member_for_is_a_field_of_the_model() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    made = said(
        thinking=thinking,
        top_k=5,
        metadata={"user_id": "u"},
        anthropic_beta=["a-1"],
        betas="b-2,a-1",
        new=[1],
    )
    assert made["additionalModelRequestFields"] == {
        "thinking": thinking,
        "top_k": 5,
        "metadata": {"user_id": "u"},
        "anthropic_beta": ["a-1", "b-2"],
        "new": [1],
    }


def test_betas_of_the_body_alone_stay() -> None:
    assert said(anthropic_beta=["a-1"])["additionalModelRequestFields"] == {"anthropic_beta": ["a-1"]}


def test_effort_and_format_are_converses_and_other_parts_the_models() -> None:
    schema = {"type": "object", "properties": {"é": {"type": "string"}}}
    made = said(
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": schema}, "later": 1}
    )
    text = made["outputConfig"].pop("textFormat")
    assert made["outputConfig"] == {"effort": "high"}
    assert json.loads(text["structure"]["jsonSchema"]["schema"]) == schema
    assert made["additionalModelRequestFields"] == {"output_config": {"later": 1}}


def test_numbers_and_spaces_of_tool_inputs_and_schemas_keep_their_bytes() -> None:
    raw = (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t",'
        b'"name":"get","input":{"n": 1.0e2, "b":123456789012345678901, "\\u00e9":"\\ud83d\\ude00"}}]}],'
        b'"tools":[{"name":"get","input_schema":{"type" : "object"}}]}'
    )
    made = converse_body(MessagesBody(raw), [])
    assert b'{"n": 1.0e2, "b":123456789012345678901, "\\u00e9":"\\ud83d\\ude00"}' in made
    assert b'{"json":{"type" : "object"}}' in made


def test_thinking_goes_back_with_its_signature_in_its_place() -> None:
    made = said(messages=[
        *HI,
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "t_1", "name": "get", "input": {"a": 1}, "caller": {"type": "direct"}},
        ]},
    ])  # fmt: skip
    assert made["messages"][1] == {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
        {"text": "so"},
        {"toolUse": {"toolUseId": "t_1", "name": "get", "input": {"a": 1}}},
    ]}  # fmt: skip


def test_cache_marks_are_points_behind_what_they_mark() -> None:
    mark = {"type": "ephemeral"}
    made = said(
        system=[{"type": "text", "text": "s", "cache_control": {**mark, "ttl": "1h"}}],
        tools=[{**TOOL, "cache_control": mark}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}]}],
    )  # fmt: skip
    point = {"cachePoint": {"type": "default"}}
    assert made["system"] == [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert made["toolConfig"]["tools"][1] == point
    assert made["messages"][0]["content"] == [{"text": "a"}, point, {"text": "b"}]


def test_images_and_documents_are_sent_as_bytes_under_names_that_differ() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": PNG}
    text = {"type": "text", "media_type": "text/plain", "data": "plain"}
    made = blocks(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "document", "source": pdf, "title": "a_b.pdf", "citations": {"enabled": False}},
        {"type": "document", "source": pdf, "title": "a_b.pdf"},
        {"type": "document", "source": text, "context": "old"},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    )
    assert made == [
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"document": {"format": "pdf", "name": "a-b-pdf", "source": {"bytes": PNG}}},
        {"document": {"format": "pdf", "name": "a-b-pdf (2)", "source": {"bytes": PNG}}},
        {"document": {"format": "txt", "name": "document 3", "source": {"text": "plain"}, "context": "old"}},
        {"document": {"name": "document 4", "source": {"content": [{"text": "x"}]}}},
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": "x"}]}},
    ]


def test_results_of_tools_say_whether_they_failed() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}}
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    made = blocks(
        {"type": "tool_result", "tool_use_id": "a", "content": '{"json": 1}', "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": [image, marked], "is_error": False},
        {"type": "tool_result", "tool_use_id": "c"},
    )
    shown = {"image": {"format": "jpeg", "source": {"bytes": PNG}}}
    assert made == [
        {"toolResult": {"toolUseId": "a", "content": [{"text": '{"json": 1}'}], "status": "error"}},
        {"toolResult": {"toolUseId": "b", "content": [shown, {"text": "x"}], "status": "success"}},
        {"cachePoint": {"type": "default"}},
        {"toolResult": {"toolUseId": "c", "content": []}},
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"auto": {}}),
        ({"type": "any", "disable_parallel_tool_use": False}, {"any": {}}),
        ({"type": "tool", "name": "get"}, {"tool": {"name": "get"}}),
    ],
)
def test_the_choice_of_a_tool_is_converses(choice: Any, expected: Any) -> None:
    made = said(tools=[{**TOOL, "strict": True}], tool_choice=choice)
    assert made["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "get", "description": "Gets", "inputSchema": {"json": TOOL["input_schema"]}, "strict": True}}],
        "toolChoice": expected,
    }  # fmt: skip
    assert "additionalModelRequestFields" not in made


def test_what_only_the_model_has_words_for_is_said_in_the_models() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    bash = {"type": "bash_20250124", "name": "bash"}
    made = said(tools=[bash, TOOL], tool_choice=choice)
    assert made["additionalModelRequestFields"] == {"tools": [bash], "tool_choice": choice}
    assert [list(tool) for tool in made["toolConfig"]["tools"]] == [["toolSpec"]]
    assert "toolChoice" not in made["toolConfig"]


IMAGE_URL = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
PDF_URL = {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}
CITED = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "citations": {"enabled": True}}  # fmt: skip
RESULT = {
    "type": "tool_result",
    "tool_use_id": "a",
    "content": [{"type": "tool_reference", "tool_name": "x"}],
}
INNER = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("block", "place"),
    [
        (IMAGE_URL, "source.type: 'url'"),
        (PDF_URL, "source.type: 'url'"),
        (CITED, "citations.enabled"),
        (RESULT, "content.0.type: 'tool_reference'"),
        ({**RESULT, "content": [INNER, {"type": "text", "text": "y"}]}, "content.0.cache_control"),
        ({"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}, "type: 'server_tool_use'"),
        ({"type": "text", "text": "x", "citations": [{"type": "char_location"}]}, "citations"),
        ({"type": "text", "text": "x", "later": 1}, "later"),
        ({"type": "redacted_thinking", "data": "no base64!"}, "data: is not base64"),
        ({"type": "tool_use", "id": "a", "name": "b", "input": {}, "caller": {"type": "code_execution"}}, "caller"),
    ],
)  # fmt: skip
def test_a_block_that_cannot_be_said_is_refused_by_its_place(block: Any, place: str) -> None:
    with pytest.raises(RequestError) as problem:
        blocks({"type": "text", "text": "x"}, block)
    assert str(problem.value).startswith(f"messages.0.content.1.{place}")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, "tool_choice.type: 'none'"),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: may only be specified"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type: 'web_search_20250305'"),
        ({"tools": [{"type": "tool_search_tool_regex_20251119", "name": "x"}]}, "tools.0.type: 'tool_search_"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools.0.defer_loading"),
        ({"tools": [{**TOOL, "input_examples": [{}]}]}, "tools.0.input_examples"),
        ({"cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: 'tool'"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages.0.name"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages.0.content.0: Input should be an object"),
        ({"system": [{"type": "image"}]}, "system.0.type: 'image'"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type: 'grammar'"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_said_is_refused_by_its_name(fields: Any, place: str) -> None:
    with pytest.raises(RequestError) as problem:
        said(**fields)
    assert str(problem.value).startswith(place)
    assert problem.value.status == 400
