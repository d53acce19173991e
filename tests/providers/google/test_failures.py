"""What Google refuses or fails at is said in the vendor's words, with Google's own message whole."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platform_calls import call, sent
from scripted_upstream import Upstream, whole

from trimtab.errors import NotFound, UpstreamRefused
from trimtab.providers import Call, Provider
from trimtab.providers.google.failures import failure, retry_delay_s
from trimtab.providers.machine import Machine

Open = Callable[..., Provider]
BODY = b'{"model":"claude-opus-4-7","max_tokens":16,"messages":[]}'


def google(code: int, status: str, message: str = "why") -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": []}}).encode()


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (400, "INVALID_ARGUMENT", (400, "invalid_request_error")),
        (400, "FAILED_PRECONDITION", (400, "invalid_request_error")),
        (401, "UNAUTHENTICATED", (401, "authentication_error")),
        (403, "PERMISSION_DENIED", (403, "permission_error")),
        (404, "NOT_FOUND", (404, "not_found_error")),
        (409, "ABORTED", (409, "conflict_error")),
        (413, "", (413, "request_too_large")),
        (429, "RESOURCE_EXHAUSTED", (429, "rate_limit_error")),
        (499, "CANCELLED", (500, "api_error")),
        (500, "INTERNAL", (500, "api_error")),
        (501, "UNIMPLEMENTED", (501, "api_error")),
        (502, "", (502, "api_error")),
        (503, "UNAVAILABLE", (529, "overloaded_error")),
        (504, "DEADLINE_EXCEEDED", (504, "timeout_error")),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_every_error_has_the_vendors_status_and_type(
    vertex: Open, upstream: Upstream, status: int, name: str, expected: tuple[int, str], listed: bool
) -> None:
    body = google(status, name)
    body = b"[" + body + b"\n]" if listed else body
    line = b"%d Refused" % status
    upstream.answer = lambda _: whole(body, b"retry-after: 7", b"request-id: req_1", status=line)
    answered, headers, said = sent(vertex(), call(BODY, "claude-opus-4-7", stream=listed))
    assert (answered, headers[b"retry-after"]) == (expected[0], b"7")
    assert headers[b"content-type"] == b"application/json"
    assert json.loads(said) == {
        "type": "error",
        "error": {"type": expected[1], "message": f"{name}: why" if name else "why"},
        "request_id": "req_1",
    }


@pytest.mark.parametrize("status", [b"400 Bad Request", b"429 Too Many Requests", b"529 Overloaded"])
def test_errors_in_the_vendors_words_pass_as_they_are(
    vertex: Open, upstream: Upstream, status: bytes
) -> None:
    theirs = (
        b'{"type":"error",  "error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_9"}'
    )
    upstream.answer = lambda _: whole(theirs, status=status)
    answered, _, body = sent(vertex(), call(BODY, "claude-opus-4-7"))
    assert (answered, body) == (int(status[:3]), theirs)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>away</html>", "<html>away</html>"),
        (b"", "status 500 without a message"),
        (b"[]", "[]"),
        (b'{"error":"text"}', '{"error":"text"}'),
        (b'{"error":{}}', '{"error":{}}'),
        (b'{"error":{"status":"INTERNAL"}}', "INTERNAL: no message"),
    ],
)
def test_a_body_that_is_not_googles_is_shown_as_it_is(body: bytes, message: str) -> None:
    assert failure(500, body).message == message


@given(body=st.binary(max_size=200) | st.sampled_from([b"[" * 5000, b'{"error":' * 3000]))
def test_no_error_body_is_too_odd_to_be_said(body: bytes) -> None:
    assert failure(400, body).message


# The project that only metadata know


def metadata(project: bytes) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        if request.target.endswith(b"/project-id"):
            return whole(project)
        if b"/service-accounts/" in request.target:
            return whole(b'{"access_token":"ya29.m","expires_in":3000}')
        return whole(b'{"type":"message"}')

    return answer


def test_a_machine_on_google_cloud_needs_no_more_than_a_region(
    vertex: Open, upstream: Upstream, machine: Machine
) -> None:
    upstream.answer = metadata(b"project-of-the-machine\n")
    around = Machine({"GCE_METADATA_HOST": upstream.url.removeprefix("http://")}, machine.home, machine.now)
    status, _, _ = sent(vertex(around, project=None, access_token=None), call(BODY, "claude-opus-4-7"))
    assert status == 200
    request = upstream.received[-1]
    assert request.target.startswith(b"/v1/projects/project-of-the-machine/locations/europe-west1/")
    assert request.values(b"authorization") == [b"Bearer ya29.m"]


def test_a_project_that_is_none_refuses_the_call_before_anything_is_sent(
    vertex: Open, upstream: Upstream, machine: Machine
) -> None:
    upstream.answer = metadata(b"<html>")
    around = Machine({"GCE_METADATA_HOST": upstream.url.removeprefix("http://")}, machine.home, machine.now)
    with pytest.raises(
        UpstreamRefused, match=r"the machine's metadata: '<html>': must be the id .*; set project"
    ):
        sent(vertex(around, project=None, access_token=None), call(BODY, "claude-opus-4-7"))
    assert not [request for request in upstream.received if b"rawPredict" in request.target]


def test_what_vertex_does_not_have_is_refused_without_asking_for_the_project(
    vertex: Open, upstream: Upstream, machine: Machine
) -> None:
    around = Machine({"GCE_METADATA_HOST": upstream.url.removeprefix("http://")}, machine.home, machine.now)
    with pytest.raises(NotFound, match="Vertex AI has no such operation"):
        sent(vertex(around, project=None, access_token=None), Call("GET", "/v1/models", []))
    assert upstream.received == []


RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def limited(delay: Any, kind: str = RETRY_INFO) -> bytes:
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
        {"@type": kind, "retryDelay": delay},
    ]
    error = {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": details}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("12s", b"12"), ("0.2s", b"1"), ("3.000000001s", b"4"), ("7.0s", b"7"), ("0s", b"0")],
)
@pytest.mark.parametrize("listed", [False, True])
def test_how_long_google_wants_to_be_left_alone_is_said_as_the_vendor_says_it(
    vertex: Open, upstream: Upstream, delay: str, seconds: bytes, listed: bool
) -> None:
    body = b"[" + limited(delay) + b"]" if listed else limited(delay)
    upstream.answer = lambda _: whole(body, status=b"429 Too Many Requests")
    status, headers, said = sent(vertex(), call(BODY, "claude-opus-4-7"))
    assert (status, headers[b"retry-after"]) == (429, seconds)
    assert json.loads(said)["error"]["message"] == "RESOURCE_EXHAUSTED: Quota exceeded"


def test_a_header_of_googles_wins_over_its_body(vertex: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(limited("12s"), b"retry-after: 3", status=b"429 Too Many Requests")
    _, headers, _ = sent(vertex(), call(BODY, "claude-opus-4-7"))
    assert headers[b"retry-after"] == b"3"


@pytest.mark.parametrize(
    "body",
    [
        limited("-1s"), limited("12"), limited(12), limited("1e3s"), limited("٣s"), limited("9" * 10 + "s"),
        limited("12s", "type.googleapis.com/google.rpc.Help"), b"{}", b'{"error":{"details":{}}}', b"<html>",
    ],
)  # fmt: skip
def test_a_delay_that_cannot_be_read_is_none(vertex: Open, upstream: Upstream, body: bytes) -> None:
    upstream.answer = lambda _: whole(body, status=b"429 Too Many Requests")
    status, headers, _ = sent(vertex(), call(BODY, "claude-opus-4-7"))
    assert status == 429
    assert b"retry-after" not in headers


@given(st.binary(max_size=300) | st.text(max_size=40).map(limited))
def test_no_body_makes_the_reader_of_delays_fail(body: bytes) -> None:
    seconds = retry_delay_s(body)
    assert seconds is None or 0 <= seconds <= 10**9


@given(st.integers(0, 10**6), st.integers(0, 999_999_999))
def test_a_delay_is_rounded_up_to_whole_seconds(seconds: int, nanos: int) -> None:
    assert retry_delay_s(limited(f"{seconds}.{nanos:09}s")) == seconds + (nanos > 0)
