"""Converse's answers and streams, made by AWS's own service model, as messages of the vendor's API."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_converse import REASONS, answer, checked, event
from aws_event_frames import exception
from aws_platform import SECRET, TOKEN, call, sent
from aws_verify import signed_by
from hypothesis import given
from hypothesis import strategies as st
from scripted_upstream import Upstream, whole

from trimtab.errors import NotFound, RequestError, UpstreamBroken
from trimtab.messages import MessagesBody, StreamValidator
from trimtab.providers import Call, Provider
from trimtab.providers.aws.converse_answer import EXTRA, message_of
from trimtab.providers.aws.converse_request import converse_body
from trimtab.providers.aws.converse_stream import ConverseStream

Open = Callable[..., Provider]
OPUS = "eu.anthropic.claude-opus-4-7"
BODY = {"model": OPUS, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
USAGE = {
    "inputTokens": 3,
    "outputTokens": 7,
    "totalTokens": 30,
    "cacheReadInputTokens": 5,
    "cacheWriteInputTokens": 15,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 10}, {"ttl": "1h", "inputTokens": 5}],
}
SAID_USAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 15,
    "cache_read_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 5},
    "output_tokens": 7,
}
START = event("messageStart", role="assistant")
METADATA = event("metadata", usage=USAGE, metrics={"latencyMs": 12})


def delta(index: int, **said: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=said)


def stop(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def ended(reason: str = "end_turn", **more: Any) -> bytes:
    return event("messageStop", stopReason=reason, **more) + METADATA


def read(*pieces: bytes) -> bytes:
    stream = ConverseStream("4d5c", "m")
    return b"".join(stream.feed(piece) for piece in pieces) + stream.finish()


def events(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.partition(b"data: ")[2]) for block in raw.split(b"\n\n") if block]


def problems(raw: bytes) -> list[str]:
    validator = StreamValidator()
    validator.feed(raw)
    return validator.finish()


# Whole answers


def test_an_answer_is_a_message_with_its_blocks_in_order() -> None:
    content = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
        {"text": "h\u00e9"},
        {"toolUse": {"toolUseId": "t_1", "name": "get", "input": {"a": 1.5}}},
    ]
    made = json.loads(message_of(answer(content, "tool_use", USAGE), "4d5c", "m"))
    assert made == {
        "id": "msg_bdrk_4d5c",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "text", "text": "h\u00e9"},
            {"type": "tool_use", "id": "t_1", "name": "get", "input": {"a": 1.5}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": SAID_USAGE,
        EXTRA: {"stopReason": "tool_use", "metrics": {"latencyMs": 12}},
    }


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_that_the_service_model_knows_is_one_of_the_vendors(reason: str) -> None:
    expected = {
        "content_filtered": "refusal",
        "guardrail_intervened": "refusal",
        "malformed_model_output": "end_turn",
        "malformed_tool_use": "end_turn",
    }.get(reason, reason)
    whole_made = json.loads(message_of(answer([], reason, USAGE), "", "m"))
    streamed = next(each for each in events(read(START, ended(reason))) if each["type"] == "message_delta")
    for made in (whole_made, streamed["delta"]):
        assert made["stop_reason"] == expected
        assert ("stop_details" in made) is (expected == "refusal")
    assert whole_made[EXTRA]["stopReason"] == reason
    if expected == "refusal":
        assert whole_made["stop_details"] == {
            "type": "refusal",
            "category": None,
            "explanation": f"Amazon Bedrock: {reason}",
        }


def test_the_stop_sequence_is_the_one_that_the_model_named() -> None:
    fields = {"additionalModelResponseFields": {"stop_sequence": "END"}}
    made = json.loads(message_of(answer([], "stop_sequence", USAGE, **fields), "", "m"))
    assert made["stop_sequence"] == "END"
    streamed = events(read(START, ended("stop_sequence", **fields)))
    assert streamed[1]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    bare = json.loads(message_of(answer([], "stop_sequence", USAGE), "", "m"))
    assert bare["stop_sequence"] is None


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"output":{"message":{"content":[{}]}},"stopReason":"x","usage":{}}', b"\xff"],
)
def test_what_is_no_answer_of_converse_is_a_broken_one(body: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="platform's answer"):
        message_of(body, "", "m")


def test_a_block_without_words_in_a_message_is_named() -> None:
    body = answer([{"citationsContent": {"content": [{"text": "x"}]}}], "end_turn", USAGE)
    with pytest.raises(UpstreamBroken, match="'citationsContent', which is not translated"):
        message_of(body, "", "m")


# Streams


def test_a_stream_is_the_vendors_with_starts_that_converse_does_not_send() -> None:
    tool = {"toolUse": {"toolUseId": "t_1", "name": "get"}}
    raw = read(
        START,
        delta(0, reasoningContent={"text": "hm"}),
        delta(0, reasoningContent={"signature": "c2ln"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "ZGF0YQ=="}),
        stop(1),
        delta(2, text="h"),
        delta(2, text="\u00e9"),
        stop(2),
        event("contentBlockStart", contentBlockIndex=3, start=tool),
        delta(3, toolUse={"input": '{"a":'}),
        delta(3, toolUse={"input": "1}"}),
        stop(3),
        ended("tool_use"),
    )
    assert problems(raw) == []
    assert [each["type"] for each in events(raw)] == [
        "message_start",
        *["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"],
        *["content_block_start", "content_block_stop"],
        *["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"],
        *["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"],
        "message_delta",
        "message_stop",
    ]
    start, *_, finish, last = events(raw)
    assert start["message"]["id"] == "msg_bdrk_4d5c"
    assert start["message"]["model"] == "m"
    assert finish["usage"] == SAID_USAGE
    assert last[EXTRA] == {"stopReason": "tool_use", "metrics": {"latencyMs": 12}}
    assert blocks_of(raw) == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "h\u00e9"},
        {"type": "tool_use", "id": "t_1", "name": "get", "input": {"a": 1}},
    ]


def test_an_exception_in_a_stream_is_one_error_event_at_its_end() -> None:
    raw = read(START, delta(0, text="h"), exception("throttlingException", "Too many"), METADATA)
    assert problems(raw) == []
    assert events(raw)[-1] == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "throttlingException: Too many"},
        "request_id": "4d5c",
    }


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (START,),
        (START, delta(0, text="h"), stop(0)),
        (START, event("messageStop", stopReason="end_turn")),
        (START, METADATA),
        (START, START),
        (START, METADATA, METADATA),
        (START, event("messageStop", stopReason="end_turn"), delta(0, text="h")),
        (START, delta(0, toolUse={"input": "{}"})),
        (START, delta(0, citation={"title": "x"})),
        (START, event("contentBlockStart", contentBlockIndex=0, start={"image": {"format": "png"}})),
    ],
)
def test_a_stream_that_is_none_of_a_message_is_broken(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(UpstreamBroken, match="platform"):
        read(*pieces)


def test_a_stream_cut_inside_a_frame_is_broken() -> None:
    with pytest.raises(UpstreamBroken, match="inside a frame"):
        read((START + ended())[:-3])


TEXTS = st.text(max_size=12)
BASE64 = st.binary(min_size=1, max_size=12).map(lambda raw: base64.b64encode(raw).decode())
INPUTS = st.dictionaries(TEXTS, st.integers() | TEXTS | st.none() | st.lists(st.booleans()), max_size=3)
NAMES = st.text("abc_-1", min_size=1, max_size=8)
BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS.filter(bool)}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXTS, "signature": BASE64}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": BASE64}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": NAMES, "name": NAMES, "input": INPUTS}),
)


def blocks_of(raw: bytes) -> list[Any]:
    """The blocks that a client of the vendor's stream puts together."""
    found: list[Any] = []
    texts: list[str] = []
    for each in events(raw):
        if each["type"] == "content_block_start":
            found.append(each["content_block"])
            texts = []
        elif each["type"] == "content_block_delta":
            match each["delta"]:
                case {"type": "input_json_delta", "partial_json": part}:
                    texts.append(part)
                case {"type": "signature_delta", "signature": part}:
                    found[-1]["signature"] = part
                case {"type": "text_delta", "text": part}:
                    found[-1]["text"] += part
                case {"type": "thinking_delta", "thinking": part}:
                    found[-1]["thinking"] += part
        elif each["type"] == "content_block_stop" and found[-1]["type"] == "tool_use" and "".join(texts):
            found[-1]["input"] = json.loads("".join(texts))
    return found


def cut(whole_text: str, at: int) -> list[str]:
    return [whole_text[:at], whole_text[at:]] if at else [whole_text]


def streamed(index: int, block: dict[str, Any], at: int) -> bytes:
    """A block of Converse as its stream has it, in pieces."""
    match block:
        case {"text": text}:
            parts = [delta(index, text=piece) for piece in cut(text, at)]
        case {"toolUse": used}:
            start = {"toolUse": {"toolUseId": used["toolUseId"], "name": used["name"]}}
            raw = json.dumps(used["input"]) if used["input"] else ""
            parts = [event("contentBlockStart", contentBlockIndex=index, start=start)]
            parts += [delta(index, toolUse={"input": piece}) for piece in cut(raw, at)]
        case {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}:
            parts = [delta(index, reasoningContent={"text": piece}) for piece in cut(text, at)]
            parts += [delta(index, reasoningContent={"signature": piece}) for piece in cut(signature, at)]
        case {"reasoningContent": {"redactedContent": data}}:
            parts = [delta(index, reasoningContent={"redactedContent": data})]
        case _:
            raise AssertionError(block)
    return b"".join(parts) + stop(index)


@given(st.lists(BLOCKS, max_size=5), st.integers(0, 5), st.lists(st.integers(0, 3000), max_size=5))
def test_what_a_model_says_again_comes_back_as_it_went(
    blocks: list[dict[str, Any]], at: int, places: list[int]
) -> None:
    """An assistant's turn goes to Converse, and the platform answers with the same turn."""
    body = {**BODY, "messages": [*BODY["messages"], {"role": "assistant", "content": blocks}]}  # type: ignore[misc]
    raw = json.dumps(body).encode()
    content = checked(converse_body(MessagesBody(raw), []))["messages"][1]["content"]
    assert json.loads(message_of(answer(content, "end_turn", USAGE), "", "m"))["content"] == blocks
    frames = START + b"".join(streamed(n, block, at) for n, block in enumerate(content)) + ended()
    ends = sorted({place % (len(frames) + 1) for place in places})
    made = read(*(frames[a:b] for a, b in zip([0, *ends], [*ends, len(frames)], strict=True)))
    assert problems(made) == []
    assert blocks_of(made) == blocks


EVENTS = st.one_of(
    st.just(START),
    st.just(METADATA),
    st.builds(stop, st.integers(0, 2)),
    st.builds(lambda n, text: delta(n, text=text), st.integers(0, 2), TEXTS),
    st.builds(lambda n, text: delta(n, reasoningContent={"text": text}), st.integers(0, 2), TEXTS),
    st.builds(lambda n, text: delta(n, reasoningContent={"signature": text}), st.integers(0, 2), TEXTS),
    st.builds(lambda n, text: delta(n, reasoningContent={"redactedContent": text}), st.integers(0, 2), BASE64),
    st.builds(lambda n: delta(n, toolUse={"input": '{"a":1}'}), st.integers(0, 2)),
    st.builds(
        lambda n, name: event("contentBlockStart", contentBlockIndex=n, start={"toolUse": {"toolUseId": name, "name": name}}),
        st.integers(0, 2),
        NAMES,
    ),
    st.builds(lambda reason: event("messageStop", stopReason=reason), st.sampled_from(REASONS)),
    st.just(exception("modelStreamErrorException", "no")),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=10), st.integers(0, 2000), st.booleans())
def test_whatever_events_come_what_goes_out_is_a_stream_of_the_vendors_or_the_beginning_of_one(
    frames: list[bytes], place: int, ends: bool
) -> None:
    raw = START + b"".join(frames) + (ended() if ends else b"")
    at = place % (len(raw) + 1)
    stream = ConverseStream("", "m")
    made = b""
    broken = False
    try:
        for piece in (raw[:at], raw[at:]):
            made += stream.feed(piece)
        made += stream.finish()
    except UpstreamBroken:
        broken = True
    found = [problem for problem in problems(made) if not problem.startswith("tool input of block")]
    if broken:
        found = [problem for problem in found if not problem.startswith("the stream ends in state")]
    assert found == []


# Calls


def streaming(upstream: Upstream, frames: bytes) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: 4d5c\r\n"
        b"content-length: %d\r\n\r\n"
    )
    upstream.answer = lambda _: [head % len(frames), frames]


def test_a_call_goes_to_converse_signed_and_its_answer_is_a_message(
    bedrock: Open, upstream: Upstream
) -> None:
    upstream.answer = lambda _: whole(
        answer([{"text": "yes"}], "end_turn", USAGE),
        b"content-type: application/json",
        b"x-amzn-requestid: 4d5c",
    )
    provider = bedrock(endpoint="converse")
    assert (provider.platform, provider.api_versions) == ("bedrock_converse", ("2023-06-01",))
    status, headers, body = sent(provider, call(BODY, OPUS, headers=[(b"anthropic-beta", b"a-1")]))
    [request] = upstream.received
    assert request.target == b"/model/eu.anthropic.claude-opus-4-7/converse"
    assert checked(request.body)["additionalModelRequestFields"] == {"anthropic_beta": ["a-1"]}
    assert not request.names() & {b"anthropic-version", b"anthropic-beta"}
    signed_by(request, SECRET, "bedrock", "eu-west-1", token=TOKEN)
    assert (status, headers[b"request-id"], headers[b"content-type"]) == (200, b"4d5c", b"application/json")
    assert json.loads(body)["content"] == [{"type": "text", "text": "yes"}]


def test_a_streamed_call_is_the_vendors_stream(bedrock: Open, upstream: Upstream) -> None:
    streaming(upstream, START + delta(0, text="yes") + stop(0) + ended())
    _, headers, body = sent(bedrock(endpoint="converse"), call({**BODY, "stream": True}, OPUS, stream=True))
    assert upstream.received[0].target == b"/model/eu.anthropic.claude-opus-4-7/converse-stream"
    assert headers[b"content-type"] == b"text/event-stream"
    assert problems(body) == []
    assert blocks_of(body) == [{"type": "text", "text": "yes"}]


def test_a_refusal_of_aws_is_in_the_vendors_words(bedrock: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(
        b'{"message":"Slow"}', b"x-amzn-errortype: ThrottlingException", status=b"429 No"
    )
    status, _, body = sent(bedrock(endpoint="converse"), call(BODY, OPUS))
    assert status == 429
    assert json.loads(body)["error"] == {"type": "rate_limit_error", "message": "ThrottlingException: Slow"}


def test_tokens_are_counted_by_the_models_own_body(bedrock: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(b'{"inputTokens":42}')
    status, _, body = sent(bedrock(endpoint="converse"), call(BODY, OPUS, endpoint="count_tokens"))
    [request] = upstream.received
    assert request.target == b"/model/anthropic.claude-opus-4-7/count-tokens"
    inner = json.loads(base64.b64decode(json.loads(request.body)["input"]["invokeModel"]["body"]))
    assert inner["messages"] == BODY["messages"]
    assert (status, json.loads(body)) == (200, {"input_tokens": 42})


@pytest.mark.parametrize("endpoint", ["messages", "count_tokens"])
def test_what_converse_cannot_say_is_neither_sent_nor_counted(
    bedrock: Open, upstream: Upstream, endpoint: str
) -> None:
    asked = {**BODY, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    with pytest.raises(RequestError, match=r"tools\.0\.type"):
        sent(bedrock(endpoint="converse"), call(asked, OPUS, endpoint=endpoint))
    with pytest.raises(NotFound, match=r"\(Converse\) has no such operation"):
        sent(bedrock(endpoint="converse"), Call("GET", "/v1/models", []))
    assert upstream.received == []
