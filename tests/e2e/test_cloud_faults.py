"""What a client and the record see when Vertex AI or Foundry answers, refuses or cannot be asked, through a whole server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google_service import Account
from raw_client import Client
from scripted_upstream import Received, Upstream, streamed, whole

BODY = json.dumps(
    {"model": "claude-opus-4-7", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
).encode()
STREAMED = BODY[:-1] + b',"stream":true}'
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-7",
    "content": [{"type": "text", "text": "Hé!"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 8, "output_tokens": 2},
}
EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé!"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
# Opus 4.7: $5 and $25 per million tokens; a region of Google's costs a tenth more.
COST = 8 * 5_000 + 2 * 25_000
REGIONAL_COST = COST * 11 // 10

Platform = Callable[[Received], Any]


class Cloud:
    """A service that gives out tokens, at `/token` and at metadata's address, and a platform beside it."""

    def __init__(self) -> None:
        self.tokens: Platform = self.granted
        self.platform: Platform = lambda _: whole(json.dumps(MESSAGE).encode(), b"request-id: req_1")
        self.upstream = Upstream(self._answer)

    @staticmethod
    def granted(request: Received) -> Any:
        return whole(b'{"access_token":"ya29.the-token","expires_in":3599}')

    def _answer(self, request: Received) -> Any:
        if request.target.startswith((b"/token", b"/metadata/", b"/msi")):
            return self.tokens(request)
        return self.platform(request)

    def calls(self) -> list[Received]:
        return [
            one for one in self.upstream.received if b"claude" in one.target or b"anthropic" in one.target
        ]


@pytest.fixture
def cloud() -> Any:
    cloud = Cloud()
    yield cloud
    cloud.upstream.close()


@pytest.fixture
def opened(serve: Callable[..., Any]) -> Any:
    clients: list[Client] = []

    def client(*given: Any, **more: Any) -> tuple[Client, Any]:
        server = serve(*given, **more)
        clients.append(Client(server.port, ""))
        return clients[-1], server

    yield client
    for one in clients:
        one.close()


def vertex(cloud: Cloud, opened: Any) -> tuple[Client, Any]:
    """A server whose configuration names the key of a service account, by a path relative to it."""

    def before(config: Path) -> None:
        account = Account.new()
        (config.parent / "key.json").write_text(json.dumps(account.file(f"{cloud.upstream.url}/token")))

    url = cloud.upstream.url
    client: tuple[Client, Any] = opened(
        f'[platforms.google]\nkind = "vertex"\nregion = "europe-west1"\nbase_url = "{url}"\n'
        'credentials_file = "key.json"\n',
        before=before,
    )
    return client


def test_calls_to_vertex_are_served_by_one_token_priced_and_recorded(cloud: Cloud, opened: Any) -> None:
    client, server = vertex(cloud, opened)
    answer = client.post(BODY)
    assert (answer.status, json.loads(answer.body)) == (200, MESSAGE)
    cloud.platform = lambda _: streamed(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS
    )
    again = client.post(STREAMED)
    events = [json.loads(block.partition(b"data: ")[2]) for block in again.body.split(b"\n\n") if block]
    assert events == EVENTS
    place = (
        b"/v1/projects/project-of-the-key/locations/europe-west1/publishers/anthropic/models/claude-opus-4-7"
    )
    assert [one.target for one in cloud.calls()] == [place + b":rawPredict", place + b":streamRawPredict"]
    assert {one.values(b"authorization")[0] for one in cloud.calls()} == {b"Bearer ya29.the-token"}
    assert [one.target for one in cloud.upstream.received].count(b"/token") == 1
    for one in (answer, again):
        record = client.record(one.id)
        [attempt] = record["attempts"]
        assert (record["cost_nanousd"], attempt["cost_source"]) == (REGIONAL_COST, "reported")
    for secret in ("ya29.the-token", "PRIVATE KEY"):
        assert secret not in server.log.read_text()


def test_a_call_that_google_throttles_costs_nothing_and_is_said_in_the_vendors_words(
    cloud: Cloud, opened: Any
) -> None:
    client, _ = vertex(cloud, opened)
    body = b'[{"error":{"code":429,"message":"Quota exceeded for base_model: claude","status":"RESOURCE_EXHAUSTED"}}]'
    cloud.platform = lambda _: whole(body, b"retry-after: 3", status=b"429 Too Many Requests")
    answer = client.post(STREAMED)
    assert (answer.status, answer.named["retry-after"]) == (429, "3")
    assert answer.error == {
        "type": "rate_limit_error",
        "message": "RESOURCE_EXHAUSTED: Quota exceeded for base_model: claude",
    }
    record = client.record(answer.id)
    assert (record["result"], record["cost_nanousd"]) == ("error", 0)


def test_without_a_token_a_call_is_refused_with_the_reason_and_costs_nothing(
    cloud: Cloud, opened: Any
) -> None:
    client, server = vertex(cloud, opened)
    cloud.tokens = lambda _: whole(b'{"error":"invalid_grant"}', status=b"400 Bad Request")
    answer = client.post(BODY)
    assert answer.status == 502
    assert "Google credentials for 'gateway@my-project-123" in answer.error["message"]
    assert "it answered 400 (invalid_grant); check that the key" in answer.error["message"]
    assert client.record(answer.id)["cost_nanousd"] == 0
    assert cloud.calls() == []
    assert "PRIVATE KEY" not in server.log.read_text()


def test_a_path_that_vertex_does_not_have_is_a_404(cloud: Cloud, opened: Any) -> None:
    client, _ = vertex(cloud, opened)
    answer = client.get("/v1/files")
    assert answer.status == 404
    assert "Vertex AI has no such operation" in answer.error["message"]


def test_foundry_by_a_managed_identity_serves_prices_and_records(cloud: Cloud, opened: Any) -> None:
    url = cloud.upstream.url
    client, server = opened(
        f'[platforms.azure]\nkind = "foundry"\nbase_url = "{url}/anthropic"\nmodels = {{"claude-opus-4-7" = "best"}}\n',
        AZURE_POD_IDENTITY_AUTHORITY_HOST=url,
    )
    answer = client.post(BODY)
    assert (answer.status, json.loads(answer.body)) == (200, MESSAGE)
    [call] = cloud.calls()
    assert (call.target, json.loads(call.body)["model"]) == (b"/anthropic/v1/messages", "best")
    assert call.values(b"authorization") == [b"Bearer ya29.the-token"]
    record = client.record(answer.id)
    assert (record["cost_nanousd"], record["attempts"][0]["model"]) == (COST, "best")
    cloud.platform = lambda _: whole(
        b'{"error":{"code":"DeploymentNotFound","message":"no such"}}', status=b"404 Not Found"
    )
    answer = client.post(BODY)
    assert (answer.status, answer.error["message"]) == (404, "DeploymentNotFound: no such")
    assert "ya29.the-token" not in server.log.read_text()
