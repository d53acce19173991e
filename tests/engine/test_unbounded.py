"""A key with limited money cannot spend what nothing bounds."""

import json
from typing import Any

import pytest

from trimtab.engine.tool_lists import ToolLists
from trimtab.engine.unbounded import check_unbounded
from trimtab.errors import PermissionDenied
from trimtab.messages import MessagesBody
from trimtab.records import NOBODY, Caller, Limits

LIMITED = Caller(key="key_1", limits=Limits(total_nanousd=10**9))
OTHERS = (
    NOBODY,
    Caller(key="key_1", limits=Limits(concurrency=1)),
    Caller(key="key_1", limits=Limits(total_nanousd=10**9, may_overshoot=True)),
)
MINE = {"name": "mine", "input_schema": {"type": "object", "properties": {"type": {"type": "string"}}}}


def body(**more: Any) -> bytes:
    return json.dumps({"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [], **more}).encode()


UNBOUNDED: dict[str, bytes] = {
    "tools: 'web_search_20260318'": body(tools=[MINE, {"type": "web_search_20260318", "name": "web_search", "max_uses": 1}]),
    "tools: 'web_fetch_20260209'": body(tools=[{"type": "web_fetch_20260209", "name": "web_fetch"}]),
    "tools: 'code_execution_20260120'": body(tools=[{"type": "code_execution_20260120", "name": "code_execution"}]),
    "tools: 'tool_search_tool_regex_20251119'": body(tools=[{"type": "tool_search_tool_regex_20251119", "name": "t"}]),
    "tools: 'mcp_toolset'": body(tools=[{"type": "mcp_toolset", "mcp_server_name": "x"}]),
    "tools: 'a_kind_to_come'": body(tools=[{"type": "a_kind_to_come"}]),
    "tools: 'bash_code_execution_2'": body(tools=[{"type": "bash_code_execution_2"}]),
    "tools: '\\(a tool with two": b'{"model":"m","max_tokens":1,"messages":[],"tools":[{"type":"web_search_20260318","type":"custom"}]}',
    "tools: '\\(a list that": b'{"model":"m","max_tokens":1,"messages":[],"tools":[{"type":5}]}',
    "tools: 'web_search_1'": body(tools=[{"type": "web_search_1"}]).replace(b'"type"', b'"t\\u0079pe"').replace(b"web", b"\\u0077eb"),
    "mcp_servers": body(mcp_servers=[{"type": "url", "url": "https://x", "name": "x"}]),
    "compaction": body(compaction={"type": "summarize"}),
    "thread": body(thread="t_1"),
    "billing_policy": body(billing_policy={"a": 1}),
    "context_management: 'compact_20260112'": body(context_management={"edits": [{"type": "clear_thinking_20251015"}, {"type": "compact_20260112"}]}),
    "context_management: 'an_edit_to_come'": body(context_management={"edits": [{"type": "an_edit_to_come"}]}),
    "context_management: 'None'": b'{"model":"m","max_tokens":1,"messages":[],"context_management":{"edits":[{"type":"compact_1"}],"edits":[]}}',
    "container: skills": body(container={"id": "c", "skills": [{"skill_id": "pdf"}]}),
}  # fmt: skip


@pytest.mark.parametrize("what", UNBOUNDED)
def test_what_nothing_bounds_is_refused_by_name_and_says_who_may_permit_it(what: str) -> None:
    with pytest.raises(PermissionDenied, match=f"^{what}.*trimtab keys limits key_1 --overshoot"):
        check_unbounded(MessagesBody(UNBOUNDED[what]), LIMITED, ToolLists())


@pytest.mark.parametrize("what", UNBOUNDED)
@pytest.mark.parametrize("caller", OTHERS, ids=["nobody", "no limit of money", "permitted"])
def test_others_may(what: str, caller: Caller) -> None:
    check_unbounded(MessagesBody(UNBOUNDED[what]), caller, ToolLists())


@pytest.mark.parametrize(
    "raw",
    [
        body(),
        body(tools=None, mcp_servers=[], container="c", context_management=None, thread=None),
        body(tools=[MINE, {"type": "custom", **MINE}, {"type": None, **MINE}]),
        body(tools=[{"type": kind, "name": "t"} for kind in ("bash_20250124", "text_editor_20250728", "memory_20250818",
                    "computer_20251124", "computer_toolset_20260801", "browser_toolset_20260801")]),
        body(tools=[{**MINE, "description": 'like "web_search_20260318" and "mcp_toolset", \u00e4'}]),
        body(context_management={"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}]}),
        body(container={"id": "c", "skills": []}),
    ],
)  # fmt: skip
def test_what_bills_by_the_body_alone_passes(raw: bytes) -> None:
    check_unbounded(MessagesBody(raw), LIMITED, ToolLists())
