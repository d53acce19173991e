"""What Amazon's platforms refuse or fail at is said in the vendor's words, with Amazon's own message whole."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_platform import call, sent
from scripted_upstream import Upstream, whole

from trimtab.providers import Provider
from trimtab.providers.aws.failures import failure, failure_named

Open = Callable[..., Provider]


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (429, "ThrottlingException", (429, "rate_limit_error")),
        (400, "ServiceQuotaExceededException", (429, "rate_limit_error")),
        (429, "ModelNotReadyException", (529, "overloaded_error")),
        (408, "ModelTimeoutException", (504, "timeout_error")),
        (403, "AccessDeniedException", (403, "permission_error")),
        (404, "ResourceNotFoundException", (404, "not_found_error")),
        (400, "ValidationException", (400, "invalid_request_error")),
        (424, "ModelErrorException", (500, "api_error")),
        (424, "ModelStreamErrorException", (500, "api_error")),
        (500, "InternalServerException", (500, "api_error")),
        (503, "ServiceUnavailableException", (529, "overloaded_error")),
        (403, "UnrecognizedClientException", (401, "authentication_error")),
        (403, "ExpiredTokenException", (401, "authentication_error")),
        (403, "InvalidSignatureException", (401, "authentication_error")),
        (403, "ThrottlingException:http://internal.amazon.com/coral/", (429, "rate_limit_error")),
        (418, "TeapotException", (418, "invalid_request_error")),
        (507, "NewException", (507, "api_error")),
        (400, "", (400, "invalid_request_error")),
        (401, "", (401, "authentication_error")),
        (403, "", (403, "permission_error")),
        (404, "", (404, "not_found_error")),
        (408, "", (504, "timeout_error")),
        (413, "", (413, "request_too_large")),
        (424, "", (500, "api_error")),
        (429, "", (429, "rate_limit_error")),
        (502, "", (502, "api_error")),
        (503, "", (529, "overloaded_error")),
        (504, "", (504, "timeout_error")),
    ],
)
def test_every_error_has_the_vendors_status_and_type(
    status: int, name: str, expected: tuple[int, str]
) -> None:
    found = failure_named(name, "why", status)
    assert (found.status, found.type) == expected
    assert found.message.endswith("why")


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("ThrottlingException", {"message": "Too many"}, "ThrottlingException: Too many"),
        ("", {"__type": "com.amazon.x#AccessDeniedException", "Message": "No"}, "AccessDeniedException: No"),
        (
            "ModelErrorException",
            {"message": "failed", "originalStatusCode": 400, "originalMessage": "bad"},
            "ModelErrorException: failed (bad)",
        ),
        ("", b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        ("", b"", "status 400 without a message"),
        ("ValidationException", {"message": None}, 'ValidationException: {"message": null}'),
        ("", b"\xff\xfe", "��"),
    ],
)
def test_what_amazon_says_is_in_the_message_whole(name: str, body: Any, message: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert failure(400, name, raw).message == message


def test_a_throttled_call_is_a_429_with_its_retry_after_and_id(bedrock: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(
        b'{"message":"Too many tokens, please wait"}',
        b"x-amzn-errortype: ThrottlingException",
        b"x-amzn-requestid: 4d5c",
        b"retry-after: 3",
        status=b"429 Too Many Requests",
    )
    status, headers, body = sent(bedrock(), call({"model": "m", "messages": []}, "m", stream=True))
    assert (status, headers[b"retry-after"], headers[b"request-id"]) == (429, b"3", b"4d5c")
    assert headers[b"content-type"] == b"application/json"
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "ThrottlingException: Too many tokens, please wait"},
        "request_id": "4d5c",
    }


def test_an_error_in_the_vendors_words_already_is_not_touched(bedrock: Open, upstream: Upstream) -> None:
    theirs = b'{"type":"error", "error":{"type":"invalid_request_error","message":"invalid beta flag"}}'
    upstream.answer = lambda _: whole(
        theirs, b"x-amzn-errortype: ValidationException", status=b"400 Bad Request"
    )
    status, _, body = sent(bedrock(), call({"model": "m", "messages": []}, "m"))
    assert (status, body) == (400, theirs)


def test_a_simulated_answer_says_so_after_translation_too(bedrock: Open, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(b"{}", b"x-trimtab-simulated: true", status=b"429 Slow")
    _, headers, _ = sent(bedrock(), call({"model": "m", "messages": []}, "m"))
    assert headers[b"x-trimtab-simulated"] == b"true"
