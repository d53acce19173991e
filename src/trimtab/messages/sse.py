"""Server-sent events: a parser that never alters bytes, and a writer.

The parser takes chunks cut anywhere (inside a UTF-8 character, between CR and LF) and gives whole events,
each with the exact bytes it came in, so that joining `raw` of all events and the tail gives the input again.

Source: WHATWG HTML, "Parsing an event stream" (lines end in LF, CRLF or CR; an empty line ends an event).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A single event larger than this is refused: the longest legitimate ones (whole tool inputs, base64 blocks)
stay under the vendor's 32 MB body limit by far."""

SLICE_BYTES = 256 * 1024
"""Of a whole stream that is taken at a time, so that its events are never all there at once: millions of tiny ones take
fifty times the bytes that spell them."""

MAX_EVENTS = 600_000
"""Of a whole stream: one that says something takes 100 bytes, and as many fill the 64 MiB that are taken of an answer.
Millions of empty ones would take 5 us each."""

_BLANK_LINES = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)+")
"""Runs only over event streams that use CR; the usual LF streams take the `find` path."""

_LF_RUN = re.compile(rb"\n{2,}")

NEWLINES = b"\r\n"


class SSEEvent(NamedTuple):
    """One event. `name` is empty where the stream gave none; `data` lines are joined by LF."""

    name: bytes
    data: bytes
    raw: bytes


class EventTooLarge(ValueError):
    """An event grew over `MAX_EVENT_BYTES` without ending."""


class SSEParser:
    """Splits a byte stream into events. Not thread-safe; one per stream."""

    __slots__ = ("_edge", "_has_cr", "_max_event_bytes", "_parts", "_size")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._edge = b""
        self._has_cr = False
        self._max_event_bytes = max_event_bytes

    @property
    def tail(self) -> bytes:
        """Bytes of an event that has not ended yet; empty at an event boundary."""
        return b"".join(self._parts)

    @property
    def at_boundary(self) -> bool:
        """Whether everything fed so far was whole events, and perhaps more empty lines."""
        return not any(part.strip(NEWLINES) for part in self._parts)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk; return the raw blocks (each with its blank lines) that it completed, in order.

        Where a run of blank lines is cut in two by chunks, its rest begins the next block or is a block alone:
        strip `NEWLINES` before looking at how a block begins. What is between the newlines never depends on
        the chunks.

        Raises `EventTooLarge` when the unfinished event passes the bound; the parser is then spent.
        """
        if not self._has_cr and b"\r" in chunk:
            self._has_cr = True
        if self._parts:
            probe = self._edge + chunk
            if not (_BLANK_LINES.search(probe) if self._has_cr else b"\n\n" in probe):
                self._keep(chunk)
                return []
            self._parts.append(chunk)
            data = b"".join(self._parts)
            self._parts = []
            self._size = 0
            self._edge = b""
        else:
            data = chunk
        return self._split_any(data) if self._has_cr else self._split_lf(data)

    def events(self, chunk: bytes) -> list[SSEEvent]:
        """`feed`, with each block parsed. Comment-only blocks give an event with no name and no data."""
        return [parse_block(block) for block in self.feed(chunk)]

    def _split_lf(self, data: bytes) -> list[bytes]:
        end = data.rfind(b"\n\n")
        if end < 0:
            self._keep(data)
            return []
        if b"\n\n\n" in data:
            # A run is one end of one event, so that megabytes of newlines are not millions of events.
            return self._split_at(_LF_RUN, data, len(data))
        self._keep(data[end + 2 :])
        return [block + b"\n\n" for block in data[:end].split(b"\n\n")]

    def _split_any(self, data: bytes) -> list[bytes]:
        # A CR that ends the data may be half of a CRLF: wait for the next byte before deciding.
        limit = len(data) - 1 if data.endswith(b"\r") else len(data)
        return self._split_at(_BLANK_LINES, data, limit)

    def _split_at(self, blank: re.Pattern[bytes], data: bytes, limit: int) -> list[bytes]:
        blocks = []
        start = 0
        for match in blank.finditer(data, 0, limit):
            blocks.append(data[start : match.end()])
            start = match.end()
        self._keep(data[start:])
        return blocks

    def _keep(self, piece: bytes) -> None:
        """Hold a piece of an unfinished event. Pieces are joined once, when the event ends."""
        if not piece:
            return
        self._size += len(piece)
        if self._size > self._max_event_bytes:
            raise EventTooLarge(f"an event of more than {self._max_event_bytes} bytes did not end")
        self._parts.append(piece)
        self._edge = (self._edge + piece)[-3:] if len(piece) < 3 else piece[-3:]


def parse_block(block: bytes) -> SSEEvent:
    """Name and data of one raw block. Unknown fields and comments are skipped, as the standard says."""
    name = b""
    data: list[bytes] = []
    for line in block.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        field, colon, value = line.partition(b":")
        if not colon and field not in (b"data", b"event"):
            continue
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return SSEEvent(name, b"\n".join(data), block)


def events_of(stream: bytes, most: int = MAX_EVENTS) -> Iterator[SSEEvent]:
    """The events with data of a whole stream, or of as much of it as there is. One too large to be held ends them, and
    so do more than `most`."""
    parser = SSEParser()
    room = most
    for at in range(0, len(stream), SLICE_BYTES):
        try:
            blocks = parser.feed(stream[at : at + SLICE_BYTES])
        except EventTooLarge:
            return
        for block in blocks[:room]:
            if (event := parse_block(block)).data:
                yield event
        room = max(0, room - len(blocks))


def encode_event(name: str, data: bytes) -> bytes:
    """One event as the vendor frames it: `event:` line, one `data:` line, blank line. `data` is one line of JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
