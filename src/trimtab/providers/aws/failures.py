"""What AWS answers when it refuses or fails, said in the vendor's words: status, error type and message.

What it is not: a retry policy, or a judgement whose fault it is beyond what AWS says. Invariant: AWS's own message is
in ours, whole; a body that is in the vendor's words already is not touched.

Source: Amazon Bedrock API reference, "Common errors" and the errors of InvokeModel and CountTokens (2026-11).
"""

import msgspec

from trimtab.errors import AnthropicErrorType
from trimtab.messages import error_body


class Failure(msgspec.Struct, frozen=True):
    """An error as a client of the vendor's API reads it."""

    status: int
    type: AnthropicErrorType
    message: str


_Pair = tuple[int, AnthropicErrorType]

_OVERLOADED: _Pair = (529, "overloaded_error")
_CREDENTIALS: _Pair = (401, "authentication_error")
_INVALID: _Pair = (400, "invalid_request_error")
_LIMITED: _Pair = (429, "rate_limit_error")

_BY_NAME: dict[str, _Pair] = {
    "accessdenied": (403, "permission_error"),
    "conflict": _INVALID,
    "expiredtoken": _CREDENTIALS,
    "incompletesignature": _CREDENTIALS,
    "internalfailure": (500, "api_error"),
    "internalserver": (500, "api_error"),
    "invalidclienttokenid": _CREDENTIALS,
    "invalidsignature": _CREDENTIALS,
    "missingauthenticationtoken": _CREDENTIALS,
    "modelerror": (500, "api_error"),
    "modelnotready": _OVERLOADED,
    "modelstreamerror": (500, "api_error"),
    "modeltimeout": (504, "timeout_error"),
    "notauthorized": _CREDENTIALS,
    "optinrequired": (403, "permission_error"),
    "requestexpired": _CREDENTIALS,
    "resourcenotfound": (404, "not_found_error"),
    "servicequotaexceeded": _LIMITED,
    "serviceunavailable": _OVERLOADED,
    "signaturedoesnotmatch": _CREDENTIALS,
    "throttling": _LIMITED,
    "toomanyrequests": _LIMITED,
    "unrecognizedclient": _CREDENTIALS,
    "validation": _INVALID,
    "validationerror": _INVALID,
}
"""By AWS's name in lower case, less a final `Exception`. AWS says 400 for a quota that is used up and 429 for a model
that is not ready; the vendor's pairs tell its clients which of the two a retry can help."""

_BY_STATUS: dict[int, _Pair] = {
    401: _CREDENTIALS,
    403: (403, "permission_error"),
    404: (404, "not_found_error"),
    408: (504, "timeout_error"),
    413: (413, "request_too_large"),
    424: (500, "api_error"),
    429: _LIMITED,
    503: _OVERLOADED,
    504: (504, "timeout_error"),
}
"""For an answer without a name that is known, such as that of a load balancer."""


class _Body(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    capital_message: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="Message")
    error: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="__type")
    original_message: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="originalMessage")


_BODY = msgspec.json.Decoder(_Body)
_STR = msgspec.json.Decoder(str)


def failure(status: int, named: str, body: bytes) -> Failure:
    """What an error answer says; `named` is `x-amzn-errortype` or an exception's name, empty where there is none.

    Status and type follow from these two alone: they are known before the body is.
    """
    read = _read(body)
    message = _text(read.message) or _text(read.capital_message)
    original = _text(read.original_message)
    if original and original not in message:
        message = f"{message} ({original})" if message else original
    found = failure_named(named, message or body[:500].decode("utf-8", "replace").strip(), status)
    kind = _plain(_text(read.name))
    if kind and not named:
        found = msgspec.structs.replace(found, message=f"{kind}: {found.message}")
    return found


def failure_named(name: str, message: str, status: int = 0) -> Failure:
    """The vendor's words for an error of AWS by its name, else by its HTTP status."""
    name = _plain(name)
    other: _Pair = (
        (status, "invalid_request_error") if 400 <= status < 500 else (max(status, 500), "api_error")
    )
    known = _BY_NAME.get(name.lower().removesuffix("exception")) or _BY_STATUS.get(status, other)
    text = message or (f"status {status} without a message" if status else "no message")
    return Failure(known[0], known[1], f"{name}: {text}" if name else text)


def _plain(name: str) -> str:
    """A header's name may go on with a place, `ThrottlingException:http://internal.amazon.com/coral/...`; in a body
    it may stand behind one, `com.amazon.coral.service#AccessDeniedException`."""
    return name.partition(":")[0].rpartition("#")[2].strip()


def said(found: Failure, body: bytes, request_id: str) -> bytes:
    """The body that a client gets: the platform's own where it is in the vendor's words."""
    if is_vendors(body):
        return body
    return error_body(found.type, found.message, request_id)


def is_vendors(body: bytes) -> bool:
    """Whether an error body is in the vendor's shape already."""
    read = _read(body)
    return _text(read.type) == "error" and bytes(read.error).startswith(b"{")


def _read(body: bytes) -> _Body:
    try:
        return _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body()


def _text(raw: msgspec.Raw) -> str:
    try:
        return _STR.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
