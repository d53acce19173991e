"""A call to Bedrock: what goes out is what Bedrock takes and signs for, what comes back is the vendor's own API."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_event_frames import chunk, exception
from aws_platform import SECRET, TOKEN, call, keys, sent, where
from aws_verify import signed_by
from hypothesis import given
from hypothesis import strategies as st
from scripted_upstream import Received, Upstream, whole

from trimtab.catalogue import Catalogue
from trimtab.config import Secret
from trimtab.errors import ConfigError, NotFound, UpstreamBroken
from trimtab.messages import MessagesBody
from trimtab.providers import Call, Provider
from trimtab.providers.aws import BedrockSettings, open_bedrock
from trimtab.providers.aws.bedrock import home_profile, invoke_body
from trimtab.providers.machine import Machine

MESSAGE = {"type": "message", "id": "msg_bdrk_1", "model": "claude-opus-4-7", "content": [], "usage": {}}
BODY = b'{"model": "eu.anthropic.claude-opus-4-7",  "max_tokens":16, "stream" : false,"messages":[{"role":"user","content":"h\xc3\xa9 \\u00e9"}] }'
OPUS = "eu.anthropic.claude-opus-4-7"
START = {"type": "message_start", "message": {"id": "msg_1"}}
STOP = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 8}}

Open = Callable[..., Provider]


def answering(upstream: Upstream, body: Any, *headers: bytes, status: bytes = b"200 OK") -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    upstream.answer = lambda _: whole(raw, *headers, status=status)


def streaming(upstream: Upstream, frames: bytes, *, cut: int | None = None) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
        b"x-amzn-requestid: 4d5c\r\nx-amzn-bedrock-content-type: application/json\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    at = len(frames) // 2 if cut is None else cut
    pieces = [piece for piece in (frames[:at], frames[at:]) if piece]
    upstream.answer = lambda _: [
        head,
        *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces),
        b"0\r\n\r\n",
    ]


def only(upstream: Upstream) -> Received:
    [request] = upstream.received
    return request


def test_a_call_goes_to_the_model_in_the_address_and_every_other_byte_of_its_body_stays(
    bedrock: Open, upstream: Upstream
) -> None:
    answering(upstream, MESSAGE, b"x-amzn-requestid: 4d5c", b"x-amzn-bedrock-input-token-count: 8")
    status, headers, body = sent(bedrock(), call(BODY, OPUS, query=b"beta=true"))
    request = only(upstream)
    assert request.target == b"/model/eu.anthropic.claude-opus-4-7/invoke"
    assert request.body == (
        b'{"anthropic_version":"bedrock-2023-05-31",  "max_tokens":16,"messages":[{"role":"user","content":"h\xc3\xa9 \\u00e9"}] }'
    )
    assert request.values(b"accept") == [b"application/json"]
    assert not request.names() & {b"anthropic-version", b"anthropic-beta"}
    names = signed_by(request, SECRET, "bedrock", "eu-west-1", token=TOKEN)
    assert names == ["content-type", "host", "x-amz-date", "x-amz-security-token"]
    assert (status, json.loads(body)) == (200, MESSAGE)
    assert headers[b"request-id"] == b"4d5c"
    assert headers[b"x-amzn-bedrock-input-token-count"] == b"8"


@pytest.mark.parametrize(
    ("version", "said"), [(b"2023-06-01", "bedrock-2023-05-31"), (b"2026-10-21", "2026-10-21")]
)
def test_the_api_version_is_the_one_of_the_call_in_bedrocks_words(
    bedrock: Open, upstream: Upstream, version: bytes, said: str
) -> None:
    answering(upstream, MESSAGE)
    wanted = Call(
        method="POST",
        path="/v1/messages",
        headers=[(b"anthropic-version", version)],
        body=BODY,
        endpoint="messages",
        model=OPUS,
    )
    sent(bedrock(), wanted)
    assert json.loads(only(upstream).body)["anthropic_version"] == said


def test_betas_move_from_the_header_to_the_body_once_each(bedrock: Open, upstream: Upstream) -> None:
    answering(upstream, MESSAGE)
    betas = [(b"anthropic-beta", b"a-1, b-2"), (b"anthropic-beta", b"b-2,c-3")]
    sent(bedrock(), call(BODY, OPUS, headers=betas))
    request = only(upstream)
    assert json.loads(request.body)["anthropic_beta"] == ["a-1", "b-2", "c-3"]
    assert b"anthropic-beta" not in request.names()


def test_version_and_betas_that_a_caller_wrote_in_the_body_stay(bedrock: Open, upstream: Upstream) -> None:
    answering(upstream, MESSAGE)
    written = {
        "stream": False,
        "anthropic_beta": ["a-1"],
        "model": OPUS,
        "anthropic_version": "x",
        "messages": [],
    }
    sent(bedrock(), call(written, OPUS))
    assert json.loads(only(upstream).body) == {
        "anthropic_beta": ["a-1"],
        "anthropic_version": "x",
        "messages": [],
    }
    sent(bedrock(), call(written, OPUS, headers=[(b"anthropic-beta", b"b-2,a-1")]))
    assert json.loads(upstream.received[1].body) == {
        "anthropic_beta": ["a-1", "b-2"],
        "anthropic_version": "x",
        "messages": [],
    }


def test_headers_that_would_break_the_signature_or_name_other_keys_stay_here(
    bedrock: Open, upstream: Upstream
) -> None:
    answering(upstream, MESSAGE)
    sent(
        bedrock(),
        call(BODY, OPUS, headers=[(b"x-amz-date", b"20200101T000000Z"), (b"x-amz-target", b"evil")]),
    )
    request = only(upstream)
    assert b"x-amz-target" not in request.names()
    signed_by(request, SECRET, "bedrock", "eu-west-1", token=TOKEN)


@pytest.mark.parametrize(
    ("own", "target"),
    [
        (
            "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/ab12",
            b"/model/arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile%2Fab12/invoke",
        ),
        (
            "global.anthropic.claude-haiku-4-5-20251001-v1:0",
            b"/model/global.anthropic.claude-haiku-4-5-20251001-v1:0/invoke",
        ),
    ],
)
def test_ids_and_arns_of_the_operator_are_sent_as_they_stand(
    bedrock: Open, upstream: Upstream, catalogue: Catalogue, own: str, target: bytes
) -> None:
    answering(upstream, MESSAGE)
    provider = bedrock(models={"claude-haiku-4-5": own})
    model = catalogue.find("claude-haiku-4-5")
    assert model is not None
    named = provider.model_id(model)
    assert named == own
    sent(provider, call({"model": own, "messages": []}, named))
    assert only(upstream).target == target
    signed_by(only(upstream), SECRET, "bedrock", "eu-west-1", token=TOKEN)


@pytest.mark.parametrize(
    "own", ["", "..", ".", "a/../b", "a//b", "a b", "a?b", "a#b", "a%2Fb", "é", "x" * 2049]
)
def test_an_id_that_could_lead_to_another_address_is_refused(bedrock: Open, own: str) -> None:
    with pytest.raises(ConfigError, match=r"models\.claude-opus-4-7: .*must be the id or the ARN"):
        bedrock(models={"claude-opus-4-7": own})


def test_an_id_for_a_model_that_nobody_knows_is_named(bedrock: Open) -> None:
    with pytest.raises(ConfigError, match=r"'claude-opus-47': is no model of the catalogue"):
        bedrock(models={"claude-opus-47": "x"})


@pytest.mark.parametrize(
    ("region", "written", "expected"),
    [
        ("eu-central-1", None, "eu.anthropic.claude-opus-4-7"),
        ("us-west-2", None, "us.anthropic.claude-opus-4-7"),
        ("ap-northeast-1", None, "jp.anthropic.claude-opus-4-7"),
        ("ap-southeast-2", None, "au.anthropic.claude-opus-4-7"),
        ("us-gov-west-1", None, "anthropic.claude-opus-4-7"),
        ("sa-east-1", None, "anthropic.claude-opus-4-7"),
        ("eu-central-1", "global", "global.anthropic.claude-opus-4-7"),
        ("eu-central-1", "", "anthropic.claude-opus-4-7"),
        ("ap-south-1", "apac", "apac.anthropic.claude-opus-4-7"),
    ],
)
def test_a_model_is_called_by_the_inference_profile_of_the_region_unless_another_is_written(
    bedrock: Open, catalogue: Catalogue, region: str, written: str | None, expected: str
) -> None:
    model = catalogue.find("claude-opus-4-7")
    assert model is not None
    assert bedrock(region=region, inference_profile=written).model_id(model) == expected


@pytest.mark.parametrize(
    ("options", "regional"),
    [
        ({}, True),
        ({"inference_profile": "global"}, False),
        ({"inference_profile": ""}, True),
        ({"inference_profile": "global", "models": {"claude-opus-4-7": "eu.anthropic.claude-opus-4-7"}}, True),
        ({"inference_profile": "global", "models": {"claude-opus-4-7": "global.anthropic.claude-opus-4-7"}}, False),
        (
            {"inference_profile": "global", "models": {"claude-opus-4-7": "arn:aws:bedrock:eu-west-1:1:application-inference-profile/a"}},
            True,
        ),
        ({"endpoint": "mantle"}, True),
    ],
)  # fmt: skip
def test_only_an_entry_whose_ids_are_all_global_is_priced_as_global(
    bedrock: Open, options: dict[str, Any], regional: bool
) -> None:
    assert bedrock(region="eu-central-1", **options).regional is regional


def test_regions_without_a_profile_of_their_own_have_none() -> None:
    assert home_profile("me-central-1") == ""
    assert home_profile("cn-north-1") == ""


def test_a_stream_comes_out_as_the_vendors_events_byte_for_byte(bedrock: Open, upstream: Upstream) -> None:
    delta = (
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"h\xc3\xa9 \\u00e9"}}'
    )
    streaming(upstream, chunk(START) + chunk(delta) + chunk(STOP))
    streamed = call(BODY.replace(b"false", b"true"), OPUS, stream=True)
    status, headers, body = sent(bedrock(), streamed)
    assert only(upstream).target == b"/model/eu.anthropic.claude-opus-4-7/invoke-with-response-stream"
    assert b"stream" not in json.loads(only(upstream).body)
    assert (status, headers[b"content-type"], headers[b"request-id"]) == (200, b"text/event-stream", b"4d5c")
    assert b"x-amzn-bedrock-content-type" not in headers
    events = body.split(b"\n\n")
    assert events[1] == b"event: content_block_delta\ndata: " + delta
    assert events[2].startswith(b"event: message_stop\ndata: ")
    assert json.loads(events[2].partition(b"data: ")[2]) == STOP
    assert events[3] == b""


def test_an_exception_in_a_stream_is_one_error_event_at_its_end(bedrock: Open, upstream: Upstream) -> None:
    streaming(upstream, chunk(START) + exception("throttlingException", "Too many tokens") + chunk(STOP))
    _, _, body = sent(bedrock(), call(BODY, OPUS, stream=True))
    *_, last, end = body.split(b"\n\n")
    assert end == b""
    assert last.startswith(b"event: error\ndata: ")
    assert json.loads(last.partition(b"data: ")[2]) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "throttlingException: Too many tokens"},
        "request_id": "4d5c",
    }


def test_a_stream_that_ends_inside_a_frame_is_no_proper_end(bedrock: Open, upstream: Upstream) -> None:
    streaming(upstream, (chunk(START) + chunk(STOP))[:-3])
    with pytest.raises(UpstreamBroken, match="inside a frame"):
        sent(bedrock(), call(BODY, OPUS, stream=True))


def test_tokens_are_counted_by_the_operation_of_their_own_on_the_bare_model(
    bedrock: Open, upstream: Upstream
) -> None:
    answering(upstream, {"inputTokens": 42}, b"x-amzn-requestid: 4d5c")
    asked = {"model": OPUS, "messages": [{"role": "user", "content": "hi"}]}
    betas = [(b"anthropic-beta", b"a-1")]
    status, headers, body = sent(bedrock(), call(asked, OPUS, endpoint="count_tokens", headers=betas))
    request = only(upstream)
    assert request.target == b"/model/anthropic.claude-opus-4-7/count-tokens"
    inner = json.loads(base64.b64decode(json.loads(request.body)["input"]["invokeModel"]["body"]))
    assert inner == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["a-1"],
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert (status, json.loads(body)) == (200, {"input_tokens": 42})
    assert headers[b"request-id"] == b"4d5c"
    assert b"content-length" not in headers
    signed_by(request, SECRET, "bedrock", "eu-west-1", token=TOKEN)


def test_tokens_of_a_request_that_thinks_are_counted_with_room_for_it(
    bedrock: Open, upstream: Upstream
) -> None:
    answering(upstream, {"inputTokens": 42})
    asked = {"model": OPUS, "messages": [], "thinking": {"type": "enabled", "budget_tokens": 2048}}
    sent(bedrock(), call(asked, OPUS, endpoint="count_tokens"))
    inner = json.loads(base64.b64decode(json.loads(only(upstream).body)["input"]["invokeModel"]["body"]))
    assert inner["max_tokens"] == 2049


def test_a_count_that_is_none_is_a_broken_answer(bedrock: Open, upstream: Upstream) -> None:
    answering(upstream, {"tokens": 42})
    with pytest.raises(UpstreamBroken, match="count of tokens"):
        sent(bedrock(), call({"model": OPUS, "messages": []}, OPUS, endpoint="count_tokens"))


def test_other_operations_of_the_vendor_are_refused_by_name(bedrock: Open, upstream: Upstream) -> None:
    with pytest.raises(
        NotFound, match=r"GET /v1/models: Amazon Bedrock \(InvokeModel\) has no such operation"
    ):
        sent(bedrock(), Call("GET", "/v1/models", []))
    assert upstream.received == []


def test_a_bearer_key_takes_the_place_of_signatures(bedrock: Open, upstream: Upstream) -> None:
    answering(upstream, MESSAGE)
    none = dict.fromkeys(keys())
    sent(bedrock(**none, api_key=Secret("bedrock-api-key-1", "env:K")), call(BODY, OPUS))
    request = only(upstream)
    assert request.values(b"authorization") == [b"Bearer bedrock-api-key-1"]
    assert b"x-amz-date" not in request.names()


# The Messages endpoint


def test_the_messages_endpoint_gets_the_body_untouched(bedrock: Open, upstream: Upstream) -> None:
    answering(upstream, MESSAGE, b"request-id: req_1")
    provider = bedrock(endpoint="mantle", base_url=upstream.url + "/anthropic")
    body = BODY.replace(OPUS.encode(), b"anthropic.claude-opus-4-7")
    betas = [(b"anthropic-beta", b"a-1")]
    _, headers, _ = sent(provider, call(body, "anthropic.claude-opus-4-7", headers=betas, query=b"beta=true"))
    request = only(upstream)
    assert request.target == b"/anthropic/v1/messages?beta=true"
    assert request.body == body
    assert request.values(b"anthropic-beta") == [b"a-1"]
    assert request.values(b"anthropic-version") == [b"2023-06-01"]
    assert headers[b"request-id"] == b"req_1"
    signed_by(request, SECRET, "bedrock-mantle", "eu-west-1", token=TOKEN)


def test_the_messages_endpoint_gets_a_user_profile_in_the_body(bedrock: Open, upstream: Upstream) -> None:
    answering(upstream, MESSAGE)
    provider = bedrock(endpoint="mantle", base_url=upstream.url + "/anthropic")
    sent(provider, call(BODY, OPUS, headers=[(b"anthropic-user-profile-id", b"up_1")]))
    request = only(upstream)
    assert json.loads(request.body)["user_profile_id"] == "up_1"
    assert b"anthropic-user-profile-id" not in request.names()


def test_the_messages_endpoint_has_ids_of_its_own_and_no_profiles(
    bedrock: Open, catalogue: Catalogue
) -> None:
    haiku, old = catalogue.find("claude-haiku-4-5"), catalogue.find("claude-opus-4-5")
    assert haiku is not None
    assert old is not None
    provider = bedrock(endpoint="mantle")
    assert provider.platform == "bedrock_mantle"
    assert provider.model_id(haiku) == "anthropic.claude-haiku-4-5"
    assert provider.model_id(old) is None
    with pytest.raises(ConfigError, match="inference_profile: 'eu': is not for endpoint"):
        bedrock(endpoint="mantle", inference_profile="eu")


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        ("invoke", "eu-west-1", "bedrock-runtime.eu-west-1.amazonaws.com"),
        ("invoke", "cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("mantle", "us-east-1", "bedrock-mantle.us-east-1.api.aws"),
    ],
)
def test_the_address_is_that_of_the_region(
    machine: Machine, catalogue: Catalogue, endpoint: Any, region: str, expected: str
) -> None:
    provider = open_bedrock(
        "aws", BedrockSettings(endpoint=endpoint, region=region, **keys()), where, catalogue, machine
    )
    target = provider._client._target
    assert (target.scheme, target.authority) == ("https", expected)
    assert target.base_path == ("/anthropic" if endpoint == "mantle" else "")


# Bodies in general

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OTHERS = st.dictionaries(
    st.sampled_from(["system", "tools", "stream", "max_tokens", "metadata", "thinking", "a", "é"]),
    JSON,
    max_size=6,
)


@given(
    others=OTHERS,
    order=st.randoms(use_true_random=False),
    betas=st.lists(st.text("abc-1", min_size=1, max_size=5), max_size=3),
    spaced=st.booleans(),
)
def test_whatever_a_body_holds_only_model_and_stream_leave_and_only_version_and_betas_come(
    others: dict[str, Any], order: Any, betas: list[str], spaced: bool
) -> None:
    others["stream"] = bool(others.get("stream"))
    if not isinstance(others.get("max_tokens"), int) or isinstance(others["max_tokens"], bool):
        others["max_tokens"] = 1
    others["max_tokens"] = abs(others["max_tokens"])
    whole_body = {**others, "model": "m", "messages": []}
    names = list(whole_body)
    order.shuffle(names)
    shuffled = {name: whole_body[name] for name in names}
    separators = (" , ", " : ") if spaced else (",", ":")
    raw = json.dumps(shuffled, separators=separators, ensure_ascii=order.random() < 0.5).encode()
    headers = [(b"anthropic-version", b"2023-06-01"), (b"anthropic-beta", ",".join(betas).encode())]
    made = invoke_body(MessagesBody(raw, max_tokens_required=False), headers)
    expected = {name: value for name, value in shuffled.items() if name not in ("model", "stream")}
    expected["anthropic_version"] = "bedrock-2023-05-31"
    if betas:
        expected["anthropic_beta"] = list(dict.fromkeys(betas))
    found = json.loads(made)
    assert found == expected
    kept = [name for name in names if name not in ("model", "stream")]
    assert [name for name in found if name in kept] == kept, "members keep their order"
