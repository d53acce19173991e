"""What a client and the record see when Bedrock is asked by Converse, through a whole server."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_converse import answer, checked, event
from raw_client import Aborted, Client
from scripted_upstream import CUT, Upstream, whole

CONFIG = """[platforms.aws]
kind = "bedrock"
endpoint = "converse"
region = "eu-west-1"
base_url = "{url}"
access_key_id = "env:THE_ID"
secret_access_key = "env:THE_KEY"
"""
ASKED = {"model": "claude-opus-4-7", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
STREAMED = json.dumps({**ASKED, "stream": True}).encode()
USAGE = {"inputTokens": 8, "outputTokens": 2, "totalTokens": 10}
# Opus 4.7: $5 and $25 per million tokens; the profile of a part of the world costs a tenth more.
COST = (8 * 5_000 + 2 * 25_000) * 11 // 10
MOST_OUTPUT = 16 * 25_000 * 11 // 10
BEGUN = event("messageStart", role="assistant") + event(
    "contentBlockDelta", contentBlockIndex=0, delta={"text": "Hé!"}
)
ENDED = (
    event("contentBlockStop", contentBlockIndex=0)
    + event("messageStop", stopReason="end_turn")
    + event("metadata", usage=USAGE, metrics={"latencyMs": 5})
)


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], upstream: Upstream) -> Any:
    return serve(CONFIG.format(url=upstream.url), THE_ID="AKIDEXAMPLE", THE_KEY="secret")


@pytest.fixture
def client(server: Any) -> Any:
    client = Client(server.port, "")
    yield client
    client.close()


def streaming(upstream: Upstream, frames: bytes, *, ended: bool = True) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: aws-1\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    upstream.answer = lambda _: [
        head,
        b"%x\r\n%b\r\n" % (len(frames), frames),
        b"0\r\n\r\n" if ended else CUT,
    ]


def test_an_answer_is_a_message_priced_by_what_converse_counts(client: Client, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(
        answer([{"text": "Hé!"}], "end_turn", USAGE), b"x-amzn-requestid: aws-1"
    )
    said = client.post(json.dumps(ASKED).encode())
    assert (said.status, json.loads(said.body)["content"]) == (200, [{"type": "text", "text": "Hé!"}])
    assert checked(upstream.received[-1].body)["inferenceConfig"] == {"maxTokens": 16}
    record = client.record(said.id)
    [attempt] = record["attempts"]
    assert (record["cost_nanousd"], attempt["cost_source"]) == (COST, "reported")
    assert attempt["provider_request_id"] == "aws-1"


def test_a_stream_is_priced_by_what_its_end_counts(client: Client, upstream: Upstream) -> None:
    streaming(upstream, BEGUN + ENDED)
    said = client.post(STREAMED)
    assert b"event: message_stop\n" in said.body
    record = client.record(said.id)
    assert (record["result"], record["cost_nanousd"]) == ("ok", COST)


@pytest.mark.parametrize("ended", [True, False])
def test_a_stream_without_its_end_is_settled_at_the_worst(
    client: Client, upstream: Upstream, ended: bool
) -> None:
    """Its start says 0 tokens, because Converse counts at the end: that is not what went in."""
    streaming(upstream, BEGUN, ended=ended)
    try:
        said = client.post(STREAMED)
        assert b"event: error\n" in said.body
    except Aborted as cut:
        said = cut.answer
    assert b"text_delta" in said.body
    record = client.record(said.id)
    assert (record["result"], record["attempts"][0]["cost_source"]) == ("truncated", "estimated")
    assert record["cost_nanousd"] > MOST_OUTPUT


def test_what_converse_cannot_say_is_a_400_that_costs_nothing(client: Client, upstream: Upstream) -> None:
    before = len(upstream.received)
    tool = {"name": "get", "input_schema": {"type": "object"}}
    said = client.post(json.dumps({**ASKED, "tools": [tool], "tool_choice": {"type": "none"}}).encode())
    assert said.status == 400
    assert said.error["type"] == "invalid_request_error"
    assert said.error["message"].startswith(
        "tool_choice.type: 'none': Amazon Bedrock (Converse) has no place"
    )
    assert len(upstream.received) == before, "nothing was sent"
    record = client.record(said.id)
    assert record["cost_nanousd"] == 0
