"""What Azure answers when it refuses or fails, said in the vendor's words: status, error type and message.

What it is not: a judgement beyond what Azure says. Invariant: Azure's own message and code are in ours, whole; a body
that is in the vendor's words already is not touched.

Source: Azure's REST guidelines on errors, and its API gateway's answers (2026-11).
"""

from functools import partial

import msgspec

from trimtab.providers.failures import Failure, error_reply, pair_of, text_in, without_words
from trimtab.providers.replies import named
from trimtab.providers.seam import Reply

FIRST_ERROR = 400

REQUEST_IDS = (b"apim-request-id", b"x-ms-request-id")


class _Error(msgspec.Struct):
    code: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


class _Body(msgspec.Struct):
    """Of Foundry (`error`), or of the gateway before it (`message`)."""

    error: _Error | None = None
    message: msgspec.Raw = msgspec.Raw()


_BODY = msgspec.json.Decoder(_Body)


def foundry_reply(reply: Reply) -> Reply:
    """An answer of Foundry: as it comes, but for errors in Azure's words, and the name of the request's id."""
    if reply.status < FIRST_ERROR:
        reply.headers = named(reply.headers, REQUEST_IDS)
        return reply
    return error_reply(reply, REQUEST_IDS, partial(failure, reply.status))


def failure(status: int, body: bytes) -> Failure:
    """What an error answer says. Status and type follow from its status alone: they are known before the body is."""
    pair = pair_of(status)
    return Failure(pair[0], pair[1], _words(body) or without_words(status, body))


def _words(body: bytes) -> str:
    try:
        read = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if read.error is None:
        return text_in(read.message)
    code, message = text_in(read.error.code), text_in(read.error.message)
    return f"{code}: {message}" if code and message else code or message
