"""Frames of `application/vnd.amazon.eventstream`, cut anywhere on their way: prelude, headers, payload, two checksums.

What it is not: what a frame means (`event_stream`). Invariant: a frame comes out only whole and with both checksums
right; sizes are bounded before anything is kept for them.

Source: AWS event stream specification (smithy.io, 2026); tests compare with botocore.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

from trimtab.errors import UpstreamBroken

MAX_HEADERS_BYTES = 128 * 1024
"""Source: the specification."""

MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
"""Source: the specification."""

PRELUDE = 12
TRAILER = 4

_KNOWN_HEADERS = 32
"""Header blocks whose reading is kept: a stream has two or three, all its frames share them."""

_LENGTHS = struct.Struct(">III")
_CRC = struct.Struct(">I")
_FIXED = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of header values by type; 0 and 1 are booleans without any, 6 and 7 say their own length."""

_STRING = 7
_BYTES = 6


class Frames:
    """Cuts a byte stream into frames. One for each stream."""

    __slots__ = ("_held", "_known", "_needed")

    def __init__(self) -> None:
        self._held = bytearray()
        self._needed = 0
        """Bytes that the frame which has begun needs, as far as is known: until then nothing is looked at again."""
        self._known: dict[bytes, Mapping[str, str]] = {}

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[tuple[Mapping[str, str], bytes]]:
        """The frames that these bytes complete, each as its headers of type string and its payload. Raises
        `UpstreamBroken`, after the whole frames before."""
        held = self._held
        if held:
            held += data
            if len(held) < self._needed:
                return
            data = bytes(held)
            held.clear()
        self._needed = PRELUDE
        at, size = 0, len(data)
        while size - at >= PRELUDE:
            total, headers, crc = _LENGTHS.unpack_from(data, at)
            if zlib.crc32(data[at : at + 8]) != crc:
                raise UpstreamBroken(
                    "an event-stream frame of the platform has a prelude with a wrong checksum"
                )
            payload = total - headers - PRELUDE - TRAILER
            if headers > MAX_HEADERS_BYTES or not 0 <= payload <= MAX_PAYLOAD_BYTES:
                raise UpstreamBroken(
                    f"an event-stream frame of the platform says {total} bytes with {headers} of headers"
                )
            end = at + total
            if size < end:
                self._needed = total
                break
            frame = data[at:end]
            if zlib.crc32(frame[:-TRAILER]) != _CRC.unpack_from(frame, total - TRAILER)[0]:
                raise UpstreamBroken("an event-stream frame of the platform has a wrong checksum")
            at = end
            yield self._headers(frame[PRELUDE : PRELUDE + headers]), frame[PRELUDE + headers : -TRAILER]
        if at < size:
            held += data[at:]

    def _headers(self, raw: bytes) -> Mapping[str, str]:
        known = self._known.get(raw)
        if known is None:
            known = read_headers(raw)
            if len(self._known) < _KNOWN_HEADERS:
                self._known[raw] = known
        return known


def read_headers(raw: bytes) -> dict[str, str]:
    """The headers of type string. Raises `UpstreamBroken` for a block that is not one, or a name that stands twice."""
    found: dict[str, str] = {}
    names: set[str] = set()
    at, size = 0, len(raw)
    try:
        while at < size:
            start = at + 1
            at = start + raw[at]
            name = raw[start:at].decode()
            kind = raw[at]
            at += 1
            if name in names:
                raise UpstreamBroken(
                    f"an event-stream frame of the platform has the header {name[:80]!r} twice"
                )
            names.add(name)
            if kind in (_STRING, _BYTES):
                length = raw[at] << 8 | raw[at + 1]
                at += 2 + length
                if kind == _STRING:
                    found[name] = raw[at - length : at].decode()
            elif kind > 1:
                at += _FIXED[kind]
    except (IndexError, KeyError, UnicodeDecodeError):
        at = size + 1
    if at != size:
        raise UpstreamBroken("an event-stream frame of the platform has headers that cannot be read")
    return found
