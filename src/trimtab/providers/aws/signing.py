"""Credentials of calls to AWS: a signature for each, or a bearer key.

What it is not: where keys come from (`credentials`). Invariant: a signature covers method, host, path, query, content
type and the whole body as they are sent.
"""

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import msgspec

from trimtab.errors import RequestTooLarge
from trimtab.providers.aws.sigv4 import Keys, Scope, sign
from trimtab.providers.http import Target
from trimtab.providers.platform import HttpPlatform
from trimtab.providers.renewing import Source
from trimtab.providers.seam import Call, Reply

MAX_SIGNED_BYTES = 64 * 1024 * 1024
"""Of a body that comes in pieces, such as a file: a signature needs the whole of it first. The Messages API takes
32 MB."""


KeySource: TypeAlias = Source[Keys]


class Signatures:
    """See `providers.platform.Credentials`."""

    def __init__(self, source: KeySource, scope: Scope, target: Target, now: Callable[[], float]) -> None:
        """`now` gives Unix seconds."""
        self._source = source
        self._scope = scope
        self._target = target
        self._now = now

    async def lines(self, call: Call) -> bytes:
        """See the seam. The body must be here as a whole."""
        keys = self._source.ready()
        if keys is None:
            keys = await self._source.keys()
        assert isinstance(call.body, bytes)
        return sign(
            keys,
            self._scope,
            method=call.method,
            host=self._target.authority,
            path=self._target.base_path + call.path,
            query=call.query,
            headers=[
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in call.headers
                if name == b"content-type"
            ],
            body=call.body,
            now_s=self._now(),
        )

    def refused(self) -> None:
        """See the seam."""
        self._source.refused()

    async def aclose(self) -> None:
        """See the seam."""
        await self._source.aclose()


class SignedPlatform(HttpPlatform):
    """A platform whose credentials sign bodies: one that comes in pieces is collected first. See the seam."""

    async def send(self, call: Call) -> Reply:
        """See the seam. Raises `RequestTooLarge` for a body in pieces that is too long to be signed."""
        if isinstance(self._credentials, Signatures) and not isinstance(call.body, bytes):
            call = msgspec.structs.replace(
                call, body=await _collected(call.body, call.content_length or 0), content_length=None
            )
        return await super().send(call)


async def _collected(body: AsyncIterator[bytes], length: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    if length <= MAX_SIGNED_BYTES:
        async for piece in body:
            parts.append(piece)
            size += len(piece)
            if size > MAX_SIGNED_BYTES:
                break
    if max(size, length) > MAX_SIGNED_BYTES:
        raise RequestTooLarge(
            f"a body of {max(size, length)} bytes cannot be signed here, at most {MAX_SIGNED_BYTES}; send it to the "
            "platform itself, or have the operator use an api_key"
        )
    return b"".join(parts)
