"""A note in the latest user turn: there once, at the end, and nothing else is another byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages import MessagesBody, with_note

NOTE = 'about 20,000 tokens are left\nfor "tools" \\ ü'
USED = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "42"}


def body(*messages: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": list(messages), "max_tokens": 9, **fields}).encode()


def noted(raw: bytes) -> bytes:
    got = with_note(MessagesBody(raw), NOTE)
    assert got is not None
    return got


def test_a_text_is_continued_and_a_list_gets_one_more_block() -> None:
    raw = body({"role": "user", "content": "same"}, USED, {"role": "user", "content": "same"})
    assert json.loads(noted(raw))["messages"][2]["content"] == "same\n\n" + NOTE
    assert json.loads(noted(raw))["messages"][0]["content"] == "same"
    raw = body(USED, {"role": "user", "content": [RESULT]})
    assert json.loads(noted(raw))["messages"][1]["content"] == [RESULT, {"type": "text", "text": NOTE}]
    assert (
        json.loads(noted(body({"content": [], "role": "user"})))["messages"][0]["content"][0]["text"] == NOTE
    )


def test_before_an_answer_that_was_begun_it_is_the_turn_before() -> None:
    got = json.loads(noted(body({"role": "user", "content": "a"}, {"role": "assistant", "content": "It is"})))
    assert got["messages"][0]["content"].endswith(NOTE)
    assert got["messages"][1]["content"] == "It is"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "assistant", "content": "x"}],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        ["text"],
        [
            {"role": "assistant", "content": [{"type": "server_tool_use"}]},
            {"role": "user", "content": [RESULT]},
        ],
        [
            {"role": "assistant", "content": [{"type": "tool_use", "caller": {}}]},
            {"role": "user", "content": [RESULT]},
        ],
        [*[{"role": "assistant", "content": "x"}] * 5],
    ],
)
def test_where_no_turn_takes_one_nothing_is_changed(messages: list[Any]) -> None:
    assert with_note(MessagesBody(body(*messages)), NOTE) is None


def test_a_turn_that_says_its_content_twice_is_left_alone() -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a","content":"b"}]}'
    assert with_note(MessagesBody(raw), NOTE) is None


TEXT = st.text(max_size=20)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"])},
    optional={
        "content": st.one_of(
            TEXT, st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})), st.none()
        )
    },
)


@given(st.lists(TURN, max_size=6), st.booleans(), st.sampled_from([None, 2]))
def test_all_other_bytes_stay(turns: list[Any], ascii_only: bool, indent: int | None) -> None:
    document = {"messages": turns, "model": "m", "max_tokens": 1}
    raw = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    try:
        read = MessagesBody(raw)
    except Exception:
        return  # not UTF-8
    got = with_note(read, NOTE)
    if got is None:
        assert all(
            turn["role"] == "assistant" or not isinstance(turn.get("content"), str | list)
            for turn in turns[-1:]
        )
        return
    start = next(n for n in range(len(got)) if n >= len(raw) or got[n] != raw[n])
    added = len(got) - len(raw)
    # The inserted bytes may share a beginning with what follows them: some place splits it.
    assert any(
        got[:at] == raw[:at] and got[at + added :] == raw[at:]
        for at in range(max(0, start - added), start + 1)
    )
    assert json.loads(got) != document
