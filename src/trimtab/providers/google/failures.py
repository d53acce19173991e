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


class _Error(msgspec.Struct):
    message: str = ""
    status: str = ""


class _Body(msgspec.Struct):
    error: _Error


_ONE = msgspec.json.Decoder(_Body)
_LIST = msgspec.json.Decoder(list[_Body])
"""A call that is to stream gets its error inside a list."""


def vertex_reply(reply: Reply) -> Reply:
    """An answer of Vertex AI: as it comes, but for errors in Google's words."""
    if reply.status == HTTP_OK:
        return reply
    return error_reply(reply, (), partial(failure, reply.status))


def failure(status: int, body: bytes) -> Failure:
    """What an error answer says. Status and type follow from its status alone: they are known before the body is."""
    pair = _pair(status)
    return Failure(pair[0], pair[1], _words(body) or without_words(status, body))


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
