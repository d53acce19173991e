"""What an attempt says of the platform that it went to, as it is counted: in the store, in metrics and on pages.

What it is not: what the engine makes of a failure (whether it asks again, and where). Invariant: each attempt has
exactly one of these endings. Step 14 of the store's schema says the same in SQL for attempts that it finds.
"""

from typing import Literal, get_args

CallEnding = Literal["answered", "refused", "limited", "failed", "cancelled"]
"""`answered`: a whole answer. `refused`: the platform, or its dialect, had something against the request itself.
`limited`: 429. `failed`: any other error, a cut, no answer, or our process died. `cancelled`: the client went away, or
another attempt was quicker."""

CALL_ENDINGS: tuple[CallEnding, ...] = get_args(CallEnding)

_LIMITED = 429
_REFUSED = frozenset({400, 413, 422})
"""Another request would have been taken. 404 is not among them: the platform does not know what the operator named."""

_NOT_SENT = "RequestError: "
"""The platform's API has no words for the request, so no call went out."""


def call_ending(result: object, status: object, error: object) -> CallEnding:
    """How an attempt ended, from its fields of these names."""
    if result == "ok":
        return "answered"
    if result == "cancelled":
        return "cancelled"
    if status == _LIMITED:
        return "limited"
    if status in _REFUSED or (status is None and isinstance(error, str) and error.startswith(_NOT_SENT)):
        return "refused"
    return "failed"
