"""A call to Vertex AI: the model goes into the address, the version into the body, and nothing else changes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platform_calls import call, sent
from scripted_upstream import Received, Upstream, streamed, whole

from trimtab.catalogue import Catalogue
from trimtab.errors import ConfigError, NotFound
from trimtab.providers import Call, Provider
from trimtab.providers.google.vertex import RawPredict, public_address

MESSAGE = {"type": "message", "id": "msg_vrtx_1", "model": "claude-opus-4-7", "content": [], "usage": {}}
BODY = b'{"model": "claude-opus-4-7",  "max_tokens":16, "stream" : false,"messages":[{"role":"user","content":"h\xc3\xa9 \\u00e9"}] }'
EVENTS = [b'event: message_start\ndata: {"type":"message_start"}\n\n', b"event: ping\ndata: {}\n\n"]
PLACE = b"/v1/projects/my-project-123/locations/europe-west1/publishers/anthropic/models/"

Open = Callable[..., Provider]


def answering(upstream: Upstream, body: Any, *headers: bytes, status: bytes = b"200 OK") -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    upstream.answer = lambda _: whole(raw, *headers, status=status)


def only(upstream: Upstream) -> Received:
    [request] = upstream.received
    return request


def test_a_call_goes_to_the_model_in_the_address_and_every_other_byte_of_its_body_stays(
    vertex: Open, upstream: Upstream
) -> None:
    answering(upstream, MESSAGE, b"request-id: req_1")
    status, headers, body = sent(vertex(), call(BODY, "claude-opus-4-7", query=b"beta=true"))
    request = only(upstream)
    assert (request.method, request.target) == (b"POST", PLACE + b"claude-opus-4-7:rawPredict")
    assert request.body == (
        b'{"anthropic_version":"vertex-2023-10-16",  "max_tokens":16, "stream" : false,"messages":[{"role":"user","content":"h\xc3\xa9 \\u00e9"}] }'
    )
    assert request.values(b"authorization") == [b"Bearer ya29.fixed"]
    assert b"anthropic-version" not in request.names()
    assert (status, headers[b"request-id"], json.loads(body)) == (200, b"req_1", MESSAGE)


def test_a_stream_has_an_address_of_its_own_and_its_events_come_as_they_are(
    vertex: Open, upstream: Upstream
) -> None:
    upstream.answer = lambda _: streamed(EVENTS)
    wanted = BODY.replace(b"false", b"true")
    status, headers, body = sent(vertex(), call(wanted, "claude-opus-4-7", stream=True))
    assert only(upstream).target == PLACE + b"claude-opus-4-7:streamRawPredict"
    assert json.loads(only(upstream).body)["stream"] is True
    assert (status, headers[b"content-type"], body) == (200, b"text/event-stream", b"".join(EVENTS))


@pytest.mark.parametrize(
    ("version", "said"), [(b"2023-06-01", "vertex-2023-10-16"), (b"2026-10-21", "2026-10-21")]
)
def test_the_api_version_is_the_one_of_the_call_in_vertexs_words(
    vertex: Open, upstream: Upstream, version: bytes, said: str
) -> None:
    answering(upstream, MESSAGE)
    headers = [(b"anthropic-version", version)]
    sent(vertex(), Call("POST", "/v1/messages", headers, BODY, endpoint="messages", model="claude-opus-4-7"))
    assert json.loads(only(upstream).body)["anthropic_version"] == said


def test_a_version_that_a_caller_wrote_in_the_body_stays(vertex: Open, upstream: Upstream) -> None:
    answering(upstream, MESSAGE)
    sent(vertex(), call({"anthropic_version": "x", "model": "m", "messages": []}, "claude-opus-4-7"))
    assert only(upstream).body == b'{"anthropic_version": "x", "messages": []}'


def test_tokens_are_counted_at_one_address_and_the_body_names_the_model(
    vertex: Open, upstream: Upstream
) -> None:
    answering(upstream, {"input_tokens": 42})
    body = b'{"model":"claude-sonnet-4-5@20250929", "messages":[] }'
    answer = sent(vertex(), call(body, "claude-sonnet-4-5@20250929", endpoint="count_tokens"))
    assert only(upstream).target == PLACE + b"count-tokens:rawPredict"
    assert json.loads(only(upstream).body) == {
        "model": "claude-sonnet-4-5@20250929",
        "messages": [],
        "anthropic_version": "vertex-2023-10-16",
    }
    assert only(upstream).body.replace(b',"anthropic_version":"vertex-2023-10-16"', b"") == body
    assert (answer[0], json.loads(answer[2])) == (200, {"input_tokens": 42})


def test_betas_stay_in_their_header_and_headers_that_name_another_project_stay_here(
    vertex: Open, upstream: Upstream
) -> None:
    answering(upstream, MESSAGE)
    theirs = [(b"anthropic-beta", b"a-1,b-2"), (b"x-goog-user-project", b"somebody-else")]
    sent(vertex(), call(BODY, "claude-opus-4-7", headers=theirs))
    assert only(upstream).values(b"anthropic-beta") == [b"a-1,b-2"]
    assert b"x-goog-user-project" not in only(upstream).names()


@pytest.mark.parametrize("path", ["/v1/files", "/v1/messages/batches", "/v1/models"])
def test_what_vertex_does_not_have_is_refused_without_asking_it(
    vertex: Open, upstream: Upstream, path: str
) -> None:
    with pytest.raises(NotFound, match=r"Vertex AI has no such operation; it has /v1/messages"):
        sent(vertex(), Call("POST", path, [], b"{}"))
    assert upstream.received == []


def test_models_have_vertexs_names_or_the_operators(vertex: Open, catalogue: Catalogue) -> None:
    provider = vertex(models={"claude-haiku-4-5": "claude-haiku-4-5@my-own"})
    names = {
        name: provider.model_id(model)
        for name in ("claude-opus-4-7", "claude-sonnet-4-5", "claude-haiku-4-5")
        if (model := catalogue.find(name)) is not None
    }
    assert names == {
        "claude-opus-4-7": "claude-opus-4-7",
        "claude-sonnet-4-5": "claude-sonnet-4-5@20250929",
        "claude-haiku-4-5": "claude-haiku-4-5@my-own",
    }
    asyncio.run(provider.aclose())


@pytest.mark.parametrize("own", ["", ".", "..", "a/b", "a:b", "a b", "a?b", "a#b", "a%2Fb", "é", "x" * 256])
def test_an_id_that_could_lead_to_another_address_is_refused(vertex: Open, own: str) -> None:
    with pytest.raises(ConfigError, match=r"models\.claude-opus-4-7: .*must be an id of Vertex AI"):
        vertex(models={"claude-opus-4-7": own})


@given(model=st.text(max_size=30))
def test_no_id_of_a_model_leaves_its_place_in_the_address(model: str) -> None:
    made = RawPredict("p", "global").request(call({"model": "m", "messages": []}, model))
    start = "/v1/projects/p/locations/global/publishers/anthropic/models/"
    assert made.path.startswith(start)
    name = made.path.removeprefix(start)
    assert name.endswith(":rawPredict")
    assert not set(name) & set("/?# \r\n")


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("us", "https://aiplatform.us.rep.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("europe-west1", "https://europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_each_region_has_its_host(vertex: Open, region: str, address: str) -> None:
    assert public_address(region) == address
    provider: Any = vertex(region=region, base_url=None)
    assert provider.regional is (region != "global"), "only the global endpoint costs the plain price"
    assert f"https://{provider._client._target.authority}" == address
    assert provider.regional is (region != "global"), "others cost more"
    asyncio.run(provider.aclose())


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"region": None}, r"platforms\.vertex\.region: missing; set it, .* CLOUD_ML_REGION"),
        ({"region": "eu-west1.evil.com/"}, r"region: 'eu-west1\.evil\.com/': must be 'global'"),
        ({"project": "a/../b"}, r"project: 'a/\.\./b': must be the id or the number of a project"),
        ({"project": ".."}, "must be the id or the number of a project"),
        ({"base_url": "https://x.example.com/v1"}, "leave /v1 out"),
        ({"models": {"claude-opus-47": "x"}}, r"'claude-opus-47': is no model of the catalogue"),
        ({"project": None}, r"project: missing, and neither the environment nor the credentials name one"),
        ({"credentials_file": "x"}, r"access_token: credentials_file is set too; keep one of them"),
    ],
)
def test_mistakes_are_named(vertex: Open, written: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        vertex(**written)
