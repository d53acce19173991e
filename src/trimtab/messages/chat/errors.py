"""Error answers in the shape that OpenAI clients expect.

Source: OpenAI API reference and error codes page (2026-11): `{"error":{"message","type","param","code"}}`; official SDK
3.54, which picks its exception by the status and raises for an `error` inside a stream.
"""

from collections.abc import Mapping

import msgspec

from trimtab.errors import RequestError, TrimtabError

_BY_STATUS = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "permission_denied"),
    404: ("invalid_request_error", "not_found"),
    409: ("invalid_request_error", "conflict"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    502: ("server_error", "upstream_error"),
    503: ("server_error", "unavailable"),
    504: ("server_error", "timeout"),
}
"""`type` and `code`; statuses are the same on all surfaces."""

MAX_PARAM_CHARS = 60


def chat_error_body(error: TrimtabError) -> bytes:
    """The JSON body of an error answer."""
    return chat_error(error.status, str(error), isinstance(error, RequestError), error.more)


def chat_error(
    status: int, message: str, callers: bool = False, more: Mapping[str, object] | None = None
) -> bytes:
    """The same by its status. A message of the caller's making names the field first, which becomes `param`."""
    default = "server_error" if status >= 500 else "invalid_request_error"
    kind, code = _BY_STATUS.get(status, (default, None))
    param = _field(message) if callers and status in (400, 403, 404) else None
    if status == 404 and param == "model":
        code = "model_not_found"
    said = {"message": message, "type": kind, "param": param, "code": code, **(more or {})}
    return msgspec.json.encode({"error": said})


def chat_error_event(status: int, message: str) -> bytes:
    """The event that ends a stream which already began with a 200."""
    return b"data: %b\n\n" % chat_error(status, message)


def _field(message: str) -> str | None:
    name, colon, _ = message.partition(":")
    plain = name.replace(".", "_").replace("[", "_").replace("]", "_")
    return name if colon and plain.isidentifier() and len(name) <= MAX_PARAM_CHARS else None
