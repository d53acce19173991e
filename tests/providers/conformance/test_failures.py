"""What clients get of an error is the vendor's own, with its status, on whichever platform it was said."""

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from aws_platform import SECRET
from simulated_platforms import MACHINE, REGION, House, Kind, said_to, simulated

from trimtab.catalogue import Catalogue
from trimtab.config import Secret
from trimtab.errors import RequestError, UpstreamBroken

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STREAM_ERRORS = (
    "overloaded_error",
    "api_error",
    "rate_limit_error",
    "timeout_error",
    "invalid_request_error",
)
SCRIPT = "\n".join(
    [
        "version: 1",
        "rules:",
        *(
            f"- {{match: {{contains: status {status}}}, reply: {{error: {{status: {status}, message: Said {status}.}}}}}}"
            for status in TYPES
        ),
        "- {match: {contains: later}, reply: {error: {status: 429, retry_after_s: 7}}}",
        "- {match: {contains: spent}, reply: {error: {status: 429, error_code: enforced_spend_limit_reached}}}",
        *(
            f"- {{match: {{contains: breaks with {name}}}, reply: {{text: Half an answer, "
            f"stream_error: {{after_events: 4, type: {name}, message: Not now. 今}}}}}}"
            for name in STREAM_ERRORS
        ),
        "- {match: {contains: proxy}, reply: {raw: {status: 502, content_type: text/html, body: <h1>Bad</h1>}}}",
        f"- {{match: {{contains: huge}}, reply: {{raw: {{status: 500, body: {'x' * 400_000}}}}}}}",
        "",
    ]
)
IMAGE_BY_URL = [{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]


@pytest.mark.parametrize("status", TYPES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_error_has_the_vendors_words_and_the_models_message(
    status: int, stream: bool, ask: Any, kind: Kind
) -> None:
    said = ask(f"status {status}", stream=stream)
    expected = kind.statuses.get(status, status)
    assert said.problem is None
    assert (said.status, said.error["type"]) == (expected, TYPES[expected])
    assert f"Said {status}." in said.error["message"]
    assert said.headers[b"x-trimtab-simulated"] == b"true"
    if kind.platform != "vertex" or status in (400, 529):  # Google's own errors have no id
        assert said.headers[b"request-id"]
    assert b"retry-after" not in said.headers


def test_when_to_come_back_is_told(ask: Any) -> None:
    said = ask("later")
    assert (said.status, said.headers[b"retry-after"]) == (429, b"7")
    assert said.error["type"] == "rate_limit_error"


def test_a_limit_of_money_is_a_429_as_well(ask: Any) -> None:
    said = ask("spent")
    assert (said.status, said.error["type"]) == (429, "rate_limit_error")
    assert b"retry-after" not in said.headers


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_an_error_inside_a_stream_is_one_event_at_its_end(name: str, ask: Any, kind: Kind) -> None:
    said = ask(f"breaks with {name}", stream=True)
    assert (said.status, said.problem) == (200, None)
    *before, last = said.events
    assert [event["type"] for event in before[:2]] == ["message_start", "content_block_start"]
    assert [event["type"] for event in before if event["type"] != "ping"][2:] == ["content_block_delta"]
    assert last["type"] == "error"
    # Of the exceptions of ConverseStream none is a timeout.
    expected = "api_error" if kind.rewritten and name == "timeout_error" else name
    assert last["error"]["type"] == expected
    assert "Not now. 今" in last["error"]["message"]
    assert said.blocks[-1].startswith(b"event: error\n")


def test_a_page_of_a_proxy_is_an_error_too(ask: Any, kind: Kind) -> None:
    said = ask("proxy")
    assert said.status in (500, 502)
    assert b"<h1>Bad</h1>" in said.body
    if kind.translated:
        assert said.error["type"] == "api_error"


def test_a_huge_error_is_not_kept(ask: Any, kind: Kind) -> None:
    said = ask("huge")
    if kind.translated:
        assert isinstance(said.problem, UpstreamBroken)
        assert said.body == b""
    else:
        assert said.problem is None or isinstance(said.problem, UpstreamBroken)


def test_a_model_that_nobody_has_is_not_found(ask: Any, kind: Kind) -> None:
    call = ask.call()
    body = json.loads(call.body) | {"model": "claude-of-tomorrow"}
    changed = msgspec.structs.replace(call, body=json.dumps(body).encode(), model="claude-of-tomorrow")
    said = ask.run(said_to(ask.provider, changed))
    assert said.status in (400, 404)
    assert said.error["type"] in ("not_found_error", "invalid_request_error")


def test_what_a_model_refuses_is_said_by_field(ask: Any, kind: Kind) -> None:
    said = ask(max_tokens=0, stop_sequences=[1])
    assert (said.status, said.error["type"]) == (400, "invalid_request_error")
    assert ("inferenceConfig" if kind.rewritten else "stop_sequences") in said.error["message"]


def test_a_rate_limit_of_the_platform_says_when_to_come_back(
    caller: Callable[..., Any], catalogue: Catalogue, kind: Kind
) -> None:
    with simulated(catalogue=catalogue, rate_limit_rpm=1) as house:
        ask = caller(house)
        first, second = ask(), ask()
    assert (first.status, second.status) == (200, 429)
    assert int(second.headers[b"retry-after"]) > 0
    shown = b"anthropic-ratelimit-requests-limit" in first.headers
    assert shown is (kind.platform in ("anthropic", "anthropic_on_aws", "vertex"))


# What a platform refuses before any model is asked


def refused(house: House, caller: Callable[..., Any], **settings: Any) -> Any:
    said = caller(house, **settings)()
    assert said.headers[b"x-trimtab-simulated"] == b"true"
    return said


def test_keys_of_nobody_are_refused(house: House, caller: Callable[..., Any], kind: Kind) -> None:
    if not kind.service:
        pytest.skip("not AWS")
    said = refused(house, caller, access_key_id=Secret("AKIDNOBODY", "env:A"))
    assert (said.status, said.error["type"]) == (401, "authentication_error")
    assert "UnrecognizedClient" in said.error["message"]


def test_a_signature_with_another_secret_is_refused(
    house: House, caller: Callable[..., Any], kind: Kind
) -> None:
    if not kind.service:
        pytest.skip("not AWS")
    said = refused(house, caller, secret_access_key=Secret(SECRET[::-1], "env:B"))
    assert (said.status, said.error["type"]) == (401, "authentication_error")
    assert "does not match" in said.error["message"]


def test_a_signature_for_another_region_is_refused(
    house: House, caller: Callable[..., Any], kind: Kind
) -> None:
    if not kind.service:
        pytest.skip("not AWS")
    said = refused(house, caller, region="us-east-1")
    assert (said.status, said.error["type"]) == (401, "authentication_error")
    assert f"{'us-east-1'!r}" in said.error["message"]
    assert REGION not in said.error["message"]


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_of_another_time_is_refused(
    minutes: int, house: House, caller: Callable[..., Any], kind: Kind
) -> None:
    if not kind.service:
        pytest.skip("not AWS")
    now = time.time() + 60 * minutes
    said = refused(house, caller, machine=msgspec.structs.replace(MACHINE, now=lambda: now))
    assert (said.status, said.error["type"]) == (401, "authentication_error")
    assert "5 min" in said.error["message"]


@pytest.mark.parametrize(
    ("said_of", "lacking", "fields", "betas"),
    [
        (
            "invalid beta flag",
            ("bedrock", "bedrock_mantle", "bedrock_converse", "vertex"),
            {},
            "mcp-client-2025-11-20",
        ),
        (
            "sources are not supported",
            ("bedrock", "bedrock_mantle", "bedrock_converse", "vertex"),
            {"content": IMAGE_BY_URL},
            "",
        ),
        (
            "cache_control: Extra inputs",
            ("bedrock", "bedrock_mantle", "bedrock_converse", "vertex"),
            {"cache_control": {"type": "ephemeral"}},
            "",
        ),
        (
            "is not supported",
            ("bedrock", "bedrock_mantle", "bedrock_converse"),
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "",
        ),
    ],
)
def test_what_a_platform_lacks_is_refused_as_it_would(
    said_of: str, lacking: tuple[str, ...], fields: dict[str, Any], betas: str, ask: Any, kind: Kind
) -> None:
    """No rule of Trimtab's stands before the provider here; a call that gets past them is judged by the platform."""
    said = ask(betas=betas, **fields)
    if kind.platform not in lacking:
        assert said.status == 200, said.body
        return
    if isinstance(said.problem, RequestError):  # it has no words for it, so it is not sent
        assert kind.rewritten
        assert "Amazon Bedrock (Converse) has no place for it" in str(said.problem)
        return
    assert (said.status, said.error["type"]) == (400, "invalid_request_error")
    assert said_of in said.error["message"]
