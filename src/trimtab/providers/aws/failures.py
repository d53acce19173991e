"""What AWS answers when it refuses or fails, said in the vendor's words: status, error type and message.

What it is not: a retry policy, or a judgement whose fault it is beyond what AWS says. Invariant: AWS's own message is
in ours, whole; a body that is in the vendor's words already is not touched.

Source: Amazon Bedrock API reference, "Common errors" and the errors of InvokeModel and CountTokens (2026-11).
"""

import msgspec

from trimtab.providers.failures import (
    CREDENTIALS,
    INVALID,
    LIMITED,
    OVERLOADED,
    Failure,
    Pair,
    pair_of,
    text_in,
)

_BY_NAME: dict[str, Pair] = {
    "accessdenied": (403, "permission_error"),
    "conflict": INVALID,
    "expiredtoken": CREDENTIALS,
    "incompletesignature": CREDENTIALS,
    "internalfailure": (500, "api_error"),
    "internalserver": (500, "api_error"),
    "invalidclienttokenid": CREDENTIALS,
    "invalidsignature": CREDENTIALS,
    "missingauthenticationtoken": CREDENTIALS,
    "modelerror": (500, "api_error"),
    "modelnotready": OVERLOADED,
    "modelstreamerror": (500, "api_error"),
    "modeltimeout": (504, "timeout_error"),
    "notauthorized": CREDENTIALS,
    "optinrequired": (403, "permission_error"),
    "requestexpired": CREDENTIALS,
    "resourcenotfound": (404, "not_found_error"),
    "servicequotaexceeded": LIMITED,
    "serviceunavailable": OVERLOADED,
    "signaturedoesnotmatch": CREDENTIALS,
    "throttling": LIMITED,
    "toomanyrequests": LIMITED,
    "unrecognizedclient": CREDENTIALS,
    "validation": INVALID,
    "validationerror": INVALID,
}
"""By AWS's name in lower case, less a final `Exception`. AWS says 400 for a quota that is used up and 429 for a model
that is not ready; the vendor's pairs tell its clients which of the two a retry can help."""


class _Body(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw()
    capital_message: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="Message")
    name: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="__type")
    original_message: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="originalMessage")


_BODY = msgspec.json.Decoder(_Body)


def failure(status: int, named: str, body: bytes) -> Failure:
    """What an error answer says; `named` is `x-amzn-errortype` or an exception's name, empty where there is none.

    Status and type follow from these two alone: they are known before the body is.
    """
    read = _read(body)
    message = text_in(read.message) or text_in(read.capital_message)
    original = text_in(read.original_message)
    if original and original not in message:
        message = f"{message} ({original})" if message else original
    found = failure_named(named, message or body[:500].decode("utf-8", "replace").strip(), status)
    kind = _plain(text_in(read.name))
    if kind and not named:
        found = msgspec.structs.replace(found, message=f"{kind}: {found.message}")
    return found


def failure_named(name: str, message: str, status: int = 0) -> Failure:
    """The vendor's words for an error of AWS by its name, else by its HTTP status."""
    name = _plain(name)
    known = _BY_NAME.get(name.lower().removesuffix("exception")) or pair_of(status)
    text = message or (f"status {status} without a message" if status else "no message")
    return Failure(known[0], known[1], f"{name}: {text}" if name else text)


def _plain(name: str) -> str:
    """A header's name may go on with a place, `ThrottlingException:http://internal.amazon.com/coral/...`; in a body
    it may stand behind one, `com.amazon.coral.service#AccessDeniedException`."""
    return name.partition(":")[0].rpartition("#")[2].strip()


def _read(body: bytes) -> _Body:
    try:
        return _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body()
