"""A list of tools that was looked at is known again by its bytes, and only by them."""

import json

import msgspec

from trimtab.engine.tool_lists import LONGEST, NOTHING, REMEMBERED, SHORTEST, ToolLists


def tools(kind: str, described: str = "x" * SHORTEST) -> msgspec.Raw:
    """Of one length and one end for kinds of one length."""
    mine = {"name": "mine", "description": described, "input_schema": {"type": "object"}}
    return msgspec.Raw(json.dumps([{"type": kind}, mine]).encode())


def test_a_list_that_looks_like_a_harmless_one_is_looked_at_itself() -> None:
    lists = ToolLists()
    harmless, hidden, advised = (tools(kind) for kind in ("bash_20250124", "web_search_01", "advisor_20260"))
    assert len(bytes(harmless)) == len(bytes(hidden)) == len(bytes(advised))
    for _ in range(2):
        assert lists.look(harmless) == NOTHING
        assert lists.look(hidden).unbounded == "web_search_01"
        assert lists.look(advised).advisor


def test_only_so_much_is_remembered() -> None:
    lists = ToolLists()
    for n in range(3 * REMEMBERED):
        assert lists.look(tools("custom", f"{n:06}" * SHORTEST)) == NOTHING
        assert lists.look(tools("custom", "x" * (LONGEST + n))) == NOTHING
    kept = lists._harmless.values()
    assert len(kept) == REMEMBERED
    assert max(map(len, kept)) <= LONGEST
