"""Bedrock's event streams as the vendor's own. InvokeModel's: a `chunk` holds one event of the Messages API, in base64.

What it is not: the framing (`frames`), or the events of Converse, which are another schema (`converse_stream`).
Invariant: the JSON of an event of InvokeModel goes on byte for byte; an exception ends a stream with one `error` event,
and nothing follows it.

Source: Amazon Bedrock API reference, InvokeModelWithResponseStream (2026-11).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import msgspec

from trimtab.errors import UpstreamBroken
from trimtab.messages import error_event
from trimtab.providers.aws.failures import failure, failure_named
from trimtab.providers.aws.frames import Frames

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")

_KNOWN_TYPES = 64
"""Names of events whose first line is kept; the vendor has about ten."""


class _Chunk(msgspec.Struct):
    bytes: bytes


class _Event(msgspec.Struct):
    type: str | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_EVENT = msgspec.json.Decoder(_Event)


class EventStream(ABC):
    """See `providers.translated.Translation`. One for each reply."""

    def __init__(self, request_id: str) -> None:
        """`request_id` is the platform's, for an error event."""
        self._request_id = request_id
        self._frames = Frames()
        self._over = False
        self._broken: UpstreamBroken | None = None

    def feed(self, data: bytes) -> bytes:
        """See the seam. What came whole before a break is given first; the next call raises."""
        if self._broken is not None:
            raise self._broken
        if self._over:
            return b""
        made: list[bytes] = []
        try:
            for event in self._events(data):
                made.append(event)
        except UpstreamBroken as problem:
            self._broken = problem
            if not made:
                raise
        return b"".join(made)

    def finish(self) -> bytes:
        """See the seam."""
        if self._broken is not None:
            raise self._broken
        if not self._over:
            if self._frames.inside:
                raise UpstreamBroken("the platform ended inside a frame of its event stream")
            self.ended()
        return b""

    @abstractmethod
    def event(self, kind: str, payload: bytes) -> bytes:
        """What an event comes to; empty for one that is not known. Raises `UpstreamBroken`."""

    def ended(self) -> None:
        """The platform's bytes ended, between frames and without an exception. Raises `UpstreamBroken`."""
        return

    def _events(self, data: bytes) -> Iterator[bytes]:
        for headers, payload in self._frames.feed(data):
            if self._over:
                return
            kind = headers.get(":message-type", "event")
            if kind == "event":
                if made := self.event(headers.get(":event-type", ""), payload):
                    yield made
                continue
            self._over = True
            if kind == "exception":
                found = failure(0, headers.get(":exception-type", ""), payload)
            else:
                found = failure_named(headers.get(":error-code", kind), headers.get(":error-message", ""))
            yield error_event(found.type, found.message, self._request_id)
            return


class InvokeStream(EventStream):
    """InvokeModel's. Cost: 3 us for an event of some words, 45 us for one of 11 kB."""

    def __init__(self, request_id: str) -> None:
        """`request_id` is the platform's, for an error event."""
        super().__init__(request_id)
        self._lines: dict[str, bytes] = {}

    def event(self, kind: str, payload: bytes) -> bytes:
        """See `EventStream`."""
        # A chunk is all there is today; what other events come to be is not the vendor's stream.
        return self._chunk(payload) if kind == "chunk" else b""

    def _chunk(self, payload: bytes) -> bytes:
        try:
            data = _CHUNK.decode(payload).bytes
            name = _EVENT.decode(data).type
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise UpstreamBroken(
                f"a chunk of the platform's event stream cannot be read: {problem}"
            ) from None
        if name is None:
            return b""  # no event of the Messages API; the vendor's own client passes over it too
        line = self._lines.get(name) or self._line(name)
        if b"\n" in data or b"\r" in data:  # between values only: JSON text holds none
            data = b"\ndata: ".join(data.splitlines())
        return b"%bdata: %b\n\n" % (line, data)

    def _line(self, name: str) -> bytes:
        if not name or not _PLAIN.issuperset(name):
            raise UpstreamBroken(f"a chunk of the platform's event stream has the type {name[:80]!r}")
        line = f"event: {name}\n".encode()
        if len(self._lines) < _KNOWN_TYPES:
            self._lines[name] = line
        return line
