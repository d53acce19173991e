"""An answer that several clients hear at once: written once, played to each from its beginning.

What it is not: a store; a tape lives as long as its call and those who hear it.
Invariants: what each hears is the same messages in the same order; when the last one goes before the end, `abandoned`
is called once; a stream holds at most about `CUT_BYTES` of memory, however long it gets and however slowly it is heard.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

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
    """ASGI messages of one answer."""

    def __init__(self, abandoned: Callable[[], None]) -> None:
        self._messages: deque[Message] = deque()
        self._dropped = 0
        """Messages at the beginning that are no longer here."""
        self._size = 0
        """Bytes of all messages that ever came."""
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._head: Message = {}
        self._whole = False
        self._ended = False
        self._listeners: set[_Listener] = set()
        self._abandoned = abandoned

    async def send(self, message: Message) -> None:
        """Add a message; an ASGI `send`. Waits while all listeners lag."""
        self._cut_off()
        self._head = self._head or message
        self._messages.append(message)
        self._size += _size(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._whole = self._ended = True
        self._wake()
        while not self._ended and self._listeners and self._nearest() > AHEAD_BYTES:
            self._room.clear()
            await self._room.wait()

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
    def status(self) -> int:
        """Of the answer; 0 before there is one."""
        return int(self._head["status"]) if self._head else 0

    @property
    def whole(self) -> bool:
        """Whether the last message has come."""
        return self._whole

    def head(self) -> list[tuple[bytes, bytes]]:
        """The answer's headers."""
        return list(self._head["headers"])

    def body(self, limit: int) -> bytes | None:
        """All of the answer's body that has come, unless that is more than `limit` bytes or no longer here."""
        if self._dropped:
            return None
        pieces = [message.get("body", b"") for message in self._messages]
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
    return MESSAGE_BYTES + len(message.get("body", b""))
