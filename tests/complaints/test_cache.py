"""What users report of caches of answers: keys that depend on how a body is written, and answers to the wrong caller."""

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from raw_client import Answer, Client
from scripted_upstream import Received, streamed, whole

from trimtab.admin import Actor
from trimtab.app.content import opened_content_door

BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 100,
    "temperature": 0,
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": "What is 2 + 2?"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 2, "b": 2.5}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4.5"}]},
    ],
    "tools": [{"name": "add", "input_schema": {"type": "object", "properties": {"a": {}, "b": {}}}}],
}
CACHE = '[cache]\nmode = "on"\nshare = "key"\n'
numbers = itertools.count()


@pytest.fixture(scope="session")
def caching(started: Callable[..., Any]) -> Any:
    return started(
        store_options="batch_ms = 5\nwait_ms = 10_000\n",
        server_options="require_keys = true\n",
        options=CACHE,
    )


def answered(request: Received) -> list[bytes]:
    """Another answer each time."""
    told = {"id": f"msg_{next(numbers)}", "type": "message", "role": "assistant", "model": BODY["model"], "content": [{"type": "text", "text": "4.5 é\u2028"}], "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 1}}  # fmt: skip
    if not json.loads(request.body).get("stream"):
        return whole(json.dumps(told, indent=3).encode(), b"request-id: req_%d" % next(numbers))
    kinds = [
        {"type": "message_start", "message": {**told, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "4.5 é"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    return streamed(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in kinds)


def ask(gateway: Any, body: bytes, key: str | None = None, **own: str) -> Answer:
    """On a connection of its own, so that with several workers any of them may answer."""
    client = Client(gateway.site.port, gateway.key.secret if key is None else key)
    try:
        headers = [("anthropic-version", "2023-06-01"), *own.items()]
        answer = client.post(body, headers)
        assert answer.status == 200, answer.body
        return answer
    finally:
        client.close()


def until_given_again(gateway: Any, body: bytes) -> Answer:
    """The earlier answer, once it is kept."""

    def again() -> Answer | None:
        answer = ask(gateway, body, **{"x-trimtab-cache": "on"})
        return answer if answer.named["x-trimtab-cache"].startswith("hit") else None

    found: Answer = gateway.eventually(again)
    return found


def recorded(gateway: Any, name: str) -> dict[str, Any]:
    """The record of a request, once some worker has written it."""
    client = gateway.client()

    def look() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(client.get(f"/trimtab/v1/requests/{name}").body)
        return found if "id" in found else {}

    try:
        record: dict[str, Any] = gateway.eventually(look)
        return record
    finally:
        client.close()


def new_body(**fields: Any) -> dict[str, Any]:
    return {**BODY, "system": f"Question {next(numbers)}", **fields}


def rewritten(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: rewritten(value[name], chance) for name in names}
    return [rewritten(one, chance) for one in value] if isinstance(value, list) else value


def changed(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The body with one value changed, in each of many places."""
    texts = json.dumps(body)
    return [
        {**body, "max_tokens": 101},
        {**body, "temperature": 0.0000000001},
        {**body, "stop_sequences": []},
        {**body, "model": "claude-opus-4-7", "temperature": 0},
        {**body, "messages": [*body["messages"], {"role": "assistant", "content": "4"}]},
        json.loads(texts.replace("2.5", "2.50000001")),
        json.loads(texts.replace("2.5", '"2.5"')),
        json.loads(texts.replace("2 + 2", "2 + 3")),
        json.loads(texts.replace('"b": {}', '"c": {}')),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_written_otherwise_gets_the_earlier_answer_and_a_changed_one_never_does(
    caching: Any, stream: bool
) -> None:
    """Complaint 29, a key of the response cache that depends on the order of JSON keys (litellm#40128): programs whose
    maps have no order never hit it. A key of parts of a body would give answers to other questions."""
    upstream = caching.upstream
    upstream.answer = answered
    body = new_body(stream=stream)
    first = ask(caching, json.dumps(body).encode())
    assert first.named["x-trimtab-cache"] == "miss"
    again = until_given_again(caching, json.dumps(body).encode())
    calls = len(upstream.received)
    chance = random.Random(29)
    for _ in range(8):
        written = json.dumps(
            rewritten(body, chance), indent=chance.choice([None, 0, 2]), ensure_ascii=chance.random() < 0.5
        )
        answer = ask(caching, written.replace("2.5", "25E-1").encode())
        assert answer.named["x-trimtab-cache"].startswith("hit"), written
        assert answer.body == again.body, "byte for byte"
        assert answer.named["x-trimtab-cost-usd"] == "0.000000000"
    assert len(upstream.received) == calls, "nobody was called"
    for other in changed(body):
        answer = ask(caching, json.dumps(other).encode(), **{"x-trimtab-cache": "on"})
        assert not answer.named["x-trimtab-cache"].startswith("hit"), other
        assert answer.body not in (first.body, again.body)


def test_an_answer_is_never_given_to_another_key(caching: Any) -> None:
    """Complaint 29, the other side of it (litellm#40128): one tenant hears what another one asked."""
    caching.upstream.answer = answered
    body = json.dumps(new_body()).encode()
    ask(caching, body)
    mine = until_given_again(caching, body)
    other = caching.site.key(f"other-{next(numbers)}")
    told = ask(caching, body, other.secret)
    assert told.named["x-trimtab-cache"] == "miss"
    assert told.body != mine.body


def test_what_was_given_again_is_in_the_books_as_such_and_costs_nothing(caching: Any) -> None:
    """Complaint 29, beside it (litellm#40128): a hit looks like a call, is billed like one, or is not seen at all."""
    caching.upstream.answer = answered
    body = json.dumps(new_body()).encode()
    first = ask(caching, body)
    again = until_given_again(caching, body)
    record = recorded(caching, again.named["x-trimtab-request"])
    origin = recorded(caching, record["cached"])
    assert (record["cost_nanousd"], record.get("attempts", [])) == (0, [])
    assert origin["cost_nanousd"] == 3 * 3_000 + 15_000
    assert f"from={record['cached']}" in again.named["x-trimtab-cache"]
    assert again.named["request-id"] in {
        first.named["request-id"],
        origin["attempts"][0]["provider_request_id"],
    }


def test_deleted_answers_are_given_by_no_worker_a_second_later(caching: Any) -> None:
    """Complaint 29, beside it (litellm#40128): what was deleted comes back out of a cache."""
    caching.upstream.answer = answered
    body = json.dumps(new_body()).encode()
    ask(caching, body)
    given = until_given_again(caching, body)
    with opened_content_door(caching.site.config) as door:
        door.admin.delete_key(Actor("a test"), "app")
    caching.eventually(
        lambda: all(ask(caching, body, **{"x-trimtab-cache": "on"}).body != given.body for _ in range(8))
    )
