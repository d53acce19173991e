"""What a stream spells is the message that a client without streaming would have got."""

import json
from typing import Any

import pytest
from drawn_answers import event, streams, values
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages import SSEParser, assembled, encode_event


@given(streams())
def test_a_streamed_answer_reads_as_the_message_that_it_spells(stream: tuple[dict[str, Any], bytes]) -> None:
    message, sent = stream
    found = assembled(sent)
    assert found.message == message
    assert found.complete
    assert found.error is None


@given(streams(), st.integers(0, 10_000))
def test_of_a_cut_stream_what_had_come_is_shown(stream: tuple[dict[str, Any], bytes], at: int) -> None:
    message, sent = stream
    found = assembled(sent[:at])
    if found.message is not None and "content" in found.message:
        shown = "".join(
            block.get("text", "") for block in found.message["content"] if block.get("type") == "text"
        )
        whole = "".join(block.get("text", "") for block in message["content"] if block["type"] == "text")
        assert whole.startswith(shown)
    assert found.complete == (at >= len(sent.rstrip(b"\n")) + 2)


@given(st.lists(st.binary(max_size=40) | streams().map(lambda one: one[1]), max_size=4))
def test_nothing_that_a_platform_sends_raises_and_the_message_can_be_written(parts: list[bytes]) -> None:
    found = assembled(b"".join(parts))
    json.dumps(found.message).encode()


@given(st.lists(st.dictionaries(st.sampled_from(["type", "index", "delta", "content_block", "message", "usage", "error"]), values | st.sampled_from(["content_block_delta", "content_block_start", "message_start", "message_delta"]), max_size=5), max_size=5))  # fmt: skip
def test_events_with_odd_members_are_read_as_far_as_they_make_sense(events: list[dict[str, Any]]) -> None:
    assembled(b"".join(encode_event("x", json.dumps(one).encode()) for one in events))


def test_half_a_character_in_each_of_two_deltas_is_one_character() -> None:
    halves = (
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}',
        (b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ude00"}}'),
    )
    found = assembled(b"".join(encode_event("content_block_delta", half) for half in halves))
    assert found.message == {"type": "message", "content": [{"text": "😀"}]}
    alone = assembled(encode_event("content_block_delta", halves[0]))
    assert alone.message is not None
    assert alone.message["content"][0]["text"] == "\ufffd"


@pytest.mark.parametrize("cut", ['{"city": "Par', ""])
def test_tool_input_that_was_cut_is_shown_as_text(cut: str) -> None:
    found = assembled(
        event(
            "content_block_start",
            index=0,
            content_block={"type": "tool_use", "id": "t", "name": "n", "input": {}},
        )
        + event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": cut})
    )
    assert found.message is not None
    block = found.message["content"][0]
    assert block["input"] == {}
    assert block.get("partial_json", "") == cut


def test_an_error_event_and_citations_are_told() -> None:
    found = assembled(
        event("content_block_start", index=0, content_block={"type": "text", "text": "", "citations": []})
        + event(
            "content_block_delta", index=0, delta={"type": "citations_delta", "citation": {"cited_text": "a"}}
        )
        + event(
            "content_block_delta", index=0, delta={"type": "citations_delta", "citation": {"cited_text": "b"}}
        )
        + event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    )
    assert found.message is not None
    assert found.message["content"][0]["citations"] == [{"cited_text": "a"}, {"cited_text": "b"}]
    assert found.error == {"type": "overloaded_error", "message": "Overloaded"}
    assert not found.complete


def test_line_ends_of_any_kind_make_no_difference() -> None:
    sent = event("message_start", message={"id": "m", "content": []}) + event("message_stop")
    assert assembled(sent.replace(b"\n", b"\r\n")) == assembled(sent)
    assert SSEParser().feed(sent)


def test_a_stream_that_is_made_to_cost_is_read_as_far_as_it_is_worth() -> None:
    begun = event("message_start", message={"id": "m", "content": []})
    found = assembled(begun + event("ping", more=[[]] * 50_000) * 10 + event("message_stop"))
    assert found.message == {"id": "m", "content": []}
    assert not found.complete
