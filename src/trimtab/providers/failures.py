"""What a platform refuses or fails at, as a client of the vendor's API reads it: status, error type, message, body.

What it is not: any one platform's names of errors, which each has a table of. Invariant: a body that is in the vendor's
words already is not touched.
"""

from collections.abc import Callable, Collection
from typing import TypeAlias

import msgspec

from trimtab.errors import AnthropicErrorType
from trimtab.messages import error_body
from trimtab.providers.replies import JSON, named, request_id, value_of
from trimtab.providers.seam import Reply
from trimtab.providers.translated import ErrorReply, Head


class Failure(msgspec.Struct, frozen=True):
    """An error as a client of the vendor's API reads it."""

    status: int
    type: AnthropicErrorType
    message: str


Pair: TypeAlias = tuple[int, AnthropicErrorType]
"""The vendor's status and type of an error."""

OVERLOADED: Pair = (529, "overloaded_error")
CREDENTIALS: Pair = (401, "authentication_error")
INVALID: Pair = (400, "invalid_request_error")
LIMITED: Pair = (429, "rate_limit_error")

RETRY_AFTER = b"retry-after"

_LATER = (429, 503, 529)
"""After these a platform may say when to come back."""

_BY_STATUS: dict[int, Pair] = {
    400: INVALID,
    401: CREDENTIALS,
    403: (403, "permission_error"),
    404: (404, "not_found_error"),
    408: (504, "timeout_error"),
    409: (409, "conflict_error"),
    413: (413, "request_too_large"),
    424: (500, "api_error"),
    429: LIMITED,
    503: OVERLOADED,
    504: (504, "timeout_error"),
    529: OVERLOADED,
}


def pair_of(status: int) -> Pair:
    """The vendor's pair for an HTTP status, for an answer without a name that is known, such as a load balancer's."""
    found = _BY_STATUS.get(status)
    if found is not None:
        return found
    return (status, "invalid_request_error") if 400 <= status < 500 else (max(status, 500), "api_error")


def error_reply(
    reply: Reply,
    ids: Collection[bytes],
    failure: Callable[[bytes], Failure],
    delay_s: Callable[[bytes], int | None] | None = None,
) -> Reply:
    """An error answer in the vendor's words. A body that has them stays, and so does its status.

    `failure` says what a body comes to; its status must follow from an empty one already. `ids` are the platform's
    own headers with the request's id. `delay_s` reads from a body how long the platform wants to be left alone, where
    it says that nowhere else.
    """
    identifier = request_id(reply.headers, ids).decode("latin-1")

    def say(body: bytes) -> bytes:
        if is_vendors(body):
            return body
        found = failure(body)
        return error_body(found.type, found.message, identifier)

    head = Head(failure(b"").status, named(reply.headers, ids, content_type=JSON))
    waits = head.status in _LATER and not value_of(head.headers, RETRY_AFTER)

    def judge(body: bytes) -> Head:
        if is_vendors(body):
            return Head(reply.status, head.headers)
        seconds = delay_s(body) if delay_s is not None and waits else None
        if seconds is None:
            return head
        return Head(head.status, [*head.headers, (RETRY_AFTER, b"%d" % seconds)])

    depends = head.status != reply.status or (delay_s is not None and waits)
    return ErrorReply(reply, head, say, judge if depends else None)


class _Vendors(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_VENDORS = msgspec.json.Decoder(_Vendors)
_STR = msgspec.json.Decoder(str)


def is_vendors(body: bytes) -> bool:
    """Whether an error body is in the vendor's shape already."""
    try:
        read = _VENDORS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return text_in(read.type) == "error" and bytes(read.error).startswith(b"{")


def text_in(raw: msgspec.Raw) -> str:
    """The text that a JSON value is; empty where it is none."""
    try:
        return _STR.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def without_words(status: int, body: bytes) -> str:
    """The message of an error whose body says nothing that is known: the beginning of it as it is."""
    return body[:500].decode("utf-8", "replace").strip() or f"status {status} without a message"
