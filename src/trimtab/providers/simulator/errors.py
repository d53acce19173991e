"""Error answers of the simulated API that are not the caller's body being wrong.

Source: vendor error page (2026-11).
"""

import msgspec

from trimtab.errors import AnthropicErrorType
from trimtab.messages import encode_event, error_body
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.script import ErrorReply, StreamError


class Failure(Exception):
    """An error answer with its own status, type, headers and `details`."""

    def __init__(
        self,
        status: int,
        kind: AnthropicErrorType,
        message: str,
        headers: Headers | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.headers = headers or []
        self.details = details

    def body(self, request_id: str) -> bytes:
        """The JSON that goes out."""
        if self.details is None:
            return error_body(self.kind, str(self), request_id)
        detail = {"type": self.kind, "message": str(self), "details": self.details}
        return msgspec.json.encode({"type": "error", "error": detail, "request_id": request_id})


def scripted_error(error: ErrorReply, request_id: str) -> tuple[bytes, Headers]:
    """(body, further headers) of an error that a script asks for."""
    message = error.message or f"Simulated {error.error_type}."
    detail: dict[str, object] = {"type": error.error_type, "message": message}
    if error.error_code is not None:
        detail["details"] = {"error_code": error.error_code}
    headers: Headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    return msgspec.json.encode({"type": "error", "error": detail, "request_id": request_id}), headers


def scripted_error_event(error: StreamError, request_id: str) -> bytes:
    """The event that breaks off a stream."""
    return encode_event("error", error_body(error.type, error.message, request_id))
