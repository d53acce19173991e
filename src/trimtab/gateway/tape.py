"""An answer that several clients hear at once: written once, played to each from its beginning.

What it is not: a store; a tape lives as long as its call and those who hear it.
Invariants: what each hears is the same messages in the same order; when the last one goes before the end, `abandoned`
is called once; a stream holds at most about `CUT_BYTES` of memory, however long it gets and however slowly it is heard.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

import msgspec

from trimtab.gateway.http import Outlet
from trimtab.providers import Headers


class Head(msgspec.Struct, frozen=True, tag=True):
    """The beginning of an answer."""

    status: int
    headers: Headers
    length: int | None = None
    """Bytes of the body, where that is known."""


class Piece(msgspec.Struct, frozen=True, tag=True):
    """A part of its body."""

    body: bytes
    last: bool = False


Message = Head | Piece


async def tell(message: Message, to: Outlet, mark: tuple[bytes, bytes] | None = None) -> None:
    """Send a message; waits while more may not come. A head gets the mark, where there is one."""
    if isinstance(message, Head):
        headers = message.headers
        if mark is not None and all(name != mark[0] for name, _ in headers):
            headers = [*headers, mark]
        to.start(message.status, headers, message.length)
    elif message.last:
        to.finish(message.body)
    elif not to.push(message.body):
        await to.drain()


JOIN_BYTES = 8 * 1024 * 1024
"""What is kept from the beginning. A longer answer can no longer be joined, and what all have heard is dropped."""

AHEAD_BYTES = 1024 * 1024
"""How far the platform may be ahead of the listener that is nearest to it."""

CUT_BYTES = 16 * 1024 * 1024
"""A listener that lags this far behind while another one keeps up is cut off, for it would hold all this memory."""

MESSAGE_BYTES = 300
"""What a message costs besides its body: streams may come in very small pieces."""


class _Listener:
    def __init__(self) -> None:
        self.at = 0
        """Messages heard."""
        self.heard = 0
        """Their bytes."""
        self.cut = False


class Tape:
    """The messages of one answer. An `Outlet`."""

    gone = False

    def __init__(self, abandoned: Callable[[], None]) -> None:
        self._messages: deque[Message] = deque()
        self._dropped = 0
        """Messages at the beginning that are no longer here."""
        self._size = 0
        """Bytes of all messages that ever came."""
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._head: Head | None = None
        self._whole = False
        self._ended = False
        self._listeners: set[_Listener] = set()
        self._abandoned = abandoned

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Outlet.answer`."""
        self.start(status, headers, len(body))
        self.finish(body)

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        """See `Outlet.start`."""
        self._head = Head(status, headers, length)
        self._add(self._head)

    def push(self, piece: bytes) -> bool:
        """See `Outlet.push`: no more while all listeners lag."""
        self._add(Piece(piece))
        return not self._far_ahead()

    async def drain(self) -> None:
        """See `Outlet.drain`."""
        while self._far_ahead():
            self._room.clear()
            await self._room.wait()

    def finish(self, piece: bytes = b"") -> None:
        """See `Outlet.finish`."""
        self._whole = self._ended = True
        self._add(Piece(piece, last=True))

    def _add(self, message: Message) -> None:
        self._cut_off()
        self._messages.append(message)
        self._size += _size(message)
        self._wake()

    def _far_ahead(self) -> bool:
        return not self._ended and bool(self._listeners) and self._nearest() > AHEAD_BYTES

    def cut(self) -> None:
        """There will be no more, whole or not."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    def _nearest(self) -> int:
        """Bytes that even the foremost listener has not heard."""
        return self._size - max(listener.heard for listener in self._listeners)

    def _cut_off(self) -> None:
        late = [listener for listener in self._listeners if self._size - listener.heard > CUT_BYTES]
        if not late or len(late) == len(self._listeners):
            return
        for listener in late:
            listener.cut = True
            self._listeners.discard(listener)
        self._drop()

    def _drop(self) -> None:
        """Let go of what all have heard, once the answer is too long to be joined."""
        self._room.set()
        if self.joinable or not self._listeners:
            return
        least = min(listener.at for listener in self._listeners)
        while self._dropped < least:
            self._messages.popleft()
            self._dropped += 1

    @property
    def joinable(self) -> bool:
        """Whether it can still be heard from its beginning."""
        return not self._dropped and (self._ended or self._size <= JOIN_BYTES)

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        return self._ended

    @property
    def started(self) -> bool:
        """Whether its head has come."""
        return self._head is not None

    @property
    def head(self) -> Head | None:
        """Its head, once that has come."""
        return self._head

    @property
    def whole(self) -> bool:
        """Whether the last message has come."""
        return self._whole

    def body(self, limit: int) -> bytes | None:
        """All of the answer's body that has come, unless that is more than `limit` bytes or no longer here."""
        if self._dropped:
            return None
        pieces = [message.body for message in self._messages if isinstance(message, Piece)]
        return b"".join(pieces) if sum(map(len, pieces)) <= limit else None

    async def play(self) -> AsyncGenerator[Message, None]:
        """All messages, those to come as they come; nothing where it cannot be joined. Closing it early is going away.

        Ends early for a listener that lags too far behind.
        """
        if not self.joinable:
            return
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                more = self._more
                while not listener.cut and listener.at < self._dropped + len(self._messages):
                    message = self._messages[listener.at - self._dropped]
                    yield message
                    listener.at += 1
                    listener.heard += _size(message)
                    if not listener.cut:
                        self._drop()
                if self._ended or listener.cut:
                    return
                await more.wait()
        finally:
            self._listeners.discard(listener)
            self._drop()
            if not listener.cut and not self._listeners and not self._ended:
                self._abandoned()


def _size(message: Message) -> int:
    return MESSAGE_BYTES + (len(message.body) if isinstance(message, Piece) else 0)
