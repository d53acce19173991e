"""Replies whose bytes are another platform's framing or words, read as if the vendor's own API had sent them.

What it is not: any one platform's framing; those are `Translation`s. Invariant: what the platform sent is translated
once, in order; where it breaks its own framing the reply is `UpstreamBroken`, never a proper end.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from trimtab.errors import UpstreamBroken, UpstreamError
from trimtab.providers.seam import Headers, Reply, Sink

MAX_ERROR_BYTES = 256 * 1024
"""Of an error answer, as much is read; platforms send some hundred bytes."""

ARRIVE_S = 2.0
"""For the rest of an error answer whose beginning has come; platforms send both at once."""


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


class Head(NamedTuple):
    """The beginning of an answer."""

    status: int
    headers: Headers


class ErrorReply:
    """An error answer of a platform, said in the vendor's words. See `providers.seam.Reply`.

    The whole of it is read before anything is given; `say` makes the body of it.
    """

    def __init__(
        self,
        reply: Reply,
        head: Head,
        say: Callable[[bytes], bytes],
        judge: Callable[[bytes], Head] | None = None,
    ) -> None:
        """`judge`, where there is one, says what the head comes to by the platform's body, once that has arrived."""
        self.status, self.headers = head
        self._reply = reply
        self._say = say
        self._judge = judge
        self._arrived: bytes | UpstreamError | None = None
        self._parts: list[bytes] = []
        """What has come of the body; kept, for whoever reads it may stop waiting and go on later."""
        self._ended = False

    async def arrive(self, limit_s: float = ARRIVE_S) -> None:
        """Wait for the body where the head depends on it. Before the head is looked at.

        Raises nothing: what goes wrong is told by `read`.
        """
        if self._judge is None:
            return
        try:
            async with asyncio.timeout(limit_s):
                await self._collect()
        except UpstreamError as problem:
            self._arrived = problem
            return
        except TimeoutError:
            self._reply.close()  # what was there by now is all there is; the status says most
        except BaseException:  # whoever asked has gone, and nobody has this reply yet to close it
            self._reply.close()
            raise
        self._arrived = b"".join(self._parts)
        self.status, self.headers = self._judge(self._arrived)

    async def read(self) -> bytes:
        """See the seam."""
        if self._ended:
            return b""
        if isinstance(self._arrived, UpstreamError):
            raise self._arrived
        body = self._arrived
        if body is None:
            await self._collect()
            body = b"".join(self._parts)
        self._ended = True
        return self._say(body)

    async def _collect(self) -> None:
        parts = self._parts
        size = sum(map(len, parts))
        while piece := await self._reply.read():
            size += len(piece)
            if size > MAX_ERROR_BYTES:
                raise UpstreamBroken(f"the platform's error answer is over {MAX_ERROR_BYTES} bytes")
            parts.append(piece)

    async def pump(self, sink: Sink) -> bool:
        """See the seam."""
        if piece := await self.read():
            sink(piece)
        return True

    def close(self) -> None:
        """See the seam."""
        self._reply.close()
