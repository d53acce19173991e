"""Writes frames of `application/vnd.amazon.eventstream`.

What it is not: a reader of them, which the provider has; the two share no code, so that neither excuses the other.

Source: AWS event stream specification (smithy.io, 2026); Amazon Bedrock API reference, InvokeModelWithResponseStream
and ConverseStream.
"""

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
_STRING = 7
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame: lengths, their checksum, headers of type string, the payload, the checksum of it all."""
    block = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(raw)) + raw
        for name, raw in ((name, value.encode()) for name, value in headers.items())
    )
    lengths = struct.pack(">II", 4 * 4 + len(block) + len(payload), len(block))
    begun = lengths + struct.pack(">I", zlib.crc32(lengths)) + block + payload
    return begun + struct.pack(">I", zlib.crc32(begun))


def event(name: str, members: Mapping[str, Any]) -> bytes:
    """An event, with padding as AWS adds against traffic analysis."""
    payload = msgspec.json.encode(members)
    padding = _PADDING[: 1 + len(payload) % len(_PADDING)]
    return frame(
        {":event-type": name, ":content-type": "application/json", ":message-type": "event"},
        b'%b,"p":"%b"}' % (payload[:-1], padding.encode()),
    )


def chunk(data: bytes) -> bytes:
    """An event of the Messages API as InvokeModel sends it."""
    return event("chunk", {"bytes": base64.b64encode(data).decode()})


def exception(name: str, message: str, more: Mapping[str, Any] | None = None) -> bytes:
    """An exception, which ends a stream."""
    return frame(
        {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"},
        msgspec.json.encode({"message": message, **(more or {})}),
    )
