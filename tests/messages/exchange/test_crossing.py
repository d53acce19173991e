"""A request that is put to a model of the other API asks the same, or it is not put, and says why."""

import json
from typing import Any

import msgspec
import pytest
from drawn_answers import values
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue
from trimtab.messages.body import MessagesBody
from trimtab.messages.chat import ChatBody
from trimtab.messages.exchange import Crossed, Question, answers_of, as_other_surface, question_of
from trimtab.providers.simulator import Simulator, SimulatorSettings
from trimtab.providers.simulator.faces import FaceOptions, Front

words = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() != "")
names = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
schemas = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.dictionaries(names, st.just({"type": "string"}), min_size=1, max_size=2),
    }
)
tools = st.lists(st.tuples(names, schemas, st.booleans()), max_size=2, unique_by=lambda tool: tool[0])
image = st.sampled_from(["https://x.example/a.png", "data:image/png;base64,iVBORw0KGgo="])
pieces = st.lists(
    st.tuples(st.just("text"), words) | st.tuples(st.just("image"), image), min_size=1, max_size=3
)
inputs = st.dictionaries(names, st.text(max_size=5) | st.integers(-5, 5), max_size=2)
rounds = st.tuples(pieces, words, st.lists(st.tuples(names, inputs, words), max_size=2))
"""A user's turn, what is answered, and calls of tools with their results."""

asked = st.fixed_dictionaries(
    {
        "system": st.lists(words, max_size=2),
        "rounds": st.lists(rounds, max_size=3),
        "last": pieces,
        "tools": tools,
        "choice": st.sampled_from(["auto", "any", "none", "tool"]),
        "parallel": st.booleans(),
        "schema": st.none() | schemas,
        "max_tokens": st.integers(1, 9999),
        "stop": st.lists(words, max_size=4),
    }
)


def in_messages(said: dict[str, Any]) -> dict[str, Any]:
    """What is asked, as a Messages request."""
    turns: list[Any] = []
    for user, answer, calls in said["rounds"]:
        ids = [f"t{len(turns)}_{n}" for n in range(len(calls))]
        used = [
            {"type": "tool_use", "id": i, "name": name, "input": put}
            for i, (name, put, _) in zip(ids, calls, strict=True)
        ]
        results = [
            {"type": "tool_result", "tool_use_id": i, "content": text}
            for i, (_, _, text) in zip(ids, calls, strict=True)
        ]
        turns.append({"role": "user", "content": [_block(*one) for one in user]})
        turns.append(
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": answer},
                    *used,
                ],
            }
        )
        turns += [{"role": "user", "content": results}] if results else []
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": said["max_tokens"],
        "temperature": 0.5,
        "stream": True,
    }
    body["messages"] = [*turns, {"role": "user", "content": [_block(*one) for one in said["last"]]}]
    if said["system"]:
        body["system"] = [{"type": "text", "text": text} for text in said["system"]]
    if said["stop"]:
        body["stop_sequences"] = said["stop"]
    if said["schema"] is not None:
        body["output_config"] = {
            "effort": "high",
            "format": {"type": "json_schema", "schema": said["schema"]},
        }
    if said["tools"]:
        body["tools"] = [
            {"name": name, "description": "d", "input_schema": schema, "strict": strict}
            for name, schema, strict in said["tools"]
        ]
        body["tool_choice"] = {"type": said["choice"]}
        if said["choice"] == "tool":
            body["tool_choice"]["name"] = said["tools"][0][0]
        if said["choice"] != "none":
            body["tool_choice"]["disable_parallel_tool_use"] = not said["parallel"]
    return body


def in_chat(said: dict[str, Any]) -> dict[str, Any]:
    """The same, as a Chat Completions request."""
    turns: list[Any] = [{"role": "system", "content": text} for text in said["system"]]
    for user, answer, calls in said["rounds"]:
        ids = [f"t{len(turns)}_{n}" for n in range(len(calls))]
        turns.append({"role": "user", "content": [_part(*one) for one in user]})
        used = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(put)}}
            for i, (name, put, _) in zip(ids, calls, strict=True)
        ]
        turns.append(
            {
                "role": "assistant",
                "content": answer,
                "reasoning_content": "hm",
                **({"tool_calls": used} if used else {}),
            }
        )
        turns += [
            {"role": "tool", "tool_call_id": i, "content": text}
            for i, (_, _, text) in zip(ids, calls, strict=True)
        ]
    body: dict[str, Any] = {
        "model": "m",
        "max_completion_tokens": said["max_tokens"],
        "temperature": 0.5,
        "stream": True,
    }
    body |= {
        "messages": [*turns, {"role": "user", "content": [_part(*one) for one in said["last"]]}],
        "stream_options": {"include_usage": True},
    }
    if said["stop"]:
        body["stop"] = said["stop"]
    if said["schema"] is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "a", "strict": True, "schema": said["schema"]},
        }
    if said["tools"]:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": name, "description": "d", "parameters": schema, "strict": strict},
            }
            for name, schema, strict in said["tools"]
        ]
        body["tool_choice"] = {
            "any": "required",
            "tool": {"type": "function", "function": {"name": said["tools"][0][0]}},
        }.get(said["choice"], said["choice"])
        if said["choice"] != "none":
            body["parallel_tool_calls"] = said["parallel"]
    return body


def _block(kind: str, value: str) -> dict[str, Any]:
    if kind == "text":
        return {"type": "text", "text": value}
    if value.startswith("https"):
        return {"type": "image", "source": {"type": "url", "url": value}}
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": value.partition(",")[2]},
    }


def _part(kind: str, value: str) -> dict[str, Any]:
    return (
        {"type": "text", "text": value}
        if kind == "text"
        else {"type": "image_url", "image_url": {"url": value}}
    )


def crossed(body: Any, to: Any) -> Crossed:
    return as_other_surface(json.dumps(body).encode(), to, model="other", max_tokens=777)


def same(question: Question) -> Question:
    return msgspec.structs.replace(question, surface="messages", model="")


@given(asked)
def test_what_is_put_to_the_other_api_is_the_same_question(said: dict[str, Any]) -> None:
    both = {"messages": json.dumps(in_messages(said)).encode(), "chat": json.dumps(in_chat(said)).encode()}
    asks = same(question_of(both["messages"], "messages"))
    assert same(question_of(both["chat"], "chat")) == asks
    ways: tuple[tuple[Any, Any], ...] = (("messages", "chat"), ("chat", "messages"))
    for of, to in ways:
        made = as_other_surface(both[of], to, model="other", max_tokens=777)
        assert made.body is not None, made.reason
        read = question_of(made.body, to)
        assert same(read) == asks
        assert (read.model, read.answers) == ("other", 1)
        parsed: Any = ChatBody(made.body) if to == "chat" else MessagesBody(made.body)
        assert not parsed.stream
        back = as_other_surface(made.body, of, model="m", max_tokens=777)
        assert back.body is not None
        assert same(question_of(back.body, of)) == asks


@given(
    st.sampled_from(["messages", "chat"]),
    st.binary(max_size=80) | values.map(lambda one: json.dumps(one).encode()),
)
def test_nothing_that_a_client_sends_stops_it(to: Any, body: bytes) -> None:
    made = as_other_surface(body, to, model="other", max_tokens=777)
    assert (made.body is None) == bool(made.reason)


MEMBERS = ["messages", "role", "content", "type", "text", "source", "data", "url", "image_url", "tools", "function", "name", "parameters", "input_schema", "tool_choice", "response_format", "json_schema", "schema", "output_config", "format", "max_tokens", "stop", "stop_sequences", "tool_calls", "function_call", "arguments", "id", "input", "system", "tool_use_id", "tool_call_id", "allowed_tools"]  # fmt: skip
WORDS = ["user", "assistant", "tool", "system", "text", "tool_use", "tool_result", "image", "image_url", "json_schema", "{}", "https://x.example"]  # fmt: skip
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5),
    max_leaves=25,
)


@given(st.sampled_from(["messages", "chat"]), st.dictionaries(st.sampled_from(MEMBERS), odd, max_size=6), st.lists(st.dictionaries(st.sampled_from(MEMBERS), odd, max_size=4), max_size=3))  # fmt: skip
def test_members_of_every_wrong_kind_are_no_reason_to_raise(
    to: Any, body: dict[str, Any], turns: list[Any]
) -> None:
    for one in (
        body,
        {**body, "messages": turns},
        {"messages": [{"role": "user", **turn} for turn in turns]},
    ):
        made = crossed(one, to)
        assert (made.body is None) == bool(made.reason)


USER = {"role": "user", "content": "Hi"}
CALLS = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]}


def results(**more: Any) -> dict[str, Any]:
    return {
        "messages": [
            USER,
            CALLS,
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", **more}]},
        ]
    }


NOT_IN_CHAT: dict[str, dict[str, Any]] = {
    "no request": {},
    "an answer that is begun": {"messages": [USER, {"role": "assistant", "content": "It is"}]},
    "a vendor's tool": {"messages": [USER], "tools": [{"type": "bash_20250124", "name": "bash"}]},
    "servers of tools": {"messages": [USER], "mcp_servers": [{"url": "x"}]},
    "a container": {"messages": [USER], "container": "c"},
    "a file": {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64", "data": ""}}]}]},
    "an image by its id": {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
    "a search": {"messages": [USER, {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]}, USER]},
    "a result that is an error": results(is_error=True, content="no"),
    "an image in a result": results(content=[{"type": "image", "source": {"type": "url", "url": "https://x.example"}}]),
    "too many stop sequences": {"messages": [USER], "stop_sequences": list("abcde")},
    "an empty turn": {"messages": [{"role": "user", "content": []}]},
    "a field that nobody knows": {"messages": [USER], "tomorrow": 1},
}  # fmt: skip
NOT_IN_MESSAGES: dict[str, dict[str, Any]] = {
    "no request": {},
    "an answer that is begun": {"messages": [USER, {"role": "assistant", "content": "It is"}]},
    "an answer first": {"messages": [{"role": "assistant", "content": "It is"}, USER]},
    "an instruction later": {"messages": [USER, {"role": "system", "content": "Later."}]},
    "sound": {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    "a sound that is wanted": {"messages": [USER], "modalities": ["text", "audio"]},
    "an image without a lock": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x.example"}}]}]},
    "a free tool": {"messages": [USER], "tools": [{"type": "custom", "custom": {"name": "a"}}]},
    "any JSON": {"messages": [USER], "response_format": {"type": "json_object"}},
    "a grammar": {"messages": [USER], "guided_regex": "[0-9]+"},
    "arguments that are none": {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "n", "arguments": "{"}}]}, USER]},
    "an id that is none there": {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "a:b", "function": {"name": "n", "arguments": "{}"}}]}, USER]},
    "a stop sequence of white space": {"messages": [USER], "stop": "\n"},
    "an empty turn": {"messages": [{"role": "user", "content": ""}]},
    "turns with names": {"messages": [{**USER, "name": "ann"}]},
}  # fmt: skip


@pytest.mark.parametrize(("to", "what"), [*(("chat", what) for what in NOT_IN_CHAT), *(("messages", what) for what in NOT_IN_MESSAGES)])  # fmt: skip
def test_what_the_other_api_has_no_place_for_is_not_put_to_it(to: Any, what: str) -> None:
    made = crossed((NOT_IN_CHAT if to == "chat" else NOT_IN_MESSAGES)[what], to)
    assert made.body is None
    assert made.reason.endswith(("API", "read"))


def test_what_the_other_api_wants_and_the_request_does_not_say_is_added() -> None:
    made = crossed({"messages": [USER], "n": 3}, "messages")
    assert made.body is not None
    assert MessagesBody(made.body).max_tokens == 777
    assert json.loads(made.body)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    ]


def test_functions_of_the_older_kind_are_tools_there() -> None:
    called = {"role": "assistant", "content": None, "function_call": {"name": "w", "arguments": "{}"}}
    told = {"role": "function", "name": "w", "content": "18"}
    body = {
        "functions": [{"name": "w"}],
        "messages": [USER, called, told, called, told],
        "function_call": {"name": "w"},
    }
    made = crossed(body, "messages")
    assert made.body is not None, made.reason
    found = json.loads(made.body)
    assert found["tool_choice"] == {"type": "tool", "name": "w"}
    ids = [
        turn["content"][0].get("id") or turn["content"][0].get("tool_use_id")
        for turn in found["messages"][1:]
    ]
    assert ids == ["call_1", "call_1", "call_2", "call_2"]


SAID: dict[str, Any] = {
    "system": ["Be brief."],
    "rounds": [([("text", "Weather in Rome?")], "I look.", [("weather", {"city": "Rome"}, "18 degrees")])],
    "last": [("text", "And as JSON?")],
    "tools": [("weather", {"type": "object", "properties": {"city": {"type": "string"}}}, False)],
    "choice": "auto",
    "parallel": True,
    "schema": {"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"], "additionalProperties": False},
    "max_tokens": 900,
    "stop": ["END"],
}  # fmt: skip


@pytest.mark.parametrize("to", ["messages", "chat"])
def test_a_platform_of_the_other_api_answers_it(to: Any) -> None:
    catalogue = Catalogue.load()
    front = Front(Simulator(SimulatorSettings(latency_scale=0.0), catalogue), catalogue, FaceOptions())
    of = in_chat(SAID) if to == "messages" else in_messages(SAID)
    made = as_other_surface(json.dumps(of).encode(), to, model="claude-opus-4-6", max_tokens=777)
    assert made.body is not None
    path, headers = "/v1/messages", [(b"anthropic-version", b"2023-06-01"), (b"x-api-key", b"k")]
    if to == "chat":
        path, headers = "/v1/chat/completions", [(b"authorization", b"Bearer k")]
    response = front.handle("POST", path, b"", headers, made.body)
    said = b"".join(step for step in response.steps if isinstance(step, bytes))
    assert response.status == 200, said
    (answer,) = answers_of(said, to, event_stream=False)
    assert answer.complete
