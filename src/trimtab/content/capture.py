"""The event loop's side: the copy of one call, made of references to bytes that pass anyway.

What it is not: the writing (`keeper`), or any reading of what passes. Invariants: adding costs no copy and never
raises; all copies of a process together hold no more than `ROOM_BYTES`.
"""

from typing import Protocol

import msgspec

from trimtab.content.settings import ContentSettings
from trimtab.records import Outcome

ROOM_BYTES = 64 * 1024 * 1024
"""Of all copies of a process, those of calls in flight and those that wait to be written. As much as records may take
(`store.records.backlog.BYTES_MAX`)."""

CHUNK_BYTES = 64
"""What a chunk costs besides its bytes: the object and its place in a list."""

WHOLE_BYTES = 16 * 1024 * 1024
"""What is redacted is read whole before it is cut, because a cut text is no JSON and could hide what it holds. Beyond
this a side is not kept. An event stream of 64,000 output tokens has about 8 MB."""


class Room:
    """Counts bytes. Only the event loop changes one figure and only the writer's thread the other, so no lock is
    needed."""

    def __init__(self, most: int = ROOM_BYTES) -> None:
        self.most = most
        self.taken = 0
        self.given_back = 0

    @property
    def held(self) -> int:
        """Bytes that copies hold now."""
        return self.taken - self.given_back


class Copied(msgspec.Struct, frozen=True):
    """A whole call, as it waits to be written."""

    outcome: Outcome
    settings: ContentSettings
    request: bytes
    answer: tuple[bytes, ...]
    answer_bytes: int
    answer_cut: bool
    event_stream: bool
    encoding: bytes
    """The answer's content-encoding."""
    room: int
    """Bytes that it holds."""


class Sink(Protocol):
    """Where copies go."""

    def put(self, copied: Copied) -> None:
        """Take a whole one. Never waits, never raises."""
        ...

    def drop(self) -> None:
        """One found no room."""
        ...


class Capture:
    """One version of the policy; implements `engine.Keep`. Made only where something is to be kept."""

    def __init__(self, settings: ContentSettings, room: Room, sink: Sink) -> None:
        self._settings = settings
        self._room = room
        self._sink = sink

    def begin(self, request: bytes) -> "Copy":
        """A call goes out for this body, which is the client's own."""
        return Copy(self._settings, self._room, self._sink, request)


class Copy:
    """The copy of one call; implements `engine.Copy`. Used by the event loop only."""

    __slots__ = (
        "_cut",
        "_given_up",
        "_held",
        "_limit",
        "_parts",
        "_request",
        "_room",
        "_settings",
        "_sink",
        "_size",
    )

    def __init__(self, settings: ContentSettings, room: Room, sink: Sink, request: bytes) -> None:
        self._settings = settings
        self._room = room
        self._sink = sink
        self._request = request
        self._limit = settings.max_bytes if settings.keep == "full" else WHOLE_BYTES
        self._parts: list[bytes] = []
        self._size = 0
        self._cut = False
        self._held = 0
        self._given_up = False
        self._take(len(request))

    def add(self, chunk: bytes) -> None:
        """A piece of the answer has come."""
        self._size += len(chunk)
        if self._cut or self._given_up or not chunk:
            return
        if self._size > self._limit:
            self._cut = True
            chunk = chunk[: self._limit - self._size]
        if self._take(len(chunk) + CHUNK_BYTES):
            self._parts.append(chunk)

    def _take(self, size: int) -> bool:
        """Whether there is room for so much more. Where there is none, nothing of the call is kept."""
        room = self._room
        if room.held + size > room.most:
            self._given_up = True
            self._let_go()
            return False
        room.taken += size
        self._held += size
        return True

    def _let_go(self) -> None:
        self._room.taken -= self._held
        self._held = 0
        self._parts = []
        self._request = b""

    def drop(self) -> None:
        """Another call of the same request takes its place."""
        self._given_up = True
        self._let_go()

    def end(self, outcome: Outcome, event_stream: bool, encoding: bytes) -> None:
        """It is over, and this is its record."""
        if self._given_up:
            self._sink.drop()
        elif outcome.simulated and not self._settings.simulated:
            self._let_go()
        else:
            self._sink.put(
                Copied(
                    outcome=outcome,
                    settings=self._settings,
                    request=self._request,
                    answer=tuple(self._parts),
                    answer_bytes=self._size,
                    answer_cut=self._cut,
                    event_stream=event_stream,
                    encoding=encoding,
                    room=self._held,
                )
            )
