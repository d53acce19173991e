"""An answer that several clients hear at once: written once, played to each from its beginning.

What it is not: a store; a tape lives as long as its call and those who hear it.
Invariant: what each hears is the same messages in the same order; when the last one goes before the end, `abandoned`
is called once.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


class Tape:
    """ASGI messages of one answer."""

    def __init__(self, abandoned: Callable[[], None]) -> None:
        self._messages: list[Message] = []
        self._more = asyncio.Event()
        self._ended = False
        self._listeners = 0
        self._abandoned = abandoned

    async def send(self, message: Message) -> None:
        """Add a message; an ASGI `send`. Never waits."""
        self._messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._ended = True
        self._wake()

    def cut(self) -> None:
        """There will be no more, whole or not."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        return self._ended

    @property
    def status(self) -> int:
        """Of the answer; 0 before there is one."""
        return int(self._messages[0]["status"]) if self._messages else 0

    @property
    def whole(self) -> bool:
        """Whether the last message has come."""
        last = self._messages[-1] if self._messages else {}
        return last.get("type") == "http.response.body" and not last.get("more_body", False)

    def head(self) -> list[tuple[bytes, bytes]]:
        """The answer's headers."""
        return list(self._messages[0]["headers"])

    def body(self) -> bytes:
        """All of the answer's body that has come."""
        return b"".join(message.get("body", b"") for message in self._messages[1:])

    async def play(self) -> AsyncGenerator[Message, None]:
        """All messages, those to come as they come. Closing it early is going away."""
        self._listeners += 1
        try:
            at = 0
            while True:
                more = self._more
                while at < len(self._messages):
                    yield self._messages[at]
                    at += 1
                if self._ended:
                    return
                await more.wait()
        finally:
            self._listeners -= 1
            if self._listeners == 0 and not self._ended:
                self._abandoned()
