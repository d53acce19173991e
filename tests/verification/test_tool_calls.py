"""A call of a tool that the client could not carry out, or did not want, is not handed to it as an answer."""

import json
from typing import Any

import pytest
from drawn_schemas import satisfied, spoilt
from hypothesis import given
from judged_cases import answered, asked, built, judged_by

from trimtab.messages.exchange import Answered, Tool, ToolCall, ToolChoice, answers_of, question_of
from trimtab.verification.tool_calls import tool_calls

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, CLOCK = Tool("weather", CITY), Tool("clock")
BASH, TOOLSET = Tool("bash", vendor=True), Tool("", vendor=True)


def call(name: str = "weather", given: Any = None, id: str = "t1", **more: Any) -> ToolCall:
    """One with these arguments."""
    value = {"city": "Rome"} if given is None else given
    return ToolCall(id, name, json.dumps(value).encode(), value, **more)


CUT = ToolCall("t1", "weather", b'{"city": "Ro', None, False)
EMPTY = ToolCall("t1", "weather", b"", None, False)
LEGACY = call(id="function_call")
ANY, NONE, ONE = ToolChoice("any"), ToolChoice("none"), ToolChoice(parallel=False)
FORCED = ToolChoice("tool", "weather")
ROWS: dict[str, tuple[tuple[ToolCall, ...], tuple[Tool, ...], ToolChoice, str, str]] = {
    # what: the calls, the tools, the choice, what is said, words of the reason
    "right": ((call(),), (WEATHER, CLOCK), ToolChoice(), "accept", ""),
    "none, and none wanted": ((), (WEATHER,), ToolChoice(), "accept", ""),
    "two at once": ((call(), call(id="t2")), (WEATHER,), ToolChoice(), "accept", ""),
    "of a tool without a schema": ((call("clock", {"any": 1}),), (CLOCK,), ToolChoice(), "accept", ""),
    "of the vendor's tool": ((call("bash", {"command": 1}),), (BASH,), ToolChoice(), "accept", ""),
    "free text for the vendor's tool": ((ToolCall("t1", "bash", b"ls", None, False),), (BASH,), ToolChoice(), "accept", ""),
    "of a member of a set of tools": ((call("left_click", {}),), (TOOLSET,), ToolChoice(), "accept", ""),
    "the older kind of call": ((LEGACY,), (WEATHER,), ToolChoice(), "accept", ""),
    "a tool that was not offered": ((call("wether"),), (WEATHER,), ToolChoice(), "escalate", "not offered"),
    "another case": ((call("Weather"),), (WEATHER,), ToolChoice(), "escalate", "not offered"),
    "a name twice over": ((call("weatherweather"),), (WEATHER,), ToolChoice(), "escalate", "not offered"),
    "no name": ((call(""),), (WEATHER, TOOLSET), ToolChoice(), "escalate", "not offered"),
    "no tools at all": ((call(),), (), ToolChoice(), "escalate", "not offered"),
    "arguments that were cut": ((CUT,), (WEATHER,), ToolChoice(), "escalate", "no JSON"),
    "no arguments": ((EMPTY,), (WEATHER,), ToolChoice(), "escalate", "no JSON"),
    "arguments that are a list": ((call(given=["Rome"]),), (WEATHER,), ToolChoice(), "escalate", "no object"),
    "arguments that are JSON in a text": ((call(given='{"city": "Rome"}'),), (WEATHER,), ToolChoice(), "escalate", "no object"),
    "arguments that are a text for a tool without a schema": ((call("clock", "now"),), (CLOCK,), ToolChoice(), "escalate", "no object"),
    "a missing argument": ((call(given={}),), (WEATHER,), ToolChoice(), "escalate", "its schema"),
    "an argument of the wrong kind": ((call(given={"city": 5}),), (WEATHER,), ToolChoice(), "escalate", "its schema"),
    "the second one is wrong": ((call(), call(given={}, id="t2")), (WEATHER,), ToolChoice(), "escalate", "its schema"),
    "no id": ((call(id=""),), (WEATHER,), ToolChoice(), "escalate", "no id"),
    "an id twice": ((call(), call("clock", {})), (WEATHER, CLOCK), ToolChoice(), "escalate", "the id of another"),
    "a schema that cannot be used": ((call(),), (Tool("weather", {"type": "text"}),), ToolChoice(), "unsure", "cannot be used"),
    "a schema that cannot be used, and a wrong call": (
        (call(), call("clock", [], id="t2")), (Tool("weather", {"type": "text"}), CLOCK), ToolChoice(), "escalate", "no object",
    ),
    "too many": (tuple(call(id=str(n)) for n in range(200)), (WEATHER,), ToolChoice(), "unsure", "200"),
    "one must be called, and is": ((call(),), (WEATHER,), ANY, "accept", ""),
    "one must be called, and none is": ((), (WEATHER,), ANY, "escalate", "calls no tool"),
    "one must be called, and a server's may have been": ((), (WEATHER, Tool("web_search", vendor=True)), ANY, "accept", ""),
    "this one must be called, and is": ((call(),), (WEATHER, CLOCK), FORCED, "accept", ""),
    "this one must be called, and another is": ((call("clock", {}),), (WEATHER, CLOCK), FORCED, "escalate", "another tool"),
    "this one must be called, and none is": ((), (WEATHER, BASH), FORCED, "escalate", "calls no tool"),
    "none may be called, and none is": ((), (WEATHER,), NONE, "accept", ""),
    "none may be called, and one is": ((call(),), (WEATHER,), NONE, "escalate", "none may be called"),
    "one at a time": ((call(),), (WEATHER,), ONE, "accept", ""),
    "one at a time, and two are": ((call(), call(id="t2")), (WEATHER,), ONE, "escalate", "several"),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_calls_can_be_carried_out_as_the_client_wants_it_or_not(what: str) -> None:
    calls, tools, choice, says, words = ROWS[what]
    answer = answered(tool_calls=calls, stop="tool_use" if calls else "end")
    found = judged_by(built(tool_calls), answer, asked(tools=tools, tool_choice=choice))
    assert found.says == says, found
    assert words in found.reason
    assert all(len(str(value)) <= 200 for value in found.evidence.values())


def test_an_answer_that_says_that_it_calls_and_does_not_is_sent_on() -> None:
    question = asked(tools=(WEATHER,))
    assert (
        judged_by(built(tool_calls), answered("Let me look.", stop="tool_use"), question).says == "escalate"
    )
    paused = answered("Let me look.", stop="paused")
    assert judged_by(built(tool_calls), paused, asked(tools=(WEATHER,), tool_choice=ANY)).says == "accept"


@given(satisfied())
def test_arguments_made_for_a_tools_schema_are_accepted(drawn: tuple[Any, Any]) -> None:
    schema, value = drawn
    wrapped = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    answer = answered(tool_calls=(call("tool", {"value": value}),), stop="tool_use")
    assert judged_by(built(tool_calls), answer, asked(tools=(Tool("tool", wrapped),))).says == "accept"


@given(spoilt())
def test_arguments_with_one_thing_wrong_are_sent_on_with_their_place(drawn: tuple[Any, Any, str]) -> None:
    schema, value, pointer = drawn
    wrapped = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    answer = answered(tool_calls=(call("tool", {"value": value}),), stop="tool_use")
    found = judged_by(built(tool_calls), answer, asked(tools=(Tool("tool", wrapped),)))
    assert found.says == "escalate"
    assert found.evidence["at"] == "/value" + pointer


def test_what_comes_over_the_wire_is_judged_the_same_on_both_surfaces() -> None:
    for wanted, says in (({"city": "Rome"}, "accept"), ({"town": "Rome"}, "escalate")):
        block = {"type": "tool_use", "id": "t", "name": "weather", "input": wanted}
        function = {"id": "t", "function": {"name": "weather", "arguments": json.dumps(wanted)}}
        for surface, asks, says_it in (
            ("messages", {"tools": [{"name": "weather", "input_schema": CITY}]}, {"content": [block], "stop_reason": "tool_use"}),
            ("chat", {"tools": [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]}, {"choices": [{"message": {"tool_calls": [function]}, "finish_reason": "tool_calls"}]}),
        ):  # fmt: skip
            at: Any = surface
            (answer,) = answers_of(json.dumps(says_it).encode(), at, event_stream=False)
            question = question_of(json.dumps(asks).encode(), at)
            assert judged_by(built(tool_calls), answer, question).says == says


def test_formats_of_arguments_are_checked_where_that_is_wanted() -> None:
    question = asked(tools=(Tool("tool", {"properties": {"day": {"format": "date"}}}),))
    answer = Answered(tool_calls=(call("tool", {"day": "never"}),), stop="tool_use")
    assert judged_by(built(tool_calls), answer, question).says == "accept"
    assert judged_by(built(tool_calls, formats=True), answer, question).says == "escalate"
