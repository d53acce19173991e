"""What a client and the record see when Bedrock answers, throttles, breaks or cannot be asked, through a whole server."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_event_frames import chunk, exception
from raw_client import Aborted, Client
from scripted_upstream import CUT, Upstream, whole

CONFIG = """[platforms.aws]
kind = "bedrock"
region = "eu-west-1"
base_url = "{url}"
access_key_id = "env:THE_ID"
secret_access_key = "env:THE_KEY"
"""
BODY = json.dumps(
    {"model": "claude-opus-4-7", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
).encode()
STREAMED = BODY[:-1] + b',"stream":true}'
USAGE = {"input_tokens": 8, "output_tokens": 2}
START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-7",
        "content": [],
        "usage": {"input_tokens": 8, "output_tokens": 1},
    },
}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé!"}}
CLOSE = {"type": "content_block_stop", "index": 0}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
STOP = {"type": "message_stop"}
# Opus 4.7: $5 and $25 per million tokens; the profile of a part of the world costs a tenth more.
COST = (8 * 5_000 + 2 * 25_000) * 11 // 10


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], upstream: Upstream) -> Any:
    return serve(CONFIG.format(url=upstream.url), THE_ID="AKIDEXAMPLE", THE_KEY="secret")


@pytest.fixture
def client(server: Any) -> Any:
    client = Client(server.port, "")
    yield client
    client.close()


def streaming(upstream: Upstream, *pieces: bytes | None, ended: bool = True) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: aws-1\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    body = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    upstream.answer = lambda _: [head, *body, b"0\r\n\r\n" if ended else CUT]


def test_an_answer_is_priced_and_recorded_with_the_platforms_id(client: Client, upstream: Upstream) -> None:
    message = {**START["message"], "content": [{"type": "text", "text": "Hé!"}], "usage": USAGE}  # type: ignore[dict-item]
    upstream.answer = lambda _: whole(json.dumps(message).encode(), b"x-amzn-requestid: aws-1")
    answer = client.post(BODY)
    assert answer.status == 200
    assert json.loads(answer.body) == message
    assert answer.named["request-id"] == "aws-1"
    record = client.record(answer.id)
    [attempt] = record["attempts"]
    assert (record["cost_nanousd"], attempt["cost_source"]) == (COST, "reported")
    assert attempt["provider_request_id"] == "aws-1"
    assert attempt["model"] == "eu.anthropic.claude-opus-4-7"


def test_a_stream_is_priced_by_its_last_usage(client: Client, upstream: Upstream) -> None:
    frames = b"".join(chunk(event) for event in (START, BLOCK, DELTA, CLOSE, END, STOP))
    streaming(upstream, *(frames[at : at + 100] for at in range(0, len(frames), 100)))
    answer = client.post(STREAMED)
    events = [json.loads(block.partition(b"data: ")[2]) for block in answer.body.split(b"\n\n") if block]
    assert events == [START, BLOCK, DELTA, CLOSE, END, STOP]
    record = client.record(answer.id)
    assert (record["result"], record["cost_nanousd"]) == ("ok", COST)
    assert record["attempts"][0]["first_content_ms"] is not None


def test_an_exception_in_a_stream_reaches_the_client_as_the_vendors_event(
    client: Client, upstream: Upstream
) -> None:
    streaming(upstream, chunk(START) + chunk(BLOCK), exception("throttlingException", "Too many tokens"))
    answer = client.post(STREAMED)
    last = answer.body.removesuffix(b"\n\n").split(b"\n\n")[-1]
    assert last.startswith(b"event: error\n")
    assert b"rate_limit_error" in last
    assert b"Too many tokens" in last
    record = client.record(answer.id)
    assert record["result"] == "error"
    assert record["attempts"][0]["error"] == "rate_limit_error"


@pytest.mark.parametrize("how", ["bad checksum", "ends inside a frame", "connection cut"])
def test_a_broken_stream_is_never_a_proper_end(client: Client, upstream: Upstream, how: str) -> None:
    good, more = chunk(START) + chunk(BLOCK) + chunk(DELTA), chunk(CLOSE)
    if how == "bad checksum":
        streaming(upstream, good, more[:-1] + bytes([more[-1] ^ 1]))
    elif how == "ends inside a frame":
        streaming(upstream, good, more[:-5])
    else:
        streaming(upstream, good, more[:-5], ended=False)
    try:
        answer = client.post(STREAMED)
        assert b"event: error\n" in answer.body
    except Aborted as cut:
        answer = cut.answer
    assert b"text_delta" in answer.body, "what came whole has gone out"
    assert b"content_block_stop" not in answer.body
    record = client.record(answer.id)
    assert record["result"] == "truncated"
    assert record["cost_nanousd"] > 0
    assert record["attempts"][0]["cost_source"] == "estimated"


def test_a_throttled_call_costs_nothing_and_says_when_to_come_back(
    client: Client, upstream: Upstream
) -> None:
    upstream.answer = lambda _: whole(
        b'{"message":"Too many requests"}',
        b"x-amzn-errortype: ThrottlingException",
        b"retry-after: 3",
        status=b"429 Too Many Requests",
    )
    answer = client.post(STREAMED)
    assert (answer.status, answer.named["retry-after"]) == (429, "3")
    assert answer.error["type"] == "rate_limit_error"
    assert client.record(answer.id)["cost_nanousd"] == 0


def test_counting_tokens_is_free_and_answered_in_the_vendors_words(
    client: Client, upstream: Upstream
) -> None:
    upstream.answer = lambda _: whole(b'{"inputTokens":42}')
    asked = json.loads(BODY)
    del asked["max_tokens"]
    answer = client.post(json.dumps(asked).encode(), path="/v1/messages/count_tokens")
    assert (answer.status, json.loads(answer.body)) == (200, {"input_tokens": 42})
    assert client.record(answer.id)["cost_nanousd"] == 0


def test_a_path_that_bedrock_does_not_have_is_a_404(client: Client) -> None:
    answer = client.get("/v1/files")
    assert answer.status == 404
    assert "Amazon Bedrock (InvokeModel) has no such operation" in answer.error["message"]


def test_a_version_that_bedrock_refuses_for_a_model_is_said(client: Client, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(json.dumps({**START["message"], "usage": USAGE}).encode())  # type: ignore[dict-item]
    older = BODY.replace(b"claude-opus-4-7", b"claude-sonnet-4-6")
    answer = client.post(older, [("anthropic-version", "2026-10-21")])
    assert answer.named["x-trimtab-adaptations"] == "anthropic-version=2023-06-01"
    assert json.loads(upstream.received[-1].body)["anthropic_version"] == "bedrock-2023-05-31"


def test_without_credentials_a_call_is_refused_with_what_to_do_and_costs_nothing(
    serve: Callable[..., Any], upstream: Upstream
) -> None:
    before = len(upstream.received)
    server = serve(
        f'[platforms.aws]\nkind = "bedrock"\nregion = "eu-west-1"\nbase_url = "{upstream.url}"\n',
        AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1",
    )
    client = Client(server.port, "")
    answer = client.post(BODY)
    assert answer.status == 502
    assert "no AWS credentials were found: set access_key_id" in answer.error["message"]
    record = client.record(answer.id)
    assert (record["result"], record["cost_nanousd"]) == ("error", 0)
    assert len(upstream.received) == before
    client.close()
