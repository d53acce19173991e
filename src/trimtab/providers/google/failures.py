"""What Google answers when it refuses or fails, said in the vendor's words: status, error type and message.

What it is not: a judgement beyond what Google says. Invariant: Google's own message and name are in ours, whole; a body
that is in the vendor's words already is not touched.

Source: google.rpc.Code and Google's page on errors of its APIs (2026-11).
"""

from functools import partial

import msgspec

from trimtab.providers.failures import (
    Failure,
    Pair,
    error_reply,
    pair_of,
    text_in,
    without_words,
)
from trimtab.providers.seam import Reply

HTTP_OK = 200

_BY_STATUS: dict[int, Pair] = {
    409: (409, "conflict_error"),
    499: (500, "api_error"),
    501: (501, "api_error"),
}
"""Google's statuses that stand for one name each, beside those that mean the same everywhere (429 RESOURCE_EXHAUSTED,
503 UNAVAILABLE ...): 409 ABORTED, 499 CANCELLED, 501 UNIMPLEMENTED."""


_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"

_DIGITS = frozenset("0123456789")

MAX_DIGITS = 9
"""Of the whole seconds of a delay, 30 years, and of their fraction. Source: google.protobuf.Duration in JSON."""


class _Error(msgspec.Struct):
    message: str = ""
    status: str = ""
    details: msgspec.Raw = msgspec.Raw()


class _Detail(msgspec.Struct):
    kind: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@type")
    delay: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="retryDelay")


class _Body(msgspec.Struct):
    error: _Error


_DETAILS = msgspec.json.Decoder(list[_Detail])
_ONE = msgspec.json.Decoder(_Body)
_LIST = msgspec.json.Decoder(list[_Body])
"""A call that is to stream gets its error inside a list."""


def vertex_reply(reply: Reply) -> Reply:
    """An answer of Vertex AI: as it comes, but for errors in Google's words."""
    if reply.status == HTTP_OK:
        return reply
    return error_reply(reply, (), partial(failure, reply.status), retry_delay_s)


def failure(status: int, body: bytes) -> Failure:
    """What an error answer says. Status and type follow from its status alone: they are known before the body is."""
    pair = _pair(status)
    return Failure(pair[0], pair[1], _words(body) or without_words(status, body))


def retry_delay_s(body: bytes) -> int | None:
    """Whole seconds, rounded up, after which Google wants to be asked again; `None` where it does not say.

    Source: google.rpc.RetryInfo.
    """
    error = _error_in(body)
    try:
        details = _DETAILS.decode(error.details) if error is not None else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for detail in details:
        if text_in(detail.kind) == _RETRY_INFO:
            return _whole_seconds(text_in(detail.delay))
    return None


def _whole_seconds(text: str) -> int | None:
    """What a duration such as `3.5s` comes to, rounded up."""
    whole, point, rest = text.removesuffix("s").partition(".")
    for digits in (whole, rest) if point else (whole,):
        if not 0 < len(digits) <= MAX_DIGITS or not _DIGITS.issuperset(digits):
            return None
    return int(whole) + (rest.strip("0") != "") if text.endswith("s") else None


def _pair(status: int) -> Pair:
    return _BY_STATUS.get(status) or pair_of(status)


def _words(body: bytes) -> str:
    error = _error_in(body)
    if error is None or not (error.message or error.status):
        return ""
    message = error.message or "no message"
    return f"{error.status}: {message}" if error.status else message


def _error_in(body: bytes) -> _Error | None:
    try:
        if body.lstrip()[:1] == b"[":
            found = _LIST.decode(body)
            return found[0].error if found else None
        return _ONE.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
