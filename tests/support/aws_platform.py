"""What tests of Amazon's platforms share: keys, calls, and one exchange with a provider.

What it is not: a check of signatures (`aws_verify`), or frames of an event stream (`aws_event_frames`).
"""

import asyncio
import json
from typing import Any

from trimtab.config import Secret
from trimtab.providers import Call, Headers, Provider

ACCESS, SECRET, TOKEN = (
    "AKIDEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "IQoJb3JpZ2luX2VjE//token==",
)
NOW = 1_795_000_000.0


def where(key: str) -> str:
    return f"trimtab.toml: platforms.aws.{key}"


def keys(**more: Any) -> dict[str, Any]:
    return {
        "access_key_id": Secret(ACCESS, "env:A"),
        "secret_access_key": Secret(SECRET, "env:B"),
        "session_token": Secret(TOKEN, "env:C"),
        **more,
    }


Answer = tuple[int, dict[bytes, bytes], bytes]


def sent(provider: Provider, call: Call) -> Answer:
    """The whole answer to one call."""

    async def exchange() -> Answer:
        try:
            reply = await provider.send(call)
            parts = []
            while piece := await reply.read():
                parts.append(piece)
            return reply.status, dict(reply.headers), b"".join(parts)
        finally:
            await provider.aclose()

    return asyncio.run(exchange())


def call(
    body: dict[str, Any] | bytes,
    model: str,
    *,
    endpoint: str = "messages",
    stream: bool = False,
    headers: Headers | None = None,
    query: bytes = b"",
) -> Call:
    """A call as the engine makes it."""
    return Call(
        method="POST",
        path="/v1/messages" if endpoint == "messages" else "/v1/messages/count_tokens",
        headers=[
            (b"content-type", b"application/json"),
            (b"anthropic-version", b"2023-06-01"),
            *(headers or []),
        ],
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        query=query,
        stream=stream,
        endpoint=endpoint,  # type: ignore[arg-type]
        model=model,
    )
