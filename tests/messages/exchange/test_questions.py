"""What a client asked reads the same on both surfaces, and nothing that it sends stops the reading."""

import json
from typing import Any

import pytest
from drawn_answers import values
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages.exchange import Question, Tool, ToolChoice, Turn, question_of

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PIXELS = "iVBORw0KGgo="


def read(surface: Any, **fields: Any) -> Question:
    return question_of(json.dumps(fields).encode(), surface)


def test_a_whole_messages_request_is_read() -> None:
    found = read(
        "messages",
        model="claude-opus-4-7",
        max_tokens=500,
        system=[{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
        stop_sequences=["END"],
        tools=[
            {"name": "weather", "input_schema": SCHEMA, "strict": True},
            {"type": "custom", "name": "clock", "input_schema": {"type": "object"}},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "computer_toolset_20260801"},
        ],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
        messages=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
                    {"type": "tool_use", "id": "t2", "name": "clock", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "18 degrees"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "no clock"},
                            {"type": "image", "source": {"type": "base64", "data": PIXELS}},
                        ],
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
                    {"type": "document", "source": {"type": "text", "data": "A document."}},
                    {"type": "document", "source": {"type": "base64", "data": PIXELS}},
                    {"type": "text", "text": "And this?"},
                ],
            },
            {"role": "system", "content": "Later."},
        ],
    )
    assert found == Question(
        surface="messages",
        model="claude-opus-4-7",
        system="Be brief.\nBe kind.",
        turns=(
            Turn("user", "Weather?"),
            Turn("assistant", "I look.", ("weather", "clock")),
            Turn("tool", "18 degrees\nno clock", (), 2, 1, 1),
            Turn("user", "A document.\nAnd this?", images=1),
            Turn("other", "Later."),
        ),
        tools=(
            Tool("weather", SCHEMA, strict=True),
            Tool("clock", {"type": "object"}),
            Tool("bash", vendor=True),
            Tool("", vendor=True),
        ),
        tool_choice=ToolChoice("tool", "weather", False),
        schema=SCHEMA,
        wants_json=True,
        max_tokens=500,
        stop_sequences=("END",),
        images=2,
    )
    assert found.asked == "A document.\nAnd this?"


def test_a_whole_chat_request_is_read() -> None:
    found = read(
        "chat",
        model="gpt",
        max_completion_tokens=500,
        max_tokens=300,
        n=2,
        stop=["END", "STOP"],
        tools=[
            {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}},
            {"type": "function", "function": {"name": "clock"}},
            {"type": "custom", "custom": {"name": "shell"}},
        ],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                    {"id": "c2", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"},
            {"role": "tool", "tool_call_id": "c2", "content": "no clock"},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXELS}},
                    {"type": "text", "text": "And this?"},
                ],
            },
            {"role": "system", "content": "Later."},
        ],
    )
    assert found == Question(
        surface="chat",
        model="gpt",
        system="Be brief.\nBe kind.",
        turns=(
            Turn("user", "Weather?"),
            Turn("assistant", "", ("weather", "shell")),
            Turn("tool", "18 degrees\nno clock", (), 2),
            Turn("user", "And this?", images=1),
            Turn("other", "Later."),
        ),
        tools=(Tool("weather", SCHEMA, strict=True), Tool("clock"), Tool("shell", vendor=True)),
        tool_choice=ToolChoice("tool", "weather", False),
        schema=SCHEMA,
        wants_json=True,
        max_tokens=500,
        stop_sequences=("END", "STOP"),
        answers=2,
        images=1,
    )


def test_legacy_functions_are_tools() -> None:
    found = read(
        "chat",
        functions=[{"name": "weather", "parameters": SCHEMA}],
        function_call={"name": "weather"},
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "18 degrees"},
        ],
    )
    assert found.tools == (Tool("weather", SCHEMA),)
    assert found.tool_choice == ToolChoice("tool", "weather")
    assert found.turns == (Turn("assistant", "", ("weather",)), Turn("tool", "18 degrees", (), 1))


@pytest.mark.parametrize(
    ("surface", "choice", "found"),
    [
        ("messages", None, ToolChoice()),
        ("messages", {"type": "auto"}, ToolChoice()),
        ("messages", {"type": "any"}, ToolChoice("any")),
        ("messages", {"type": "none"}, ToolChoice("none")),
        (
            "messages",
            {"type": "auto", "disable_parallel_tool_use": True},
            ToolChoice(parallel=False),
        ),
        ("messages", {"type": "tool"}, ToolChoice()),
        ("messages", "any", ToolChoice()),
        ("chat", "auto", ToolChoice()),
        ("chat", "required", ToolChoice("any")),
        ("chat", "none", ToolChoice("none")),
        ("chat", {"type": "custom", "custom": {"name": "a"}}, ToolChoice("tool", "a")),
        ("chat", {"type": "function"}, ToolChoice()),
    ],
)
def test_a_choice_of_tools_is_read(surface: Any, choice: Any, found: ToolChoice) -> None:
    assert read(surface, tool_choice=choice).tool_choice == found


def test_only_the_tools_that_are_allowed_count_as_offered() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    found = read("chat", tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert (found.tools, found.tool_choice) == ((Tool("b"),), ToolChoice("any"))


@pytest.mark.parametrize(
    ("surface", "fields", "schema", "wants_json"),
    [
        ("messages", {}, None, False),
        ("messages", {"output_format": {"type": "json_schema", "schema": SCHEMA}}, SCHEMA, True),
        ("messages", {"output_config": {"format": {"type": "text"}}}, None, False),
        ("chat", {"response_format": {"type": "text"}}, None, False),
        ("chat", {"response_format": {"type": "json_object"}}, None, True),
        ("chat", {"response_format": {"type": "json_object", "schema": SCHEMA}}, SCHEMA, True),
        ("chat", {"response_format": {"type": "json_schema"}}, None, True),
        ("chat", {"response_format": "json"}, None, False),
    ],
)
def test_a_requested_form_is_read(
    surface: Any, fields: dict[str, Any], schema: object, wants_json: bool
) -> None:
    found = read(surface, **fields)
    assert (found.schema, found.wants_json) == (schema, wants_json)


def test_a_turn_with_words_beside_its_tool_results_is_a_persons_and_ends_no_chain() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "18"}
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "w", "input": {}}]}
    found = read(
        "messages",
        messages=[
            {"role": "user", "content": "Weather?"},
            call,
            {"role": "user", "content": [result]},
            call,
            {"role": "user", "content": [result, {"type": "text", "text": "Be quick."}]},
        ],
    )
    assert [turn.role for turn in found.turns] == ["user", "assistant", "tool", "assistant", "user"]
    assert sum(len(turn.tool_uses) for turn in found.chain) == 2


MEMBERS = ["model", "messages", "role", "content", "type", "text", "source", "tools", "function", "functions", "name", "parameters", "input_schema", "tool_choice", "response_format", "json_schema", "schema", "output_config", "format", "max_tokens", "max_completion_tokens", "stop", "stop_sequences", "n", "tool_calls", "function_call", "system", "is_error", "allowed_tools"]  # fmt: skip
WORDS = ["user", "assistant", "tool", "system", "function", "text", "tool_use", "tool_result", "document", "image", "content", "json_schema", "custom", "required"]  # fmt: skip
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5),
    max_leaves=25,
)


@given(
    st.sampled_from(["messages", "chat"]), st.dictionaries(st.sampled_from(MEMBERS), odd, max_size=6) | values
)
def test_members_of_every_wrong_kind_are_passed_over(surface: Any, body: Any) -> None:
    found = question_of(json.dumps(body).encode(), surface)
    found.asked.encode()
    assert 1 <= found.answers <= 128
    assert all(isinstance(stop, str) for stop in found.stop_sequences)


@given(st.sampled_from(["messages", "chat"]), st.binary(max_size=100))
def test_bytes_that_are_no_json_read_as_an_empty_question(surface: Any, body: bytes) -> None:
    assert question_of(b"!" + body, surface) == Question(surface=surface)


@pytest.mark.parametrize("surface", ["messages", "chat"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":' + b"[" * 200_000,
        b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"messages":[' + b"{}," * 1_000_000 + b"{}]}",
        b'{"messages":[{"role":"user","content":[' + b"0," * 3_000_000 + b"0]}]}",
        b'{"tools":' + b'[{"name":' * 100 + b"1" + b"}]" * 100 + b"}",
        b'{"tools":[' + b"[]," * 2_000_000 + b"[]]}",
    ],
)
def test_bodies_that_are_made_to_cost_are_read_as_far_as_it_is_worth(surface: Any, body: bytes) -> None:
    assert question_of(body, surface).asked == ""
