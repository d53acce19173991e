"""What reaches Amazon's platforms through Trimtab is what the vendor's own clients for them send, field by field.

Each call is made twice, by the SDK's client of the platform and by its plain client at Trimtab; a server in the place
of the platform keeps both. Every difference that is meant is asserted here.
"""

import json
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from aws_event_frames import chunk
from aws_verify import signed_by
from scripted_upstream import Received, Upstream, streamed, whole
from sdk_programs import E2E, python_of, run_program
from wire_answers import EVENTS, MESSAGE

SECRET, TOKEN = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjE//token=="
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12cd34ef56"
SERVICES = {"bedrock": "bedrock", "mantle": "bedrock-mantle", "claude": "aws-external-anthropic"}
CONFIG = {
    "bedrock": f'kind = "bedrock"\nmodels = {{"claude-haiku-4-5" = "{ARN}"}}\n',
    "mantle": 'kind = "bedrock"\nendpoint = "mantle"\n',
    "claude": 'kind = "anthropic_on_aws"\nworkspace = "wrkspc_1"\n',
}
KEYS = """access_key_id = "env:THE_ID"
secret_access_key = "env:THE_KEY"
session_token = "env:THE_TOKEN"
"""
MATTER = (b"content-type", b"accept", b"anthropic-version", b"anthropic-beta", b"anthropic-workspace-id")
"""Headers that a platform acts on."""

Pair = tuple[Received, Received]


def platform(request: Received) -> list[bytes | None]:
    if request.target.partition(b"?")[0].endswith(b"count_tokens"):
        return [*whole(b'{"input_tokens":42}')]
    if request.target.endswith(b"/invoke-with-response-stream"):
        body = b"".join(chunk(event) for event in EVENTS)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ncontent-length: %d\r\n\r\n"
        return [head % len(body), body]
    if json.loads(request.body).get("stream"):
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS)
        return [*streamed(lines)]
    return [*whole(json.dumps(MESSAGE).encode())]


@pytest.fixture(scope="module", params=["bedrock", "mantle", "claude"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def made(kind: str, serve: Callable[..., Any], credentials: str, key: str | None = None) -> dict[str, Pair]:
    """What the platform got, by the name of the call: from the SDK's client, and from Trimtab."""
    python = python_of("2.11")
    if subprocess.run([python, "-c", "import boto3"], capture_output=True, check=False).returncode:
        pytest.skip("no boto3 in the environment for anthropic 2.11: make .venv-sdk-2.11/.ready")
    upstream = Upstream(platform)
    base = upstream.url + ("/anthropic" if kind == "mantle" else "")
    server = serve(
        f'[platforms.aws]\nbase_url = "{base}"\n{CONFIG[kind]}region = "us-east-1"\n{credentials}',
        THE_BEARER=key or "",
        THE_ID="AKIDEXAMPLE",
        THE_KEY=SECRET,
        THE_TOKEN=TOKEN,
    )
    arguments = (kind, upstream.url, *((key,) if key else ()))
    said = run_program(python, E2E / "aws_wire.py", server.url, server.folder, server.log, *arguments)
    upstream.close()
    for case, seen in said["seen"].items():
        assert seen["ours"] == seen["theirs"], case
        assert seen["ours"]
    received = upstream.received
    assert len(received) == 2 * len(said["seen"])
    return {case: (received[2 * at], received[2 * at + 1]) for at, case in enumerate(said["seen"])}


@pytest.fixture(scope="module")
def pairs(kind: str, serve: Callable[..., Any]) -> dict[str, Pair]:
    return made(kind, serve, KEYS)


def body_of(request: Received) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


def test_method_address_and_query_are_the_same(pairs: dict[str, Pair]) -> None:
    for case, (theirs, ours) in pairs.items():
        assert (ours.method, ours.target) == (theirs.method, theirs.target), case


def test_bodies_are_the_same_field_by_field(kind: str, pairs: dict[str, Pair]) -> None:
    for case, (theirs, ours) in pairs.items():
        expected, made = body_of(theirs), body_of(ours)
        if kind == "bedrock" and case in ("older model", "another id"):
            # Meant: Bedrock refuses 2026-10-21 for models before Claude 4.7; the SDK sends it for every model.
            assert expected.pop("anthropic_version") == "2026-10-21"
            assert made.pop("anthropic_version") == "bedrock-2023-05-31"
        assert made == expected, case


def test_headers_that_a_platform_acts_on_are_the_same(kind: str, pairs: dict[str, Pair]) -> None:
    for case, (theirs, ours) in pairs.items():
        for name in MATTER:
            expected = theirs.values(name)
            if kind == "bedrock" and name == b"anthropic-beta":
                # Meant: the SDK says betas in header and body; InvokeModel reads the body.
                assert ours.values(name) == [], case
            elif kind == "mantle" and name == b"anthropic-version" and case == "another id":
                # Meant: Haiku 4.5 is older than Claude 4.7, so Bedrock takes only the first version for it.
                assert (expected, ours.values(name)) == ([b"2026-10-21"], [b"2023-06-01"])
            else:
                assert ours.values(name) == expected, (case, name)


def test_signatures_of_both_hold_and_have_the_same_scope(kind: str, pairs: dict[str, Pair]) -> None:
    for theirs, ours in pairs.values():
        for request in (theirs, ours):
            signed = signed_by(request, SECRET, SERVICES[kind], "us-east-1", token=TOKEN)
            assert {"host", "x-amz-date", "x-amz-security-token", "content-type"} <= set(signed)


def test_betas_and_streams_were_asked_for(kind: str, pairs: dict[str, Pair]) -> None:
    _, ours = pairs["streamed with betas"]
    betas = ["context-management-2025-06-27", "interleaved-thinking-2025-05-14"]
    if kind == "bedrock":
        assert ours.target == b"/model/us.anthropic.claude-opus-4-7/invoke-with-response-stream"
        assert body_of(ours)["anthropic_beta"] == betas
        assert unquote(pairs["another id"][1].target.decode()) == f"/model/{ARN}/invoke"
    else:
        assert b",".join(ours.values(b"anthropic-beta")) == ",".join(betas).encode()
        assert body_of(ours)["stream"] is True


@pytest.mark.parametrize("by_key", ["bedrock", "mantle", "claude"])
def test_a_bearer_key_travels_the_same_way(by_key: str, serve: Callable[..., Any]) -> None:
    [(theirs, ours)] = made(by_key, serve, 'api_key = "env:THE_BEARER"\n', "aws-key-1").values()
    assert ours.values(b"authorization") == theirs.values(b"authorization") == [b"Bearer aws-key-1"]
    assert ours.target == theirs.target
    assert body_of(ours) == body_of(theirs)
    assert not {b"x-amz-date", b"x-api-key"} & (ours.names() | theirs.names())
