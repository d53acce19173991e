"""A call to Foundry: the vendor's API with Azure's credentials; nothing else changes."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platform_calls import call, sent
from scripted_upstream import Received, Upstream, streamed, whole

from trimtab.catalogue import Catalogue
from trimtab.errors import ConfigError, NotFound
from trimtab.providers import Call
from trimtab.providers.azure.failures import failure
from trimtab.providers.machine import Machine

BODY = b'{"model": "fast-one",  "max_tokens":16, "stream":true,"messages":[] }'
EVENTS = [b'event: message_start\ndata: {"type":"message_start"}\n\n', b"event: ping\ndata: {}\n\n"]

Open = Callable[..., Any]


def only(upstream: Upstream) -> Received:
    [request] = upstream.received
    return request


def test_a_call_goes_through_untouched_with_the_operators_key_in_both_headers(
    foundry: Open, upstream: Upstream
) -> None:
    upstream.answer = lambda _: streamed(EVENTS, b"apim-request-id: 4d5c")
    theirs = [
        (b"anthropic-beta", b"a-1"),
        (b"api-key", b"of-somebody"),
        (b"x-ms-client-request-id", b"1"),
        (b"ocp-apim-subscription-key", b"of-somebody"),
    ]
    answer = sent(foundry(), call(BODY, "fast-one", headers=theirs, stream=True, query=b"beta=true"))
    request = only(upstream)
    assert request.target == b"/anthropic/v1/messages?beta=true"
    assert request.body == BODY
    assert request.values(b"anthropic-beta") == [b"a-1"]
    assert request.values(b"anthropic-version") == [b"2023-06-01"]
    assert request.values(b"api-key") == request.values(b"x-api-key") == [b"azure-key-1"]
    assert not {b"x-ms-client-request-id", b"ocp-apim-subscription-key", b"authorization"} & request.names()
    assert (answer[0], answer[1][b"request-id"], answer[2]) == (200, b"4d5c", b"".join(EVENTS))


def test_tokens_are_counted_where_the_vendor_counts_them(foundry: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(b'{"input_tokens":42}')
    _, _, body = sent(foundry(), call(BODY, "fast-one", endpoint="count_tokens"))
    assert only(upstream).target == b"/anthropic/v1/messages/count_tokens"
    assert body == b'{"input_tokens":42}'


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/x", "/v1/messages/batches", "/v1/messages/batches/b"]
)
def test_what_foundry_does_not_have_is_refused_without_asking_it(
    foundry: Open, upstream: Upstream, path: str
) -> None:
    with pytest.raises(NotFound, match="Microsoft Foundry has no such operation"):
        sent(foundry(), Call("GET", path, []))
    assert upstream.received == []


def test_other_paths_of_the_vendor_go_there_too(foundry: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(b'{"data":[]}')
    sent(foundry(), Call("GET", "/v1/files", [], query=b"limit=5"))
    assert only(upstream).target == b"/anthropic/v1/files?limit=5"


def test_models_are_called_by_the_names_of_their_deployments(foundry: Open, catalogue: Catalogue) -> None:
    provider = foundry(models={"claude-haiku-4-5": "fast-one"})
    names = {
        name: provider.model_id(model)
        for name in ("claude-opus-4-7", "claude-sonnet-4-5", "claude-haiku-4-5")
        if (model := catalogue.find(name)) is not None
    }
    assert names == {
        "claude-opus-4-7": "claude-opus-4-7",
        "claude-sonnet-4-5": "claude-sonnet-4-5",
        "claude-haiku-4-5": "fast-one",
    }
    asyncio.run(provider.aclose())


@pytest.mark.parametrize(
    ("written", "environment", "authority"),
    [
        ({"resource": "my-resource"}, {}, "my-resource.services.ai.azure.com"),
        ({}, {"ANTHROPIC_FOUNDRY_RESOURCE": "theirs"}, "theirs.services.ai.azure.com"),
        (
            {"resource": "mine"},
            {"ANTHROPIC_FOUNDRY_RESOURCE": "theirs"},
            "mine.services.ai.azure.com",
        ),
    ],
)
def test_a_resource_has_its_host(
    foundry: Open, tmp_path: Path, written: dict[str, str], environment: dict[str, str], authority: str
) -> None:
    provider = foundry(Machine(environment, tmp_path), **{"base_url": None, **written})
    assert (provider._client._target.authority, provider._client._target.base_path) == (
        authority,
        "/anthropic",
    )
    asyncio.run(provider.aclose())


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"base_url": None}, r"azure\.resource: missing; set it .* ANTHROPIC_FOUNDRY_RESOURCE"),
        ({"resource": "x"}, r"base_url: resource is set too; keep one of them"),
        (
            {"base_url": None, "resource": "a.evil.com/"},
            r"resource: 'a\.evil\.com/': must be the name of a resource",
        ),
        ({"models": {"claude-opus-47": "x"}}, r"'claude-opus-47': is no model of the catalogue"),
        ({"models": {"claude-opus-4-7": "a b"}}, r"'a b': must be the name of a deployment"),
        ({"tenant_id": "t"}, r"tenant_id: api_key is set too"),
    ],
)
def test_mistakes_are_named(foundry: Open, written: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        foundry(**written)


# Errors


@pytest.mark.parametrize(
    ("status", "body", "expected", "kind", "message"),
    [
        (
            401,
            b'{"error":{"code":"401","message":"Access denied due to invalid subscription key"}}',
            401,
            "authentication_error",
            "401: Access denied due to invalid subscription key",
        ),
        (
            404,
            b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist","innererror":{}}}',
            404,
            "not_found_error",
            "DeploymentNotFound: The API deployment does not exist",
        ),
        (
            429,
            b'{"statusCode":429,"message":"Rate limit is exceeded. Try again in 24 seconds."}',
            429,
            "rate_limit_error",
            "Rate limit is exceeded. Try again in 24 seconds.",
        ),
        (403, b'{"error":{"code":"PermissionDenied"}}', 403, "permission_error", "PermissionDenied"),
        (400, b'{"error":{"message":"no"}}', 400, "invalid_request_error", "no"),
        (503, b"<html>away</html>", 529, "overloaded_error", "<html>away</html>"),
        (408, b"", 504, "timeout_error", "status 408 without a message"),
        (502, b'{"error":"odd"}', 502, "api_error", '{"error":"odd"}'),
        (413, b'{"message":7}', 413, "request_too_large", '{"message":7}'),
    ],
)
def test_errors_of_azure_are_said_in_the_vendors_words(
    foundry: Open, upstream: Upstream, status: int, body: bytes, expected: int, kind: str, message: str
) -> None:
    line = b"%d Refused" % status
    upstream.answer = lambda _: whole(body, b"x-ms-request-id: 4d5c", b"retry-after: 7", status=line)
    answered, headers, said = sent(foundry(), call(BODY, "fast-one"))
    assert (answered, headers[b"request-id"], headers[b"retry-after"]) == (expected, b"4d5c", b"7")
    assert headers[b"content-type"] == b"application/json"
    assert json.loads(said) == {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "4d5c",
    }


def test_errors_in_the_vendors_words_pass_as_they_are(foundry: Open, upstream: Upstream) -> None:
    theirs = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    upstream.answer = lambda _: whole(theirs, status=b"529 Overloaded")
    status, _, body = sent(foundry(), call(BODY, "fast-one"))
    assert (status, body) == (529, theirs)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(503, "api_error"), (503, "overloaded_error"), (408, "timeout_error"), (500, "api_error")],
)
def test_the_vendors_words_keep_the_status_that_they_came_with(
    foundry: Open, upstream: Upstream, status: int, kind: str
) -> None:
    """Status and type are never of two minds: whoever wrote the type wrote the status too."""
    theirs = b'{"type":"error","error":{"type":"%b","message":"no"}}' % kind.encode()
    upstream.answer = lambda _: whole(theirs, b"apim-request-id: 4d5c", status=b"%d No" % status)
    answered, headers, body = sent(foundry(), call(BODY, "fast-one"))
    assert (answered, body, headers[b"request-id"]) == (status, theirs, b"4d5c")


@given(body=st.binary(max_size=200) | st.sampled_from([b"[" * 5000, b'{"error":' * 3000]))
def test_no_error_body_is_too_odd_to_be_said(body: bytes) -> None:
    assert failure(400, body).message
