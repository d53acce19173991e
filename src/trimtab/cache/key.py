"""The key of a question: the same for all that ask the very same, for whom the answer may be the same one.

What it is not: a hash of bytes. Invariants: what is JSON-equal has one key; whatever else differs (model, arm, address,
version, betas, any header that is not known to be harmless, a value anywhere, who may share it, real or simulated) has
another.
"""

import hashlib

from trimtab.cache.question import Headers, Question
from trimtab.cache.settings import Share
from trimtab.records import Caller

VERSION = b"1"
"""Of this way to make keys. Another one finds nothing that was kept before."""

_HARMLESS = frozenset(
    (
        b"user-agent",
        b"accept",
        b"content-type",
        b"content-encoding",
        b"cache-control",
        b"pragma",
        b"date",
        b"dnt",
        b"priority",
        b"idempotency-key",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"x-request-id",
        b"x-correlation-id",
        b"x-app",
        b"anthropic-dangerous-direct-browser-access",
    )
)
"""Headers that change no answer: who asks with which program, tracing, and what is between us and the client. All
others are part of what is asked, so that nobody can have an answer kept that others get for another question."""

_HARMLESS_BEGINNINGS = (b"x-stainless-", b"x-b3-", b"x-datadog-")

_LISTS = (b"anthropic-beta", b"openai-beta")
"""Their order, and how many lines they take, make no difference."""


def scope_of(share: Share, caller: Caller) -> str:
    """Who may be given what this caller asked for. Who calls without a key shares with all who do."""
    if share == "all":
        return "all"
    if share == "organisation" and caller.organisation:
        return f"organisation={caller.organisation}"
    if share == "team" and caller.organisation and caller.team:
        return f"team={caller.team}\0{caller.organisation}"
    return f"key={caller.key}"


def key_of(question: Question, scope: str, body: bytes) -> str:
    """64 hexadecimal characters. `body` is the digest of it, without what does not matter."""
    parts = [
        VERSION,
        scope.encode(),
        question.surface.encode(),
        question.path.encode(),
        question.query,
        question.arm.encode(),
        question.model.encode(),
        b"stream" if question.stream else b"whole",
        b"simulated" if question.simulated else b"real",
        body,
    ]
    for name, value in _that_matter(question.headers):
        parts += (name, value)
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(b"%d:" % len(part))
        hashed.update(part)
    return hashed.hexdigest()


def _that_matter(headers: Headers) -> Headers:
    matter: Headers = []
    lists: dict[bytes, set[bytes]] = {}
    for name, value in headers:
        if name in _LISTS:
            lists.setdefault(name, set()).update(part for one in value.split(b",") if (part := one.strip()))
        elif name not in _HARMLESS and not name.startswith(_HARMLESS_BEGINNINGS):
            matter.append((name, value))
    # Of lines of one name the order may matter, of names it does not.
    matter.sort(key=lambda pair: pair[0])
    return matter + [(name, b",".join(sorted(parts))) for name, parts in sorted(lists.items())]
