"""What Trimtab does not need to change reaches the platform, and the client, byte for byte."""

import http.client
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import Client
from scripted_upstream import CUT, streamed, whole

OPERATOR_KEY = "sk-ant-operators-own-key"
CLIENT_KEY = "sk-ant-clients-own-key"
MODEL = "claude-sonnet-4-6"

MESSAGE = (
    b'{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-6",\n'
    b'  "content":[{"type":"text","text":"\\u00e9 \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x9a\xa2"}],'
    b'"a_field_of_tomorrow":[1.0e2, 1E-7, 0.10],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":12,"output_tokens":5,"unknown_tokens":{"x":1}}}  \n'
)

TRANSCRIPT = "\n".join(
    [
        "event: message_start",
        'data: {"type":"message_start","message":{"id":"msg_02","type":"message","role":"assistant",'
        '"model":"claude-sonnet-4-6","content":[],"stop_reason":null,"stop_sequence":null,'
        '"usage":{"input_tokens":12,"output_tokens":1}}}',
        "",
        "event: ping",
        'data: {"type": "ping"}',
        "",
        ": a comment, as some proxies send\n",
        "event: content_block_start",
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        "",
        "event: content_block_delta",
        'data: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"舵は小さい、船は大きい 🚢👩‍🚀"}}',
        "",
        "event: an_event_of_tomorrow",
        'data: {"type":"an_event_of_tomorrow","é":"ü"}',
        "",
        "event: content_block_stop",
        'data: {"type":"content_block_stop","index":0}',
        "",
        "event: message_delta",
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"output_tokens":9}}',
        "",
        "event: message_stop",
        'data: {"type":"message_stop"}',
        "",
        "",
    ]
).encode()


@pytest.fixture(scope="module")
def gateway(serve: Callable[..., Any], upstream: Any) -> Any:
    return serve(
        f"""
        [platforms.stub]
        kind = "anthropic"
        api_key = "env:E2E_OPERATOR_KEY"
        base_url = "{upstream.url}"
        [tiers]
        default = "{MODEL}"
        escalation = "claude-opus-4-7@xhigh"
        """,
        E2E_OPERATOR_KEY=OPERATOR_KEY,
    )


@pytest.fixture
def client(gateway: Any) -> Iterable[Client]:
    client = Client(gateway.port, CLIENT_KEY)
    yield client
    client.close()


def body_of(model: str, stream: bool = False) -> bytes:
    flag = b',"stream":true' if stream else b""
    return b'{"model":"%b","max_tokens":64,"messages":[{"role":"user","content":"hi"}]%b}' % (
        model.encode(),
        flag,
    )


# --- towards the platform ---

AWKWARD_BODIES = {
    "compact": body_of(MODEL),
    "model_last": b'{"max_tokens":64,"messages":[{"role":"user","content":"hi"}],"model":"%b"}'
    % MODEL.encode(),
    "spaced": b'{ "max_tokens" : 64 ,\r\n\t"model"  :\n "%b" , "messages":[ {"role":"user","content":"hi"} ] } \n'
    % MODEL.encode(),
    "nested_models": b'{"metadata":{"user_id":"\\"model\\":\\"x\\""},"messages":[{"role":"user","content":'
    b'[{"type":"text","text":"\\"model\\": \\"decoy\\""}]}],"model":"%b","max_tokens":64,'
    b'"tools":[{"name":"f","input_schema":{"type":"object","properties":{"model":{"type":"string"}}}}]}'
    % MODEL.encode(),
    "numbers": b'{"model":"%b","max_tokens":64,"temperature":1.0e0,"future":[0.10,1E+2,-0,12345678901234567890],'
    b'"messages":[{"role":"user","content":"hi"}]}' % MODEL.encode(),
    "escapes": b'{"model":"%b","max_tokens":64,"messages":[{"role":"user","content":"\\u00e9\\/\\ud83d\\udea2 '
    b'\xe8\x88\xb5 \xf0\x9f\x9a\xa2 \\u0000"}]}' % MODEL.encode(),
    "unknown_fields": b'{"zzz":null,"model":"%b","a":{"b":[{}]},"max_tokens":64,'
    b'"messages":[{"role":"user","content":"hi","q":[]}]}' % MODEL.encode(),
}


@pytest.mark.parametrize("name", AWKWARD_BODIES)
def test_a_pinned_request_reaches_the_platform_as_it_was_written(
    name: str, client: Client, upstream: Any
) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    body = AWKWARD_BODIES[name]
    status, _, answer = client.post(body)
    assert (status, answer) == (200, MESSAGE)
    assert upstream.received[-1].body == body
    assert upstream.received[-1].target == b"/v1/messages"


@pytest.mark.parametrize("name", AWKWARD_BODIES)
def test_a_virtual_model_changes_only_the_model_value(name: str, client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    body = AWKWARD_BODIES[name]
    asked = body.replace(MODEL.encode(), b"trimtab/default")
    assert asked != body
    status, _, _ = client.post(asked)
    assert status == 200
    assert upstream.received[-1].body == body


def test_a_model_written_with_escapes_is_understood(client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    body = body_of("trimtab\\/d\\u0065fault")
    assert client.post(body)[0] == 200
    assert json.loads(upstream.received[-1].body)["model"] == MODEL


def test_a_tier_with_an_effort_adds_the_effort_and_says_so(
    client: Client, upstream: Any, gateway: Any
) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    status, headers, _ = client.post(body_of("trimtab/escalation"))
    assert status == 200
    sent = json.loads(upstream.received[-1].body)
    assert sent.pop("output_config") == {"effort": "xhigh"}
    assert sent == {**json.loads(body_of("claude-opus-4-7"))}
    record = gateway.record(dict(headers)["x-trimtab-request"])
    assert record["plan"]["arm"] in ("claude-opus-4-7@xhigh", {"model": "claude-opus-4-7", "effort": "xhigh"})
    assert "effort" in json.dumps(record["plan"]["changes"])


def test_an_effort_that_the_client_chose_is_kept(client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    body = body_of("trimtab/escalation")[:-1] + b', "output_config" : {"effort":"low"} }'
    assert client.post(body)[0] == 200
    assert upstream.received[-1].body == body.replace(b"trimtab/escalation", b"claude-opus-4-7")


json_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | json_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(json_text, inner, max_size=3),
    max_leaves=8,
)
KNOWN_FIELDS = ("model", "max_tokens", "messages", "stream", "thinking", "output_config", "system", "tools")


@settings(max_examples=60)
@given(
    extra=st.dictionaries(json_text.filter(lambda key: key not in KNOWN_FIELDS), json_values, max_size=5),
    prompt=json_text.filter(str.strip),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 2, "\t"]),
    position=st.integers(0, 7),
)
def test_whatever_else_a_body_holds_arrives_unchanged(
    gateway: Any,
    upstream: Any,
    extra: dict[str, Any],
    prompt: str,
    ascii_only: bool,
    indent: int | str | None,
    position: int,
) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    fields = [*extra.items(), ("max_tokens", 64), ("messages", [{"role": "user", "content": prompt}])]
    fields.insert(min(position, len(fields)), ("model", MODEL))
    body = json.dumps(dict(fields), ensure_ascii=ascii_only, indent=indent).encode()
    client = Client(gateway.port, CLIENT_KEY)
    try:
        for model in (MODEL, "trimtab/default"):
            status, _, answer = client.post(body.replace(b'"%b"' % MODEL.encode(), b'"%b"' % model.encode()))
            assert status == 200, answer
            assert upstream.received[-1].body == body
    finally:
        client.close()


def test_a_clients_key_never_leaves_and_the_operators_does(client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    for headers in (
        [("x-api-key", CLIENT_KEY)],
        [("x-api-key", CLIENT_KEY), ("authorization", f"Bearer {CLIENT_KEY}")],
        [("X-Api-Key", CLIENT_KEY), ("Authorization", f"bearer {CLIENT_KEY}")],
        [("x-api-key", CLIENT_KEY), ("proxy-authorization", f"Basic {CLIENT_KEY}")],
    ):
        assert client.post(body_of(MODEL), headers)[0] == 200
        request = upstream.received[-1]
        assert CLIENT_KEY.encode() not in repr(request).encode()
        assert request.values(b"x-api-key") == [OPERATOR_KEY.encode()]
        assert b"authorization" not in request.names()


def test_the_operators_key_never_comes_back(client: Client, upstream: Any, gateway: Any) -> None:
    upstream.answer = lambda _: whole(b"<html>Bad gateway</html>", status=b"502 Bad Gateway")
    _, headers, body = client.post(body_of(MODEL))
    record = gateway.record(dict(headers)["x-trimtab-request"])
    for place in (repr(headers), repr(body), json.dumps(record), gateway.log.read_text()):
        assert OPERATOR_KEY not in place


def test_hop_headers_stop_here_and_all_others_go_on(client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    kept = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "prompt-caching-2024-07-31,a-beta-of-tomorrow-2031-01-01"),
        ("anthropic-beta", "another-2031-02-02"),
        ("anthropic-workspace-id", "wrkspc_01"),
        ("user-agent", "Anthropic/Python 9.9.9"),
        ("x-stainless-retry-count", "0"),
        ("x-a-header-of-tomorrow", 'a, b;c="d" e'),
        ("accept", "application/json"),
    ]
    dropped = [
        ("connection", "keep-alive, x-my-hop"),
        ("keep-alive", "timeout=5"),
        ("x-my-hop", "1"),
        ("te", "trailers"),
        ("proxy-connection", "keep-alive"),
        ("x-trimtab-session", "s-1"),
        ("x-trimtab-tags", "a,b"),
    ]
    status, _, _ = client.post(body_of(MODEL), [*kept, *dropped])
    assert status == 200
    request = upstream.received[-1]
    for name in {name for name, _ in kept}:
        values = [value for key, value in kept if key == name]
        assert b", ".join(request.values(name.encode())).decode() == ", ".join(values), name
    for name in ("keep-alive", "x-my-hop", "te", "proxy-connection", "x-trimtab-session", "x-trimtab-tags"):
        assert name.encode() not in request.names()
    assert request.values(b"host") == [upstream.url.removeprefix("http://").encode()]
    assert request.values(b"content-length") == [b"%d" % len(request.body)]


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_the_clients_api_version_is_kept(version: str, client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    assert client.post(body_of(MODEL), [("anthropic-version", version)])[0] == 200
    assert upstream.received[-1].values(b"anthropic-version") == [version.encode()]


def test_a_query_is_kept(client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    assert client.post(body_of(MODEL), path="/v1/messages?beta=true")[0] == 200
    assert upstream.received[-1].target == b"/v1/messages?beta=true"


def test_a_duplicate_top_level_key_is_refused_before_anything_is_sent(client: Client, upstream: Any) -> None:
    sent = len(upstream.received)
    body = b'{"model":"%b","model":"claude-opus-4-7","max_tokens":64,"messages":[]}' % MODEL.encode()
    status, _, answer = client.post(body)
    assert status == 400
    assert json.loads(answer)["error"]["type"] == "invalid_request_error"
    assert len(upstream.received) == sent


def test_a_chunked_request_is_read_whole(gateway: Any, upstream: Any) -> None:
    upstream.answer = lambda _: whole(MESSAGE)
    body = AWKWARD_BODIES["escapes"]
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    pieces = (body[at : at + 3] for at in range(0, len(body), 3))
    connection.request(
        "POST",
        "/v1/messages",
        pieces,
        {**Client(gateway.port, CLIENT_KEY).usual, "transfer-encoding": "chunked"},
        encode_chunked=True,
    )
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, MESSAGE)
    connection.close()
    assert upstream.received[-1].body == body


# --- towards the client ---


def test_a_stream_cut_in_two_anywhere_arrives_as_it_was(client: Client, upstream: Any) -> None:
    """Also inside a character, a field name, a blank line."""
    for at in range(1, len(TRANSCRIPT)):
        pieces = [TRANSCRIPT[:at], TRANSCRIPT[at:]]
        upstream.answer = lambda _, pieces=pieces: streamed(pieces)
        status, _, answer = client.post(body_of(MODEL, stream=True))
        assert status == 200
        assert answer == TRANSCRIPT, f"cut at {at}"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096])
def test_a_stream_in_small_pieces_arrives_as_it_was(
    size: int, client: Client, upstream: Any, gateway: Any
) -> None:
    pieces = [TRANSCRIPT[at : at + size] for at in range(0, len(TRANSCRIPT), size)]
    upstream.answer = lambda _: streamed(pieces)
    status, headers, answer = client.post(body_of(MODEL, stream=True))
    assert (status, answer) == (200, TRANSCRIPT)
    assert dict(headers)["content-type"] == "text/event-stream"
    usage = gateway.record(dict(headers)["x-trimtab-request"])["attempts"][0]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (12, 9)


def test_a_stream_with_windows_line_ends_arrives_as_it_was(
    client: Client, upstream: Any, gateway: Any
) -> None:
    transcript = TRANSCRIPT.replace(b"\n", b"\r\n")
    upstream.answer = lambda _: streamed([transcript[at : at + 5] for at in range(0, len(transcript), 5)])
    _, headers, answer = client.post(body_of(MODEL, stream=True))
    assert answer == transcript
    record = gateway.record(dict(headers)["x-trimtab-request"])
    assert record["attempts"][0]["usage"]["output_tokens"] == 9


def test_an_answer_arrives_as_it_was_however_it_is_framed(client: Client, upstream: Any) -> None:
    [one] = whole(MESSAGE)
    head, _, _ = one.partition(b"\r\n\r\n")
    chunked = streamed([MESSAGE[at : at + 10] for at in range(0, len(MESSAGE), 10)])
    chunked[0] = chunked[0].replace(b"text/event-stream", b"application/json")
    until_close = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n",
        MESSAGE,
        CUT,
    ]
    byte_by_byte = [head + b"\r\n\r\n", *(MESSAGE[at : at + 1] for at in range(len(MESSAGE)))]
    for pieces in ([one], chunked, until_close, byte_by_byte):
        upstream.answer = lambda _, pieces=pieces: pieces
        status, _, answer = client.post(body_of(MODEL))
        assert (status, answer) == (200, MESSAGE)


def test_what_the_platform_says_in_headers_reaches_the_client(client: Client, upstream: Any) -> None:
    upstream.answer = lambda _: whole(
        MESSAGE,
        b"request-id: req_from_the_platform",
        b"anthropic-organization-id: org-1",
        b"anthropic-ratelimit-requests-remaining: 41",
        b"x-a-header-of-tomorrow: yes",
        b"keep-alive: timeout=5",
        b"connection: keep-alive, x-their-hop",
        b"x-their-hop: 1",
    )
    _, headers, _ = client.post(body_of(MODEL))
    named = dict(headers)
    assert named["request-id"] == "req_from_the_platform"
    assert named["anthropic-organization-id"] == "org-1"
    assert named["anthropic-ratelimit-requests-remaining"] == "41"
    assert named["x-a-header-of-tomorrow"] == "yes"
    assert "x-their-hop" not in named
    assert "keep-alive" not in named
    assert re.fullmatch(r"[\w-]+", named["x-trimtab-request"])
    assert named["x-trimtab-platform"] == "stub"
    assert "x-trimtab-simulated" not in named


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            b"429 Too Many Requests",
            b'{"type":"error","error":{"type":"rate_limit_error","message":"slow \xe2\x8f\xb3"}}',
        ),
        (
            b"529 Overloaded",
            b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n',
        ),
        (b"500 Internal Server Error", b"<html>not JSON at all</html>"),
        (b"402 Payment Required", b'{"type":"error","error":{"type":"billing_error","message":"no"},"x":1}'),
    ],
)
def test_a_platforms_error_arrives_as_it_was(
    status: bytes, body: bytes, client: Client, upstream: Any
) -> None:
    upstream.answer = lambda _: whole(body, b"retry-after: 7", b"x-should-retry: true", status=status)
    code, headers, answer = client.post(body_of(MODEL))
    assert (code, answer) == (int(status[:3]), body)
    assert dict(headers)["retry-after"] == "7"
    assert dict(headers)["x-should-retry"] == "true"


def test_a_stream_that_breaks_keeps_what_came_and_ends_with_an_error_event(
    client: Client, upstream: Any, gateway: Any
) -> None:
    cut = TRANSCRIPT.index(b"event: content_block_stop")
    upstream.answer = lambda _: [*streamed([TRANSCRIPT[:cut]])[:-1], CUT]
    status, headers, answer = client.post(body_of(MODEL, stream=True))
    assert status == 200
    assert answer.startswith(TRANSCRIPT[:cut])
    tail = answer[cut:].decode()
    assert tail.startswith("event: error\n")
    assert json.loads(tail.split("data: ")[1])["type"] == "error"
    record = gateway.record(dict(headers)["x-trimtab-request"])
    assert record["result"] == "truncated"
    assert record["cost_nanousd"] > 0


def test_a_client_that_leaves_frees_the_platform_within_100_ms(gateway: Any, upstream: Any) -> None:
    first = TRANSCRIPT[: TRANSCRIPT.index(b"event: content_block_stop")]
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'

    def endless(_: Any) -> Iterable[bytes]:
        yield streamed([])[0]
        yield b"%x\r\n%b\r\n" % (len(first), first)
        for _ in range(1000):
            time.sleep(0.002)
            yield b"%x\r\n%b\r\n" % (len(ping), ping)

    upstream.closed_at.clear()
    upstream.answer = endless
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request(
        "POST", "/v1/messages", body_of(MODEL, stream=True), Client(gateway.port, CLIENT_KEY).usual
    )
    answer = connection.getresponse()
    assert answer.read(20)
    request_id = answer.headers["x-trimtab-request"]
    left = time.monotonic()
    answer.close()
    connection.close()
    while not upstream.closed_at and time.monotonic() < left + 5:
        time.sleep(0.001)
    assert upstream.closed_at, "the platform is still working for nobody"
    assert upstream.closed_at[0] - left < 1  # the bar, 100 ms: benchmarks/disconnect.py
    record = gateway.record(request_id)
    assert record["result"] == "cancelled"
    assert record["cost_nanousd"] > 0, "what was begun may be billed"
