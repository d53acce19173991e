"""Chat answers: counts, ends and errors are read off a copy; the chunk that nobody asked for is taken out."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.messages import Usage
from trimtab.messages.chat import ChatReplyMeter, ChatStreamMeter, UsageHider
from trimtab.messages.usage import OutputDetails

DONE = b"data: [DONE]\n\n"
COUNTS = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", "model": "served", **fields}).encode() + b"\n\n"


def said(text: str, finish: str | None = None, **more: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more)


USAGE = event(choices=[], usage=COUNTS)
STREAM = [said("Hé"), b": keep-alive\n\n", said("llo"), said("", "stop"), USAGE, DONE]


def metered(*events: bytes) -> ChatStreamMeter:
    meter = ChatStreamMeter()
    meter.feed(b"".join(events))
    return meter


def test_a_whole_stream_is_complete_and_its_counts_are_final() -> None:
    meter = metered(*STREAM)
    assert (meter.complete, meter.final, meter.stop_reason, meter.model) == (True, True, "stop", "served")
    assert meter.usage == Usage(input_tokens=12, output_tokens=7)
    assert meter.saw_content
    assert meter.error_type is None


def chosen(**delta: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])


@pytest.mark.parametrize(
    ("chunk", "content"),
    [
        (chosen(role="assistant"), False),
        (chosen(role="assistant", content=""), False),
        (chosen(role="assistant", content=None, tool_calls=[], refusal=None), False),
        (event(choices=[]), False),
        (chosen(role="assistant", content="H"), True),
        (chosen(content=" "), True),
        (chosen(reasoning_content="Well"), True),
        (chosen(tool_calls=[{"index": 0, "id": "call_1"}]), True),
        (said("", "stop"), True),
        (event(choices=[{"index": 0, "delta": {}}, {"index": 1, "delta": {"content": "b"}}]), True),
        (event(choices=[{"index": 0, "text": "old"}]), True),
        (event(choices=[{"index": 0, "delta": 7}]), True),
        (event(choices="what"), True),
    ],
)
def test_the_role_alone_is_not_content_yet(chunk: bytes, content: bool) -> None:
    meter = metered(chunk)
    assert meter.saw_content is content
    meter.feed(said("x"))
    assert meter.saw_content


@given(st.lists(st.integers(1, 400), max_size=40), st.booleans())
def test_how_a_stream_is_cut_into_pieces_changes_nothing(sizes: list[int], crlf: bool) -> None:
    whole = b"".join(STREAM).replace(b"\n", b"\r\n" if crlf else b"\n")
    meter, hider, kept, at = ChatStreamMeter(), UsageHider(), b"", 0
    for size in [*sizes, len(whole)]:
        meter.feed(whole[at : at + size])
        kept += hider.feed(whole[at : at + size])
        at += size
    assert (meter.complete, meter.final, meter.usage) == (True, True, Usage(input_tokens=12, output_tokens=7))
    hidden = USAGE.replace(b"\n", b"\r\n" if crlf else b"\n")
    assert kept + hider.rest() == whole.replace(hidden, b"")


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([*STREAM, b'data: {"usage":', b"\n\n", b"data: null\n\n"])
    )
)
def test_no_bytes_of_a_server_raise_and_all_but_usage_goes_on(pieces: list[bytes]) -> None:
    meter, hider, kept = ChatStreamMeter(), UsageHider(), b""
    for piece in pieces:
        meter.feed(piece)
        kept += hider.feed(piece)
    kept += hider.rest()
    if USAGE not in pieces and b'"usage"' not in b"".join(pieces):
        assert kept == b"".join(pieces)
    ChatReplyMeter(b"".join(pieces))
    ChatReplyMeter(b"".join(pieces), b"gzip")
    for usage in (meter.usage,):
        assert usage is None or usage.input_tokens is not None


def test_a_stream_without_its_end_is_not_complete() -> None:
    assert not metered(*STREAM[:-1]).complete
    assert metered(*STREAM[:-1]).final, "usage has come; only the end is missing"
    assert metered(*STREAM[:2]).usage is None


def test_counts_in_the_last_chunk_of_content_are_final_at_the_end_only() -> None:
    meter = metered(said("a"), said("b", "stop", usage=COUNTS))
    assert not meter.final
    meter.feed(DONE)
    assert meter.final


def test_counts_before_more_content_are_not_final() -> None:
    meter = metered(said("a", usage={"prompt_tokens": 12, "completion_tokens": 1}), said("b"), DONE)
    assert meter.usage == Usage(input_tokens=12, output_tokens=1)
    assert not meter.final


def test_what_comes_behind_the_end_lowers_no_count_and_makes_them_unsure() -> None:
    meter = metered(*STREAM, event(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 900}))
    assert not meter.final
    assert meter.usage == Usage(input_tokens=12, output_tokens=900)
    assert not metered(*STREAM, said("more")).final
    assert metered(*STREAM, b": bye\n\n").final


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "m", "type": "server_error"}, "server_error"),
        ({"message": "m", "code": "overloaded"}, "overloaded"),
        ({"message": "m", "code": 500}, "server_error"),
        ("out of memory", "server_error"),
    ],
)
def test_an_error_inside_a_stream_is_noted(error: object, kind: str) -> None:
    meter = metered(said("a"), event(error=error))
    assert (meter.error_type, meter.complete) == (kind, False)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (COUNTS, Usage(input_tokens=12, output_tokens=7)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
                "completion_tokens_details": {"reasoning_tokens": 40},
            },
            Usage(
                input_tokens=10,
                output_tokens=50,
                cache_read_input_tokens=60,
                cache_creation_input_tokens=30,
                output_tokens_details=OutputDetails(thinking_tokens=40),
            ),
        ),
        # More is cached than there was: what is called cached pays the full price.
        (
            {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99}},
            Usage(input_tokens=10, output_tokens=1),
        ),
        # Reasoning that only the total holds is output too.
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115},
            Usage(input_tokens=10, output_tokens=105),
        ),
        ({"prompt_tokens": 10}, Usage(input_tokens=10)),
        ({"prompt_tokens": 10, "prompt_tokens_details": None, "completion_tokens": 3.0}, Usage(input_tokens=10, output_tokens=3)),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        ({"completion_tokens": 5}, None),
        ([], None),
        (None, None),
    ],
)  # fmt: skip
def test_usage_is_read_without_leaving_a_token_out(usage: object, expected: Usage | None) -> None:
    meter = ChatReplyMeter(json.dumps({"usage": usage, "choices": []}).encode())
    assert meter.usage == expected
    assert meter.final == (expected is not None and expected.output_tokens is not None)


COUNT = st.integers(0, 10**6)


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_no_token_that_is_named_is_lost(
    prompt: int, completion: int, total: int, cached: int, written: int
) -> None:
    usage = ChatReplyMeter(
        json.dumps(
            {
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": total,
                    "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
                }
            }
        ).encode()
    ).usage
    assert usage is not None
    into = (
        (usage.input_tokens or 0)
        + (usage.cache_read_input_tokens or 0)
        + (usage.cache_creation_input_tokens or 0)
    )
    assert into >= prompt
    assert (usage.output_tokens or 0) >= completion
    assert into + (usage.output_tokens or 0) >= total


def test_an_answer_says_its_model_and_why_it_ended_also_packed() -> None:
    raw = json.dumps(
        {"model": "served", "choices": [{"finish_reason": "length"}], "usage": COUNTS, "error": None}
    ).encode()
    for meter in (ChatReplyMeter(raw), ChatReplyMeter(gzip.compress(raw), b"gzip")):
        assert (meter.model, meter.stop_reason, meter.final, meter.error_type) == (
            "served",
            "length",
            True,
            None,
        )


def test_an_error_answer_says_what_went_wrong() -> None:
    meter = ChatReplyMeter(
        b'{"error":{"message":"no such model","type":"invalid_request_error","code":null}}'
    )
    assert (meter.error_type, meter.error_message) == ("invalid_request_error", "no such model")
    assert ChatReplyMeter(b'{"error":"too busy"}').error_message == "too busy"


def test_only_the_chunk_that_holds_usage_alone_is_taken_out() -> None:
    both = said("x", "stop", usage=COUNTS)
    null = said("y", usage=None)
    empty = event(choices=[], prompt_filter_results=[])
    hider = UsageHider()
    assert hider.feed(both + null + empty + USAGE + DONE) == both + null + empty + DONE
    assert hider.rest() == b""
