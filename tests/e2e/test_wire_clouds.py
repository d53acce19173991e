"""What reaches Vertex AI and Foundry through Trimtab is what the vendor's own clients for them send, field by field.

Each call is made twice, by the SDK's client of the platform and by its plain client at Trimtab; a server in the place
of the platform keeps both. Every difference that is meant is asserted here.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from scripted_upstream import Received, Upstream, streamed, whole
from sdk_programs import E2E, python_of, run_program
from wire_answers import EVENTS, MESSAGE

CONFIG = {
    "vertex": """kind = "vertex"
project = "my-project-123"
region = "europe-west1"
access_token = "env:THE_TOKEN"
models = {"claude-haiku-4-5" = "claude-haiku-4-5@my-own"}
base_url = "{}"
""",
    "foundry": """kind = "foundry"
api_key = "env:THE_KEY"
models = {"claude-haiku-4-5" = "fast-one"}
base_url = "{}/anthropic"
""",
    "entra": """kind = "foundry"
access_token = "env:THE_TOKEN"
base_url = "{}/anthropic"
""",
}
HOW = frozenset((b"host", b"user-agent", b"accept-encoding", b"connection"))
"""Headers of the connection and of the program; each side has its own."""

Pair = tuple[Received, Received]


def platform(request: Received) -> list[bytes | None]:
    path = request.target.partition(b"?")[0]
    if path.endswith((b"count_tokens", b"count-tokens:rawPredict")):
        return [*whole(b'{"input_tokens":42}')]
    if json.loads(request.body).get("stream"):
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS)
        return [*streamed(lines)]
    return [*whole(json.dumps(MESSAGE).encode())]


def made(kind: str, serve: Callable[..., Any]) -> dict[str, Pair]:
    """What the platform got, by the name of the call: from the SDK's client, and from Trimtab."""
    python = python_of("2.11")
    upstream = Upstream(platform)
    config = CONFIG[kind].replace('"{}', f'"{upstream.url}')
    server = serve(f"[platforms.cloud]\n{config}", THE_KEY="azure-key-1", THE_TOKEN="ya29.the-token")
    said = run_program(
        python, E2E / "cloud_wire.py", server.url, server.folder, server.log, kind, upstream.url
    )
    upstream.close()
    for case, seen in said["seen"].items():
        assert seen["ours"] == seen["theirs"], case
        assert seen["ours"]
    received = upstream.received
    assert len(received) == 2 * len(said["seen"])
    return {case: (received[2 * at], received[2 * at + 1]) for at, case in enumerate(said["seen"])}


@pytest.fixture(scope="module", params=["vertex", "foundry"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def pairs(kind: str, serve: Callable[..., Any]) -> dict[str, Pair]:
    return made(kind, serve)


def body_of(request: Received) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


def test_method_address_and_query_are_the_same(pairs: dict[str, Pair]) -> None:
    for case, (theirs, ours) in pairs.items():
        assert (ours.method, ours.target) == (theirs.method, theirs.target), case


def test_bodies_are_the_same_field_by_field(pairs: dict[str, Pair]) -> None:
    for case, (theirs, ours) in pairs.items():
        assert body_of(ours) == body_of(theirs), case


def test_headers_are_the_same_but_for_who_speaks_and_how_bytes_travel(
    kind: str, pairs: dict[str, Pair]
) -> None:
    for case, (theirs, ours) in pairs.items():
        for name in sorted((theirs.names() | ours.names()) - HOW):
            expected = theirs.values(name)
            if (kind, case, name) == ("vertex", "count with betas", b"anthropic-beta"):
                # Meant: a beta that Vertex is not known to take is left out, and what was done is said to the caller.
                assert expected == [b"token-counting-2024-11-01,token-counting-2024-11-01"]
                expected = []
            assert ours.values(name) == expected, (case, name)


def test_what_was_to_be_seen_was_asked_for(kind: str, pairs: dict[str, Pair]) -> None:
    betas = b"context-management-2025-06-27,interleaved-thinking-2025-05-14"
    ours = {case: pair[1] for case, pair in pairs.items()}
    assert ours["streamed with betas"].values(b"anthropic-beta") == [betas]
    assert body_of(ours["streamed with betas"])["stream"] is True
    if kind == "foundry":
        assert ours["streamed with betas"].target == b"/anthropic/v1/messages"
        assert ours["count"].target == b"/anthropic/v1/messages/count_tokens"
        assert body_of(ours["id of a snapshot"])["model"] == "claude-sonnet-4-5"
        assert body_of(ours["id of the operator"])["model"] == "fast-one"
        assert ours["plain"].values(b"api-key") == ours["plain"].values(b"x-api-key") == [b"azure-key-1"]
        return
    models = b"/v1/projects/my-project-123/locations/europe-west1/publishers/anthropic/models/"
    assert ours["streamed with betas"].target == models + b"claude-opus-4-7:streamRawPredict"
    assert ours["id of a snapshot"].target == models + b"claude-sonnet-4-5@20250929:rawPredict"
    assert ours["id of the operator"].target == models + b"claude-haiku-4-5@my-own:rawPredict"
    assert ours["count"].target == models + b"count-tokens:rawPredict"
    assert body_of(ours["plain"])["anthropic_version"] == "2026-10-21"


def test_a_token_of_entra_id_travels_the_same_way(serve: Callable[..., Any]) -> None:
    [(theirs, ours)] = made("entra", serve).values()
    assert ours.values(b"authorization") == theirs.values(b"authorization") == [b"Bearer ya29.the-token"]
    assert ours.target == theirs.target
    assert body_of(ours) == body_of(theirs)
    assert not {b"x-api-key", b"api-key"} & (ours.names() | theirs.names())
