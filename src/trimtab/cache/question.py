"""What a request asks, as far as an earlier answer may be its answer.

What it is not: the decision (`repeats`), or the request itself. Invariant: all that can change an answer is in it: the
body and headers as they go out, the address, and which model serves it.
"""

from collections.abc import Mapping

import msgspec

from trimtab.records import NOBODY, Caller, RequestId, Surface

Headers = list[tuple[bytes, bytes]]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One planned request."""

    id: RequestId
    arrived_ms: int
    surface: Surface
    path: str
    query: bytes
    headers: Headers
    """As they go out: with the API version and the betas that the platform gets."""
    body: bytes
    """As it goes out."""
    stream: bool
    answers: int = 1
    arm: str
    model: str
    platforms: frozenset[str]
    """The entries that it may be sent to."""
    simulated: bool
    """Whether no real model would answer, as far as is known."""
    caller: Caller = NOBODY
    tier: str | None = None
    route: str = ""
    own: Mapping[str, str]
    """The request's `x-trimtab-` headers."""
