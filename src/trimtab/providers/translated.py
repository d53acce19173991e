"""Replies whose bytes are another platform's framing or words, read as if the vendor's own API had sent them.

What it is not: any one platform's framing; those are `Translation`s. Invariant: what the platform sent is translated
once, in order; where it breaks its own framing the reply is `UpstreamBroken`, never a proper end.
"""

from collections.abc import Callable
from typing import Protocol

from trimtab.errors import UpstreamBroken
from trimtab.providers.seam import Headers, Reply, Sink

MAX_ERROR_BYTES = 256 * 1024
"""Of an error answer, as much is read; platforms send some hundred bytes."""


class Translation(Protocol):
    """Bytes in, bytes out. One for each reply."""

    def feed(self, data: bytes) -> bytes:
        """What these bytes come to, with what was held back before; may be empty. Raises `UpstreamBroken`."""
        ...

    def finish(self) -> bytes:
        """What is left at the proper end of the platform's bytes. Raises `UpstreamBroken` inside a frame."""
        ...


class TranslatedReply:
    """See `providers.seam.Reply`."""

    def __init__(self, reply: Reply, translation: Translation, headers: Headers) -> None:
        self.status = reply.status
        self.headers = headers
        self._reply = reply
        self._translation = translation
        self._ended = False

    async def read(self) -> bytes:
        """See the seam."""
        while not self._ended:
            data = await self._reply.read()
            made = self._made(data)
            if made:
                return made
        return b""

    async def pump(self, sink: Sink) -> bool:
        """See the seam."""
        if self._ended:
            return True

        def translated(data: bytes) -> bool:
            made = self._made(data)
            return sink(made) if made else True

        if not await self._reply.pump(translated):
            return False
        last = self._made(b"")
        # What the end brings is given even to a sink that wanted no more: there is no later call to give it to.
        if last:
            sink(last)
        return True

    def close(self) -> None:
        """See the seam."""
        self._reply.close()

    def _made(self, data: bytes) -> bytes:
        if data:
            return self._translation.feed(data)
        self._ended = True
        return self._translation.finish()


class ErrorReply:
    """An error answer of a platform, said in the vendor's words. See `providers.seam.Reply`.

    The whole of it is read before anything is given; `say` makes the body of it.
    """

    def __init__(self, reply: Reply, status: int, headers: Headers, say: Callable[[bytes], bytes]) -> None:
        self.status = status
        self.headers = headers
        self._reply = reply
        self._say = say
        self._ended = False

    async def read(self) -> bytes:
        """See the seam."""
        if self._ended:
            return b""
        parts: list[bytes] = []
        size = 0
        while piece := await self._reply.read():
            size += len(piece)
            if size > MAX_ERROR_BYTES:
                raise UpstreamBroken(f"the platform's error answer is over {MAX_ERROR_BYTES} bytes")
            parts.append(piece)
        self._ended = True
        return self._say(b"".join(parts))

    async def pump(self, sink: Sink) -> bool:
        """See the seam."""
        if piece := await self.read():
            sink(piece)
        return True

    def close(self) -> None:
        """See the seam."""
        self._reply.close()
