"""Kept prompts and answers as turns."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab.console.transcript import ALL_CHARS, TURN_CHARS, turns

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "x"]), inner),
    max_leaves=20,
)  # fmt: skip


def content(request: Any, answer: Any) -> dict[str, Any]:
    return {"request": {"text": json.dumps(request)}, "answer": {"text": json.dumps(answer)}}


def test_a_conversation_is_shown_turn_by_turn() -> None:
    request = {
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "add", "input": {"a": 2}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "4"}]},
        ],
    }
    answer = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "4"}],
    }
    found, left_out = turns(content(request, answer))
    assert left_out == 0
    assert [(turn.role, turn.kind) for turn in found] == [
        ("system", "text"),
        ("user", "text"),
        ("assistant", "tool_use"),
        ("user", "tool_result"),
        ("assistant", "thinking"),
        ("assistant", "text"),
    ]
    assert (found[1].text, found[-1].text, found[-2].text) == ("What is 2 + 2?", "4", "Hm.")


def test_what_is_not_a_conversation_is_shown_as_it_was_kept() -> None:
    found, _ = turns({"request": {"text": '{"messages": [{"ro'}, "answer": {"text": "<html>"}})
    assert [turn.text for turn in found] == ['{"messages": [{"ro', "<html>"]


def test_a_side_of_which_nothing_is_kept_is_left_out() -> None:
    assert turns({"request": None, "answer": None}) == ([], 0)


def test_a_long_conversation_keeps_its_end_and_says_what_is_left_out() -> None:
    messages = [{"role": "user", "content": f"{number} " + "x" * 20_000} for number in range(50)]
    found, left_out = turns(
        content({"messages": messages}, {"content": [{"type": "text", "text": "the end"}]})
    )
    assert found[-1].text == "the end"
    assert left_out + len(found) == 51
    assert sum(len(turn.text) for turn in found) <= ALL_CHARS
    assert all(len(turn.text) <= TURN_CHARS for turn in found)
    assert found[-2].left_out > 0


def test_text_nested_beyond_reason_does_not_break_the_page() -> None:
    deep = "[" * 100_000
    assert turns({"request": {"text": deep}, "answer": {"text": deep}})[0]


@given(values, values)
def test_whatever_was_kept_is_shown_without_failing(request: Any, answer: Any) -> None:
    turns(content(request, answer))
    turns(content({"messages": request, "system": answer}, {"content": answer}))
