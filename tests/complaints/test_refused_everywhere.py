"""Complaints about what is heard once several platforms were tried and none would serve: errors of real platforms."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from raw_client import Client
from scripted_upstream import Received, Upstream, whole

MODEL = "claude-sonnet-4-6"
TOLD = [
    ("anthropic-organization-id", "org-1"),
    ("anthropic-ratelimit-requests-limit", "50"),
    ("anthropic-ratelimit-requests-remaining", "0"),
    ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:07Z"),
    ("anthropic-ratelimit-input-tokens-remaining", "12000"),
    ("anthropic-ratelimit-output-tokens-reset", "2026-11-21T12:00:00.5Z"),
]
ANSWER = b'{"id":"msg_2","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Yes."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":4}}'
CALLER = b"400 Bad Request"
"""The request's own fault, which no other platform would forgive."""


def said(error_type: str, **details: str) -> bytes:
    error = {"type": error_type, "message": "not now \u23f3", **({"details": details} if details else {})}
    return json.dumps({"type": "error", "error": error}).encode() + b" \n"


REFUSALS = {
    "529": (b"529 Overloaded", said("overloaded_error"), ("retry-after", "7")),
    "429": (b"429 Too Many Requests", said("rate_limit_error"), ("retry-after", "7")),
    "429 until a date": (
        b"429 Too Many Requests",
        said("rate_limit_error"),
        ("retry-after", "Sat, 21 Nov 2099 12:00:00 GMT"),
    ),
    "429 without a word of when": (b"429 Too Many Requests", said("rate_limit_error"), None),
    "spend limit": (
        b"429 Too Many Requests",
        said("rate_limit_error", error_code="enforced_spend_limit_reached"),
        None,
    ),
    "500": (b"500 Internal Server Error", said("api_error"), ("x-should-retry", "false")),
    "503 of a proxy": (b"503 Service Unavailable", b"<html>", None),
    "401": (b"401 Unauthorized", said("authentication_error"), None),
    "403": (b"403 Forbidden", said("permission_error"), None),
    "400": (CALLER, said("invalid_request_error"), ("x-should-retry", "false")),
}


@pytest.fixture(scope="module")
def three(started: Callable[..., Any], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with three entries, which one platform stands behind."""
    secret = tmp_path_factory.mktemp("secret") / "key"
    secret.write_text("key-of-the-platform")
    entry = f'kind = "anthropic"\napi_key = "file:{secret}"\nbase_url = "{upstream.url}"\n'
    return started(
        store_options="batch_ms = 5\n",
        server_options="require_keys = true\n",
        options=f"[platforms.second]\n{entry}[platforms.third]\n{entry}",
    )


@pytest.fixture
def asks(three: Any) -> Iterator[Client]:
    client = three.client()
    yield client
    client.close()


def asked(stream: bool) -> bytes:
    return json.dumps(
        {
            "model": MODEL,
            "max_tokens": 8,
            "stream": stream,
            "messages": [{"role": "user", "content": "?"}],
        }
    ).encode()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("what", REFUSALS)
def test_what_the_last_platform_says_is_heard_as_it_was_said(
    what: str, stream: bool, asks: Client, upstream: Upstream
) -> None:
    """Complaint 27, an error made from several: a 529 turned into a 429, no word of when to try again once all are cooling
    down, the gateway's own error in place of the platform's (litellm#5764, litellm#27823)."""
    status, body, header = REFUSALS[what]
    numbers = count(1)
    headers = [*TOLD, *([header] if header is not None else [])]

    def refuse(_: Received) -> Any:
        told = [*headers, ("request-id", f"req_{next(numbers)}")]
        return whole(body, *(f"{k}: {v}".encode() for k, v in told), status=status)

    for _ in range(3):  # the second and third time it is known of all of them
        upstream.answer = refuse
        numbers = count(1)
        answer = asks.post(asked(stream))
        calls = next(numbers) - 1
        assert (answer.status, answer.body) == (int(status[:3]), body)
        for name, value in [*headers, ("request-id", f"req_{calls}")]:
            assert [told for key, told in answer.headers if key == name] == [value], name
        if header is None:
            assert "retry-after" not in answer.named
        record = asks.record(answer.id)
        assert (record["result"], record["status"], len(record["attempts"])) == (
            "error",
            int(status[:3]),
            calls,
        )
        assert calls == 1 if status == CALLER else 1 <= calls <= 3
        assert record.get("cost_nanousd", 0) == 0
        assert {each["cost_source"] for each in record["attempts"] if "cost_source" in each} <= {"unbilled"}
    upstream.answer = lambda _: whole(ANSWER)
    assert asks.post(asked(False)).body == ANSWER, "and the next request is none of its business"
