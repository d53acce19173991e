"""Error answers in the shape that Anthropic clients expect."""

from collections.abc import Mapping

import msgspec

from trimtab.errors import AnthropicErrorType
from trimtab.messages.sse import encode_event


def error_body(
    error_type: AnthropicErrorType, message: str, request_id: str, more: Mapping[str, object] | None = None
) -> bytes:
    """The JSON body of an error answer. `more` are fields of our own in the error object.

    Source: vendor error page (2026-11): `{"type":"error","error":{"type","message"},"request_id"}`.
    """
    return msgspec.json.encode(
        {
            "type": "error",
            "error": {"type": error_type, "message": message, **(more or {})},
            "request_id": request_id,
        }
    )


def error_event(error_type: AnthropicErrorType, message: str, request_id: str) -> bytes:
    """The `error` event that ends a stream which already began with a 200."""
    return encode_event("error", error_body(error_type, message, request_id))
