"""One small question to a service that gives out credentials, and its answer.

What it is not: a call to a platform (`http`), whose connections are kept. Invariant: whatever goes wrong is an
`UpstreamRefused` that says first what was wanted, and never a token or a key.
"""

import asyncio
import json
from typing import Any

from trimtab.errors import UpstreamBroken, UpstreamError, UpstreamRefused, shortened
from trimtab.providers.http import Deadlines, HttpClient, Target, proxy_from_environment, tls_context
from trimtab.providers.seam import Call, Headers

FETCH_S = 10.0
"""For one answer of a token service; they take some 100 ms."""

METADATA_S = 2.0
"""For one answer of a machine's metadata, which are on the same host; where there are none, nothing answers at all."""

MAX_ANSWER_BYTES = 256 * 1024

FORM = "application/x-www-form-urlencoded"

HTTP_OK = 200


async def ask(
    target: Target,
    method: str,
    path: str,
    headers: Headers,
    body: bytes = b"",
    *,
    limit_s: float,
    what: str,
    authentication: bytes = b"",
    ca_file: str | None = None,
) -> tuple[int, str]:
    """One small exchange on a connection of its own: (status, text). Raises `UpstreamRefused`, `what` first."""
    try:
        tls = tls_context(ca_file) if target.scheme == "https" else None
        proxy = proxy_from_environment(target) if target.scheme == "https" else None
    except (OSError, ValueError) as problem:
        raise UpstreamRefused(f"{what}: {problem}") from None
    client = HttpClient(target, Deadlines(limit_s, limit_s, limit_s, limit_s), tls=tls, proxy=proxy)
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(limit_s):
            reply = await client.send(Call(method, path, headers, body), authentication)
            while piece := await reply.read():
                parts.append(piece)
                if sum(map(len, parts)) > MAX_ANSWER_BYTES:
                    raise UpstreamBroken(f"its answer is over {MAX_ANSWER_BYTES} bytes")
    except (UpstreamError, TimeoutError) as problem:
        reason = str(problem) or f"no answer within {limit_s:g} s"
        raise UpstreamRefused(f"{what}: {reason}") from None
    finally:
        await client.aclose()
    return reply.status, b"".join(parts).decode("utf-8", "replace")


def json_object(text: str, what: str) -> dict[str, Any]:
    """An answer that must be a JSON object. Raises `UpstreamRefused`, `what` first, and never shows it."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise UpstreamRefused(f"{what}: the answer is not a JSON object")
    return answer


def oauth_reason(text: str) -> str:
    """Why a token service refuses, in brackets: the first line of what it says. Source: RFC 6749 section 5.2."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    said = [str(answer[name]) for name in ("error", "error_description") if answer.get(name)]
    return f" ({shortened(': '.join(said).partition(chr(10))[0].strip())})" if said else ""
