"""What clients get of an answer is what the Claude API would have sent, on whichever platform it was made."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_platform import SECRET, TOKEN
from aws_verify import signed_by
from simulated_platforms import MODEL, REGION, House, Kind, Said, asked, simulated

from trimtab.catalogue import Catalogue
from trimtab.errors import UpstreamBroken
from trimtab.messages import StreamValidator

TEXT = "Grüße, 日本語 und 🎌👩‍👩‍👧: é"
SCRIPT = f"""
version: 1
rules:
- {{match: {{contains: refuse me}}, reply: {{refusal: {{category: cyber, explanation: no}}}}}}
- {{match: {{contains: refuse late}}, reply: {{text: It begins, refusal: {{category: bio}}}}}}
- {{match: {{contains: pause}}, reply: {{pause_turn: true}}}}
- {{match: {{contains: think}}, reply: {{thinking: "Well, 日本. Let me see.", text: Done.}}}}
- {{match: {{contains: call it}}, reply: {{thinking: I call it., tool_use: {{name: weather, input: {{place: Zürich, days: [1, 2]}}}}}}}}
- {{match: {{contains: in ones}}, reply: {{text: "{TEXT}", chunk_bytes: 1}}}}
- {{match: {{contains: in twos}}, reply: {{text: "{TEXT}", chunk_bytes: 2}}}}
- {{match: {{contains: in threes}}, reply: {{text: "{TEXT}", chunk_bytes: 3}}}}
- {{match: {{contains: in sevens}}, reply: {{text: "{TEXT}", chunk_bytes: 7}}}}
- {{match: {{contains: whole}}, reply: {{text: "{TEXT}"}}}}
"""
TOOL = {
    "name": "weather",
    "description": "Weather of a place. 天気",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"type": "string"}, "days": {"type": "array"}},
        "required": ["place"],
    },
}
THINKING = {"type": "adaptive", "display": "summarized"}
EXTRA = "amazon-bedrock-converse"
LACKING = {"structured": ("bedrock", "bedrock_mantle")}
"""Platforms on which the model does not have it, by the catalogue."""
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "text of several bytes": {"content": "whole"},
    "thinking": {"content": "think", "thinking": THINKING},
    "thinking left out": {"content": "think", "thinking": {"type": "adaptive"}},
    "tool use": {"content": "call it", "tools": [TOOL], "thinking": THINKING},
    "forced tool": {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "weather"}},
    "refusal before output": {"content": "refuse me"},
    "refusal after output": {"content": "refuse late"},
    "pause": {"content": "pause"},
    "sum": {"content": "What is 17 * 23?", "system": "Be terse.", "stop_sequences": ["END"]},
    "out of tokens": {"content": "whole", "max_tokens": 3},
    "effort": {"output_config": {"effort": "low"}},
    "structured": {
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "properties": {"answer": {"type": "integer"}},
                    "required": ["answer"],
                    "additionalProperties": False,
                },
            }
        }
    },
}


def from_the_vendor(house: House, fields: dict[str, Any]) -> tuple[int, bytes]:
    """What the Claude API's face says, to the same request."""
    response = house.simulator.handle(
        "POST",
        "/v1/messages",
        b"",
        [(b"anthropic-version", b"2023-06-01")],
        json.dumps({"model": MODEL, **asked(**fields)}, ensure_ascii=False).encode(),
    )
    return response.status, b"".join(step for step in response.steps if isinstance(step, bytes))


def sayable(event: dict[str, Any]) -> dict[str, Any]:
    """An event of a stream, or a whole message, as far as Converse can say it: not the ids of messages and what
    counts beyond the four kinds of tokens, and of a refusal not why."""
    made = {name: value for name, value in event.items() if name not in ("id", "message", EXTRA)}
    if "message" in event:
        made["model"] = event["message"]["model"]
    if "usage" in event:
        made["usage"] = {
            name: event["usage"][name]
            for name in (
                "input_tokens",
                "output_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
            )
        }
    for end in (made, made.get("delta") or {}):
        if end.get("stop_reason") == "pause_turn":
            end["stop_reason"] = "end_turn"
        if end.pop("stop_details", None) is not None:
            end["refused"] = True
    return made


def events_of(body: bytes) -> list[dict[str, Any]]:
    return [
        sayable(event)
        for block in body.split(b"\n\n")
        if block and (event := json.loads(block.partition(b"data: ")[2]))["type"] != "ping"
    ]


def broken_by_server_tools(name: str, kind: Kind, said: Said) -> bool:
    """Converse can say that the platform ran a tool, which is not translated: a break, and never a silence."""
    if not kind.rewritten or name != "pause":
        return False
    assert isinstance(said.problem, UpstreamBroken)
    assert "'toolUse.server_tool_use', which is not translated" in str(said.problem)
    assert b"message_stop" not in said.body
    return True


def unmetered(block: bytes) -> bytes:
    """An event without what Bedrock adds to the last one."""
    return block.partition(b',"amazon-bedrock-invocationMetrics"')[0].removesuffix(b"\n\n").removesuffix(b"}")


@pytest.mark.parametrize("name", REQUESTS)
def test_a_stream_is_event_by_event_the_claude_apis(
    name: str, kind: Kind, caller: Callable[..., Any], catalogue: Catalogue
) -> None:
    fields = {**REQUESTS[name], "stream": True}
    if kind.platform in LACKING.get(name, ()):
        with simulated(SCRIPT, catalogue=catalogue) as house:
            assert caller(house)(**fields).error["type"] == "invalid_request_error"
        return
    with simulated(SCRIPT, catalogue=catalogue) as one, simulated(SCRIPT, catalogue=catalogue) as other:
        expected_status, expected = from_the_vendor(one, fields)
        said = caller(other)(**fields)
    if broken_by_server_tools(name, kind, said):
        return
    assert (said.status, said.problem) == (expected_status, None)
    assert said.status == 200
    assert said.headers[b"content-type"].startswith(b"text/event-stream")
    assert said.headers[b"x-trimtab-simulated"] == b"true"
    validator = StreamValidator()
    validator.feed(said.body)
    assert validator.finish() == []
    if kind.rewritten:
        assert events_of(said.body) == events_of(expected)
        assert set(said.events[-1]) == {"type", EXTRA}
        assert said.events[-1][EXTRA]["metrics"]["latencyMs"] >= 0
        return
    expected_blocks = [block + b"\n\n" for block in expected.split(b"\n\n") if block]
    assert said.blocks[:-1] == expected_blocks[:-1]
    assert unmetered(said.blocks[-1]) == unmetered(expected_blocks[-1])
    if kind.platform == "bedrock":
        assert said.events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] >= 0
    else:
        assert said.body == expected


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_in_one_piece_is_the_claude_apis(
    name: str, kind: Kind, caller: Callable[..., Any], catalogue: Catalogue
) -> None:
    fields = REQUESTS[name]
    if kind.platform in LACKING.get(name, ()):
        with simulated(SCRIPT, catalogue=catalogue) as house:
            assert caller(house)(**fields).error["type"] == "invalid_request_error"
        return
    with simulated(SCRIPT, catalogue=catalogue) as one, simulated(SCRIPT, catalogue=catalogue) as other:
        expected = from_the_vendor(one, fields)
        said = caller(other)(**fields)
    if broken_by_server_tools(name, kind, said):
        return
    if kind.rewritten:
        assert said.status == expected[0]
        assert sayable(said.json) == sayable(json.loads(expected[1]))
    else:
        assert (said.status, said.body) == expected
    assert said.status == 200
    assert said.headers[b"content-type"] == b"application/json"
    assert said.headers[b"x-trimtab-simulated"] == b"true"
    assert said.headers[b"request-id"]


def test_a_stream_has_the_same_bytes_however_packets_split_its_characters(ask: Any) -> None:
    """The frames of the platform are split between any two bytes, so inside characters too."""

    def texts(said: Any) -> str:
        assert (said.status, said.problem) == (200, None)
        return "".join(event["delta"].get("text", "") for event in said.events if "delta" in event)

    for way in ("whole", "in ones", "in twos", "in threes", "in sevens"):
        assert texts(ask(way, stream=True)) == TEXT, way
        assert ask(way).json["content"][-1]["text"] == TEXT, way


def test_a_tool_loop_with_thinking_goes_on_with_the_blocks_that_came(ask: Any) -> None:
    """Signatures are checked by the platform: a block that was changed on its way is a 400."""
    first = ask("call it", tools=[TOOL], thinking=THINKING)
    assert first.json["stop_reason"] == "tool_use"
    blocks = first.json["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert blocks[0]["signature"]
    result = {"type": "tool_result", "tool_use_id": blocks[1]["id"], "content": "sunny"}
    turns = [
        {"role": "user", "content": "call it"},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result]},
    ]
    said = ask(tools=[TOOL], thinking=THINKING, messages=turns)
    assert said.status == 200, said.body
    blocks[0]["signature"] = blocks[0]["signature"][:-8] + "AAAAAAA="
    assert ask(tools=[TOOL], thinking=THINKING, messages=turns).status == 400


def test_an_empty_system_prompt_and_a_tool_that_gave_nothing_are_taken_everywhere(ask: Any) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    for nothing in ({"content": ""}, {"content": []}, {}):
        result = {"type": "tool_result", "tool_use_id": "toolu_1", **nothing}
        turns = [
            {"role": "user", "content": "call it"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
        said = ask(tools=[TOOL], messages=turns, system="")
        assert said.status == 200, said


def test_tokens_are_counted_as_the_claude_api_counts_them(ask: Any, house: House) -> None:
    said = ask("Count 日本", counting=True, system="Be terse.", tools=[TOOL])
    body = {"model": MODEL, **asked("Count 日本", counting=True, system="Be terse.", tools=[TOOL])}
    response = house.simulator.handle(
        "POST",
        "/v1/messages/count_tokens",
        b"",
        [(b"anthropic-version", b"2023-06-01")],
        json.dumps(body).encode(),
    )
    assert (said.status, said.body) == (200, b"".join(response.steps))


def test_what_is_cached_on_one_call_is_read_on_the_next(ask: Any, kind: Kind) -> None:
    text = f"Rules of {kind.platform}. " * 900
    system = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    first, second = (ask("Hello there", system=system).json["usage"] for _ in range(2))
    assert first["cache_creation_input_tokens"] > 2048
    assert second["cache_read_input_tokens"] == first["cache_creation_input_tokens"]


def test_every_call_is_signed_as_awss_own_library_signs_it(ask: Any, house: House, kind: Kind) -> None:
    if not kind.service:
        pytest.skip("not AWS")
    at = len(house.seen)
    ask("Hello 日本")
    ask("Hello", stream=True)
    ask("Hello", counting=True)
    assert len(house.seen) == at + 3
    for request in house.seen[at:]:
        signed_by(request, SECRET, kind.service, REGION, token=TOKEN)
