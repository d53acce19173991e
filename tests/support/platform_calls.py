"""What tests of platforms share: calls as the engine makes them, and one exchange with a provider."""

import asyncio
import json
from typing import Any

from trimtab.providers import Call, Headers, Provider

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
