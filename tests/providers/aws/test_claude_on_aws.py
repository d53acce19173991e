"""Claude Platform on AWS: the vendor's API with AWS's signature and the operator's workspace; nothing else changes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from aws_platform import SECRET, TOKEN, call, keys, sent, where
from aws_verify import signed_by
from scripted_upstream import Received, Upstream, streamed, whole

from trimtab.catalogue import Catalogue
from trimtab.config import Secret
from trimtab.errors import ConfigError, RequestTooLarge
from trimtab.providers import Call, Provider
from trimtab.providers.aws import ClaudeOnAwsSettings, open_claude_on_aws
from trimtab.providers.aws.signing import MAX_SIGNED_BYTES
from trimtab.providers.machine import Machine

BODY = b'{"model": "claude-opus-4-7",  "max_tokens":16, "stream":true,"messages":[] }'
EVENTS = [b'event: message_start\ndata: {"type":"message_start"}\n\n', b"event: ping\ndata: {}\n\n"]

Open = Callable[..., Provider]


def only(upstream: Upstream) -> Received:
    [request] = upstream.received
    return request


def test_a_call_goes_through_untouched_with_the_operators_workspace_and_signature(
    on_aws: Open, upstream: Upstream
) -> None:
    upstream.answer = lambda _: streamed(EVENTS, b"request-id: req_1")
    theirs = [(b"anthropic-workspace-id", b"wrkspc_of_somebody"), (b"anthropic-beta", b"a-1")]
    wanted = call(BODY, "claude-opus-4-7", headers=theirs, stream=True, query=b"beta=true")
    status, headers, body = sent(on_aws(), wanted)
    request = only(upstream)
    assert request.target == b"/v1/messages?beta=true"
    assert request.body == BODY
    assert request.values(b"anthropic-workspace-id") == [b"wrkspc_1"]
    assert request.values(b"anthropic-beta") == [b"a-1"]
    signed_by(request, SECRET, "aws-external-anthropic", "us-west-2", token=TOKEN)
    assert (status, headers[b"request-id"], body) == (200, b"req_1", b"".join(EVENTS))


def test_models_have_the_catalogues_names(on_aws: Open, catalogue: Catalogue) -> None:
    model = catalogue.find("claude-haiku-4-5")
    assert model is not None
    provider = on_aws()
    assert (provider.platform, provider.model_id(model)) == ("anthropic_on_aws", "claude-haiku-4-5-20251001")


def test_every_other_path_of_the_vendor_goes_there_too(on_aws: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(b'{"data":[]}')
    sent(on_aws(), Call("GET", "/v1/models", [], query=b"limit=1000&after_id=a%3Ab"))
    request = only(upstream)
    assert request.target == b"/v1/models?limit=1000&after_id=a%3Ab"
    signed_by(request, SECRET, "aws-external-anthropic", "us-west-2", method="GET", token=TOKEN)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_a_body_in_pieces_is_signed_as_a_whole(on_aws: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(b"{}")
    sent(on_aws(), Call("POST", "/v1/files", [], body=pieces(b"one ", b"two"), content_length=7))
    request = only(upstream)
    assert request.body == b"one two"
    assert request.values(b"content-length") == [b"7"]
    signed_by(request, SECRET, "aws-external-anthropic", "us-west-2", token=TOKEN)


def test_a_body_that_is_too_long_to_be_signed_is_refused_before_it_is_read(
    on_aws: Open, upstream: Upstream
) -> None:
    read: list[bytes] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(b"x")
            yield b"x" * 1024 * 1024

    with pytest.raises(RequestTooLarge, match="api_key"):
        sent(on_aws(), Call("POST", "/v1/files", [], body=endless(), content_length=MAX_SIGNED_BYTES + 1))
    assert read == []
    with pytest.raises(RequestTooLarge):
        sent(on_aws(), Call("POST", "/v1/files", [], body=endless(), content_length=5))
    assert len(read) * 1024 * 1024 <= MAX_SIGNED_BYTES + 1024 * 1024
    assert upstream.received == []


def test_with_a_key_a_body_in_pieces_streams(on_aws: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(b"{}")
    provider = on_aws(**dict.fromkeys(keys()), api_key=Secret("aws-key-1", "env:K"))
    sent(provider, Call("POST", "/v1/files", [], body=pieces(b"one ", b"two"), content_length=7))
    request = only(upstream)
    assert request.body == b"one two"
    assert request.values(b"authorization") == [b"Bearer aws-key-1"]
    assert request.values(b"anthropic-workspace-id") == [b"wrkspc_1"]


def test_the_vendors_errors_pass_and_those_of_aws_are_said_in_its_words(
    on_aws: Open, upstream: Upstream
) -> None:
    theirs = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    upstream.answer = lambda _: whole(theirs, b"retry-after: 7", status=b"529 Overloaded")
    status, headers, body = sent(on_aws(), call(BODY, "claude-opus-4-7"))
    assert (status, headers[b"retry-after"], body) == (529, b"7", theirs)

    refused = b'{"message":"Outbound web identity federation is disabled for your account"}'
    upstream.answer = lambda _: whole(
        refused,
        b"x-amzn-errortype: AccessDeniedException",
        b"x-amzn-requestid: 4d5c",
        status=b"403 Forbidden",
    )
    status, headers, body = sent(on_aws(), call(BODY, "claude-opus-4-7"))
    assert (status, headers[b"request-id"]) == (403, b"4d5c")
    assert json.loads(body) == {
        "type": "error",
        "error": {
            "type": "permission_error",
            "message": "AccessDeniedException: Outbound web identity federation is disabled for your account",
        },
        "request_id": "4d5c",
    }


def test_a_missing_workspace_is_said_and_the_environment_may_have_it(machine: Machine) -> None:
    settings = ClaudeOnAwsSettings(region="us-west-2", **keys())
    with pytest.raises(ConfigError, match=r"aws\.workspace: missing; set it .* ANTHROPIC_AWS_WORKSPACE_ID"):
        open_claude_on_aws("aws", settings, where, machine)
    there = Machine({"ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_2"}, machine.home, machine.now)
    provider = open_claude_on_aws("aws", settings, where, there)
    assert provider._client._target.authority == "aws-external-anthropic.us-west-2.api.aws"
    asyncio.run(provider.aclose())


def test_a_workspace_that_no_header_can_carry_is_refused(on_aws: Open) -> None:
    with pytest.raises(ConfigError, match="must be the id of a workspace"):
        on_aws(workspace="wrkspc 1\r\nx: y")
