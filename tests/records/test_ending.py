"""How an attempt is counted for the platform that it went to."""

import pytest

from trimtab.records import call_ending


@pytest.mark.parametrize(
    ("result", "status", "error", "ending"),
    [
        ("ok", 200, None, "answered"),
        ("error", 429, "rate_limit_error", "limited"),
        ("error", 529, "overloaded_error", "failed"),
        ("error", None, "UpstreamTimeout: no answer in time", "failed"),
        ("error", 401, "authentication_error", "failed"),
        ("error", 404, "not_found_error: no such model", "failed"),
        ("error", 400, "invalid_request_error", "refused"),
        ("error", 413, "request_too_large", "refused"),
        ("error", None, "RequestError: Amazon Bedrock (Converse) has no place for it", "refused"),
        ("error", 200, "overloaded_error", "failed"),
        ("truncated", 200, "UpstreamBroken: cut", "failed"),
        ("unknown", None, "the process ended", "failed"),
        ("cancelled", 200, None, "cancelled"),
        ("cancelled", None, None, "cancelled"),
    ],
)
def test_a_caller_s_mistake_is_not_held_against_a_platform(
    result: str, status: int | None, error: str | None, ending: str
) -> None:
    assert call_ending(result, status, error) == ending
