"""How a call ended, and whether it is worth another one: the same rules for every platform, by the vendor's words.

What it is not: the choice of where (`surviving`), or of when a platform is left alone (`routing`). Invariant: an answer
that the request itself caused is final; nothing here is tried again that another try could not change.

Source: vendor pages on errors and rate limits, and the retries of its SDK 2.11 (2026-11): `x-should-retry` wins over
the status; 408, 409, 429 and everything from 500 on may be tried again; a 429 with
`enforced_spend_limit_reached` may not.
"""

from collections.abc import Mapping

import msgspec

from trimtab.errors import UpstreamError
from trimtab.routing import Ending

SHOULD_RETRY = b"x-should-retry"

SPEND_LIMIT = "enforced_spend_limit_reached"

_AGAIN = (408, 409, 429)

_OF_ERRORS: Mapping[str, Ending] = {
    "rate_limit_error": "limited",
    "overloaded_error": "failed",
    "api_error": "failed",
    "timeout_error": "failed",
    "authentication_error": "denied",
    "billing_error": "spent",
}
"""Error events of a stream, or bodies, whose status says less. Others are the request's own."""


class _Details(msgspec.Struct):
    error_code: str = ""


class _Error(msgspec.Struct):
    details: _Details | None = None


class _Body(msgspec.Struct):
    error: _Error | None = None


_BODY = msgspec.json.Decoder(_Body)


class Fault(msgspec.Struct, frozen=True):
    """Why a call is worth another one."""

    ending: Ending
    here: bool
    """Whether the same platform may be asked again."""


def ending_of(
    status: int, error_type: str | None, problem: BaseException | None, body: bytes = b""
) -> Ending:
    """What an ended call says of its platform. `status` is 0 where no head came, `error_type` that of the answer."""
    if problem is not None:
        return "failed" if isinstance(problem, UpstreamError) else "unclear"
    if status == 200:
        return "ok" if error_type is None else _OF_ERRORS.get(error_type, "unclear")
    if status == 429:
        return "spent" if spend_limit_reached(body) else "limited"
    if status == 401:
        return "denied"
    if status == 402:
        return "spent"
    if status == 403:  # a request may cause it too: what it may not do here, it may elsewhere
        return "denied" if error_type == "authentication_error" else "unclear"
    if status >= 500 or status == 408:
        return "failed"
    # What a request causes says nothing of the model behind it: a caller of bad requests must not hide its failures.
    return "unclear"


def fault_of(
    status: int, should_retry: bytes, body: bytes, error_type: str | None, problem: UpstreamError | None
) -> Fault | None:
    """Why another call may end better, or `None` for an answer that is one. Cost: under 1 us for an answer.

    `should_retry` is the header of that name, empty where there is none.
    """
    if status == 200 and problem is None and error_type is None:
        return None
    ending = ending_of(status, error_type, problem, body)
    if ending == "unclear" and status not in (403, 409):
        return None
    again = status in _AGAIN or status >= 500 or problem is not None or status == 200
    if should_retry:
        again = should_retry == b"true"
    here = again and ending in ("failed", "limited", "unclear")
    return Fault(ending, here)


def spend_limit_reached(body: bytes) -> bool:
    """Whether an error answer says that the account may spend no more; waiting does not help then."""
    if SPEND_LIMIT.encode() not in body:
        return False
    try:
        error = _BODY.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return error is not None and error.details is not None and error.details.error_code == SPEND_LIMIT
