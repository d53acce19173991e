"""What a model answered reads the same on every surface, streamed or whole, and nothing that came stops the reading."""

import gzip
import json
from typing import Any

import pytest
from drawn_answers import chunk, completions, event, streams, values
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue
from trimtab.messages.exchange import Answered, ToolCall, answers_of
from trimtab.providers.simulator import Simulator, SimulatorSettings
from trimtab.providers.simulator.faces import FaceOptions, Front
from trimtab.providers.simulator.script import read_script

DONE = b"data: [DONE]\n\n"


def whole(surface: Any, body: Any) -> tuple[Answered, ...]:
    return answers_of(json.dumps(body).encode(), surface, event_stream=False)


def streamed(surface: Any, *events: bytes) -> tuple[Answered, ...]:
    return answers_of(b"".join(events), surface, event_stream=True)


@given(streams())
def test_a_message_reads_the_same_whole_and_streamed(drawn: tuple[dict[str, Any], bytes]) -> None:
    message, stream = drawn
    (answer,) = whole("messages", message)
    assert streamed("messages", stream) == (answer,)
    blocks = message["content"]
    assert answer.text == "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert [(call.id, call.name, call.input) for call in answer.tool_calls] == [
        (call["id"], call["name"], call["input"]) for call in calls
    ]
    assert all(json.loads(call.arguments) == call.input and call.readable for call in answer.tool_calls)
    assert answer.stop_reason == message["stop_reason"]
    assert answer.complete


@given(completions())
def test_a_completion_reads_the_same_whole_and_streamed(drawn: tuple[dict[str, Any], bytes]) -> None:
    completion, stream = drawn
    answers = whole("chat", completion)
    assert streamed("chat", stream) == answers
    assert len(answers) == len(completion["choices"])
    for answer, choice in zip(answers, completion["choices"], strict=True):
        message = choice["message"]
        assert answer.text == (message["content"] or "")
        assert answer.refusal == (message["refusal"] or "")
        assert [(call.id, call.name, call.arguments.decode()) for call in answer.tool_calls] == [
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls", ())
        ]
        assert answer.stop_reason == choice["finish_reason"]
        assert answer.complete


@given(
    st.sampled_from(["messages", "chat"]),
    st.one_of(streams(), completions()).map(lambda one: one[1]),
    st.integers(0, 3000),
)
def test_of_a_stream_that_broke_off_what_came_is_read_and_it_is_not_complete(
    surface: Any, stream: bytes, at: int
) -> None:
    ends = streamed(surface, stream)
    for answer in streamed(surface, stream[:at]):
        assert any(end.text.startswith(answer.text) for end in ends)
        assert answer in ends or not answer.complete
        assert answer.stop != "none" or not answer.complete


@given(st.sampled_from(["messages", "chat"]), st.booleans(), st.binary(max_size=200) | values.map(lambda one: json.dumps(one).encode()), st.sampled_from([b"", b"gzip", b"br", b"deflate"]))  # fmt: skip
def test_nothing_that_a_platform_sends_stops_the_reading(
    surface: Any, event_stream: bool, body: bytes, encoding: bytes
) -> None:
    answers_of(body, surface, event_stream=event_stream, encoding=encoding)
    answers_of(b"data: " + body + b"\n\n", surface, event_stream=True, encoding=encoding)


MEMBERS = ["type", "content", "stop_reason", "stop_details", "error", "choices", "message", "delta", "index", "finish_reason", "tool_calls", "function", "function_call", "arguments", "name", "id", "text", "refusal", "input", "partial_json", "content_block", "explanation"]  # fmt: skip
WORDS = ["message_start", "message_delta", "content_block_start", "content_block_delta", "tool_use", "text", "refusal", "message_stop"]  # fmt: skip
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5),
    max_leaves=20,
)


@given(st.sampled_from(["messages", "chat"]), st.lists(odd, max_size=4))
def test_members_of_every_wrong_kind_are_passed_over(surface: Any, documents: list[Any]) -> None:
    for one in documents:
        whole(surface, one)
    for answer in streamed(surface, *(b"data: " + json.dumps(one).encode() + b"\n\n" for one in documents)):
        answer.text.encode()
        assert len(answer.stop_reason) <= 80


@pytest.mark.parametrize("surface", ["messages", "chat"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html>",
        b"{",
        b'{"content":' + b"[" * 100_000,
        b'{"choices":' + b'[{"message":' * 50_000,
        b'{"content":[' + b"[],{}," * 500_000 + b"[]]}",
    ],
)
def test_what_holds_no_answer_reads_as_none(surface: Any, body: bytes) -> None:
    assert answers_of(body, surface, event_stream=False) == ()
    assert answers_of(body, surface, event_stream=True) == ()


def test_a_packed_answer_is_read_and_one_in_an_unknown_packing_is_none() -> None:
    body = json.dumps({"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}).encode()
    (answer,) = answers_of(gzip.compress(body), "messages", event_stream=False, encoding=b"gzip")
    assert (answer.text, answer.stop) == ("hi", "end")
    assert answers_of(body, "messages", event_stream=False, encoding=b"br") == ()
    assert answers_of(body, "messages", event_stream=False, encoding=b"gzip") == ()


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "end"),
        ("tool_use", "tool_use"),
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "context"),
        ("stop_sequence", "stop_sequence"),
        ("refusal", "refusal"),
        ("pause_turn", "paused"),
        ("compaction", "paused"),
        (None, "none"),
        ("something_new", "unknown"),
    ],
)
def test_every_stop_reason_of_the_vendor_is_known(reason: str | None, stop: str) -> None:
    (answer,) = whole("messages", {"content": [], "stop_reason": reason})
    assert (answer.stop, answer.stop_reason) == (stop, reason or "")


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("stop", "end"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "refusal"),
        (None, "none"),
        ("something_new", "unknown"),
    ],
)
def test_every_finish_reason_is_known(reason: str | None, stop: str) -> None:
    (answer,) = whole("chat", {"choices": [{"message": {"content": "a"}, "finish_reason": reason}]})
    assert (answer.stop, answer.stop_reason) == (stop, reason or "")


def test_a_refusal_says_what_it_says_where_its_api_has_a_place_for_it() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    ended = {"stop_reason": "refusal", "stop_details": details}
    (answer,) = whole("messages", {"content": [], **ended})
    assert (answer.stop, answer.refusal) == ("refusal", "Not this.")
    start = event("message_start", message={"content": [], "stop_reason": None})
    assert streamed("messages", start, event("message_delta", delta=ended), event("message_stop")) == (
        answer,
    )
    (answer,) = streamed("chat", chunk({"index": 0, "delta": {"refusal": "No"}}), chunk({"index": 0, "delta": {"refusal": "t this."}, "finish_reason": "stop"}), DONE)  # fmt: skip
    assert (answer.text, answer.refusal, answer.stop) == ("", "Not this.", "end")


def test_an_error_in_a_stream_is_how_its_answers_end() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    begun = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Half"})
    (answer,) = streamed("messages", begun, error)
    assert (answer.text, answer.stop, answer.stop_reason) == ("Half", "error", "overloaded_error")
    assert not answer.complete
    said = b'data: {"error": {"message": "gone", "type": "server_error"}}\n\n'
    begun = chunk({"index": 0, "delta": {"content": "Half"}})
    (answer,) = streamed("chat", begun, said, DONE)
    assert (answer.text, answer.stop, answer.stop_reason) == ("Half", "error", "server_error")
    assert not answer.complete
    (answer,) = streamed("chat", said)
    assert (answer.stop, answer.complete) == ("error", False)
    (answer,) = whole("messages", {"type": "error", "error": {"type": "api_error", "message": "no"}})
    assert (answer.stop, answer.stop_reason, answer.complete) == ("error", "api_error", False)


def test_calls_without_an_index_and_legacy_calls_are_read() -> None:
    one = {"id": "c1", "function": {"name": "a", "arguments": "{}"}}
    two = {"id": "c2", "type": "custom", "custom": {"name": "b", "input": "free text"}}
    (answer,) = whole("chat", {"choices": [{"message": {"tool_calls": [one, two]}}]})
    assert answer.tool_calls == (
        ToolCall("c1", "a", b"{}", {}),
        ToolCall("c2", "b", b"free text", None, False),
    )
    said = {"function_call": {"name": "a", "arguments": "{}"}}
    (answer,) = whole("chat", {"choices": [{"message": said, "finish_reason": "function_call"}]})
    assert answer.tool_calls == (ToolCall("function_call", "a", b"{}", {}),)
    first = chunk({"delta": {"function_call": {"name": "a", "arguments": ""}}})
    rest = chunk({"delta": {"function_call": {"arguments": "{}"}}, "finish_reason": "function_call"})
    assert streamed("chat", first, rest, DONE) == (answer,)


def test_input_that_was_cut_or_is_no_json_is_kept_as_written() -> None:
    start = event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "n", "input": {}})  # fmt: skip
    cut = event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"city": "Par'})  # fmt: skip
    (answer,) = streamed("messages", start, cut)
    assert answer.tool_calls == (ToolCall("t", "n", b'{"city": "Par', None, False),)
    assert (answer.complete, answer.stop) == (False, "none")
    call = {"id": "t", "function": {"name": "n", "arguments": "{'a': 1}"}}
    (answer,) = whole("chat", {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "stop"}]})
    assert answer.tool_calls == (ToolCall("t", "n", b"{'a': 1}", None, False),)


def test_what_servers_do_for_their_clients_is_no_call_of_the_clients() -> None:
    content = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "thinking", "thinking": "hidden", "signature": "s"},
        {"type": "text", "text": "Found."},
    ]
    (answer,) = whole("messages", {"content": content, "stop_reason": "end_turn"})
    assert (answer.text, answer.tool_calls, answer.thought) == ("Found.", (), True)


@pytest.mark.parametrize("surface", ["messages", "chat"])
@pytest.mark.parametrize(
    ("reply", "stop", "calls"),
    [
        ("{text: Plain words., thinking: hm}", "end", 0),
        ("{text: Cut here, stop_reason: max_tokens}", "max_tokens", 0),
        ("{text: I look., tool_use: [{name: weather, input: {at: 1.5}}, {name: other}]}", "tool_use", 2),
    ],
)
def test_the_simulators_own_answers_read_the_same_in_both_forms(
    surface: Any, reply: str, stop: str, calls: int
) -> None:
    whole_one, streamed_one = (_simulated(surface, reply, stream) for stream in (False, True))
    assert whole_one == streamed_one
    (answer,) = whole_one
    assert (answer.stop, len(answer.tool_calls), answer.complete) == (stop, calls, True)
    assert [call.input for call in answer.tool_calls] == [{"at": 1.5}, {}][:calls]
    assert answer.text in reply


def test_a_stream_that_the_simulator_cuts_is_not_complete() -> None:
    for surface in ("messages", "chat"):
        (answer,) = _simulated(
            surface, "{text: Some longer words that never end, cut: {after_events: 5}}", True
        )
        assert (answer.complete, answer.stop) == (False, "none")


def _simulated(surface: Any, reply: str, stream: bool) -> tuple[Answered, ...]:
    catalogue = Catalogue.load()
    script = read_script(f"version: 1\nrules:\n- match: {{}}\n  reply: {reply}\n".encode(), "s")
    front = Front(
        Simulator(SimulatorSettings(latency_scale=0.0), catalogue, script=script), catalogue, FaceOptions()
    )
    tools: list[dict[str, Any]] = [
        {"name": name, "input_schema": {"type": "object"}} for name in ("weather", "other")
    ]
    body: dict[str, Any] = {"model": "claude-opus-4-6", "max_tokens": 2000, "stream": stream}
    body |= {
        "messages": [{"role": "user", "content": "Hello"}],
        "thinking": {"type": "adaptive"},
        "tools": tools,
    }
    path, headers = "/v1/messages", [(b"anthropic-version", b"2023-06-01"), (b"x-api-key", b"k")]
    if surface == "chat":
        path, headers = "/v1/chat/completions", [(b"authorization", b"Bearer k")]
        body["tools"] = [{"type": "function", "function": {"name": tool["name"]}} for tool in tools]
        body["stream_options"] = {"include_usage": True}
    response = front.handle("POST", path, b"", headers, json.dumps(body).encode())
    assert response.status == 200
    said = b"".join(step for step in response.steps if isinstance(step, bytes))
    return answers_of(said, surface, event_stream=stream)
